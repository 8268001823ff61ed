"""Descriptions of commands in both languages, as Discord takes them: Spanish is the default, English is localised.

Names of commands are the same in every language, so that what one person tells another works for both.
"""

from __future__ import annotations

from discord import Locale as DiscordLocale
from discord.app_commands import TranslationContextTypes, Translator, locale_str

_ENGLISH = frozenset({DiscordLocale.american_english, DiscordLocale.british_english})


def told(es: str, en: str) -> locale_str:
    """Return a description in both languages; at most 100 characters each."""
    return locale_str(es, en=en)


class Descriptions(Translator):
    """Gives Discord the English descriptions."""

    async def translate(
        self, string: locale_str, locale: DiscordLocale, context: TranslationContextTypes
    ) -> str | None:
        """Return the English words where there are some; None leaves the default."""
        del context
        return string.extras.get("en") if locale in _ENGLISH else None
