"""What all messages have in common: frozen models, their bytes, the headers that travel beside them.

Readers accept unknown fields. The headers `correlation_id` (the request id), `schema_version` and W3C `traceparent`
travel beside the body.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, ClassVar, TypeVar, cast

import orjson
from pydantic import BaseModel, ConfigDict, Field, PlainSerializer, ValidationError, model_validator

from common.errors import InvalidMessage

SCHEMA_VERSION = "1"
CORRELATION_ID = "correlation_id"
GUILD_ID = "guild_id"
"""The header by which a broker with fair queues serves guilds in turn."""
MAX_ID = 100


def utc_now() -> datetime:
    """Return the current time, aware, cut to the milliseconds that the wire carries."""
    now = datetime.now(UTC)
    return now.replace(microsecond=now.microsecond // 1000 * 1000)


def wire_time(moment: datetime) -> str:
    """Format an aware datetime as the wire has it: UTC, milliseconds, `Z`."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


WireTime = Annotated[datetime, PlainSerializer(wire_time, return_type=str)]


class WireModel(BaseModel):
    """Base of all messages: immutable, tolerant of fields that a newer writer added."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    @model_validator(mode="before")
    @classmethod
    def _null_is_missing(cls, data: object) -> object:
        """Other writers send null where a field has nothing to say: its default holds."""
        if not isinstance(data, dict):
            return data
        fields, optional = cast("dict[str, object]", data), cls.model_fields
        return {
            name: value
            for name, value in fields.items()
            if value is not None or name not in optional or optional[name].is_required()
        }

    MAX_BYTES: ClassVar[int | None] = None
    """Bodies over this size are refused before they are parsed; None: the broker's own limit holds."""

    def to_bytes(self) -> bytes:
        """Return the JSON (UTF-8) that goes on the wire."""
        return orjson.dumps(self.model_dump())


class JobRequest(WireModel):
    """Base of all requests for work. `request_id` names the request on every topic and in every log."""

    request_id: Annotated[str, Field(min_length=1, max_length=MAX_ID)]

    @property
    def requester(self) -> str:
        """The user whose share of the workers the job counts towards; "" for none."""
        return ""


M = TypeVar("M", bound=WireModel)


def parse(model: type[M], body: bytes) -> M:
    """Read a message.

    Raises:
        InvalidMessage: not JSON, not of the model's shape, or over the model's MAX_BYTES. The detail
            names the first offending field and never quotes the body.
    """
    if model.MAX_BYTES is not None and len(body) > model.MAX_BYTES:
        raise InvalidMessage(f"{len(body)} bytes, at most {model.MAX_BYTES} are read")
    try:
        return model.model_validate_json(body)
    except ValidationError as exc:
        first = exc.errors(include_url=False, include_input=False, include_context=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "body"
        raise InvalidMessage(f"{where}: {first['msg']}") from exc


@dataclass(frozen=True, slots=True)
class Salvaged:
    """What can be read of a request that does not parse: its sender waits for an answer all the same.

    Attributes:
        request_id: from the body, else the headers' correlation id, else "".
        fields: the body's JSON object; empty when it is none.
    """

    request_id: str
    fields: Mapping[str, object]

    def id_of(self, name: str) -> str:
        """Return a field that holds an id, "" when it is missing or can be none."""
        return _as_id(self.fields.get(name))


def salvage(model: type[WireModel], body: bytes, headers: Mapping[str, str]) -> Salvaged:
    """Read what can be read of a body that `parse` refused for this model."""
    fields: dict[str, object] = {}
    if model.MAX_BYTES is None or len(body) <= model.MAX_BYTES:
        with suppress(orjson.JSONDecodeError):
            loaded: object = orjson.loads(body)
            if isinstance(loaded, dict):
                fields = cast("dict[str, object]", loaded)
    return Salvaged(_as_id(fields.get("request_id")) or _as_id(headers.get(CORRELATION_ID)), fields)


def _as_id(value: object) -> str:
    return value if isinstance(value, str) and len(value) <= MAX_ID else ""
