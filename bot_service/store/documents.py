"""JSON documents of the store's records, the same in every database.

Unknown fields are ignored, so that an older program can read what a newer one wrote. A document that cannot be read is
logged, without its content, and read as None.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any, Generic, TypeVar, cast

from pydantic import TypeAdapter, ValidationError

from bot_service.store.base import GuildSettings, PendingRequest, Played, SavedPlayer, Track
from common.observability.telemetry import get_logger

log = get_logger(__name__)

T = TypeVar("T")

Document = dict[str, Any]


class Codec(Generic[T]):
    """Encodes and decodes one kind of record. `key` arguments identify the document in the log."""

    def __init__(self, kind: type[T]) -> None:
        self._name = kind.__name__
        self._adapter = TypeAdapter(kind)

    def text(self, value: T) -> str:
        """Encode as JSON. A lone surrogate, which no database accepts, becomes a question mark."""
        document: Document = self._adapter.dump_python(value, mode="json")
        return json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace").decode()

    def document(self, value: T) -> Document:
        """Encode as a dict of JSON values."""
        loaded: Document = json.loads(self.text(value))
        return loaded

    def read(self, document: object, key: object, newer: Document | None = None) -> T | None:
        """Decode a dict; fields of `newer` replace those of the document."""
        merged = {**cast("Document", document), **(newer or {})} if isinstance(document, dict) else document
        try:
            return self._adapter.validate_python(merged)
        except ValidationError as exc:
            first = exc.errors(include_url=False, include_input=False, include_context=False)[0]
            where = ".".join(str(part) for part in first["loc"])
            self._unreadable(key, f"{where}: {first['msg']}")
            return None

    def read_text(self, text: str, key: object, newer: Document | None = None) -> T | None:
        """Decode JSON; fields of `newer` replace those of the document."""
        try:
            document: object = json.loads(text)
        except ValueError as exc:
            self._unreadable(key, str(exc))
            return None
        return self.read(document, key, newer)

    def _unreadable(self, key: object, reason: str) -> None:
        log.error("store.unreadable", record=self._name, key=key, reason=reason)


def readable(values: Iterable[T | None]) -> list[T]:
    """Return the values that could be decoded."""
    return [value for value in values if value is not None]


PLAYER = Codec(SavedPlayer)
SETTINGS = Codec(GuildSettings)
TRACK = Codec(Track)
REQUEST = Codec(PendingRequest)
PLAYED = Codec(Played)
