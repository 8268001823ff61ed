"""Reads and writes DCA, a file of Opus packets that the bot sends to Discord unchanged. Pure: file objects only.

DCA1 is `DCA1`, an int32 (little-endian) metadata length, that many bytes of JSON, then frames to the end of the
file. DCA0 is the frames alone. A frame is an int16 (little-endian) length and one Opus packet of 20 ms at 48 kHz.

Where the format is silent: a length of 0 is refused in both directions (an Opus packet has at least its TOC byte,
RFC 6716 §3.1; runs of zeros come from damaged disks). A file cut between two frames is not detectable here: callers
compare the frame count and the hash. Packets are not parsed; `audio_service.audio.packets` does that.
"""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any, BinaryIO, Literal, TypeVar, cast

MAGIC = b"DCA1"
FRAME_MS = 20
MAX_FRAME_BYTES = 32_767
MAX_METADATA_BYTES = 1024 * 1024
# 960 samples of two channels; written because most files have it, ignored when read.
FRAME_SIZE = 1920

_INT16 = struct.Struct("<h")
_INT32 = struct.Struct("<i")
_WRITE_BLOCK = 16 * 1024
_READ_BLOCK = 64 * 1024
# The largest packet that libopus recommends room for; a longer first frame means that the file is not DCA0.
_PLAUSIBLE_FRAME_BYTES = 4000

Version = Literal["DCA1", "DCA0"]


class DcaError(ValueError):
    """Not DCA, or damaged. `offset` is the byte at which the invalid field begins."""

    def __init__(self, message: str, offset: int) -> None:
        super().__init__(f"{message} at byte {offset}")
        self.offset = offset


@dataclass(frozen=True, slots=True)
class Tool:
    """The program that wrote the file."""

    name: str = "butakero"
    version: str = "1"
    url: str = ""
    author: str = ""


@dataclass(frozen=True, slots=True)
class OpusInfo:
    """`abr` in bits per second, 0 when unknown; `mode` is libopus' application; `sample_rate` in Hz."""

    abr: int = 0
    sample_rate: int = 48_000
    mode: str = "audio"
    frame_size: int = FRAME_SIZE
    channels: int = 2
    vbr: bool = True


@dataclass(frozen=True, slots=True)
class OriginInfo:
    """The source audio: `encoding` is its codec, `abr` bits per second or 0."""

    source: str = "file"
    abr: int = 0
    channels: int = 0
    encoding: str = ""
    url: str = ""


@dataclass(frozen=True, slots=True)
class DcaMetadata:
    """The header's JSON. `extra` holds fields outside the format (this project: mode, reason, container).

    Reading is tolerant: a part or field that is missing or of the wrong type gets its default.
    """

    opus: OpusInfo = field(default_factory=OpusInfo)
    origin: OriginInfo = field(default_factory=OriginInfo)
    tool: Tool = field(default_factory=Tool)
    title: str = ""
    extra: Mapping[str, Any] = field(default_factory=dict[str, Any])

    def to_json(self) -> bytes:
        """Return the JSON, ASCII only, equal for equal metadata."""
        parts = {
            "dca": {"version": 1, "tool": asdict(self.tool)},
            "opus": asdict(self.opus),
            "info": {"title": self.title},
            "origin": asdict(self.origin),
            "extra": dict(self.extra),
        }
        return json.dumps(parts, separators=(",", ":")).encode()

    @classmethod
    def from_json(cls, text: bytes) -> DcaMetadata:
        """Read the header's JSON. Raises ValueError when it is not a JSON object."""
        loaded: Any = json.loads(text.decode())
        if not isinstance(loaded, dict):
            raise ValueError("not a JSON object")  # noqa: TRY004 - one exception type for every malformed text
        parts = cast("dict[str, Any]", loaded)
        title = _part(parts, "info").get("title")
        return cls(
            opus=_view(OpusInfo, _part(parts, "opus")),
            origin=_view(OriginInfo, _part(parts, "origin")),
            tool=_view(Tool, {"name": "", "version": "", **_part(_part(parts, "dca"), "tool")}),
            title=title if isinstance(title, str) else "",
            extra=_part(parts, "extra"),
        )


class DcaWriter:
    """Writes DCA1 to `out`, which it neither seeks nor closes. Frames are buffered: call `flush` at the end.

    The header is written at once. `frames` counts the frames written.
    """

    def __init__(self, out: BinaryIO, metadata: DcaMetadata) -> None:
        self._out = out
        self._digest = hashlib.sha256()
        self._flushed = 0
        self.frames = 0
        text = metadata.to_json()
        if len(text) > MAX_METADATA_BYTES:
            raise ValueError(f"{len(text)} bytes of metadata, at most {MAX_METADATA_BYTES} are written")
        self._block = bytearray(MAGIC + _INT32.pack(len(text)) + text)
        self.flush()

    def write(self, packet: bytes) -> None:
        """Append one frame. Raises ValueError for a packet that is empty or over MAX_FRAME_BYTES."""
        length = len(packet)
        if not 0 < length <= MAX_FRAME_BYTES:
            raise ValueError(f"a frame has 1 to {MAX_FRAME_BYTES} bytes, not {length}")
        block = self._block
        block += _INT16.pack(length)
        block += packet
        self.frames += 1
        if len(block) >= _WRITE_BLOCK:
            self.flush()

    def flush(self) -> None:
        """Write the buffer to `out`."""
        self._out.write(self._block)
        self._digest.update(self._block)
        self._flushed += len(self._block)
        self._block = bytearray()

    @property
    def size(self) -> int:
        """Bytes of the file so far, header included."""
        return self._flushed + len(self._block)

    @property
    def sha256(self) -> str:
        """Hex digest of the bytes in `out`; of the whole file after `flush`."""
        return self._digest.hexdigest()


