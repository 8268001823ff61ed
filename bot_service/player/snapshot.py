"""Read-only view of a player, for commands, the player message and metrics."""

from __future__ import annotations

from dataclasses import dataclass

from bot_service.player.rules.model import Entry, LoopMode, Phase
from bot_service.player.rules.state import PlayerState
from bot_service.store.base import GuildSettings
from common.dca import FRAME_MS


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One guild's player at one moment. `voice_channel_id` is None unless the bot is in a channel or connecting.

    `joining_channel_id`: the channel that the bot is on its way to, None while it is not.
    `position_ms` is at most the song's duration, if that is known. `history` is newest first.
    """

    guild_id: int
    phase: Phase
    current: Entry | None
    position_ms: int
    entries: tuple[Entry, ...]
    loop: LoopMode
    voice_channel_id: int | None
    text_channel_id: int | None
    history: tuple[Entry, ...]
    rules: GuildSettings
    message_id: int | None = None
    waiting_to_join: bool = False
    joining_channel_id: int | None = None

    @classmethod
    def of(cls, state: PlayerState) -> Snapshot:
        """Take a snapshot of a state."""
        position = state.next_frame * FRAME_MS
        track = state.current.track if state.current is not None else None
        if track is not None and track.duration_ms:
            position = min(position, track.duration_ms)
        return cls(
            guild_id=state.guild_id,
            phase=state.phase,
            current=state.current,
            position_ms=position,
            entries=tuple(state.queue.entries),
            loop=state.queue.loop,
            voice_channel_id=state.voice_channel_id if state.is_connected_or_trying else None,
            text_channel_id=state.text_channel_id,
            history=tuple(state.queue.history),
            rules=state.rules,
            message_id=state.message_id,
            waiting_to_join=state.joining and state.waiting_since is not None,
            joining_channel_id=state.voice_channel_id if state.is_on_its_way else None,
        )
