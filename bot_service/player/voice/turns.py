"""Turns to join a voice channel: as many as Discord's gateway takes, channels with most listeners first.

A join is one message on the gateway connection, and Discord closes a connection that sends more than 120 in a minute
(developers documentation, "Gateway", rate limiting). discord.py sends 110 and lets the rest wait inside the join, whose
time-out runs meanwhile: after a restart with 300 playing guilds most gave up. Waiting here is not part of the join.

Few joins are under way at once: 80 at the same moment took 8 s on a busy machine, near their time-out of 12 s, and
those that ran into it sent more messages, which delayed the next ones. A join that times out halves their number, one
that does not adds one to it, as TCP does with what is under way.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
import time
from collections import deque
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager

from bot_service.player.rules.events import JoinWaits
from bot_service.player.voice.connections import CannotJoinError

# The rest is for moving and leaving at the same time, presence and heartbeats.
JOINS = 80
WINDOW_SECONDS = 60.0
AT_ONCE = 10


class JoinTurns:
    """The turns of one gateway connection. Event loop only.

    At most `joins` messages in any `window_seconds`, at most `at_once` joins under way.
    """

    def __init__(self, joins: int = JOINS, window_seconds: float = WINDOW_SECONDS, *, at_once: int = AT_ONCE) -> None:
        self._joins = joins
        self._window_seconds = window_seconds
        self._at_once = self._allowed = at_once
        self._under_way = 0
        self._sent = deque[float]()
        self._waiting: list[tuple[int, int, asyncio.Future[None]]] = []
        self._numbers = itertools.count()
        self._timer: asyncio.TimerHandle | None = None

    @asynccontextmanager
    async def turn(self, listeners: int, report: Callable[[JoinWaits], None]) -> AsyncGenerator[None]:
        """Hold a turn for the block, which joins. Of those that wait, the one with most listeners is next.

        Reports JoinWaits if none is free, and again when one is.
        """
        if not self._take():
            report(JoinWaits(waiting=True))
            await self._wait(listeners)
            report(JoinWaits(waiting=False))
        try:
            yield
        except CannotJoinError as exc:
            if exc.reason == "timeout":
                self._allowed = max(1, self._allowed // 2)
            raise
        else:
            self._allowed = min(self._at_once, self._allowed + 1)
        finally:
            self._release()

    def count(self) -> None:
        """Count a message of the gateway connection that is no join: it leaves room for one join less."""
        self._sent.append(time.monotonic())

    def _take(self) -> bool:
        self._waiting = [one for one in self._waiting if not one[2].done()]
        heapq.heapify(self._waiting)
        if self._waiting or not self._is_free():
            return False
        self._give()
        return True

    async def _wait(self, listeners: int) -> None:
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._waiting, (-listeners, next(self._numbers), turn))
        self._serve()
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self._release()  # it was given in the same moment
            raise

    def _release(self) -> None:
        self._under_way -= 1
        self._serve()

    def _serve(self) -> None:
        """Give free turns to those who wait; come back when the window has room again."""
        while self._waiting and (self._waiting[0][2].done() or self._is_free()):
            turn = heapq.heappop(self._waiting)[2]
            if not turn.done():
                self._give()
                turn.set_result(None)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._waiting and self._under_way < self._allowed:
            left = self._sent[0] + self._window_seconds - time.monotonic()
            self._timer = asyncio.get_running_loop().call_later(max(left, 0.01), self._serve)

    def _is_free(self) -> bool:
        while self._sent and time.monotonic() - self._sent[0] >= self._window_seconds:
            self._sent.popleft()
        return self._under_way < self._allowed and len(self._sent) < self._joins

    def _give(self) -> None:
        self._under_way += 1
        self._sent.append(time.monotonic())
