"""Both languages of every sentence take the same values."""

from __future__ import annotations

import string
from typing import cast

import pytest

from butakero import texts
from common.errors import Text


def _sentences() -> list[tuple[str, Text]]:
    found: list[tuple[str, Text]] = []
    for name, value in vars(texts).items():
        if isinstance(value, Text):
            found.append((name, value))
        elif name.isupper() and isinstance(value, dict):
            found += [(f"{name}.{key}", text) for key, text in cast("dict[str, Text]", value).items()]
    return found


def _fields(sentence: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(sentence) if name}


@pytest.mark.parametrize(("name", "text"), _sentences())
def test_both_languages_take_the_same_values(name: str, text: Text) -> None:
    assert text.es, name
    assert text.en, name
    assert _fields(text.es) == _fields(text.en)


def test_spanish_is_chosen_unless_english_is_asked_for() -> None:
    assert texts.say(texts.READY, "es", title="x") == "Listo: x"
    assert texts.say(texts.READY, "en", title="x") == "Ready: x"


def test_a_value_may_hold_braces() -> None:
    assert texts.say(texts.NOTHING_FOUND, "en", text="{text}") == 'Nothing matches "{text}".'
