"""The bot's embeds: player message, pages of the queue, lists of songs. Untrusted titles are escaped here.

What they return is within Discord's limits.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import discord

from bot_service.discord_ui.replies import texts
from bot_service.discord_ui.replies.escape import plain
from bot_service.discord_ui.replies.formatting import clock, length, position_bar
from bot_service.discord_ui.replies.limits import bounded, lines_within, web_url
from bot_service.player.rules.model import Entry, LoopMode, Phase
from bot_service.player.snapshot import Snapshot
from bot_service.requests.tracks import Suggestion
from bot_service.store.base import GuildSettings, Played, Track
from common.errors import Locale, Text

PAGE = 10
_COLOUR = 0x5865F2
_TITLE = 100
_LISTED = 20


def player_embed(snapshot: Snapshot, locale: Locale) -> discord.Embed:
    """Return the player message: song, position, source, requester, next song."""
    entry = snapshot.current
    if entry is None or entry.track is None:
        return discord.Embed(description=texts.NOTHING_ON.to(locale), colour=_COLOUR)
    track = entry.track
    bar = position_bar(snapshot.position_ms, track.duration_ms)
    shown = discord.Embed(
        title=plain(track.title, _TITLE),
        url=web_url(track.url),
        description=f"{bar}\n`{clock(snapshot.position_ms)} / {length(track.duration_ms)}`",
        colour=_COLOUR,
    )
    shown.set_author(name=_state_of(snapshot).to(locale))
    shown.add_field(name=texts.PLATFORM.to(locale), value=plain(track.platform) or "—")
    shown.add_field(name=texts.REQUESTER.to(locale), value=f"<@{entry.requester_id}>")
    if snapshot.loop is not LoopMode.OFF:
        shown.add_field(name=texts.LOOP_FIELD.to(locale), value=texts.LOOP_NAMES[snapshot.loop].to(locale))
    shown.add_field(name=texts.UP_NEXT.to(locale), value=_up_next(snapshot, locale), inline=False)
    if thumbnail := web_url(track.thumbnail_url):
        shown.set_thumbnail(url=thumbnail)
    return bounded(shown)


def bare_player_embed(snapshot: Snapshot, locale: Locale) -> discord.Embed:
    """Return the player message with nothing in it that Discord could refuse: neither title nor links."""
    return discord.Embed(description=_state_of(snapshot).to(locale), colour=_COLOUR)


def page_count(snapshot: Snapshot) -> int:
    """Return the number of pages of the queue, at least one."""
    return max(-(-len(snapshot.entries) // PAGE), 1)


def queue_embed(snapshot: Snapshot, page: int, prefix: str, locale: Locale) -> discord.Embed:
    """Return one page of the queue below the current song; pages count from 1, others are clamped."""
    pages = page_count(snapshot)
    page = min(max(page, 1), pages)
    start = (page - 1) * PAGE

    def lines_at(most: int) -> list[str]:
        shown_entries = enumerate(snapshot.entries[start : start + PAGE], start + 1)
        lines = [_line(number, entry, locale, most) for number, entry in shown_entries]
        if snapshot.current is not None:
            lines.insert(0, f"**{_state_of(snapshot).to(locale)}:** {plain(snapshot.current.title, most)}\n")
        if not snapshot.entries:
            lines.append(texts.QUEUE_EMPTY.to(locale).format(prefix=prefix))
        return lines

    shown = _list(texts.QUEUE_TITLE.to(locale), lines_at)
    total = sum(entry.track.duration_ms for entry in snapshot.entries if entry.track is not None)
    footer = texts.QUEUE_FOOTER.to(locale).format(
        page=page, pages=pages, count=len(snapshot.entries), time=clock(total)
    )
    return bounded(shown.set_footer(text=footer))


def search_embed(words: str, found: Sequence[Suggestion], locale: Locale) -> discord.Embed:
    """Return search results, numbered as in the menu."""

    def lines_at(most: int) -> list[str]:
        numbered = enumerate(found, 1)
        return [f"`{number}.` {plain(item.title, most)} `{length(item.duration_ms)}`" for number, item in numbered]

    return _list(texts.SEARCH_TITLE.to(locale).format(words=plain(words, _TITLE)), lines_at)


def history_embed(played: Sequence[Played], locale: Locale) -> discord.Embed:
    """Return the history, newest first."""

    def lines_at(most: int) -> list[str]:
        return [
            f"`{number}.` {plain(line.track.title, most)} · <@{line.user_id}> · <t:{int(line.at.timestamp())}:R>"
            for number, line in enumerate(played, 1)
        ] or [texts.HISTORY_EMPTY.to(locale)]

    return _list(texts.HISTORY_TITLE.to(locale), lines_at)


def favourites_embed(tracks: Sequence[Track], prefix: str, locale: Locale) -> discord.Embed:
    """Return a user's favourites, numbered as `favorites play` and `favorites remove` count them."""

    def lines_at(most: int) -> list[str]:
        numbered = enumerate(tracks[:_LISTED], 1)
        lines = [f"`{number}.` {plain(track.title, most)} `{length(track.duration_ms)}`" for number, track in numbered]
        if len(tracks) > _LISTED:
            lines.append(texts.MORE.to(locale).format(count=len(tracks) - _LISTED))
        return lines or [texts.FAVOURITES_EMPTY.to(locale).format(prefix=prefix)]

    return _list(texts.FAVOURITES_TITLE.to(locale), lines_at)


