"""Keeps embeds, menus and texts within what Discord takes. Pure.

Discord refuses a whole message with 400 for one part that is too long, given twice, or no URL. Limits: its pages
"Message" (embed limits) and "Component Reference". Sizes are counted in UTF-16 code units, the larger of the two ways
to count that Discord's documents leave open.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from urllib.parse import quote

import discord
import httpx

CONTENT = 2000
TITLE = 256
DESCRIPTION = 4096
FIELD_NAME = 256
FIELD_VALUE = 1024
FIELDS = 25
FOOTER = 2048
AUTHOR = 256
EMBED = 6000
OPTIONS = 25
OPTION = 100
URL = 2048

_ASTRAL = 0xFFFF
_NOTHING = "—"
# At least two labels: Discord takes no bare host name.
_HOST = re.compile(r"(?:[a-z0-9_-]{1,63}\.){1,20}[a-z0-9-]{1,63}")
_IN_URLS = "%/:?#[]@!$&'()*+,;=~-._"
# Title lengths to try, the longest that fits is taken.
_SHORTER = (100, 80, 60, 40, 25, 10)


def size(text: str) -> int:
    """Return the number of UTF-16 code units."""
    return len(text) + sum(ord(character) > _ASTRAL for character in text)


def cut(text: str, limit: int) -> str:
    """Return `text`, or its beginning with an ellipsis, in at most `limit` units; no escape or emoji is cut apart."""
    if size(text) <= limit:
        return text
    kept: list[str] = []
    left = limit - 1
    for character in text:
        left -= size(character)
        if left < 0:
            break
        kept.append(character)
    while kept and kept[-1] in {"\\", "\u200d", "\ufe0f"}:
        kept.pop()
    return "".join(kept).rstrip() + "…"


def lines_within(lines_at: Callable[[int], list[str]], limit: int = DESCRIPTION) -> str:
    """Join lines that show titles of at most `n` characters, for the largest `n` at which they fit."""
    text = ""
    for length in _SHORTER:
        text = "\n".join(lines_at(length))
        if size(text) <= limit:
            return text
    return cut(text, limit)


def bounded(embed: discord.Embed) -> discord.Embed:
    """Cut the parts of an embed to their limits, in place, and leave out URLs that Discord would not take."""
    embed.title = cut(embed.title, TITLE) if embed.title else None
    embed.description = cut(embed.description, DESCRIPTION) if embed.description else None
    embed.url = web_url(embed.url or "")
    if embed.thumbnail.url:
        thumbnail = web_url(embed.thumbnail.url)
        embed.set_thumbnail(url=thumbnail)
    if embed.author.name:
        embed.set_author(name=cut(embed.author.name, AUTHOR))
    if embed.footer.text:
        embed.set_footer(text=cut(embed.footer.text, FOOTER))
    fields = [(field.name or _NOTHING, field.value or _NOTHING, field.inline) for field in embed.fields[:FIELDS]]
    embed.clear_fields()
    for name, value, inline in fields:
        embed.add_field(name=cut(name, FIELD_NAME), value=cut(value, FIELD_VALUE), inline=inline)
    while _size_of(embed) > EMBED and embed.fields:
        embed.remove_field(len(embed.fields) - 1)
    over = _size_of(embed) - EMBED
    if over > 0 and embed.description:
        embed.description = cut(embed.description, size(embed.description) - over)
    return embed


def options_within(options: Iterable[discord.SelectOption]) -> list[discord.SelectOption]:
    """Return the options that a menu may have: at most 25, each value once, none empty or too long."""
    kept: dict[str, discord.SelectOption] = {}
    for option in options:
        if 0 < size(option.value) <= OPTION:
            kept.setdefault(option.value, option)
    return list(kept.values())[:OPTIONS]


def choices_within(choices: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
    """Return the (name, value) pairs that an autocomplete may offer: as the options of a menu."""
    kept: dict[str, str] = {}
    for name, value in choices:
        if 0 < size(value) <= OPTION:
            kept.setdefault(value, name)
    return [(name, value) for value, name in kept.items()][:OPTIONS]


def web_url(text: str) -> str | None:
    """Return an http or https URL in percent-encoded form; None for what Discord would not take as one."""
    try:
        url = httpx.URL(text.strip())
    except httpx.InvalidURL:
        return None
    host = url.raw_host.decode("ascii", "replace")
    encoded = quote(str(url), safe=_IN_URLS)
    is_web = url.scheme in {"http", "https"} and not url.userinfo and _HOST.fullmatch(host) is not None
    return encoded if is_web and len(encoded) <= URL else None


def _size_of(embed: discord.Embed) -> int:
    texts = [embed.title, embed.description, embed.footer.text, embed.author.name]
    texts += [text for field in embed.fields for text in (field.name, field.value)]
    return sum(size(text) for text in texts if text)
