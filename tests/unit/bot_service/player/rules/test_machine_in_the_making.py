"""What a player does with a song that can be heard before it is whole, and with one that then comes to nothing."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bot_service.player.rules import events as ev
from bot_service.player.rules import outcomes as out
from bot_service.player.rules.model import LoopMode, Phase, Timer
from bot_service.store.base import Track
from tests.unit.bot_service.player.entries import NOW, names, track
from tests.unit.bot_service.player.rules.test_machine import ROOM, Player, playing

LOOPS = list(LoopMode)


def unfinished(name: str) -> Track:
    """A song whose length is only guessed yet."""
    return replace(track(name, 59), unfinished=True)


def hearing(text: str) -> Player:
    """A player that plays the first song, which is unfinished."""
    player = playing(text[0])
    player.tell(ev.Ready(text[0], unfinished(text[0])))
    assert remembered(player) == []
    player.add(text[1:])
    assert (player.on, player.state.phase) == (text[0], Phase.PLAYING)
    return player


def remembered(player: Player) -> list[str]:
    return [effect.entry.entry_id for effect in player.effects if isinstance(effect, out.Remember)]


def test_a_song_is_heard_unfinished_and_the_whole_one_changes_nothing_that_plays() -> None:
    player = hearing("A")
    player.state.set_position(400)
    assert player.tell(ev.Ready("A", track("A"))) == out.Arrived(0, starts_now=True)
    assert not any(isinstance(effect, out.Play | out.Halt | out.Notice | out.Hold) for effect in player.effects)
    assert player.state.current is not None
    assert (player.state.current.track, player.state.next_frame) == (track("A"), 400)
    assert remembered(player) == ["A"]
    player.tell(ev.Seek(59_500))
    assert player.play().start_frame == 2975


def test_a_song_that_has_not_begun_when_it_is_whole_is_remembered_once_when_it_begins() -> None:
    player = Player()
    player.add("A")
    player.tell(ev.Ready("A", unfinished("A")))
    player.tell(ev.Ready("A", track("A")))
    assert remembered(player) == []
    player.tell(ev.VoiceReady(ROOM))
    assert remembered(player) == ["A"]


def test_a_waiting_song_keeps_its_place_and_gets_its_final_track() -> None:
    player = playing("aBc")
    assert player.tell(ev.Ready("B", unfinished("B"))) == out.Arrived(1, starts_now=False)
    assert out.Prefetch(unfinished("B")) in player.effects
    assert player.tell(ev.Ready("B", track("B"))) == out.Arrived(1, starts_now=False)
    assert names(player.state.queue.entries) == "Bc"
    assert player.state.queue.entries[0].track == track("B")


def test_a_song_that_was_skipped_has_its_final_track_when_it_is_gone_back_to() -> None:
    player = hearing("Ab")
    player.tell(ev.Skip(1))
    assert player.tell(ev.Ready("A", track("A"))) == out.Done()
    assert player.on == "b"
    player.tell(ev.Previous())
    assert player.play().entry.track == track("A")


def test_a_song_that_was_removed_stays_away() -> None:
    player = playing("aB")
    player.tell(ev.Ready("B", unfinished("B")))
    player.tell(ev.Remove(1))
    assert player.tell(ev.Ready("B", track("B"))) == out.Ignored()
    assert player.tell(ev.Dropped("B", "source_truncated")) == out.Ignored()


@pytest.mark.parametrize("loop", LOOPS)
def test_a_song_that_comes_to_nothing_while_it_is_on_ends_and_does_not_come_back(loop: LoopMode) -> None:
    player = hearing("Abc")
    player.tell(ev.SetLoop(loop))
    player.state.set_position(400)
    dropped = player.state.current
    assert dropped is not None
    assert player.tell(ev.Dropped("A", "source_truncated")) == out.Removed(dropped)
    assert player.effects[0] == out.Halt()
    assert player.play().entry.entry_id == "b"
    assert player.play().start_frame == 0
    assert player.notices() == []
    state = player.state
    assert "A" not in names([*state.queue.entries, *state.queue.history])
    assert state.failures == 0


@pytest.mark.parametrize("loop", LOOPS)
def test_the_only_song_that_comes_to_nothing_leaves_an_idle_player(loop: LoopMode) -> None:
    player = hearing("A")
    player.tell(ev.SetLoop(loop))
    player.tell(ev.Dropped("A", "source_truncated"))
    assert (player.state.phase, player.on, player.state.streaming) == (Phase.IDLE, "", False)
    assert Timer.IDLE in player.state.armed
    assert player.tell(ev.Dropped("A", "source_truncated")) == out.Ignored()


def test_a_paused_song_that_comes_to_nothing_leaves_the_next_one_paused() -> None:
    player = hearing("Ab")
    player.tell(ev.Pause())
    player.tell(ev.Dropped("A", "source_truncated"))
    assert (player.on, player.state.phase) == ("b", Phase.PAUSED)


def test_a_song_that_comes_to_nothing_while_the_voice_is_away_needs_no_voice_any_more() -> None:
    player = hearing("A")
    player.ends(100, ev.INTERRUPTED)
    player.tell(ev.VoiceLost(4006, "closed", may_retry=True))
    player.tell(ev.Dropped("A", "source_truncated"))
    assert (player.state.phase, player.on) == (Phase.IDLE, "")
    assert out.Leave() in player.effects


def test_a_waiting_song_that_comes_to_nothing_is_taken_out() -> None:
    player = playing("aBc")
    player.tell(ev.Ready("B", unfinished("B")))
    assert isinstance(player.tell(ev.Dropped("B", "source_truncated")), out.Removed)
    assert (player.on, names(player.state.queue.entries)) == ("a", "c")
    assert out.Prefetch(track("c")) in player.effects


def test_a_song_that_was_skipped_and_comes_to_nothing_cannot_be_gone_back_to() -> None:
    player = hearing("Ab")
    player.tell(ev.Skip(1))
    assert isinstance(player.tell(ev.Dropped("A", "source_truncated")), out.Removed)
    assert (player.on, player.state.queue.history) == ("b", [])


def test_a_song_that_fails_before_its_request_does_is_told_of_and_then_leaves_nothing_behind() -> None:
    player = hearing("Ab")
    player.ends(400, "media_not_found")
    assert player.notices() == [out.NoticeKind.SONG_FAILED]
    assert player.on == "b"
    player.tell(ev.Dropped("A", "source_truncated"))
    assert (player.on, player.state.queue.history) == ("b", [])


def test_a_song_that_was_never_finished_fails_after_a_restart_like_any_other() -> None:
    before = hearing("Ab")
    before.state.set_position(400)
    player = Player()
    player.tell(ev.Restore(before.state.saved(NOW)))
    player.tell(ev.VoiceReady(ROOM))
    assert player.play().start_frame == 400
    player.ends(400, "media_not_found")
    assert player.notices() == [out.NoticeKind.SONG_FAILED]
    assert player.on == "b"


def test_frames_that_were_waited_for_in_vain_are_not_waited_for_again() -> None:
    player = hearing("Ab")
    player.ends(400, "source_truncated")
    assert player.notices() == [out.NoticeKind.SONG_FAILED]
    assert player.on == "b"
