"""The protocol between the service and its child processes: jobs, progress, results, errors, as framed JSON.

Four bytes of length (big-endian), then a JSON object. To the child: its settings, then one job after the other. From
the child: `{"ready": true}`, then for each job any number of `{"progress": …}` and one `{"result": …}` or `{"error":
{"code", "detail", "retryable"}}` with `resident_bytes`, `spent` and `holds` (something that another job began) beside
it. Nothing is unpickled.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

import orjson

MAX_FRAME_BYTES = 32 * 1024 * 1024
HEADER = struct.Struct(">I")

JsonObject = dict[str, Any]
"""A JSON object; the reader knows its shape."""


@dataclass(frozen=True, slots=True)
class ChildJob:
    """One job of a child. `arguments` is plain JSON."""

    kind: str
    arguments: JsonObject = field(default_factory=dict[str, Any])


@dataclass(frozen=True, slots=True)
class ChildSettings:
    """A child's settings, sent when it starts. Times in seconds, sizes in bytes; `cookies` is a path, "" for none.

    `language` (ISO 639-1) is the people's: of a file's sound tracks it decides between equals.
    """

    network_allow: str
    network_timeout: float
    max_redirects: int
    max_duration: int
    max_download_bytes: int
    memory_bytes: int
    cpu_seconds: int
    opus_bitrate: int
    opus_complexity: int
    cookies: str
    language: str


@dataclass(frozen=True, slots=True)
class ChildProgress:
    """How far a job is; None: not known. `percent` is 0 to 100.

    `draft` is the number of the draft (see `audio.drafts`) that can be played from its start.
    """

    stage: Literal["resolving", "downloading", "encoding"]
    percent: float | None = None
    eta_seconds: float | None = None
    speed_bytes_per_second: float | None = None
    draft: int | None = None


OnProgress = Callable[[ChildProgress], None]
"""Called with each progress of a job; must be cheap."""


def pack(message: JsonObject) -> bytes:
    """Return a message as a frame. Raises ValueError when it is too large."""
    body = orjson.dumps(message)
    if len(body) > MAX_FRAME_BYTES:
        raise ValueError(f"a message of {len(body)} bytes")
    return HEADER.pack(len(body)) + body


def body_length(header: bytes) -> int:
    """Return the length that a header announces. Raises ValueError when it exceeds MAX_FRAME_BYTES."""
    (length,) = HEADER.unpack(header)
    if length > MAX_FRAME_BYTES:
        raise ValueError(f"a message of {length} bytes")
    return int(length)


def unpack(body: bytes) -> JsonObject:
    """Read a message's body. Raises ValueError when it is not a JSON object."""
    message: Any = orjson.loads(body)
    if not isinstance(message, dict):
        raise ValueError("not an object")  # noqa: TRY004 - a wrong value from the pipe, as malformed JSON is
    return message  # pyright: ignore[reportUnknownVariableType] - checked to be an object; JSON keys are strings