class DcaReader:
    """Iterates the packets of a DCA1 or DCA0 file from the file object's position. Reads in blocks, never seeks.

    Attributes:
        version: "DCA1" or "DCA0".
        metadata: the header's; None for DCA0, which has none.

    Raises:
        DcaError: from the constructor, for an invalid header; while iterating, for an invalid frame at `offset` (the
            frames before it have been yielded).
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._rest = b""
        self.version: Version = "DCA0"
        self.metadata: DcaMetadata | None = None
        self._offset = 0
        start = self._exactly(len(MAGIC), "the file ends before its first frame")
        if start == MAGIC:
            self.version = "DCA1"
            self.metadata = self._read_metadata()
        elif start.startswith(MAGIC[:3]):
            raise DcaError(f"unknown version {start[3:]!r}", 0)
        else:
            length = _INT16.unpack_from(start)[0]
            if not 0 < length <= _PLAUSIBLE_FRAME_BYTES:
                raise DcaError("neither DCA1 nor DCA0", 0)
            self._rest = start
            self._offset = 0

    def __iter__(self) -> Iterator[bytes]:
        """Yield packets to the end of the file. An iterator reads ahead: use one per reader."""
        read, unpack, data, base = self._file.read, _INT16.unpack_from, self._rest, self._offset
        while True:
            block = read(_READ_BLOCK)
            data = data + block if data else block
            position, end = 0, len(data)
            while position <= end - 2:
                length = unpack(data, position)[0]
                start = position + 2
                after = start + length
                if length <= 0:
                    raise DcaError(f"frame length {length}", base + position)
                if after > end:
                    break
                yield data[start:after]
                position = after
            data = data[position:]
            base += position
            if not block:
                break
        if data:
            raise DcaError(_describe_cut(data), base)

    def _read_metadata(self) -> DcaMetadata:
        at = self._offset
        length = _INT32.unpack(self._exactly(_INT32.size, "the file ends in the metadata length"))[0]
        if not 0 < length <= MAX_METADATA_BYTES:
            raise DcaError(f"metadata length {length}", at)
        at = self._offset
        text = self._exactly(length, "the file ends in the metadata")
        try:
            return DcaMetadata.from_json(text)
        except (ValueError, RecursionError) as exc:
            raise DcaError(f"metadata is no JSON object ({type(exc).__name__})", at) from exc

    def _exactly(self, count: int, complaint: str) -> bytes:
        data = b""
        while len(data) < count:
            more = self._file.read(count - len(data))
            if not more:
                raise DcaError(complaint, self._offset)
            data += more
        self._offset += count
        return data


@dataclass(frozen=True, slots=True)
class Scan:
    """Result of `scan`: frames and packet bytes up to the end or the first damage, which is None in an intact file."""

    version: Version
    metadata: DcaMetadata | None
    frames: int
    packet_bytes: int
    damage: DcaError | None

    @property
    def duration_ms(self) -> int:
        """Duration of the intact frames."""
        return self.frames * FRAME_MS


def scan(file: BinaryIO) -> Scan:
    """Read a whole file and count its frames. Raises DcaError only for an invalid header."""
    reader = DcaReader(file)
    frames = packet_bytes = 0
    damage: DcaError | None = None
    try:
        for packet in reader:
            frames += 1
            packet_bytes += len(packet)
    except DcaError as exc:
        damage = exc
    return Scan(reader.version, reader.metadata, frames, packet_bytes, damage)


def _describe_cut(data: bytes) -> str:
    if len(data) < _INT16.size:
        return "the file ends in a frame length"
    length = _INT16.unpack_from(data)[0]
    return f"the file ends {length - len(data) + _INT16.size} bytes before the end of a frame of {length}"


_Part = TypeVar("_Part", OpusInfo, OriginInfo, Tool)


def _part(parent: Mapping[str, Any], key: str) -> dict[str, Any]:
    found = parent.get(key)
    return cast("dict[str, Any]", found) if isinstance(found, dict) else {}


def _view(kind: type[_Part], values: Mapping[str, Any]) -> _Part:
    """Make `kind` from the values that have the type of their default (exactly: true is not an int)."""
    default = kind()
    good = {
        item.name: values[item.name]
        for item in fields(default)
        if type(values.get(item.name)) is type(getattr(default, item.name))
    }
    return kind(**good)
