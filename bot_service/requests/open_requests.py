"""The requests without an outcome that this process knows, and whose outcome is being told right now. No I/O.

The store has the truth; this is what makes it cheap to pass over what other instances asked for, and to know the next
deadline.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Generator, Iterable
from contextlib import contextmanager
from datetime import datetime, timedelta

from bot_service.store.base import PendingRequest

_TOLD = 10_000


class OpenRequests:
    """`changed` is set whenever the next deadline may be another one."""

    def __init__(self, timeout: timedelta) -> None:
        self._timeout = timeout
        self._open: dict[str, PendingRequest] = {}
        self._in_hand: set[str] = set()
        self._told: OrderedDict[str, None] = OrderedDict()
        self.changed = asyncio.Event()

    def add(self, requests: Iterable[PendingRequest]) -> None:
        """Know these."""
        self._open.update((request.request_id, request) for request in requests)
        self.changed.set()

    def get(self, request_id: str) -> PendingRequest | None:
        """Return a request that is known to be open."""
        return self._open.get(request_id)

    def remove(self, request_id: str) -> None:
        """Forget one: it has ended."""
        self._open.pop(request_id, None)

    def deadline(self, request: PendingRequest) -> datetime:
        """Return when a request has waited long enough."""
        return request.asked_at + self._timeout

    def next_deadline(self) -> datetime | None:
        """Return the earliest deadline of what is open and in nobody's hands."""
        return min((self.deadline(request) for request in self._free()), default=None)

    def overdue(self, now: datetime) -> list[PendingRequest]:
        """Return what is open, in nobody's hands, and beyond its deadline."""
        return [request for request in self._free() if self.deadline(request) <= now]

    @contextmanager
    def hold(self, request_id: str) -> Generator[bool]:
        """Take a request in hand, unless it is in somebody's: False."""
        if request_id in self._in_hand:
            yield False
            return
        self._in_hand.add(request_id)
        try:
            yield True
        finally:
            self._in_hand.discard(request_id)
            self.changed.set()

    def told(self, request_id: str) -> bool:
        """Whether this request's end was told by this process, though the store may not know yet."""
        return request_id in self._told

    def tell(self, request_id: str) -> None:
        """Remember that this request's end was told."""
        self._told[request_id] = None
        while len(self._told) > _TOLD:
            self._told.popitem(last=False)

    def _free(self) -> Iterable[PendingRequest]:
        return (request for request in self._open.values() if request.request_id not in self._in_hand)
