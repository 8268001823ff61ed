"""Arguments of the command line as a program gets them: bytes, which need not be UTF-8."""

from __future__ import annotations

import os

import pytest

from butakero.shell import typed


@pytest.mark.parametrize(
    ("argument", "text"),
    [
        (" canción ".encode(), "canción"),
        (b"canci\xf3n", "canción"),
        (b"\x93a\x94", "“a”"),
        (b"\x81", "�"),
        (b" \t ", ""),
    ],
)
def test_an_argument_is_text_whatever_its_bytes(argument: bytes, text: str) -> None:
    assert typed(os.fsdecode(argument)) == text
    assert typed(os.fsdecode(argument)).isprintable()
