"""Tells a voice connection that works from one that only looks so: frames against the clock. Pure; time is an argument.

discord.py calls a connection connected while it waits for something behind a closed WebSocket, and the pacer waits for
a connection for as long as it takes: what counts is whether packets go out to somebody. Silence for want of frames
counts as sent: that is another fault, counted elsewhere.
"""

from __future__ import annotations

from dataclasses import dataclass

FRAMES_PER_SECOND = 50

# A machine that is short of CPU sends late; to connect again would only add to its load.
_LEAST_SHARE = 0.1


@dataclass(frozen=True, slots=True)
class Trouble:
    """Why a connection is to be given up; `next_frame` is the first frame that may not have been heard."""

    reason: str
    next_frame: int


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
        elapsed = now - self._since if self._since is not None else 0.0
        if self._since is None or sent < self._sent or sent - self._sent > elapsed * FRAMES_PER_SECOND * _LEAST_SHARE:
            self._since, self._sent = now, sent
            return False
        return elapsed >= self._seconds


class VoiceWatch:
    """Looks at one connection and its player, every quarter of a second or so.

    Args:
        closed_seconds: how long the WebSocket may be dead. It is short, for what is sent meanwhile may be lost; it is
            not 0, for the news of another voice server may come next.
        away_seconds: how long discord.py may take to follow to another voice server.
        stall_seconds: see Watchdog.
    """

    def __init__(self, *, closed_seconds: float = 0.75, away_seconds: float = 10.0, stall_seconds: float = 5.0) -> None:
        self._closed_seconds = closed_seconds
        self._away_seconds = away_seconds
        self._watchdog = Watchdog(stall_seconds)
        self._dead: tuple[float, int] | None = None
        self._away_since: float | None = None

    def look(
        self, now: float, *, connected: bool, dead: bool, handed_out: int | None, next_frame: int
    ) -> Trouble | None:
        """Return what is wrong, if something is.

        Args:
            now: seconds of a monotonic clock.
            connected: what discord.py says.
            dead: the voice WebSocket is closed, and nothing good is to be expected of discord.py about it.
            handed_out: packets of the present playback so far; None while nothing should be sent.
            next_frame: the next frame of it.
        """
        self._dead = (self._dead or (now, next_frame)) if dead else None
        self._away_since = None if connected else now if self._away_since is None else self._away_since
        if self._dead is not None and now - self._dead[0] >= self._closed_seconds:
            return Trouble("closed", self._dead[1])
        if self._away_since is not None and now - self._away_since >= self._away_seconds:
            return Trouble("closed", next_frame)
        if handed_out is None:
            self._watchdog.reset()
        elif self._watchdog.stalled(now, handed_out):
            return Trouble("stalled", next_frame)
        return None
