"""Escapes untrusted text (titles, what users typed): it can neither mention anyone nor format."""

from __future__ import annotations

import unicodedata

import discord

from bot_service.discord_ui.replies.limits import cut

_MAX_TITLE = 200


def plain(text: str, limit: int = _MAX_TITLE) -> str:
    """Return `text` on one line, without control or direction-changing characters, escaped, at most `limit` long.

    The limit counts characters before escaping; an ellipsis shows what was cut.
    """
    one_line = " ".join("".join(" " if _is_unwanted(character) else character for character in text).split())
    cut = one_line if len(one_line) <= limit else one_line[: limit - 1].rstrip() + "…"
    escaped = discord.utils.escape_markdown(cut, ignore_links=False)
    # `<` opens mentions of channels and commands, custom emoji and timestamps, which the library does not escape.
    return discord.utils.escape_mentions(escaped).replace("<", r"\<")


def label(text: str, limit: int = 100) -> str:
    """Return `text` for menu options and autocomplete, which Discord shows verbatim: one line, cut, unescaped."""
    one_line = " ".join("".join(" " if _is_unwanted(character) else character for character in text).split())
    return cut(one_line, limit) or "—"


def _is_unwanted(character: str) -> bool:
    """Return whether it is a line break, control or format character (such as a direction override), or surrogate."""
    return unicodedata.category(character) in {"Cc", "Cf", "Cs", "Co", "Zl", "Zp"} and character != "\u200d"
