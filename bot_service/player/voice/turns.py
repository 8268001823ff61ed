"""Turns to join a voice channel: as many as Discord's gateway takes, channels with most listeners first.

A join is one message on the gateway connection, and Discord closes a connection that sends more than 120 in a minute
(developers documentation, "Gateway", rate limiting). discord.py sends 110 and lets the rest wait inside the join, whose
time-out runs meanwhile: after a restart with 300 playing guilds most gave up. Waiting here is not part of the join.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
import time
from collections import deque

# The rest is for leaving, moving, presence and members' commands.
JOINS = 80
WINDOW_SECONDS = 60.0


class JoinTurns:
    """The turns of one gateway connection. Event loop only."""

    def __init__(self, joins: int = JOINS, window_seconds: float = WINDOW_SECONDS) -> None:
        self._joins = joins
        self._window_seconds = window_seconds
        self._given = deque[float]()
        self._waiting: list[tuple[int, int, asyncio.Future[None]]] = []
        self._numbers = itertools.count()
        self._timer: asyncio.TimerHandle | None = None

    def take(self) -> bool:
        """Take a turn if one is free and none waits for it."""
        self._waiting = [one for one in self._waiting if not one[2].done()]
        heapq.heapify(self._waiting)
        return not self._waiting and self._has_free() and self._give()

    async def wait(self, listeners: int) -> None:
        """Wait for a turn; of those that wait, the one with most listeners is next."""
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._waiting, (-listeners, next(self._numbers), turn))
        self._serve()
        await turn

    def _serve(self) -> None:
        """Give free turns to those who wait; come back when the next one is free."""
        while self._waiting and (self._waiting[0][2].done() or self._has_free()):
            turn = heapq.heappop(self._waiting)[2]
            if not turn.done():
                self._give()
                turn.set_result(None)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._waiting:
            left = self._given[0] + self._window_seconds - time.monotonic()
            self._timer = asyncio.get_running_loop().call_later(max(left, 0.01), self._serve)

    def _has_free(self) -> bool:
        while self._given and time.monotonic() - self._given[0] >= self._window_seconds:
            self._given.popleft()
        return len(self._given) < self._joins

    def _give(self) -> bool:
        self._given.append(time.monotonic())
        return True
