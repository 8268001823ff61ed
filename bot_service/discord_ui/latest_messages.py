"""The newest known message of each channel: an older player message has scrolled up. The last interaction of guilds."""

from __future__ import annotations

from typing import Any

import discord


class LatestMessages:
    """Message ids by channel id. Discord's ids grow with time, so the largest is the newest."""

    def __init__(self) -> None:
        self._latest: dict[int, int] = {}
        self._interactions: dict[int, discord.Interaction[Any]] = {}

    def note(self, channel_id: int, message_id: int) -> None:
        """Record that a channel has this message."""
        self._latest[channel_id] = max(self.in_channel(channel_id), message_id)

    def in_channel(self, channel_id: int) -> int:
        """Return the newest known message id of a channel, 0 if none is known."""
        return self._latest.get(channel_id, 0)

    def note_interaction(self, interaction: discord.Interaction[Any]) -> None:
        """Record that an interaction was answered: a follow-up can be sent where the bot may not write."""
        if interaction.guild_id is not None:
            self._interactions[interaction.guild_id] = interaction

    def last_interaction(self, guild_id: int) -> discord.Interaction[Any] | None:
        """Return the last answered interaction of a guild, if its token is still valid."""
        interaction = self._interactions.get(guild_id)
        return interaction if interaction is not None and not interaction.is_expired() else None
