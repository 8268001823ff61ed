"""`butakero library`: lists and searches the records of the repository that the settings choose."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from audio_service.media.model import MIN_SEARCH_CHARACTERS, Media, human_size, normalise_title
from audio_service.media.repository import open_repository
from audio_service.media.repository.base import Page
from butakero.layout import print_table
from butakero.screen import clock, plain
from butakero.shell import Shell
from butakero.texts import (
    DATE,
    DURATION,
    LIBRARY_EMPTY,
    MORE,
    NOTHING_FOUND,
    PLAYS,
    SEARCH_TOO_SHORT,
    SIZE,
    STATUS,
    TITLE,
)

EXIT_USAGE = 2
_PAGE = 100


def run_list(shell: Shell, *, limit: int | None) -> int:
    """Print records of any status, last updated first; None for `limit` prints them all."""
    records, more = asyncio.run(_list(shell, limit))
    if not records:
        shell.out.print(shell.say(LIBRARY_EMPTY))
    _show(shell, records, more=more)
    return 0


def run_search(shell: Shell, text: str, *, limit: int) -> int:
    """Print the playable records whose title contains `text`."""
    if len(normalise_title(text).strip()) < MIN_SEARCH_CHARACTERS:
        shell.err.print(shell.say(SEARCH_TOO_SHORT, least=MIN_SEARCH_CHARACTERS), style="red")
        return EXIT_USAGE
    page = asyncio.run(_search(shell, text, limit))
    if not page.items:
        shell.out.print(shell.say(NOTHING_FOUND, text=plain(text)))
    _show(shell, page.items, more=page.cursor is not None)
    return 0


async def _list(shell: Shell, limit: int | None) -> tuple[Sequence[Media], bool]:
    records: list[Media] = []
    cursor: str | None = None
    async with open_repository(shell.settings) as repository:
        while True:
            wanted = _PAGE if limit is None else min(_PAGE, limit - len(records))
            page = await repository.list(limit=wanted, cursor=cursor)
            records.extend(page.items)
            cursor = page.cursor
            if cursor is None or len(records) == limit:
                return records, cursor is not None


async def _search(shell: Shell, text: str, limit: int) -> Page:
    async with open_repository(shell.settings) as repository:
        return await repository.search(text, limit=limit)


def _show(shell: Shell, records: Sequence[Media], *, more: bool) -> None:
    if not records:
        return
    headings = [shell.say(TITLE), "ID", *(shell.say(text) for text in (DURATION, SIZE, STATUS, PLAYS, DATE))]
    print_table(shell.out, headings, [_row(media) for media in records])
    if more:
        # To stderr: not part of the table that a pipe reads.
        shell.err.print(shell.say(MORE))


def _row(media: Media) -> list[str]:
    return [
        plain(media.metadata.title or media.metadata.url) or "-",
        plain(media.video_id),
        clock(media.metadata.duration_ms),
        human_size(media.size_bytes) if media.size_bytes else "-",
        media.error_code or media.status.value,
        str(media.play_count),
        media.updated_at.astimezone().strftime("%Y-%m-%d %H:%M"),
    ]
