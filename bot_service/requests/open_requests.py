"""In-memory index of the open requests that this process knows, and of those being completed. No I/O.

The store is authoritative; the index makes it cheap to skip other instances' statuses and to find the next deadline.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Collection, Generator, Iterable, Mapping
from contextlib import contextmanager
from datetime import datetime, timedelta

from bot_service.store.base import PendingRequest

_MAX_COMPLETED = 10_000


class OpenRequests:
    """`changed` is set whenever the next deadline may have changed."""

    def __init__(self, timeout: timedelta) -> None:
        self._timeout = timeout
        self._open: dict[str, PendingRequest] = {}
        self._locked: set[str] = set()
        self._completed: OrderedDict[str, None] = OrderedDict()
        self.changed = asyncio.Event()

    def add(self, requests: Iterable[PendingRequest]) -> None:
        """Add open requests."""
        self._open.update((request.request_id, request) for request in requests)
        self.changed.set()

    def get(self, request_id: str) -> PendingRequest | None:
        """Return a request that is known to be open."""
        return self._open.get(request_id)

    def remove(self, request_id: str) -> None:
        """Remove a request; no-op if it is unknown."""
        self._open.pop(request_id, None)

    def deadline(self, request: PendingRequest) -> datetime:
        """Return when a request times out."""
        return request.asked_at + self._timeout

    def next_deadline(self) -> datetime | None:
        """Return the earliest deadline of the open requests that are not locked."""
        return min((self.deadline(request) for request in self._unlocked()), default=None)

    def overdue(self, now: datetime) -> list[PendingRequest]:
        """Return the open requests beyond their deadline that are not locked."""
        return [request for request in self._unlocked() if self.deadline(request) <= now]

    def missing_from(self, queues: Mapping[int, Collection[str]]) -> list[PendingRequest]:
        """Return the open requests whose guild's queue is known and has no entry of theirs; not those locked."""
        known = (request for request in self._unlocked() if request.guild_id in queues)
        return [request for request in known if request.request_id not in queues[request.guild_id]]

    @contextmanager
    def lock(self, request_id: str) -> Generator[bool]:
        """Lock a request while it is completed; yields False, at once, if it is locked already."""
        if request_id in self._locked:
            yield False
            return
        self._locked.add(request_id)
        try:
            yield True
        finally:
            self._locked.discard(request_id)
            self.changed.set()

    def is_completed(self, request_id: str) -> bool:
        """Return whether this process completed the request; the store may not have recorded that yet."""
        return request_id in self._completed

    def mark_completed(self, request_id: str) -> None:
        """Record that the request was completed."""
        self._completed[request_id] = None
        while len(self._completed) > _MAX_COMPLETED:
            self._completed.popitem(last=False)

    def _unlocked(self) -> Iterable[PendingRequest]:
        return (request for request in self._open.values() if request.request_id not in self._locked)
