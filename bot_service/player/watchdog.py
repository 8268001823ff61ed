"""Tells a player that has stopped sending from one that plays: frames against the clock. Pure; time is an argument.

discord.py calls a connection connected while its player thread waits, and a thread can be stuck in a socket: what counts
is whether packets go out. Silence for want of frames counts as sent: that is another fault, counted elsewhere.
"""

from __future__ import annotations

FRAMES_PER_SECOND = 50

# A machine that is short of CPU sends late; to connect again would only add to its load.
_LEAST_SHARE = 0.1


class Watchdog:
    """Looks at one player. `seconds` is how long almost nothing may be sent before it counts as stalled."""

    def __init__(self, seconds: float = 5.0) -> None:
        self._seconds = seconds
        self._since: float | None = None
        self._sent = 0

    def reset(self) -> None:
        """Forget what was: the player is held, halted or new."""
        self._since = None

    def stalled(self, now: float, sent: int) -> bool:
        """Say whether the player has stalled. `now` in seconds, `sent` the packets since it began."""
        if self._since is None:
            self._since, self._sent = now, sent
            return False
        elapsed = now - self._since
        if sent - self._sent > elapsed * FRAMES_PER_SECOND * _LEAST_SHARE:
            self._since, self._sent = now, sent
            return False
        return elapsed >= self._seconds