def settings_embed(rules: GuildSettings, locale: Locale) -> discord.Embed:
    """Return a guild's settings."""
    yes_no = {True: texts.YES.to(locale), False: texts.NO.to(locale)}
    values = {
        "locale": texts.LANGUAGES[rules.locale] if rules.locale else texts.OF_EACH_USER.to(locale),
        "dj_role_id": f"<@&{rules.dj_role_id}>" if rules.dj_role_id else texts.EVERYBODY.to(locale),
        "vote_skip": yes_no[rules.vote_skip],
        "max_per_user": str(rules.max_per_user) if rules.max_per_user else texts.NO_LIMIT.to(locale),
        "fair_queue": yes_no[rules.fair_queue],
        "stay": yes_no[rules.stay],
        "resume_after_restart": yes_no[rules.resume_after_restart],
        "announce": yes_no[rules.announce],
    }
    shown = discord.Embed(title=texts.SETTINGS_TITLE.to(locale), colour=_COLOUR)
    for name, value in values.items():
        shown.add_field(name=texts.SETTING_NAMES[name].to(locale), value=value)
    return bounded(shown)


def status_embed(title: str, facts: Sequence[tuple[str, str]]) -> discord.Embed:
    """Return lines of name and value."""
    shown = discord.Embed(title=title, colour=_COLOUR)
    for name, value in facts:
        shown.add_field(name=name, value=value, inline=False)
    return bounded(shown)


def _list(title: str, lines_at: Callable[[int], list[str]]) -> discord.Embed:
    """Return an embed of lines; `lines_at(n)` returns them with titles of at most n characters."""
    return bounded(discord.Embed(title=title, description=lines_within(lines_at), colour=_COLOUR))


def _state_of(snapshot: Snapshot) -> Text:
    if snapshot.waiting_to_join:
        return texts.WAITING_TO_JOIN
    states = {Phase.PAUSED: texts.ON_PAUSE, Phase.RECOVERING: texts.RECONNECTING, Phase.CONNECTING: texts.JOINING}
    return states.get(snapshot.phase, texts.ON_NOW)


def _up_next(snapshot: Snapshot, locale: Locale) -> str:
    if not snapshot.entries:
        return texts.NOTHING_NEXT.to(locale)
    rest = len(snapshot.entries) - 1
    more = f" {texts.MORE.to(locale).format(count=rest)}" if rest else ""
    return plain(snapshot.entries[0].title, _TITLE) + more


def _line(number: int, entry: Entry, locale: Locale, most: int) -> str:
    state = length(entry.track.duration_ms) if entry.track is not None else texts.FETCHING.to(locale)
    return f"`{number}.` {plain(entry.title, most)} `{state}` · <@{entry.requester_id}>"
