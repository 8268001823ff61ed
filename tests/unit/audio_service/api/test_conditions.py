from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audio_service.api.conditions import ByteRange, Unsatisfiable, is_fresh, parse_range, strong_etag
from tests.growth import superlinear_size


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


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("bytes=0-9", ByteRange(0, 10)),
        ("BYTES = 5 - 9 ", ByteRange(5, 10)),
        (" \tbytes=5-", ByteRange(5, 100)),
        ("bytes=-10", ByteRange(90, 100)),
        ("bytes=-1000", ByteRange(0, 100)),
        (f"bytes=0-{'9' * 5000}", ByteRange(0, 100)),
        ("bytes=-", None),
        ("bytes=", None),
        ("bytes", None),
        ("bytes=9-5", None),
        ("bytes=0-1,5-6", None),
        ("bytes=0--1", None),
        ("bytes=+1-5", None),
        ("bytes=1 2-5", None),
        ("bytes=\u0661-5", None),
        ("bytes=\u00b2-5", None),
        ("bytes==0-5", None),
        ("items=0-5", None),
        ("", None),
    ],
)
def test_a_range_of_another_form_is_the_whole_file(value: str, expected: ByteRange | None) -> None:
    assert parse_range(value, 100) == expected


@pytest.mark.parametrize("value", ["bytes=100-", "bytes=100-200", f"bytes={'9' * 5000}-", "bytes=-0"])
def test_a_range_outside_of_the_file_cannot_be_satisfied(value: str) -> None:
    with pytest.raises(Unsatisfiable):
        parse_range(value, 100)


OPAQUE = st.text(alphabet=st.characters(min_codepoint=0x21, max_codepoint=0x7E, exclude_characters='"'), max_size=8)
BLANK = st.text(alphabet=" \t", max_size=3)


@given(st.lists(st.tuples(BLANK, st.booleans(), OPAQUE, BLANK), min_size=1, max_size=5), st.integers(0, 4), OPAQUE)
def test_every_tag_of_a_list_is_compared_and_no_other(
    parts: list[tuple[str, bool, str, str]], chosen: int, other: str
) -> None:
    value = ",".join(f'{before}{"W/" if weak else ""}"{tag}"{after}' for before, weak, tag, after in parts)
    tags = [tag for _, _, tag, _ in parts]
    assert is_fresh(value, f'"{tags[chosen % len(tags)]}"')
    assert is_fresh(value, f'"{other}"') == (other in tags)


@pytest.mark.parametrize(
    "value",
    ['"abc', 'abc"', '"abc" "abc"', 'x"abc"', '"abc"x', '"abc",,x"abc"', 'w/"abc"', '"abc"W/', "**", ""],
)
def test_a_malformed_list_is_not_fresh(value: str) -> None:
    assert not is_fresh(value, '"abc"')


UNITS = (" ", "\t", "1", '"', '" ', '"a" ', '"a", ', 'W/"a",', "bytes=", "1 - ", ",", "*", "-")


@pytest.mark.parametrize("unit", UNITS)
@pytest.mark.parametrize("prefix", ["", "bytes=", "bytes =", "bytes=1", '"a"', "W/"])
def test_the_work_grows_no_faster_than_the_header(prefix: str, unit: str) -> None:
    def header(size: int) -> str:
        return prefix + unit * size + "x"

    assert superlinear_size(header, lambda value: parse_range(value, 10)) is None
    assert superlinear_size(header, lambda value: is_fresh(value, '"b"')) is None


def test_etags_are_quoted_once() -> None:
    assert strong_etag("abc") == strong_etag('"abc"') == '"abc"'


def test_a_tag_that_only_looks_alike_is_not_fresh() -> None:
    assert not is_fresh('"abcd"', '"abc"')
    assert not is_fresh("abc", '"abc"')
    assert not is_fresh("", '"abc"')
    assert is_fresh('W/"x", W/"abc"', '"abc"')
