"""Withdraws open requests that no queue waits for any more, so that their downloads are cancelled.

A song leaves its guild's queue when it is skipped or removed, when the queue is cleared, and when the bot is stopped or
leaves its channel.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta

from bot_service.player.snapshot import Snapshot
from bot_service.requests.completion import RequestCompletion
from bot_service.requests.open_requests import OpenRequests
from common.tasks import pause

_SETTLED = timedelta(seconds=2)
"""How long a queue is left alone after a change: the status of a song that was heard to its end is on its way."""

Cancel = Callable[[str], Awaitable[None]]
"""Tells the audio service that no one waits for a request. Raises AppError."""


class Withdrawals:
    """What the guilds' queues wait for, and the requests that none of them does."""

    def __init__(self, requests: OpenRequests, cancel: Cancel) -> None:
        self._requests = requests
        self._cancel = cancel
        self._awaited: dict[int, frozenset[str]] = {}
        self.changed = asyncio.Event()

    def queue_changed(self, snapshot: Snapshot) -> None:
        """Note the entries of a guild's queue."""
        current = () if snapshot.current is None else (snapshot.current,)
        self._awaited[snapshot.guild_id] = frozenset(entry.entry_id for entry in (*current, *snapshot.entries))
        self.changed.set()

    async def run(self, stop: asyncio.Event, completion: RequestCompletion) -> None:
        """Withdraw requests until `stop`, which must set `changed` too."""
        while not stop.is_set():
            await self.changed.wait()
            self.changed.clear()
            await pause(stop, _SETTLED)
            if stop.is_set():
                return
            for request in self._requests.missing_from(self._awaited):
                await completion.withdraw(request, self._cancel)
