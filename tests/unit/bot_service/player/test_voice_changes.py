"""Who moves where, and what the player hears of it."""

from __future__ import annotations

from bot_service.player.rules.events import Listeners, ListenersLeft, VoiceMoved
from bot_service.player.voice_changes import VoiceChange, events_of

MUSIC, OTHER, AWAY = 10, 20, 30


def test_the_last_listener_is_followed() -> None:
    told = events_of(VoiceChange(MUSIC, OTHER), bots_channel_id=MUSIC, people={OTHER: 1})
    assert told == [Listeners(0), ListenersLeft(OTHER)]


def test_nobody_is_followed_while_others_listen() -> None:
    told = events_of(VoiceChange(MUSIC, OTHER), bots_channel_id=MUSIC, people={MUSIC: 2, OTHER: 1})
    assert told == [Listeners(2)]


def test_nobody_is_followed_out_of_voice_or_into_the_channel_of_those_who_are_away() -> None:
    left = events_of(VoiceChange(MUSIC, None), bots_channel_id=MUSIC, people={})
    away = events_of(VoiceChange(MUSIC, AWAY), bots_channel_id=MUSIC, people={AWAY: 1}, afk_channel_id=AWAY)
    assert left == away == [Listeners(0)]


def test_somebody_who_comes_back_counts() -> None:
    assert events_of(VoiceChange(None, MUSIC), bots_channel_id=MUSIC, people={MUSIC: 1}) == [Listeners(1)]


def test_a_moved_bot_says_where_it_is_and_who_listens_there() -> None:
    change = VoiceChange(MUSIC, OTHER, is_self=True, is_bot=True)
    assert events_of(change, bots_channel_id=OTHER, people={OTHER: 3}) == [VoiceMoved(OTHER), Listeners(3)]


def test_a_bot_that_comes_in_counts_its_listeners_and_one_that_goes_says_nothing() -> None:
    came = VoiceChange(None, MUSIC, is_self=True, is_bot=True)
    went = VoiceChange(MUSIC, None, is_self=True, is_bot=True)
    assert events_of(came, bots_channel_id=MUSIC, people={}) == [Listeners(0)]
    assert events_of(went, bots_channel_id=None, people={MUSIC: 2}) == []


def test_a_bot_that_comes_into_an_empty_channel_goes_to_who_asked() -> None:
    came = VoiceChange(None, MUSIC, is_self=True, is_bot=True)
    moved = events_of(came, bots_channel_id=MUSIC, people={OTHER: 1}, requesters_channel_id=OTHER)
    assert moved == [Listeners(0), ListenersLeft(OTHER)]
    heard = events_of(came, bots_channel_id=MUSIC, people={MUSIC: 1}, requesters_channel_id=OTHER)
    assert heard == [Listeners(1)]
    away = events_of(came, bots_channel_id=MUSIC, people={}, requesters_channel_id=AWAY, afk_channel_id=AWAY)
    gone = events_of(came, bots_channel_id=MUSIC, people={}, requesters_channel_id=None)
    assert away == gone == [Listeners(0)]


def test_other_bots_other_channels_and_muting_are_nobodys_business() -> None:
    assert events_of(VoiceChange(MUSIC, OTHER, is_bot=True), bots_channel_id=MUSIC, people={}) == []
    assert events_of(VoiceChange(OTHER, AWAY), bots_channel_id=MUSIC, people={}) == []
    assert events_of(VoiceChange(MUSIC, MUSIC), bots_channel_id=MUSIC, people={}) == []
    assert events_of(VoiceChange(MUSIC, OTHER), bots_channel_id=None, people={OTHER: 1}) == []
