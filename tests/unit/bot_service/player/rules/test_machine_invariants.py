"""Any order of commands and events keeps what a player promises."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import datetime, timedelta
from random import Random

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from bot_service.player.rules import events as ev
from bot_service.player.rules import outcomes as out
from bot_service.player.rules.machine import step
from bot_service.player.rules.model import Entry, LoopMode, Phase, Silence, Timer
from bot_service.player.rules.outcomes import PlayerRefusal
from bot_service.player.rules.queue import HISTORY_LIMIT
from bot_service.player.rules.state import PlayerLimits, PlayerState
from bot_service.player.rules.transition import BACKOFF_SECONDS
from bot_service.store.base import GuildSettings
from tests.unit.bot_service.player.entries import NOW, entry, track

CHANNELS = st.integers(1, 3)
POSITIONS = st.integers(-1, 8)
SECONDS = 3
CODES = st.sampled_from(["blob_not_found", "storage_unavailable", "media_corrupt"])


class World(RuleBasedStateMachine):
    """Performs the effects as the actor and the voice link do, and reports what a voice link may report."""

    def __init__(self) -> None:
        super().__init__()
        self.now: datetime = NOW
        self.state = PlayerState(guild_id=1, limits=PlayerLimits(queue_limit=12), random=Random(0))
        self.put_in: Counter[str] = Counter()
        self.taken_out: Counter[str] = Counter()
        self.count = 0
        self.on: tuple[int, Entry] | None = None
        self.frame = 0
        self.held = False
        self.connected = False
        self.entering: int | None = None
        self.timers: set[Timer] = set()
        self.last_play = 0
        self.tries = 0

    def send(self, event: ev.Event) -> out.Outcome | None:
        if self.state.streaming:
            self.state.set_position(self.frame)
        before = repr(self.state.saved(NOW))
        history = list(self.state.queue.history)
        try:
            outcome, effects = step(self.state, event, self.now)
        except PlayerRefusal:
            assert repr(self.state.saved(NOW)) == before, "a refusal changes nothing"
            return None
        if isinstance(outcome, out.Ignored):
            assert repr(self.state.saved(NOW)) == before, "what is out of date changes nothing"
        for effect in effects:
            self.perform(effect)
        self.count_what_fell_off(history)
        return outcome

    def count_what_fell_off(self, history: list[Entry]) -> None:
        """The oldest of a full history are gone, which is no loss."""
        if len(self.state.queue.history) == HISTORY_LIMIT:
            here = {one.entry_id for one in self.everything()}
            self.taken_out.update(one.entry_id for one in history if one.entry_id not in here)

    def perform(self, effect: out.Effect) -> None:
        match effect:
            case out.Join():
                self.entering = effect.channel_id
                self.tries += 1
            case out.Leave():
                self.entering, self.connected, self.on = None, False, None
            case out.Play():
                assert effect.play_id > self.last_play, "play ids only grow"
                assert self.connected, "a song is played where the voice is ready"
                self.last_play, self.on, self.frame, self.held = (
                    effect.play_id,
                    (effect.play_id, effect.entry),
                    0,
                    False,
                )
                self.frame = effect.start_frame
            case out.Halt():
                assert self.on is not None, "only what plays is halted"
                self.on = None
            case out.Hold() | out.Proceed():
                assert self.on is not None
                self.held = isinstance(effect, out.Hold)
            case out.Arm():
                assert effect.seconds > 0
                self.timers.add(effect.timer)
            case out.Disarm():
                self.timers.remove(effect.timer)
            case _:
                pass

    def everything(self) -> list[Entry]:
        current = [self.state.current] if self.state.current is not None else []
        return [*self.state.queue.entries, *current, *self.state.queue.history]

    @initialize(begun=st.booleans())
    def begin(self, begun: bool) -> None:  # noqa: FBT001 - drawn
        """Half of all stories begin with music."""
        if begun:
            self.enqueue([True, True, False], 1, 1, front=False)
            self.entered()

    @rule(
        fetched=st.lists(st.booleans(), min_size=1, max_size=3),
        user=st.integers(1, 3),
        channel=CHANNELS,
        front=st.booleans(),
    )
    def enqueue(self, fetched: list[bool], user: int, channel: int, front: bool) -> None:  # noqa: FBT001 - drawn
        entries = tuple(
            entry(f"{self.count + index}-", user, fetched=one, seconds=SECONDS) for index, one in enumerate(fetched)
        )
        self.count += len(entries)
        outcome = self.send(ev.Enqueue(entries, channel, 7, front))
        if isinstance(outcome, out.Enqueued):
            assert set(outcome.added) | set(outcome.left_out) == set(entries)
            self.put_in.update(one.entry_id for one in outcome.added)

    @rule(known=st.booleans(), pick=st.integers(0, 11))
    def song_is_ready(self, known: bool, pick: int) -> None:  # noqa: FBT001 - drawn
        waiting = [one for one in self.state.queue.entries if one.track is None]
        name = waiting[pick % len(waiting)].entry_id if known and waiting else "nobody's"
        self.send(ev.Ready(name, track(name, SECONDS)))

    @rule(pick=st.integers(0, 11), unfinished=st.booleans())
    def song_is_ready_again(self, pick: int, unfinished: bool) -> None:  # noqa: FBT001 - drawn
        """Unfinished first, whole later; the song may be anywhere by then."""
        if self.everything():
            one = self.everything()[pick % len(self.everything())]
            on, frame, current = self.on, self.frame, self.state.current
            self.send(ev.Ready(one.entry_id, replace(track(one.entry_id, SECONDS), unfinished=unfinished)))
            if on is not None and one == current and self.state.current is not None:
                assert (self.on, self.frame, self.state.current.entry_id) == (on, frame, one.entry_id)
                self.on = (on[0], self.state.current)

    @rule(pick=st.integers(0, 11))
    def song_cannot_be_had(self, pick: int) -> None:
        """Neither what is being fetched, nor what turns out to have no end while it plays or when it is over."""
        known = [one.entry_id for one in self.everything()] or ["nobody's"]
        name = known[pick % len(known)]
        self.removed(self.send(ev.Dropped(name, "media_private")))
        assert name not in {one.entry_id for one in self.everything()}

    def removed(self, outcome: out.Outcome | None) -> None:
        if isinstance(outcome, out.Removed):
            self.taken_out[outcome.entry.entry_id] += 1

    @rule(position=POSITIONS)
    def remove(self, position: int) -> None:
        self.removed(self.send(ev.Remove(position)))

    @rule(user=st.integers(1, 4), may=st.booleans(), needed=st.integers(1, 3))
    def skip(self, user: int, may: bool, needed: int) -> None:  # noqa: FBT001 - drawn
        self.send(ev.Skip(user, may, needed))

    @precondition(lambda self: self.state.phase is not Phase.IDLE)
    @rule()
    def stop(self) -> None:
        upcoming = [one.entry_id for one in self.state.queue.entries]
        if self.send(ev.Stop()) is not None:
            self.taken_out.update(upcoming)
            self.check_clean()

    def check_clean(self) -> None:
        state = self.state
        assert state.phase is Phase.IDLE
        assert state.current is None
        assert not state.queue.entries
        assert not self.timers
        assert not self.connected
        assert self.entering is None
        assert state.queue.loop is LoopMode.OFF

    @precondition(lambda self: len(self.state.queue) > 2)
    @rule()
    def clear(self) -> None:
        upcoming = [one.entry_id for one in self.state.queue.entries]
        if self.send(ev.Clear()) is not None:
            self.taken_out.update(upcoming)

    @rule(
        command=st.one_of(
            st.just(ev.Pause()),
            st.just(ev.Resume()),
            st.builds(ev.Seek, st.integers(-20, SECONDS * 1000 + 20)),
            st.builds(ev.Move, POSITIONS, POSITIONS),
            st.just(ev.Shuffle()),
            st.builds(ev.SetLoop, st.sampled_from(LoopMode)),
            st.just(ev.Previous()),
            st.builds(ev.Jump, POSITIONS),
            st.builds(ev.MessageKept, st.integers(1, 9)),
            st.builds(
                ev.SetRules,
                st.builds(GuildSettings, max_per_user=st.integers(0, 4), fair_queue=st.booleans(), stay=st.booleans()),
            ),
        )
    )
    def command(self, command: ev.Command) -> None:
        self.send(command)

    @precondition(lambda self: self.entering is not None)
    @rule()
    def entered(self) -> None:
        assert self.entering is not None
        channel, self.entering, self.connected = self.entering, None, True
        self.send(ev.VoiceReady(channel))

    @rule(reason=st.sampled_from(["kicked", "channel_deleted", "forbidden", "closed", "timeout"]))
    @precondition(lambda self: self.connected or self.entering is not None)
    def voice_is_lost(self, reason: str) -> None:
        upcoming = [one.entry_id for one in self.state.queue.entries]
        may_retry = reason in {"closed", "timeout"}
        self.connected, self.entering, on = False, None, self.on
        if on is not None and may_retry:
            self.on = None
            self.send(ev.TrackEnded(on[0], self.frame, finished=False, reason=ev.INTERRUPTED))
        self.send(ev.VoiceLost(4006, reason, may_retry))
        if reason in {"kicked", "channel_deleted"}:
            self.taken_out.update(upcoming)
            self.check_clean()

    @rule(channel=CHANNELS, follows=st.booleans())
    def moved(self, channel: int, follows: bool) -> None:  # noqa: FBT001 - drawn
        self.send(ev.ListenersLeft(channel) if follows else ev.VoiceMoved(channel))

    @rule(reason=st.none() | st.sampled_from(Silence), arrived=st.booleans())
    def silenced(self, reason: Silence | None, arrived: bool) -> None:  # noqa: FBT001 - drawn
        self.send(ev.Silenced(reason, arrived))

    @rule(count=st.integers(0, 2))
    def listeners(self, count: int) -> None:
        self.send(ev.Listeners(count))

    @precondition(lambda self: self.on is not None and not self.held)
    @rule(frames=st.integers(1, 200))
    def plays_on(self, frames: int) -> None:
        self.now += timedelta(milliseconds=20 * frames)
        self.frame = min(self.frame + frames, SECONDS * 50)

    @precondition(lambda self: self.on is not None and not self.held)
    @rule()
    def song_ends(self) -> None:
        assert self.on is not None
        on, self.on = self.on, None
        self.frame = SECONDS * 50
        self.send(ev.TrackEnded(on[0], self.frame, finished=True))

    @precondition(lambda self: self.on is not None)
    @rule(code=CODES)
    def song_fails(self, code: str) -> None:
        assert self.on is not None
        on, self.on = self.on, None
        self.send(ev.TrackEnded(on[0], self.frame, finished=False, reason=code))

    @rule(age=st.integers(1, 5), finished=st.booleans())
    def old_song_is_told_of_late(self, age: int, finished: bool) -> None:  # noqa: FBT001 - drawn
        assert isinstance(self.send(ev.TrackEnded(self.last_play - age, 0, finished, "")), out.Ignored)

    @rule(timer=st.sampled_from(Timer))
    def time_is_up(self, timer: Timer) -> None:
        upcoming = [one.entry_id for one in self.state.queue.entries]
        due = timer in self.timers
        self.timers.discard(timer)
        outcome = self.send(ev.Elapsed(timer))
        assert due is not isinstance(outcome, out.Ignored)
        if due and timer in {Timer.IDLE, Timer.ALONE}:
            self.taken_out.update(upcoming)
            self.check_clean()

    @precondition(lambda self: self.state.phase is Phase.RECOVERING)
    @rule()
    def no_voice_can_be_had(self) -> None:
        """A voice that never comes back is given up after a bounded number of tries."""
        before = self.tries
        while self.state.phase is Phase.RECOVERING:
            assert self.tries - before <= len(BACKOFF_SECONDS)
            self.time_is_up(Timer.JOIN if Timer.JOIN in self.timers else Timer.RECOVER)
        assert self.state.phase is Phase.IDLE
        assert not self.timers

    @precondition(lambda self: self.on is not None)
    @rule()
    def no_song_can_be_read(self) -> None:
        """Songs that all fail stop the player, whatever the loop says."""
        for _ in range(len(self.state.queue.entries) + 2):
            if self.on is None:
                break
            self.frame = 0
            self.state.start_frame = 0
            self.song_fails("blob_not_found")
        assert self.on is None

    @invariant()
    def phases_tell_the_truth(self) -> None:
        state = self.state
        if state.phase in {Phase.PLAYING, Phase.PAUSED}:
            assert state.voice_ready
            assert state.current is not None
            assert state.current.track is not None
        assert (state.phase is Phase.PAUSED) <= (state.held or state.silenced is not None)
        assert (state.phase is Phase.IDLE) <= (state.current is None)
        assert state.streaming == (self.on is not None)
        assert state.streaming <= (state.phase in {Phase.PLAYING, Phase.PAUSED})
        assert (state.phase is Phase.PLAYING) <= state.streaming
        if self.on is not None:
            assert self.on[0] == state.play_id
            assert self.on[1] == state.current
            assert self.held == (state.held or state.silenced is not None)

    @invariant()
    def the_voice_is_as_the_player_thinks(self) -> None:
        assert self.state.joining <= (self.entering is not None)
        assert self.state.voice_ready <= self.connected

    @invariant()
    def nobody_waits_for_nothing(self) -> None:
        """A song that could be played is played, unless the player was parked."""
        state = self.state
        ready = any(one.track is not None for one in state.queue.entries)
        if state.phase is Phase.IDLE and ready:
            assert state.parked

    @invariant()
    def nothing_is_lost_or_doubled(self) -> None:
        here = Counter(one.entry_id for one in self.everything())
        assert here + self.taken_out == self.put_in

    @invariant()
    def timers_belong_to_their_phase(self) -> None:
        state = self.state
        assert self.timers == state.armed
        assert (Timer.IDLE in self.timers) <= (state.phase is Phase.IDLE and state.voice_ready)
        assert (Timer.ALONE in self.timers) <= state.voice_ready
        assert (Timer.JOIN in self.timers) == state.joining
        assert (Timer.RECOVER in self.timers) == (state.phase is Phase.RECOVERING and not state.joining)
        if state.rules.stay:
            assert not self.timers & {Timer.IDLE, Timer.ALONE}

    @invariant()
    def the_position_is_in_the_song(self) -> None:
        assert 0 <= self.state.next_frame <= SECONDS * 50
        assert self.state.current is not None or self.state.next_frame == 0


World.TestCase.settings = settings(max_examples=200, stateful_step_count=40)
TestAnyOrder = World.TestCase
