"""The actor of one guild: one task, one inbox. Performs the effects of the state machine and decides nothing itself.

A failed effect becomes an event or a log line; the player goes on. No effect blocks the inbox: the voice link's methods
return while the work is under way, store writes go through a SerialExecutor, and the display only schedules its work.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from random import SystemRandom

from bot_service.player.rules import outcomes as out
from bot_service.player.rules.events import Command, Elapsed, Enqueue, Event, Ready, SetRules, TrackEnded, VoiceLost
from bot_service.player.rules.machine import step
from bot_service.player.rules.model import Phase, Timer
from bot_service.player.rules.outcomes import Outcome, PlayerRefusal, RefusalCode
from bot_service.player.rules.state import PlayerLimits, PlayerState
from bot_service.player.serial_executor import SerialExecutor
from bot_service.player.snapshot import Snapshot
from bot_service.player.timers import Timers
from bot_service.player.voice.link import VoiceLink
from bot_service.store.base import GuildStore
from common.errors import AppError, InternalError
from common.messages.base import utc_now
from common.observability.telemetry import get_logger
from common.observability.tracing import NO_TRACE, TraceContext, current_trace_context
from common.tasks import time_limit

log = get_logger(__name__)

_SETTINGS_SECONDS = 3.0
_SAVE_SECONDS = 5.0
_SAVE_AGAIN_SECONDS = 2.0

OpenVoice = Callable[[int, Callable[[Event], None]], VoiceLink]
"""Creates the voice link of a guild; it reports its events to the given function."""


@dataclass(frozen=True, slots=True)
class PlayerDisplay:
    """Shows the player in Discord. Both functions schedule their work and return immediately.

    `refresh` updates the player message; `notice(guild_id, notice)` posts a notice in the text channel.
    """

    refresh: Callable[[Snapshot], None]
    notice: Callable[[int, out.Notice], None]


@dataclass(frozen=True, slots=True)
class _Message:
    """An item of the inbox. `reply`: future of the caller, for commands; `generation`: of the timer, for Elapsed."""

    event: Event
    reply: asyncio.Future[Outcome] | None = None
    generation: int = 0
    asked_at: float = 0.0
    asked_in: TraceContext = NO_TRACE


@dataclass(slots=True)
class _AwaitedStart:
    """A user waits for the first packet of one of `entries`, `since` (monotonic s); `cause`: trace context."""

    since: float
    entries: frozenset[str]
    cause: TraceContext


class GuildPlayer:
    """The player of one guild. `run` is its only task; `Players` creates and owns it."""

    def __init__(
        self, guild_id: int, *, limits: PlayerLimits, open_voice: OpenVoice, store: GuildStore, display: PlayerDisplay
    ) -> None:
        self._state = PlayerState(guild_id=guild_id, limits=limits, random=SystemRandom())
        self._store = store
        self._display = display
        self._voice = open_voice(guild_id, self.tell)
        self._inbox: asyncio.Queue[_Message] = asyncio.Queue()
        self._timers = Timers(self._timer_fired)
        self._awaited: _AwaitedStart | None = None
        self._voice_play_id = 0
        self._saved_entry = ""
        self._unsaved = False
        self._closed = False
        self._saves = SerialExecutor("save")

    @property
    def guild_id(self) -> int:
        """The guild's id."""
        return self._state.guild_id

    @property
    def snapshot(self) -> Snapshot:
        """The player's present state, with the position read from the voice link."""
        self._sync_position()
        return Snapshot.of(self._state)

    @property
    def saved_position(self) -> int | None:
        """The frame to save; None while nothing plays, or while the saved player holds another song."""
        current = self._state.current
        if not self._state.streaming or current is None or current.entry_id != self._saved_entry:
            return None
        self._sync_position()
        return self._state.next_frame

    def tell(self, event: Event) -> None:
        """Put an event into the inbox, without a reply. Event loop thread only; never blocks, never raises."""
        if not self._closed:
            self._inbox.put_nowait(_Message(event))

    async def ask(self, command: Command) -> Outcome:
        """Put a command into the inbox and wait for its outcome.

        Raises:
            PlayerRefusal: not possible in the present state, or the bot is shutting down.
            InternalError: a bug in a step; the player goes on.
        """
        if self._closed:
            raise PlayerRefusal(RefusalCode.SHUTTING_DOWN)
        reply: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        self._inbox.put_nowait(_Message(command, reply, asked_at=time.monotonic(), asked_in=current_trace_context()))
        return await reply

    async def run(self) -> None:
        """Process the inbox until cancelled; then save the state and close the voice link."""
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._saves.run())
                await self._load_rules()
                while True:
                    message = await self._inbox.get()
                    try:
                        await self._handle(message)
                    finally:
                        _reply(message, PlayerRefusal(RefusalCode.SHUTTING_DOWN))
        finally:
            await self._close()

    async def _handle(self, message: _Message) -> None:
        if isinstance(message.event, Elapsed) and not self._timers.take(message.event.timer, message.generation):
            return
        self._sync_position()
        if self._state.current is None:
            self._note_awaited(message)
        try:
            outcome, effects = step(self._state, message.event, utc_now())
        except PlayerRefusal as refusal:
            _reply(message, refusal)
            return
        except Exception as exc:
            log.exception("player.step_failed", guild_id=self.guild_id, event_name=type(message.event).__name__)
            _reply(message, InternalError(repr(exc)))
            return
        for effect in effects:
            await self._perform(effect)
        _reply(message, outcome)

    def _note_awaited(self, message: _Message) -> None:
        """Note which song a user waits for, to measure the time to its first packet."""
        match message.event:
            case Enqueue(entries, asked_at=asked_at) if message.asked_at:
                since = asked_at or message.asked_at
                self._awaited = _AwaitedStart(since, frozenset(entry.entry_id for entry in entries), message.asked_in)
            case Ready(entry_id) if self._awaited is not None and entry_id in self._awaited.entries:
                self._awaited.cause = message.asked_in
            case _:
                pass

    async def _perform(self, effect: out.Effect) -> None:
        try:
            await self._act(effect)
        except Exception as exc:
            log.exception("player.effect_failed", guild_id=self.guild_id, effect=type(effect).__name__)
            code = exc.code if isinstance(exc, AppError) else InternalError.code
            match effect:
                case out.Join() | out.Proceed() | out.Hold():
                    self.tell(VoiceLost(None, "failed", may_retry=True))
                case out.Play():
                    self.tell(TrackEnded(effect.play_id, effect.start_frame, finished=False, reason=code))
                case _:
                    pass

    async def _act(self, effect: out.Effect) -> None:  # noqa: C901, PLR0912 - one line for each effect
        match effect:
            case out.Join():
                await self._voice.join(effect.channel_id)
            case out.Leave():
                await self._voice.leave()
            case out.Play():
                await self._play(effect)
            case out.Halt():
                self._voice.halt()
            case out.Hold():
                self._voice.hold()
            case out.Proceed():
                self._voice.proceed()
            case out.AskToSpeak():
                await self._voice.ask_to_speak()
            case out.Prefetch():
                await self._voice.prefetch(effect.track)
            case out.Arm():
                self._timers.arm(effect.timer, effect.seconds)
            case out.Disarm():
                self._timers.disarm(effect.timer)
            case out.Save():
                self._unsaved = True
                self._save_soon()
            case out.Remember():
                self._remember(effect)
            case out.Refresh():
                self._display.refresh(self.snapshot)
            case out.Notice():
                self._display.notice(self.guild_id, effect)

    async def _play(self, effect: out.Play) -> None:
        awaited, self._awaited = self._awaited, None
        track = effect.entry.track
        if track is None:
            raise InternalError(f"entry {effect.entry.entry_id} has no track")
        if awaited is not None and effect.entry.entry_id not in awaited.entries:
            awaited = None  # the awaited song was dropped
        with (awaited.cause if awaited else NO_TRACE).attached():
            asked_at = awaited.since if awaited else None
            await self._voice.play(effect.play_id, track, effect.start_frame, asked_at=asked_at)
        self._voice_play_id = effect.play_id

    def _remember(self, effect: out.Remember) -> None:
        entry, when = effect.entry, utc_now()
        track = entry.track
        if track is not None:
            self._saves.submit(lambda: self._store.add_history(self.guild_id, track, entry.requester_id, when))

    async def _save(self) -> None:
        self._sync_position()
        saved = self._state.saved(utc_now())
        self._saved_entry = ""  # until the write is done, positions would land on the previous save
        try:
            await self._store.save_player(saved)
        except AppError:
            if not self._closed:
                asyncio.get_running_loop().call_later(_SAVE_AGAIN_SECONDS, self._save_soon)
            raise
        self._unsaved = False  # a change meanwhile has submitted another save
        self._saved_entry = saved.current.entry_id if saved.current is not None else ""

    def _save_soon(self) -> None:
        self._saves.submit(self._save, key="save")

    def _sync_position(self) -> None:
        """Read the position from the voice link, if it plays the state's playback already."""
        if self._state.streaming and self._voice_play_id == self._state.play_id:
            self._state.set_position(self._voice.next_frame)

    def _timer_fired(self, timer: Timer, generation: int) -> None:
        self._inbox.put_nowait(_Message(Elapsed(timer), generation=generation))

    async def _load_rules(self) -> None:
        try:
            async with time_limit(_SETTINGS_SECONDS):
                rules = await self._store.settings(self.guild_id)
        except (AppError, TimeoutError) as exc:
            log.warning("player.settings_unknown", guild_id=self.guild_id, error=repr(exc))
            return
        step(self._state, SetRules(rules), utc_now())

    def shut(self) -> None:
        """Close the inbox and refuse what is in it. Called when `run` has ended or was cancelled before it began."""
        self._closed = True
        self._timers.disarm_all()
        while not self._inbox.empty():
            _reply(self._inbox.get_nowait(), PlayerRefusal(RefusalCode.SHUTTING_DOWN))

    async def _close(self) -> None:
        self.shut()
        try:
            async with time_limit(_SAVE_SECONDS):
                await self._saves.drain()
                if self._unsaved or self._state.phase is not Phase.IDLE:
                    await self._save()
        except (AppError, TimeoutError) as exc:
            log.warning("player.not_saved", guild_id=self.guild_id, error=repr(exc))
        await self._voice.close()


def _reply(message: _Message, result: Outcome | Exception) -> None:
    if message.reply is None or message.reply.done():
        return
    if isinstance(result, Exception):
        message.reply.set_exception(result)
    else:
        message.reply.set_result(result)
