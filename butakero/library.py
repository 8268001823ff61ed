"""`butakero library`: lists and searches the records of the repository that the settings choose."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from audio_service.media.model import MIN_SEARCH_CHARACTERS, Media, MediaStatus, human_size, normalise_title
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
    NO_LIBRARY,
    NOTHING_FOUND,
    PLAYS,
    SEARCH_TOO_SHORT,
    SIZE,
    STATUS,
    TITLE,
)

EXIT_USAGE = 2
_PAGE = 100
# Columns that a narrow terminal has no room for, the first to go first.
_PLAYS, _STATUS, _DATE, _SIZE, _DURATION = 5, 4, 6, 3, 2
_STATUS_DROPPED = (_PLAYS, _STATUS, _DATE, _SIZE)
_STATUS_KEPT = (_PLAYS, _DATE, _SIZE, _DURATION)


def run_list(shell: Shell, *, limit: int | None, failed: bool = False) -> int:
    """Print records, last updated first; None for `limit` prints them all, `failed` the failed requests too."""
    nothing: tuple[Sequence[Media], bool] = ((), False)
    records, more = asyncio.run(_list(shell, limit, failed=failed)) if _exists(shell) else nothing
    if not records:
        shell.out.print(shell.say(LIBRARY_EMPTY))
    _show(shell, records, more=more, least_important=_STATUS_KEPT if failed else _STATUS_DROPPED)
    return 0


def run_search(shell: Shell, text: str, *, limit: int) -> int:
    """Print the playable records whose title contains `text`."""
    if len(normalise_title(text).strip()) < MIN_SEARCH_CHARACTERS:
        shell.err.print(shell.say(SEARCH_TOO_SHORT, least=MIN_SEARCH_CHARACTERS), style="red")
        return EXIT_USAGE
    page = asyncio.run(_search(shell, text, limit)) if _exists(shell) else Page((), None)
    if not page.items:
        shell.out.print(shell.say(NOTHING_FOUND, text=plain(text)))
    _show(shell, page.items, more=page.cursor is not None)
    return 0


def _exists(shell: Shell) -> bool:
    """Return whether there is a library to read: opening a SQLite file that does not exist makes an empty one."""
    path = shell.settings.sqlite_path
    if shell.settings.database_backend != "sqlite" or path.exists():
        return True
    shell.err.print(shell.say(NO_LIBRARY, path=path), style="yellow")
    return False


async def _list(shell: Shell, limit: int | None, *, failed: bool) -> tuple[Sequence[Media], bool]:
    records: list[Media] = []
    cursor: str | None = None
    async with open_repository(shell.settings) as repository:
        while True:
            wanted = _PAGE if limit is None or not failed else min(_PAGE, limit - len(records))
            page = await repository.list(limit=wanted, cursor=cursor)
            records.extend(media for media in page.items if failed or media.status is not MediaStatus.ERROR)
            cursor = page.cursor
            if cursor is None or (limit is not None and len(records) >= limit):
                more = cursor is not None or len(records) != len(records[:limit])
                return records[:limit], more


async def _search(shell: Shell, text: str, limit: int) -> Page:
    async with open_repository(shell.settings) as repository:
        return await repository.search(text, limit=limit)


def _show(
    shell: Shell, records: Sequence[Media], *, more: bool, least_important: Sequence[int] = _STATUS_DROPPED
) -> None:
    if not records:
        return
    headings = [shell.say(TITLE), "ID", *(shell.say(text) for text in (DURATION, SIZE, STATUS, PLAYS, DATE))]
    print_table(shell.out, headings, [_row(media) for media in records], least_important=least_important)
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
