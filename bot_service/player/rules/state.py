"""State of a guild's player, and its conversion to and from the store's record. Only `machine.step` changes it."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from random import Random

from bot_service.player.rules.model import Entry, LoopMode, Phase, Silence, Timer
from bot_service.player.rules.queue import Queue
from bot_service.store.base import GuildSettings, SavedEntry, SavedPlayer, Track


@dataclass(frozen=True, slots=True)
class PlayerLimits:
    """Limits from the settings; times in seconds. `voice_reconnect_seconds`: for all attempts of one recovery."""

    queue_limit: int = 500
    idle_seconds: float = 300.0
    alone_seconds: float = 60.0
    voice_reconnect_seconds: float = 60.0


@dataclass(slots=True)
class PlayerState:
    """One guild's player.

    `next_frame`: the frame of `current` to send next; while `streaming` (a playback has started and neither ended nor
    was halted) it is taken from the voice link (`set_position`). `held`: the song is paused, or will be once there is a
    voice. `joining`: a Join has no answer yet; `waiting_since`: it waits for its turn.
    `silenced`: why the bot is not heard; the song is paused meanwhile. `silence_told`: users were told so.
    `listeners` None: unknown. `parked`: stopped after failures; only a
    command starts it again. `resume_point`: where a song that was put back into the queue continues (entry id, frame).
    """

    guild_id: int
    limits: PlayerLimits = field(default_factory=PlayerLimits)
    rules: GuildSettings = field(default_factory=GuildSettings)
    random: Random = field(default_factory=Random)
    phase: Phase = Phase.IDLE
    queue: Queue = field(default_factory=Queue)
    current: Entry | None = None
    play_id: int = 0
    start_frame: int = 0
    next_frame: int = 0
    streaming: bool = False
    held: bool = False
    voice_ready: bool = False
    joining: bool = False
    waiting_since: datetime | None = None
    voice_channel_id: int | None = None
    text_channel_id: int | None = None
    message_id: int | None = None
    listeners: int | None = None
    silenced: Silence | None = None
    silence_told: bool = False
    votes: set[int] = field(default_factory=set[int])
    armed: set[Timer] = field(default_factory=set[Timer])
    prefetched: Track | None = None
    failures: int = 0
    parked: bool = False
    resume_point: tuple[str, int] | None = None
    attempts: int = 0
    recovering_since: datetime | None = None
    ready_since: datetime | None = None

    def set_position(self, frame: int) -> None:
        """Set the position of the playback under way; no-op if there is none."""
        if self.streaming:
            self.next_frame = max(frame, 0)

    @property
    def is_connected_or_trying(self) -> bool:
        """Whether the bot is in a voice channel, joining one, or recovering."""
        return self.voice_ready or self.joining or self.phase is Phase.RECOVERING

    @property
    def is_on_its_way(self) -> bool:
        """Whether the bot is joining a channel, or will in a moment."""
        return self.joining or self.phase is Phase.RECOVERING

    def saved(self, now: datetime) -> SavedPlayer:
        """Return the state as a record of the store.

        A held song is saved as paused, whatever the voice is doing; one that waits until the bot is heard, as playing.
        """
        phase = Phase.PLAYING if self.phase is Phase.PAUSED else self.phase
        if self.held and self.current is not None:
            phase = Phase.PAUSED
        return SavedPlayer(
            guild_id=self.guild_id,
            phase=phase.value,
            current=_saved_entry(self.current) if self.current is not None else None,
            next_frame=self.next_frame,
            entries=tuple(_saved_entry(entry) for entry in self.queue.entries),
            history=tuple(_saved_entry(entry) for entry in self.queue.history),
            loop=self.queue.loop.value,
            voice_channel_id=self.voice_channel_id,
            text_channel_id=self.text_channel_id,
            message_id=self.message_id,
            saved_at=now,
        )

    def load(self, saved: SavedPlayer) -> Entry | None:
        """Load queue, loop mode, channels and message of a saved player; return its current song."""
        entries, history = ([_entry(entry) for entry in part] for part in (saved.entries, saved.history))
        self.queue = Queue(entries, history, loop=LoopMode(saved.loop), fair=self.rules.fair_queue)
        self.voice_channel_id, self.text_channel_id = saved.voice_channel_id, saved.text_channel_id
        self.message_id = saved.message_id
        return _entry(saved.current) if saved.current is not None else None


def _saved_entry(entry: Entry) -> SavedEntry:
    return SavedEntry(entry.entry_id, entry.requester_id, entry.song, entry.asked_at, entry.track)


def _entry(saved: SavedEntry) -> Entry:
    return Entry(saved.entry_id, saved.requester_id, saved.song, saved.asked_at, saved.track)
