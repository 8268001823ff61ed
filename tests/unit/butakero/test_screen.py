"""Untrusted text cannot move the cursor, colour the line or reorder it."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from butakero.screen import clock, plain, safe_json

HOSTILE = "a\x1b[2Jb\nc\u202ed\u2066e\x07\x9bf\u2028g"


def test_a_title_becomes_one_line_without_controls() -> None:
    assert plain(HOSTILE) == "a[2Jb cdef g"


def test_letters_of_every_script_and_composed_emoji_stay() -> None:
    title = "مرحبا שלום 東京 👨‍👩‍👧 می‌خواهم"
    assert plain(title) == title


@pytest.mark.parametrize("text", [HOSTILE, "[red]x[/red]", "ñandú 🎵"])
def test_json_is_readable_and_stays_the_same_value(text: str) -> None:
    shown = safe_json({"title": text})
    assert json.loads(shown) == {"title": text}
    assert plain(shown.replace("\n", "")) == " ".join(shown.replace("\n", "").split())


@given(st.text())
def test_json_of_any_text_round_trips(text: str) -> None:
    shown = safe_json([text])
    assert json.loads(shown) == [text]
    assert "\x1b" not in shown


@pytest.mark.parametrize(
    ("milliseconds", "shown"), [(0, "?"), (8_020, "0:08"), (225_000, "3:45"), (3_723_000, "1:02:03"), (59_999, "1:00")]
)
def test_playing_time(milliseconds: int, shown: str) -> None:
    assert clock(milliseconds) == shown
