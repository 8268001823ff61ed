"""The timers of one player. A callback that was queued before its timer was disarmed or restarted is stale: its
generation number is not the current one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from bot_service.player.rules.model import Timer


class Timers:
    """Calls `fired(timer, generation)` on the event loop; the receiver asks `take` whether that is still current."""

    def __init__(self, fired: Callable[[Timer, int], None]) -> None:
        self._fired = fired
        self._armed: dict[Timer, tuple[int, asyncio.TimerHandle]] = {}
        self._generation = 0

    def arm(self, timer: Timer, seconds: float) -> None:
        """Start the timer, or restart it if it is armed."""
        self.disarm(timer)
        self._generation += 1
        handle = asyncio.get_running_loop().call_later(seconds, self._fired, timer, self._generation)
        self._armed[timer] = (self._generation, handle)

    def disarm(self, timer: Timer) -> None:
        """Disarm the timer; no-op if it is not armed."""
        if (armed := self._armed.pop(timer, None)) is not None:
            armed[1].cancel()

    def disarm_all(self) -> None:
        """Disarm every timer."""
        for timer in list(self._armed):
            self.disarm(timer)

    def take(self, timer: Timer, generation: int) -> bool:
        """Disarm a timer that fired; False if the firing is stale."""
        if self._armed.get(timer, (0, None))[0] != generation:
            return False
        self._armed.pop(timer, None)
        return True
