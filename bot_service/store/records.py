"""How what is kept becomes a JSON document, the same in every database, and how it is read back.

Fields that nobody here knows are passed over, so that an older program can follow a newer one. What cannot be read is
logged, without its content, and is None.
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


class Record(Generic[T]):
    """Writes and reads one kind of dataclass."""

    def __init__(self, kind: type[T]) -> None:
        self._name = kind.__name__
        self._adapter = TypeAdapter(kind)

    def text(self, value: T) -> str:
        """Return the document as JSON. Half a surrogate pair, which no database takes, becomes a question mark."""
        document: Document = self._adapter.dump_python(value, mode="json")
        return json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace").decode()

    def document(self, value: T) -> Document:
        """Return the document."""
        loaded: Document = json.loads(self.text(value))
        return loaded

    def read(self, document: object, key: object) -> T | None:
        """Read a document; `key` names it in the log."""
        try:
            return self._adapter.validate_python(document)
        except ValidationError as exc:
            first = exc.errors(include_url=False, include_input=False, include_context=False)[0]
            where = ".".join(str(part) for part in first["loc"])
            self._unreadable(key, f"{where}: {first['msg']}")
            return None

    def read_newer(self, document: object, key: object, newer: Document) -> T | None:
        """Read a document, with some fields replaced by what is newer."""
        return self.read({**cast("Document", document), **newer} if isinstance(document, dict) else document, key)

    def read_text(self, text: str, key: object, newer: Document | None = None) -> T | None:
        """Read JSON, with some fields replaced by what is newer."""
        try:
            document: object = json.loads(text)
        except ValueError as exc:
            self._unreadable(key, str(exc))
            return None
        return self.read_newer(document, key, newer or {})

    def read_all(self, documents: Iterable[object], key: object) -> list[T]:
        """Read those of a list that can be read."""
        found = (self.read(document, key) for document in documents)
        return [value for value in found if value is not None]

    def _unreadable(self, key: object, reason: str) -> None:
        log.error("store.unreadable", record=self._name, key=key, reason=reason)


PLAYER = Record(SavedPlayer)
SETTINGS = Record(GuildSettings)
TRACK = Record(Track)
REQUEST = Record(PendingRequest)
PLAYED = Record(Played)
