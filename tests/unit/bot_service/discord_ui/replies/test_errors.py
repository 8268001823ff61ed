"""Everything that can go wrong has words for people: what happened and what to do, in both languages."""

from __future__ import annotations

import pytest

from bot_service.discord_ui.permissions import BotRefusal, BotRefusalCode
from bot_service.discord_ui.replies.errors import ADVICE, HAPPENED, REFUSALS, explain, explain_code
from bot_service.player.rules.outcomes import PlayerRefusal, RefusalCode
from common.errors import AppError, InternalError, Locale, Text, all_errors

LOCALES: tuple[Locale, ...] = ("es", "en")


def test_every_error_code_has_advice_and_every_advice_belongs_to_a_code() -> None:
    assert set(ADVICE) == {error.code for error in all_errors()}


def test_every_refusal_has_words_and_all_words_belong_to_a_refusal() -> None:
    assert set(REFUSALS) == {*RefusalCode, *BotRefusalCode}


@pytest.mark.parametrize("text", [*ADVICE.values(), *HAPPENED.values(), *REFUSALS.values()])
def test_both_languages_say_something_and_not_the_same(text: Text) -> None:
    assert text.es.endswith(".")
    assert text.en.endswith(".")
    assert text.es != text.en


@pytest.mark.parametrize("locale", LOCALES)
@pytest.mark.parametrize("error", all_errors())
def test_an_error_is_told_as_what_happened_and_what_to_do(error: type[AppError], locale: Locale) -> None:
    told = explain(error("planted detail"), locale)
    assert told.startswith(HAPPENED.get(error.code, error.public_message).to(locale))
    assert told.endswith(ADVICE[error.code].to(locale))
    assert "planted" not in told


def test_refusals_are_told_in_the_persons_language() -> None:
    assert explain(PlayerRefusal(RefusalCode.NOTHING_PLAYING), "es").startswith("No está sonando nada")
    assert explain(BotRefusal(BotRefusalCode.NOT_IN_VOICE), "en").startswith("You are not in a voice channel")


def test_what_nobody_named_is_told_without_its_details() -> None:
    assert explain(RuntimeError("planted detail"), "es") == explain(InternalError(), "es")
    assert explain_code("a_code_of_the_future", "es") == explain(InternalError(), "es")
