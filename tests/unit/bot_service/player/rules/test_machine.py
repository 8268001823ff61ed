"""What people do with a player, and what it does then."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from bot_service.player.rules import events as ev
from bot_service.player.rules import outcomes as out
from bot_service.player.rules.machine import step
from bot_service.player.rules.model import LoopMode, Phase, Timer
from bot_service.player.rules.outcomes import PlayerRefusal, RefusalCode
from bot_service.player.rules.state import PlayerLimits, PlayerState
from bot_service.player.rules.transition import BACKOFF_SECONDS
from bot_service.player.snapshot import Snapshot
from bot_service.store.base import GuildSettings
from tests.unit.bot_service.player.entries import NOW, entry, names, track

ROOM, OTHER = 10, 20


class Player:
    """A state, the time, and the effects of the last event."""

    def __init__(self, rules: GuildSettings | None = None, limits: PlayerLimits | None = None) -> None:
        self.state = PlayerState(guild_id=1, rules=rules or GuildSettings(), limits=limits or PlayerLimits())
        self.now = NOW
        self.effects: list[out.Effect] = []

    def tell(self, event: ev.Event) -> out.Outcome:
        outcome, self.effects = step(self.state, event, self.now)
        return outcome

    def refused(self, event: ev.Event) -> RefusalCode:
        with pytest.raises(PlayerRefusal) as refusal:
            self.tell(event)
        return refusal.value.code

    def add(self, text: str, room: int = ROOM, requester: int = 1) -> out.Outcome:
        entries = tuple(entry(name, requester, fetched=name.islower()) for name in text)
        return self.tell(ev.Enqueue(entries, room, 7))

    def ends(self, frame: int = 3000, reason: str = "") -> out.Outcome:
        return self.tell(ev.TrackEnded(self.state.play_id, frame, not reason, reason))

    def notices(self) -> list[out.NoticeKind]:
        return [effect.kind for effect in self.effects if isinstance(effect, out.Notice)]

    def play(self) -> out.Play:
        return next(effect for effect in self.effects if isinstance(effect, out.Play))

    @property
    def on(self) -> str:
        return self.state.current.entry_id if self.state.current is not None else ""


def playing(text: str, rules: GuildSettings | None = None, limits: PlayerLimits | None = None) -> Player:
    player = Player(rules, limits)
    player.add(text)
    player.tell(ev.VoiceReady(ROOM))
    return player


def test_the_first_song_is_entered_for_and_played_when_the_voice_is_ready() -> None:
    player = Player()
    assert player.add("ab") == out.Enqueued(0, starts_now=True, added=(entry("a"), entry("b")))
    assert out.Join(ROOM) in player.effects
    assert player.state.phase is Phase.CONNECTING
    player.tell(ev.VoiceReady(ROOM))
    assert player.play() == out.Play(1, entry("a"), 0)
    assert out.Prefetch(track("b")) in player.effects
    assert player.add("c") == out.Enqueued(2, starts_now=False, added=(entry("c"),))


def test_a_song_that_is_being_fetched_plays_when_it_arrives() -> None:
    player = playing("A")
    assert player.state.phase is Phase.IDLE
    assert Timer.IDLE not in player.state.armed
    assert player.tell(ev.Ready("A", track("A"))) == out.Arrived(0, starts_now=True)
    assert player.on == "A"


def test_a_song_that_was_removed_while_it_was_fetched_stays_away() -> None:
    player = playing("aB")
    player.tell(ev.Remove(1))
    assert player.tell(ev.Ready("B", track("B"))) == out.Ignored()
    assert not player.effects


def test_skip_goes_on_under_loop_track_and_the_loop_holds_the_next_song() -> None:
    player = playing("ab")
    player.tell(ev.SetLoop(LoopMode.TRACK))
    player.ends()
    assert player.play() == out.Play(2, entry("a"), 0)
    assert player.tell(ev.Skip(9)) == out.Skipped(entry("a"), entry("b"))
    player.ends()
    assert player.on == "b"


def test_a_skip_of_a_song_that_is_over_changes_nothing() -> None:
    player = playing("abc")
    assert player.tell(ev.Skip(1, entry_id="a")) == out.Skipped(entry("a"), entry("b"))
    assert player.tell(ev.Skip(1, entry_id="a")) == out.AlreadySkipped(entry("b"))
    assert player.tell(ev.Previous("a")) == out.AlreadySkipped(entry("b"))
    assert (player.on, player.effects) == ("b", [])
    assert player.tell(ev.Skip(1, entry_id="b")) == out.Skipped(entry("b"), entry("c"))


def test_votes_of_users_who_left_do_not_count() -> None:
    player = playing("ab")
    listening = frozenset({1, 5, 6, 7})
    assert player.tell(ev.Skip(5, may_skip=False, votes_needed=3, present=listening)) == out.VoteCast(1, 3)
    assert player.tell(ev.Skip(6, may_skip=False, votes_needed=3, present=listening)) == out.VoteCast(2, 3)
    assert player.tell(ev.Skip(7, may_skip=False, votes_needed=2, present=frozenset({1, 7}))) == out.VoteCast(1, 2)


def test_votes_are_counted_once_and_whoever_asked_for_the_song_needs_none() -> None:
    player = playing("abc")
    assert player.tell(ev.Skip(5, may_skip=False, votes_needed=2)) == out.VoteCast(1, 2)
    assert player.tell(ev.Skip(5, may_skip=False, votes_needed=2)) == out.VoteCast(1, 2)
    assert player.tell(ev.Skip(6, may_skip=False, votes_needed=2)) == out.Skipped(entry("a"), entry("b"))
    assert player.tell(ev.Skip(5, may_skip=False, votes_needed=2)) == out.VoteCast(1, 2)
    assert player.tell(ev.Skip(1, may_skip=False, votes_needed=2)) == out.Skipped(entry("b"), entry("c"))


def test_seek_is_exact_to_the_frame_and_a_paused_song_stays_paused() -> None:
    player = playing("a")
    assert player.tell(ev.Seek(12_345)) == out.Sought(12_340)
    assert player.play() == out.Play(2, entry("a"), 617)
    player.tell(ev.Pause())
    player.tell(ev.Seek(1000))
    assert player.effects[0] == out.Halt()
    assert player.state.phase is Phase.PAUSED
    player.tell(ev.Resume())
    assert player.play() == out.Play(3, entry("a"), 50)
    assert player.refused(ev.Seek(60_000)) == RefusalCode.CANNOT_SEEK
    assert player.refused(ev.Seek(-1)) == RefusalCode.CANNOT_SEEK


def test_pause_and_resume_keep_the_playback() -> None:
    player = playing("a")
    player.tell(ev.Pause())
    assert out.Hold() in player.effects
    assert player.refused(ev.Pause()) == RefusalCode.ALREADY_PAUSED
    player.tell(ev.Resume())
    assert out.Proceed() in player.effects
    assert player.refused(ev.Resume()) == RefusalCode.NOT_PAUSED


def test_a_song_whose_frames_fail_is_told_of_and_the_next_one_plays() -> None:
    player = playing("ab")
    player.ends(0, "blob_not_found")
    assert player.effects[0] == out.Notice(out.NoticeKind.SONG_FAILED, entry("a"), "blob_not_found")
    assert player.on == "b"


def test_frames_that_break_off_are_tried_once_more_at_the_same_frame() -> None:
    player = playing("ab")
    player.ends(500, "storage_unavailable")
    assert player.play() == out.Play(2, entry("a"), 500)
    player.ends(500, "storage_unavailable")
    assert player.on == "b"


@pytest.mark.parametrize("loop", LoopMode)
def test_songs_that_all_fail_park_the_player_and_resume_goes_on(loop: LoopMode) -> None:
    player = playing("abcde")
    player.tell(ev.SetLoop(loop))
    for _ in range(3):
        player.ends(0, "storage_unavailable")
    assert player.notices() == [out.NoticeKind.SONG_FAILED, out.NoticeKind.TOO_MANY_FAILURES]
    assert player.state.phase is Phase.IDLE
    assert names(player.state.queue.entries) == "de"
    player.tell(ev.Resume())
    assert player.on == "d"


def test_a_song_without_sound_does_not_loop() -> None:
    player = playing("a")
    player.tell(ev.SetLoop(LoopMode.TRACK))
    player.ends(0)
    assert player.state.phase is Phase.IDLE


def test_a_lost_voice_is_found_again_and_the_song_goes_on_at_its_frame() -> None:
    player = playing("a")
    player.ends(700, ev.INTERRUPTED)
    player.tell(ev.VoiceLost(4006, "closed", may_retry=True))
    assert player.state.phase is Phase.RECOVERING
    player.tell(ev.Elapsed(Timer.RECOVER))
    assert out.Join(ROOM) in player.effects
    player.tell(ev.VoiceReady(ROOM))
    assert player.play() == out.Play(2, entry("a"), 700)
    assert out.Remember(entry("a")) not in player.effects


def test_a_voice_that_stays_away_is_told_of_and_the_songs_wait_where_they_were() -> None:
    player = playing("ab")
    player.ends(700, ev.INTERRUPTED)
    tries = 0
    while player.state.phase is Phase.RECOVERING:
        tries += 1
        player.tell(ev.Elapsed(Timer.RECOVER))
        player.now += timedelta(seconds=10)
        player.tell(ev.VoiceLost(None, "timeout", may_retry=True))
    assert tries == 6  # within 60 s
    assert player.notices() == [out.NoticeKind.VOICE_FAILED]
    assert not player.state.armed
    player.tell(ev.Resume())
    player.tell(ev.VoiceReady(ROOM))
    assert player.play() == out.Play(2, entry("a"), 700)


def test_a_voice_that_comes_and_goes_at_once_is_given_up_too() -> None:
    player = playing("ab")
    for _ in range(20):
        player.ends(player.state.next_frame, ev.INTERRUPTED)
        player.tell(ev.Elapsed(Timer.RECOVER))
        player.tell(ev.VoiceReady(ROOM))
    assert player.state.phase is Phase.IDLE
    assert player.state.parked


def recovered(player: Player) -> None:
    """Lose the voice at the present frame and get it back at the first attempt."""
    player.ends(player.state.next_frame, ev.INTERRUPTED)
    player.tell(ev.Elapsed(Timer.RECOVER))
    player.tell(ev.VoiceReady(ROOM))


def test_a_voice_that_is_lost_an_hour_after_a_recovery_has_all_its_attempts_again() -> None:
    player = playing("a")
    recovered(player)
    player.now += timedelta(hours=1)
    player.ends(180_000, ev.INTERRUPTED)
    assert player.state.phase is Phase.RECOVERING
    assert out.Arm(Timer.RECOVER, BACKOFF_SECONDS[0]) in player.effects
    player.tell(ev.Elapsed(Timer.RECOVER))
    player.tell(ev.VoiceReady(ROOM))
    assert player.play() == out.Play(3, entry("a"), 180_000)


def test_a_voice_that_was_back_for_long_and_sent_nothing_uses_up_its_attempts() -> None:
    player = playing("a")
    recovered(player)
    player.now += timedelta(seconds=11)
    player.ends(player.state.next_frame + 99, ev.INTERRUPTED)
    assert out.Arm(Timer.RECOVER, BACKOFF_SECONDS[1]) in player.effects


def test_a_loss_that_is_reported_twice_is_one_attempt() -> None:
    player = playing("a")
    player.ends(700, ev.INTERRUPTED)
    player.tell(ev.VoiceLost(4006, "closed", may_retry=True))
    player.tell(ev.Elapsed(Timer.RECOVER))
    player.tell(ev.VoiceLost(None, "timeout", may_retry=True))
    assert out.Arm(Timer.RECOVER, BACKOFF_SECONDS[1]) in player.effects


def test_the_frame_of_a_song_that_was_put_back_is_not_that_of_another_song() -> None:
    player = playing("ab")
    player.ends(700, ev.INTERRUPTED)
    player.tell(ev.VoiceLost(4017, "closed", may_retry=False))
    assert names(player.state.queue.entries) == "ab"
    player.tell(ev.Remove(1))
    player.tell(ev.Resume())
    player.tell(ev.VoiceReady(ROOM))
    assert player.play() == out.Play(2, entry("b"), 0)


def test_only_failures_in_a_row_park_the_player() -> None:
    player = playing("abcde")
    player.ends(0, "blob_not_found")
    player.ends(0, "blob_not_found")
    player.ends()
    player.ends(0, "blob_not_found")
    assert player.notices() == [out.NoticeKind.SONG_FAILED]
    assert player.on == "e"


@pytest.mark.parametrize(
    ("reason", "kind"), [("kicked", out.NoticeKind.KICKED), ("channel_deleted", out.NoticeKind.CHANNEL_DELETED)]
)
def test_sent_away_is_the_end(reason: str, kind: out.NoticeKind) -> None:
    player = playing("ab")
    player.ends(10, ev.INTERRUPTED)
    player.tell(ev.VoiceLost(4014, reason, may_retry=False))
    assert player.notices() == [kind]
    assert player.state.phase is Phase.IDLE
    assert not player.state.queue.entries
    assert not player.state.armed


def test_moved_by_somebody_the_player_goes_on_there_also_after_a_loss() -> None:
    player = playing("a")
    player.tell(ev.VoiceMoved(OTHER))
    assert player.state.phase is Phase.PLAYING
    player.tell(ev.VoiceLost(4006, "closed", may_retry=True))
    player.tell(ev.Elapsed(Timer.RECOVER))
    assert out.Join(OTHER) in player.effects


def test_the_last_listener_is_followed_unless_the_bot_stays() -> None:
    player = playing("a")
    player.tell(ev.ListenersLeft(OTHER))
    assert out.Join(OTHER) in player.effects
    player.tell(ev.VoiceReady(OTHER))
    assert (player.state.phase, player.state.voice_channel_id) == (Phase.PLAYING, OTHER)
    player.tell(ev.SetRules(GuildSettings(stay=True)))
    assert player.tell(ev.ListenersLeft(ROOM)) == out.Ignored()


def test_a_listener_who_moves_during_the_join_is_followed_and_the_first_answer_is_stale() -> None:
    player = Player()
    player.add("ab")
    assert Snapshot.of(player.state).joining_channel_id == ROOM
    player.tell(ev.ListenersLeft(OTHER))
    assert out.Join(OTHER) in player.effects
    assert Snapshot.of(player.state).joining_channel_id == OTHER
    assert player.tell(ev.VoiceReady(ROOM)) == out.Ignored()
    assert player.tell(ev.VoiceMoved(ROOM)) == out.Ignored(), "where it goes is known"
    player.tell(ev.VoiceReady(OTHER))
    assert (player.on, player.state.phase) == ("a", Phase.PLAYING)
    assert names(player.state.queue.entries) == "b"
    assert Snapshot.of(player.state).joining_channel_id is None


def test_alone_and_idle_are_timed_and_leave_a_clean_player() -> None:
    player = playing("a", limits=PlayerLimits(idle_seconds=5, alone_seconds=3))
    player.tell(ev.Listeners(0))
    assert out.Arm(Timer.ALONE, 3) in player.effects
    player.tell(ev.Listeners(1))
    assert out.Disarm(Timer.ALONE) in player.effects
    player.ends()
    assert out.Arm(Timer.IDLE, 5) in player.effects
    player.tell(ev.Elapsed(Timer.IDLE))
    assert out.Leave() in player.effects
    assert player.notices() == [out.NoticeKind.LEFT_IDLE]


def test_the_bot_stays_where_it_is_told_to() -> None:
    player = playing("a", GuildSettings(stay=True))
    player.tell(ev.Listeners(0))
    player.ends()
    assert not player.state.armed
    player.tell(ev.SetRules(GuildSettings()))
    assert player.state.armed == {Timer.ALONE, Timer.IDLE}


def test_people_elsewhere_cannot_take_the_bot_away_from_its_listeners() -> None:
    player = playing("a")
    player.tell(ev.Listeners(1))
    with pytest.raises(PlayerRefusal) as refused:
        player.add("b", OTHER)
    assert refused.value.code is RefusalCode.OTHER_CHANNEL
    player.tell(ev.Listeners(0))
    player.add("b", OTHER)
    assert out.Join(OTHER) in player.effects


def test_limits_of_the_queue_and_of_a_person_let_in_what_fits() -> None:
    player = playing("a", GuildSettings(max_per_user=2), PlayerLimits(queue_limit=3))
    outcome = player.add("bcd")
    assert isinstance(outcome, out.Enqueued)
    assert (names(outcome.added), names(outcome.left_out)) == ("bc", "d")
    assert player.refused(ev.Enqueue((entry("e"),), ROOM, 7)) == RefusalCode.TOO_MANY_OF_YOURS
    player.add("x", requester=2)
    assert player.refused(ev.Enqueue((entry("y", 3),), ROOM, 7)) == RefusalCode.QUEUE_FULL


def test_a_stopped_player_leaves_a_join_that_comes_through_late() -> None:
    player = Player()
    player.add("a")
    player.tell(ev.Stop())
    player.tell(ev.VoiceReady(ROOM))
    assert player.effects == [out.Leave()]


@pytest.mark.parametrize("paused", [False, True])
def test_a_restart_goes_on_at_the_saved_frame_paused_or_not(paused: bool) -> None:  # noqa: FBT001 - a parameter
    before = playing("abC")
    before.tell(ev.SetLoop(LoopMode.QUEUE))
    before.state.set_position(321)
    if paused:
        before.tell(ev.Pause())
    saved = before.state.saved(NOW)
    player = Player()
    player.tell(ev.Restore(saved))
    assert out.Join(ROOM) in player.effects
    assert player.notices() == [out.NoticeKind.RESTORED]
    player.tell(ev.VoiceReady(ROOM))
    if paused:
        assert player.state.phase is Phase.PAUSED
        player.tell(ev.Resume())
    assert player.play() == out.Play(1, entry("a"), 321)
    assert names(player.state.queue.entries) == "bC"
    assert player.state.queue.loop is LoopMode.QUEUE
    assert player.tell(ev.Restore(saved)) == out.Ignored()


def test_what_was_given_up_before_a_restart_waits_for_somebody_to_ask() -> None:
    before = playing("ab")
    before.tell(ev.VoiceLost(4017, "closed", may_retry=False))
    player = Player()
    player.tell(ev.Restore(before.state.saved(NOW)))
    assert out.Join(ROOM) not in player.effects
    player.tell(ev.Resume())
    assert out.Join(ROOM) in player.effects


def test_a_song_that_was_being_fetched_at_a_restart_plays_when_it_is_ready() -> None:
    before = playing("A")
    assert before.state.phase is Phase.IDLE
    player = Player()
    player.tell(ev.Restore(before.state.saved(NOW)))
    player.tell(ev.VoiceReady(ROOM))
    assert player.tell(ev.Ready("A", track("A"))) == out.Arrived(0, starts_now=True)


def test_a_song_that_was_paused_while_the_voice_was_lost_is_paused_after_a_restart() -> None:
    before = playing("a")
    before.ends(700, ev.INTERRUPTED)
    before.tell(ev.Pause())
    assert before.state.phase is Phase.RECOVERING
    player = Player()
    player.tell(ev.Restore(before.state.saved(NOW)))
    player.tell(ev.VoiceReady(ROOM))
    assert player.state.phase is Phase.PAUSED
    player.tell(ev.Resume())
    assert player.play() == out.Play(1, entry("a"), 700)


def test_a_saved_song_without_a_track_waits_for_it_in_front() -> None:
    saved = playing("ab").state.saved(NOW)
    assert saved.current is not None
    player = Player()
    player.tell(ev.Restore(replace(saved, current=replace(saved.current, track=None))))
    player.tell(ev.VoiceReady(ROOM))
    assert player.on == "b"
    assert names(player.state.queue.entries) == "a"


def test_a_snapshot_shows_no_position_past_the_end_of_a_song() -> None:
    player = playing("a")
    player.state.set_position(2_999)
    assert Snapshot.of(player.state).position_ms == 59_980
    player.state.set_position(3_050)
    assert Snapshot.of(player.state).position_ms == 60_000


def test_waiting_for_a_turn_counts_neither_against_the_join_nor_against_the_recovery() -> None:
    player = Player(limits=PlayerLimits(voice_reconnect_seconds=60))
    player.add("a")
    assert Timer.JOIN in player.state.armed
    player.tell(ev.JoinWaits(waiting=True))
    assert Timer.JOIN not in player.state.armed
    assert Snapshot.of(player.state).waiting_to_join
    player.now += timedelta(minutes=5)
    player.tell(ev.JoinWaits(waiting=False))
    assert Timer.JOIN in player.state.armed
    player.tell(ev.VoiceReady(ROOM))
    player.tell(ev.VoiceLost(4006, "closed", may_retry=True))
    player.tell(ev.Elapsed(Timer.RECOVER))
    player.tell(ev.JoinWaits(waiting=True))
    player.now += timedelta(minutes=5)
    player.tell(ev.JoinWaits(waiting=False))
    player.tell(ev.VoiceLost(None, "timeout", may_retry=True))
    assert player.state.phase is Phase.RECOVERING, "the five minutes in line are not part of its sixty seconds"
    player.now += timedelta(seconds=61)
    player.tell(ev.Elapsed(Timer.RECOVER))
    player.tell(ev.VoiceLost(None, "timeout", may_retry=True))
    assert player.notices() == [out.NoticeKind.VOICE_FAILED]
