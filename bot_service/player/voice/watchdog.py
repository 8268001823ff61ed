"""Detects voice connections that look connected but send nothing: packets against the clock. Pure; time is an argument.

discord.py reports a connection as connected while it waits behind a closed WebSocket, and the pacer waits for a
connection without limit: only packets that are sent count. Silence of an underrun counts as sent.
"""

from __future__ import annotations

from dataclasses import dataclass

FRAMES_PER_SECOND = 50

# An overloaded machine sends late; a reconnect would only add to its load.
_LEAST_SHARE = 0.1


@dataclass(frozen=True, slots=True)
class Fault:
    """Why a connection is unusable; `next_frame`: the first frame that may not have been received."""

    reason: str
    next_frame: int


class Watchdog:
    """Watches one playback. `seconds`: how long almost nothing may be sent before it counts as stalled."""

    def __init__(self, seconds: float = 5.0) -> None:
        self._seconds = seconds
        self._since: float | None = None
        self._sent = 0

    def reset(self) -> None:
        """Restart the measurement: the playback is held, halted or new."""
        self._since = None

    def stalled(self, now: float, sent: int) -> bool:
        """Whether the playback has stalled. `now` in seconds; `sent`: its packets so far."""
        elapsed = now - self._since if self._since is not None else 0.0
        if self._since is None or sent < self._sent or sent - self._sent > elapsed * FRAMES_PER_SECOND * _LEAST_SHARE:
            self._since, self._sent = now, sent
            return False
        return elapsed >= self._seconds


class VoiceWatch:
    """Watches one connection and its playback; called about four times a second.

    Args:
        closed_seconds: how long the WebSocket may be dead. Short, because packets sent meanwhile are lost; not 0,
            because another voice server may be announced.
        away_seconds: how long discord.py may take to follow to another voice server.
        stall_seconds: see Watchdog.
    """

    def __init__(self, *, closed_seconds: float = 0.75, away_seconds: float = 10.0, stall_seconds: float = 5.0) -> None:
        self._closed_seconds = closed_seconds
        self._away_seconds = away_seconds
        self._watchdog = Watchdog(stall_seconds)
        self._dead: tuple[float, int] | None = None
        self._away_since: float | None = None

    def check(
        self, now: float, *, connected: bool, dead: bool, handed_out: int | None, next_frame: int
    ) -> Fault | None:
        """Return the fault, if there is one.

        Args:
            now: seconds of a monotonic clock.
            connected: discord.py's `is_connected`.
            dead: the voice WebSocket is closed and discord.py will not recover it.
            handed_out: packets of the present playback so far; None while none should be sent.
            next_frame: the next frame of it.
        """
        self._dead = (self._dead or (now, next_frame)) if dead else None
        self._away_since = None if connected else now if self._away_since is None else self._away_since
        if self._dead is not None and now - self._dead[0] >= self._closed_seconds:
            return Fault("closed", self._dead[1])
        if self._away_since is not None and now - self._away_since >= self._away_seconds:
            return Fault("closed", next_frame)
        if handed_out is None:
            self._watchdog.reset()
        elif self._watchdog.stalled(now, handed_out):
            return Fault("stalled", next_frame)
        return None
