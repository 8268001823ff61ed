"""A bot that is not heard pauses, says why once, and goes on when it is heard."""

from __future__ import annotations

import pytest

from bot_service.player.rules import events as ev
from bot_service.player.rules import outcomes as out
from bot_service.player.rules.model import Phase, Silence, Timer
from bot_service.player.rules.outcomes import NoticeKind, RefusalCode
from tests.unit.bot_service.player.entries import NOW, entry
from tests.unit.bot_service.player.rules.test_machine import OTHER, ROOM, Player, playing


def told(player: Player) -> list[str]:
    """The reasons that users are told by the last event."""
    notices = [effect for effect in player.effects if isinstance(effect, out.Notice)]
    return [notice.code for notice in notices if notice.kind is NoticeKind.SILENCED]


@pytest.mark.parametrize("reason", [Silence.MUTED, Silence.DEAFENED, Silence.MAY_NOT_SPEAK, Silence.SENT_DOWN])
def test_what_a_moderator_does_pauses_the_song_and_its_undoing_goes_on(reason: Silence) -> None:
    player = playing("ab")
    player.tell(ev.Silenced(reason))
    assert out.Hold() in player.effects
    assert told(player) == [reason]
    assert player.state.phase is Phase.PAUSED
    assert player.state.saved(NOW).phase == Phase.PLAYING.value
    assert player.tell(ev.Silenced(reason)) == out.Ignored()
    assert player.refused(ev.Resume()) is RefusalCode.SILENCED
    player.tell(ev.Silenced(None))
    assert out.Proceed() in player.effects
    assert player.state.phase is Phase.PLAYING


def test_a_song_that_a_user_paused_stays_paused() -> None:
    player = playing("a")
    player.tell(ev.Silenced(Silence.MUTED))
    player.tell(ev.Pause())
    player.tell(ev.Silenced(None))
    assert player.state.phase is Phase.PAUSED
    player.tell(ev.Resume())
    assert out.Proceed() in player.effects


def test_a_song_skipped_to_waits_too_and_the_reason_is_not_repeated() -> None:
    player = playing("ab")
    player.tell(ev.Silenced(Silence.MUTED))
    player.tell(ev.Skip(1))
    assert told(player) == []
    assert player.state.phase is Phase.PAUSED
    player.tell(ev.Silenced(None))
    assert player.play() == out.Play(2, entry("b"), 0)


def test_a_song_added_to_an_idle_muted_bot_is_answered_with_the_reason() -> None:
    player = playing("a")
    player.ends()
    player.tell(ev.Silenced(Silence.MUTED))
    assert told(player) == []
    player.add("b")
    assert told(player) == [Silence.MUTED]
    assert player.state.phase is Phase.PAUSED


def test_on_a_stage_it_becomes_a_speaker_before_the_song_begins_and_says_nothing() -> None:
    player = Player()
    player.add("a")
    player.tell(ev.Silenced(Silence.AUDIENCE, arrived=True))
    assert out.AskToSpeak() in player.effects
    assert player.tell(ev.Silenced(Silence.AUDIENCE)) == out.Ignored()
    player.tell(ev.VoiceReady(ROOM))
    assert told(player) == []
    player.tell(ev.Silenced(None))
    assert player.play() == out.Play(1, entry("a"), 0)


@pytest.mark.parametrize("reason", [Silence.ASKED, Silence.REFUSED])
def test_on_a_stage_where_it_must_wait_it_says_so(reason: Silence) -> None:
    player = Player()
    player.add("a")
    player.tell(ev.VoiceReady(ROOM))
    player.tell(ev.Silenced(Silence.AUDIENCE, arrived=True))
    player.tell(ev.Silenced(reason))
    assert told(player) == [reason]
    player.tell(ev.Silenced(Silence.INVITED))
    assert out.AskToSpeak() in player.effects
    player.tell(ev.Silenced(None))
    assert out.Proceed() in player.effects


def test_an_answer_that_comes_after_it_speaks_is_stale() -> None:
    player = playing("a")
    player.tell(ev.Silenced(Silence.AUDIENCE, arrived=True))
    player.tell(ev.Silenced(None))
    assert player.tell(ev.Silenced(Silence.ASKED)) == out.Ignored()
    assert player.state.phase is Phase.PLAYING


def test_in_the_next_stage_it_asks_again_and_in_a_plain_channel_it_plays() -> None:
    player = playing("a")
    player.tell(ev.Silenced(Silence.AUDIENCE, arrived=True))
    player.tell(ev.Silenced(Silence.ASKED))
    player.tell(ev.VoiceMoved(OTHER))
    player.tell(ev.Silenced(Silence.AUDIENCE, arrived=True))
    assert out.AskToSpeak() in player.effects
    player.tell(ev.Silenced(None, arrived=True))
    assert player.state.phase is Phase.PLAYING


def test_a_voice_that_was_lost_begins_as_one_that_is_heard() -> None:
    player = playing("a")
    player.tell(ev.Silenced(Silence.MUTED))
    player.ends(50, ev.INTERRUPTED)
    player.tell(ev.Elapsed(Timer.RECOVER))
    player.tell(ev.VoiceReady(ROOM))
    assert player.play() == out.Play(2, entry("a"), 50)
