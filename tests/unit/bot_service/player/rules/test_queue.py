"""The order of songs."""

from __future__ import annotations

from random import Random

import pytest

from bot_service.player.rules.model import LoopMode
from bot_service.player.rules.outcomes import NoSuchPosition, PlayerRefusal, RefusalCode
from bot_service.player.rules.queue import HISTORY_LIMIT, Queue
from tests.unit.bot_service.player.entries import entry, names, track


def queue(text: str, **options: object) -> Queue:
    """Lower case letters are ready, capitals are being fetched."""
    made = Queue([entry(name, fetched=name.islower()) for name in text])
    for name, value in options.items():
        setattr(made, name, value)
    return made


def test_positions_count_from_one_and_those_that_are_none_are_refused() -> None:
    songs = queue("abc")
    assert songs.remove(2).entry_id == "b"
    for position in (0, -1, 3):
        with pytest.raises(NoSuchPosition):
            songs.remove(position)
    assert names(songs.entries) == "ac"


def test_a_moved_song_has_the_position_that_was_asked_for() -> None:
    songs = queue("abcd")
    songs.move(1, 3)
    assert names(songs.entries) == "bcad"
    songs.move(4, 1)
    assert names(songs.entries) == "dbca"


def test_songs_being_fetched_keep_their_places_and_are_passed_over() -> None:
    songs = queue("AbC")
    assert songs.take_next(None, forced=False) == entry("b")
    assert songs.take_next(None, forced=False) is None
    assert songs.resolve("C", track("C"))
    assert songs.resolve("A", track("A"))
    assert names(songs.entries) == "AC"
    assert not songs.resolve("b", track("b"))


def test_loop_track_repeats_until_somebody_skips() -> None:
    songs = queue("b", loop=LoopMode.TRACK)
    current = entry("a")
    assert songs.take_next(current, forced=False) is current
    following = songs.take_next(current, forced=True)
    assert following == entry("b")
    assert songs.take_next(following, forced=False) is following
    assert names(songs.history) == "a"


def test_loop_queue_brings_songs_round_in_order_both_ways() -> None:
    songs = queue("bc", loop=LoopMode.QUEUE)
    current = songs.take_next(entry("a"), forced=False)
    assert names(songs.entries) == "ca"
    assert current is not None
    assert songs.take_previous(current) == entry("a")
    assert names(songs.entries) == "bc"


def test_previous_brings_the_last_song_back_and_the_current_one_comes_next() -> None:
    songs = queue("c")
    current = songs.take_next(entry("b"), forced=False)
    assert songs.take_previous(current) == entry("b")
    assert names(songs.entries) == "c"
    assert songs.take_previous(entry("b")) is None
    assert names(songs.entries) == "c"


def test_a_jump_passes_ready_songs_and_leaves_the_others_waiting() -> None:
    songs = queue("bCde")
    assert songs.jump(entry("a"), 4) == entry("e")
    assert names(songs.entries) == "C"
    assert names(songs.history) == "dba"
    with pytest.raises(PlayerRefusal) as refused:
        songs.jump(None, 1)
    assert refused.value.code is RefusalCode.STILL_FETCHING


def test_a_fair_queue_takes_turns() -> None:
    songs = Queue(fair=True)
    assert songs.add([entry("a", 1), entry("b", 1), entry("c", 1)]) == 1
    assert songs.add([entry("x", 2), entry("y", 2)]) == 2
    assert songs.add([entry("z", 3)]) == 3
    assert names(songs.entries) == "axzbyc"
    assert songs.add([entry("f", 3)], front=True) == 1
    assert names(songs.entries) == "faxzbyc"


def test_a_fair_queue_keeps_a_persons_own_order() -> None:
    songs = Queue(fair=True)
    songs.add([entry("a", 1), entry("x", 2), entry("y", 2), entry("z", 2)])
    songs.move(1, 4)
    songs.add([entry("b", 1)])
    assert names(songs.entries).index("b") > names(songs.entries).index("a")


def test_shuffling_loses_nothing() -> None:
    songs = queue("abcdefgh")
    songs.shuffle(Random(1))
    assert names(songs.entries) != "abcdefgh"
    assert sorted(names(songs.entries)) == list("abcdefgh")


def test_history_keeps_the_newest() -> None:
    songs = Queue()
    for number in range(HISTORY_LIMIT + 5):
        songs.retire(entry(str(number)))
    assert len(songs.history) == HISTORY_LIMIT
    assert songs.history[0].entry_id == str(HISTORY_LIMIT + 4)
