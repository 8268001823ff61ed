"""The newest known message of each channel: an older player message has scrolled up."""

from __future__ import annotations


class LatestMessages:
    """Message ids by channel id. Discord's ids grow with time, so the largest is the newest."""

    def __init__(self) -> None:
        self._latest: dict[int, int] = {}

    def note(self, channel_id: int, message_id: int) -> None:
        """Record that a channel has this message."""
        self._latest[channel_id] = max(self.in_channel(channel_id), message_id)

    def in_channel(self, channel_id: int) -> int:
        """Return the newest known message id of a channel, 0 if none is known."""
        return self._latest.get(channel_id, 0)
