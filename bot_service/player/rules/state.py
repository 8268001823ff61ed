"""What a player knows, and nothing that it does. Values and questions; only `machine.step` changes them."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from random import Random

from bot_service.player.rules.model import Entry, LoopMode, Phase, Timer
from bot_service.player.rules.queue import Queue
from bot_service.store.base import GuildSettings, SavedEntry, SavedPlayer, Track


@dataclass(frozen=True, slots=True)
class PlayerLimits:
    """Bounds from the settings; times in seconds. `voice_reconnect_seconds`: for all tries of one recovery."""

    queue_limit: int = 500
    idle_seconds: float = 300.0
    alone_seconds: float = 60.0
    voice_reconnect_seconds: float = 60.0


@dataclass(slots=True)
class PlayerState:
    """One guild's player.

    `next_frame` is the frame of `current` that comes next; while `streaming` (a playback was begun and neither ended
    nor was halted) the voice link knows better, see `heard`. `held`: the song is, or is to be, paused. `joining`: a
    Join has no answer yet. `listeners` None: not known. `parked`: gave up by itself, and goes on only when asked to.
    `kept`: where a song that went back into the queue is to go on (entry id, frame).
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
    voice_channel_id: int | None = None
    text_channel_id: int | None = None
    message_id: int | None = None
    listeners: int | None = None
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
        """Take over what the voice link says of the playback under way."""
        if self.streaming:
            self.next_frame = max(frame, 0)

    @property
    def is_connected_or_trying(self) -> bool:
        """Tell whether there is a voice channel that counts as the bot's own."""
        return self.voice_ready or self.joining or self.phase is Phase.RECOVERING

    def saved(self, now: datetime) -> SavedPlayer:
        """Return the state as a record of the store. A held song is saved as paused, whatever the voice is doing."""
        phase = Phase.PAUSED if self.held and self.current is not None else self.phase
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
        """Take over queue, loop mode, channels and message of a saved player; return the song that was current."""
        entries, history = ([_entry(entry) for entry in part] for part in (saved.entries, saved.history))
        self.queue = Queue(entries, history, loop=LoopMode(saved.loop), fair=self.rules.fair_queue)
        self.voice_channel_id, self.text_channel_id = saved.voice_channel_id, saved.text_channel_id
        self.message_id = saved.message_id
        return _entry(saved.current) if saved.current is not None else None


def _saved_entry(entry: Entry) -> SavedEntry:
    return SavedEntry(entry.entry_id, entry.requester_id, entry.song, entry.asked_at, entry.track)


def _entry(saved: SavedEntry) -> Entry:
    return Entry(saved.entry_id, saved.requester_id, saved.song, saved.asked_at, saved.track)
