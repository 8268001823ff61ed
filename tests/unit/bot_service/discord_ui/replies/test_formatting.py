"""Times and bars, as people type and read them."""

from __future__ import annotations

import pytest

from bot_service.discord_ui.replies.formatting import clock, length, parse_time, percent_bar, position_bar


@pytest.mark.parametrize(
    ("typed", "ms"),
    [
        ("83", 83_000),
        ("1:23", 83_000),
        ("1m23s", 83_000),
        (" 1M 23S ", 83_000),
        ("1:02:03", 3_723_000),
        ("1h2m", 3_720_000),
        ("0", 0),
        ("", None),
        ("soon", None),
        ("1:2:3:4", None),
        ("-5", None),
    ],
)
def test_a_place_in_a_song_is_read(typed: str, ms: int | None) -> None:
    assert parse_time(typed) == ms


def test_times_are_shown_as_on_a_player() -> None:
    assert [clock(ms) for ms in (0, 83_999, 3_723_000)] == ["0:00", "1:23", "1:02:03"]
    assert length(0) == "?"


@pytest.mark.parametrize(("position", "knob"), [(0, 0), (50_000, 9), (100_000, 17), (900_000, 17), (-1, 0)])
def test_the_knob_stands_where_the_song_is(position: int, knob: int) -> None:
    bar = position_bar(position, 100_000)
    assert bar.index("🔘") == knob
    assert len(bar) == 18


def test_a_bar_of_unknown_length_has_no_number() -> None:
    assert "%" not in percent_bar(None)
    assert percent_bar(250).endswith("100 %")
