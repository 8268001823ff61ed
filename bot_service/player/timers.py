"""The timers of one player: each armed at most once, and a ring that was overtaken does not count."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from bot_service.player.rules.model import Timer


class Timers:
    """`rang(timer, ring)` is called on the loop; ask `is_due` when its turn comes."""

    def __init__(self, rang: Callable[[Timer, int], None]) -> None:
        self._rang = rang
        self._armed: dict[Timer, tuple[int, asyncio.TimerHandle]] = {}
        self._rings = 0

    def arm(self, timer: Timer, seconds: float) -> None:
        """Let it ring in so many seconds, and not when it was to ring before."""
        self.disarm(timer)
        self._rings += 1
        handle = asyncio.get_running_loop().call_later(seconds, self._rang, timer, self._rings)
        self._armed[timer] = (self._rings, handle)

    def disarm(self, timer: Timer) -> None:
        """Let it not ring; one that is not armed stays so."""
        if (armed := self._armed.pop(timer, None)) is not None:
            armed[1].cancel()

    def disarm_all(self) -> None:
        """Let none ring."""
        for timer in list(self._armed):
            self.disarm(timer)

    def is_due(self, timer: Timer, ring: int) -> bool:
        """Tell whether a ring still counts, and take it; one under way when its timer was disarmed does not."""
        if self._armed.get(timer, (0, None))[0] != ring:
            return False
        self._armed.pop(timer, None)
        return True
