"""The actor of one guild: one task, one inbox. Performs what the machine says, and decides nothing.

An effect that fails becomes an event or a line in the log, never a dead player. The voice link's methods return while
the work is under way; the store and the player message have lanes of their own, so that a database or a Discord that
hangs holds up no command.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from random import SystemRandom

from bot_service.player.lane import Lane
from bot_service.player.rules import outcomes as out
from bot_service.player.rules.events import Command, Elapsed, Enqueue, Event, Ready, SetRules, TrackEnded, VoiceLost
from bot_service.player.rules.machine import step
from bot_service.player.rules.model import Phase, Timer
from bot_service.player.rules.outcomes import Outcome, PlayerRefusal, RefusalCode
from bot_service.player.rules.state import PlayerLimits, PlayerState
from bot_service.player.snapshot import Snapshot
from bot_service.player.timers import Timers
from bot_service.player.voice.link import VoiceLink
from bot_service.store.base import GuildStore
from common.errors import AppError, InternalError
from common.messages.base import utc_now
from common.observability.telemetry import get_logger
from common.observability.tracing import NOWHERE, Place, here

log = get_logger(__name__)

_SETTINGS_SECONDS = 3.0
_SAVE_SECONDS = 5.0
_SAVE_AGAIN_SECONDS = 2.0

OpenVoice = Callable[[int, Callable[[Event], None]], VoiceLink]
"""Makes the voice link of a guild, which reports to the given function."""


@dataclass(frozen=True, slots=True)
class Stage:
    """Where people see the player. Both return at once, and do their work later.

    `refresh` brings the player message up to date; `notice(guild_id, notice)` says something in the text channel.
    """

    refresh: Callable[[Snapshot], None]
    notice: Callable[[int, out.Notice], None]


@dataclass(frozen=True, slots=True)
class _Letter:
    """Something in the inbox. `answer` is for who asks; `ring` tells an armed timer from its predecessors."""

    event: Event
    answer: asyncio.Future[Outcome] | None = None
    ring: int = 0
    asked_at: float = 0.0
    asked_in: Place = NOWHERE


@dataclass(slots=True)
class _Wait:
    """Somebody waits for a first packet: `since` when, for one of which `entries`, and what `cause` led to it last."""

    since: float
    entries: frozenset[str]
    cause: Place


class GuildPlayer:
    """The player of one guild. `run` is its one task; `Players` makes and owns it."""

    def __init__(
        self, guild_id: int, *, limits: PlayerLimits, open_voice: OpenVoice, store: GuildStore, stage: Stage
    ) -> None:
        self._state = PlayerState(guild_id=guild_id, limits=limits, random=SystemRandom())
        self._store = store
        self._stage = stage
        self._voice = open_voice(guild_id, self.tell)
        self._inbox: asyncio.Queue[_Letter] = asyncio.Queue()
        self._timers = Timers(self._rang)
        self._wait: _Wait | None = None
        self._on = 0
        self._saved_entry = ""
        self._unsaved = False
        self._closed = False
        self._saves = Lane("save")

    @property
    def guild_id(self) -> int:
        """The guild's id."""
        return self._state.guild_id

    @property
    def snapshot(self) -> Snapshot:
        """What the player is doing now."""
        self._listen()
        return Snapshot.of(self._state)

    @property
    def saved_position(self) -> int | None:
        """The frame to note for after a restart; None when nothing plays, or what is saved is another song."""
        current = self._state.current
        if not self._state.streaming or current is None or current.entry_id != self._saved_entry:
            return None
        self._listen()
        return self._state.next_frame

    def tell(self, event: Event) -> None:
        """Report that something happened. On the event loop's thread; never blocks, never raises."""
        if not self._closed:
            self._inbox.put_nowait(_Letter(event))

    async def ask(self, command: Command) -> Outcome:
        """Have a command carried out.

        Raises:
            PlayerRefusal: it makes no sense now, or the bot is shutting down.
            InternalError: a defect; the player goes on.
        """
        if self._closed:
            raise PlayerRefusal(RefusalCode.SHUTTING_DOWN)
        answer: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        self._inbox.put_nowait(_Letter(command, answer, asked_at=time.monotonic(), asked_in=here()))
        return await answer

    async def run(self) -> None:
        """Work until cancelled; then keep the state, as it is, for the next start, and end the voice link."""
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._saves.run())
                await self._load_rules()
                while True:
                    letter = await self._inbox.get()
                    try:
                        await self._handle(letter)
                    finally:
                        _answer(letter, PlayerRefusal(RefusalCode.SHUTTING_DOWN))
        finally:
            await self._close()

    async def _handle(self, letter: _Letter) -> None:
        if isinstance(letter.event, Elapsed) and not self._timers.is_due(letter.event.timer, letter.ring):
            return
        self._listen()
        if self._state.current is None:
            self._note_wait(letter)
        try:
            outcome, effects = step(self._state, letter.event, utc_now())
        except PlayerRefusal as refusal:
            _answer(letter, refusal)
            return
        except Exception as exc:
            log.exception("player.step_failed", guild_id=self.guild_id, event_name=type(letter.event).__name__)
            _answer(letter, InternalError(repr(exc)))
            return
        for effect in effects:
            await self._perform(effect)
        _answer(letter, outcome)

    def _note_wait(self, letter: _Letter) -> None:
        """Note who waits for what will sound first."""
        match letter.event:
            case Enqueue(entries, asked_at=asked_at) if letter.asked_at:
                since = asked_at or letter.asked_at
                self._wait = _Wait(since, frozenset(entry.entry_id for entry in entries), letter.asked_in)
            case Ready(entry_id) if self._wait is not None and entry_id in self._wait.entries:
                self._wait.cause = letter.asked_in
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
                self._stage.refresh(self.snapshot)
            case out.Notice():
                self._stage.notice(self.guild_id, effect)

    async def _play(self, effect: out.Play) -> None:
        wait, self._wait = self._wait, None
        track = effect.entry.track
        if track is None:
            raise InternalError(f"entry {effect.entry.entry_id} has no track")
        if wait is not None and effect.entry.entry_id not in wait.entries:
            wait = None  # what they waited for was dropped
        with (wait.cause if wait else NOWHERE).resumed():
            asked_at = wait.since if wait else None
            await self._voice.play(effect.play_id, track, effect.start_frame, asked_at=asked_at)
        self._on = effect.play_id

    def _remember(self, effect: out.Remember) -> None:
        entry, when = effect.entry, utc_now()
        track = entry.track
        if track is not None:
            self._saves.put(lambda: self._store.add_history(self.guild_id, track, entry.requester_id, when))

    async def _save(self) -> None:
        self._listen()
        saved = self._state.saved(utc_now())
        self._saved_entry = ""  # until it is written, the position noted belongs to what was saved before
        try:
            await self._store.save_player(saved)
        except AppError:
            if not self._closed:
                asyncio.get_running_loop().call_later(_SAVE_AGAIN_SECONDS, self._save_soon)
            raise
        self._unsaved = False  # a change meanwhile has a save of its own waiting
        self._saved_entry = saved.current.entry_id if saved.current is not None else ""

    def _save_soon(self) -> None:
        self._saves.put(self._save, key="save")

    def _listen(self) -> None:
        """Take the position from the voice link, which knows it by the frame, once it plays what the state says."""
        if self._state.streaming and self._on == self._state.play_id:
            self._state.heard(self._voice.next_frame)

    def _rang(self, timer: Timer, ring: int) -> None:
        self._inbox.put_nowait(_Letter(Elapsed(timer), ring=ring))

    async def _load_rules(self) -> None:
        try:
            async with asyncio.timeout(_SETTINGS_SECONDS):
                rules = await self._store.settings(self.guild_id)
        except (AppError, TimeoutError) as exc:
            log.warning("player.settings_unknown", guild_id=self.guild_id, error=repr(exc))
            return
        step(self._state, SetRules(rules), utc_now())

    def shut(self) -> None:
        """Take in nothing more, and keep nobody waiting. For a `run` that has ended, or was cancelled unbegun."""
        self._closed = True
        self._timers.disarm_all()
        while not self._inbox.empty():
            _answer(self._inbox.get_nowait(), PlayerRefusal(RefusalCode.SHUTTING_DOWN))

    async def _close(self) -> None:
        self.shut()
        try:
            async with asyncio.timeout(_SAVE_SECONDS):
                await self._saves.finish()
                if self._unsaved or self._state.phase is not Phase.IDLE:
                    await self._save()
        except (AppError, TimeoutError) as exc:
            log.warning("player.not_saved", guild_id=self.guild_id, error=repr(exc))
        await self._voice.close()


def _answer(letter: _Letter, result: Outcome | Exception) -> None:
    if letter.answer is None or letter.answer.done():
        return
    if isinstance(result, Exception):
        letter.answer.set_exception(result)
    else:
        letter.answer.set_result(result)
