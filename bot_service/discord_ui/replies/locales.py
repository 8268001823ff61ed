"""Descriptions of commands in both languages, as Discord takes them: Spanish by default, English localised.

Names of commands are not localised, so that they work for every user.
"""

from __future__ import annotations

from discord import Locale as DiscordLocale
from discord.app_commands import TranslationContextTypes, Translator, locale_str

_ENGLISH = frozenset({DiscordLocale.american_english, DiscordLocale.british_english})


def localised(es: str, en: str) -> locale_str:
    """Return a description in both languages; at most 100 characters each."""
    return locale_str(es, en=en)


class DescriptionTranslator(Translator):
    """Provides the English descriptions."""

    async def translate(
        self, string: locale_str, locale: DiscordLocale, context: TranslationContextTypes
    ) -> str | None:
        """Return the English description for English locales; None keeps the default."""
        del context
        return string.extras.get("en") if locale in _ENGLISH else None
