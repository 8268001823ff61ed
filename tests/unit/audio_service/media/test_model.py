"""Media states, keys, sizes, and the two forms of a title: the one shown and the one searched."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audio_service.media.model import (
    LEGAL_MOVES,
    IllegalMoveError,
    MediaStatus,
    audio_key,
    check_media_id,
    check_move,
    human_size,
    normalise_title,
    search_text,
)
from common.errors import InvalidVideoId

PROCESSING, SUCCESS, ERROR = MediaStatus.PROCESSING, MediaStatus.SUCCESS, MediaStatus.ERROR


def test_an_outcome_is_left_only_by_processing_again() -> None:
    allowed = {(before, after) for before in MediaStatus for after in MediaStatus if after in LEGAL_MOVES[before]}
    assert allowed == {
        (PROCESSING, PROCESSING),
        (PROCESSING, SUCCESS),
        (PROCESSING, ERROR),
        (ERROR, PROCESSING),
        (SUCCESS, PROCESSING),
    }


@pytest.mark.parametrize(("before", "after"), [(SUCCESS, ERROR), (ERROR, SUCCESS), (SUCCESS, SUCCESS), (ERROR, ERROR)])
def test_other_moves_are_defects(before: MediaStatus, after: MediaStatus) -> None:
    with pytest.raises(IllegalMoveError, match=f"{before}.*{after}"):
        check_move(before, after)


def test_every_status_has_its_moves() -> None:
    assert set(LEGAL_MOVES) == set(MediaStatus)


@pytest.mark.parametrize(
    ("title", "lower"),
    [
        ("Dua Lipa - New Rules (Official Music Video)", "dua lipa  new rules official music video"),
        ("AC/DC", "acdc"),
        ("100% \t_real_", "100 \treal"),
        ("Cafe\u0301 Ñandú", "café ñandú"),
        ("😀 hi 👍🏽", " hi "),
        ("नमस्ते", "नमस्ते"),
        ("\u202eab\x00c\u200b", "abc"),
        ("", ""),
    ],
)
def test_titles_in_lower_case_keep_letters_digits_and_white_space(title: str, lower: str) -> None:
    assert normalise_title(title) == lower


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Dua Lipa - New Rules", "dua lipa new rules"),
        ("  a\n\tb  ", "A B"),
        ("Straße", "STRASSE"),
        ("ΟΔΟΣ", "οδοσ"),
        ("Cafe\u0301", "CAFÉ"),
    ],
)
def test_search_does_not_mind_case_nor_white_space(one: str, other: str) -> None:
    assert search_text(one) == search_text(other)


@given(st.text(max_size=60), st.data())
def test_a_part_of_the_shown_title_stays_a_part_of_the_searched_one(title: str, data: st.DataObject) -> None:
    lower = normalise_title(title)
    start = data.draw(st.integers(0, len(lower)))
    part = lower[start : data.draw(st.integers(start, len(lower)))]
    assert search_text(part) in search_text(title)


@given(st.text(max_size=60))
def test_searched_titles_hold_nothing_that_a_database_could_read(title: str) -> None:
    text = search_text(title)
    assert not set(text) & set("\"'*%_^:(){}-\\\x00\ud800")
    assert text == " ".join(text.split())


@pytest.mark.parametrize("media_id", ["k2qgadSvNyU", "q-0a1b", "a", "A_-9" * 25])
def test_ids_become_keys(media_id: str) -> None:
    assert check_media_id(media_id) == media_id
    assert audio_key(media_id) == f"audio/{media_id}.dca"


@pytest.mark.parametrize("media_id", ["", "a" * 101, "../x", "a/b", "a b", "a\n", "ñ", "a.dca", "\x00"])
def test_other_text_never_becomes_a_key(media_id: str) -> None:
    with pytest.raises(InvalidVideoId):
        audio_key(media_id)


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0B"),
        (1023, "1023B"),
        (1024, "1.00KB"),
        (1536, "1.50KB"),
        (1024 * 1024 - 1, "1.00MB"),
        (1024 * 1024, "1.00MB"),
        (2_831_155, "2.70MB"),
        (1024**3 - 1, "1.00GB"),
        (5 * 1024**3, "5.00GB"),
    ],
)
def test_sizes_for_people(size: int, text: str) -> None:
    assert human_size(size) == text
