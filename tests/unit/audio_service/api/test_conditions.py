from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from audio_service.api.conditions import Unsatisfiable, is_fresh, parse_range, strong_etag


@given(st.text(alphabet="bytes=0123456789-, ", max_size=30), st.integers(0, 100))
def test_a_range_is_inside_the_file_or_there_is_none(value: str, size: int) -> None:
    try:
        part = parse_range(value, size)
    except Unsatisfiable:
        return
    if part is not None:
        assert 0 <= part.start < part.end <= size
        assert part.length > 0


@given(st.integers(0, 200), st.integers(0, 200), st.integers(1, 100))
def test_a_range_is_the_slice_of_its_positions(first: int, last: int, size: int) -> None:
    data = bytes(range(size))
    try:
        part = parse_range(f"bytes={first}-{last}", size)
    except Unsatisfiable:
        assert first >= size
        return
    if part is None:
        assert last < first
    else:
        assert data[part.start : part.end] == data[first : last + 1]


def test_etags_are_quoted_once() -> None:
    assert strong_etag("abc") == strong_etag('"abc"') == '"abc"'


def test_a_tag_that_only_looks_alike_is_not_fresh() -> None:
    assert not is_fresh('"abcd"', '"abc"')
    assert not is_fresh("abc", '"abc"')
    assert not is_fresh("", '"abc"')
    assert is_fresh('W/"x", W/"abc"', '"abc"')
