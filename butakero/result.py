"""Shows the outcome of a request: the song and its file, or the error."""

from __future__ import annotations

from audio_service.media.model import Media
from audio_service.media.repository import open_repository
from butakero.layout import print_facts
from butakero.screen import clock, plain
from butakero.shell import Shell
from butakero.texts import (
    ALREADY_THERE,
    DURATION,
    ENCODINGS,
    FAILED,
    MADE,
    PATH,
    PLATFORM,
    READY,
    SIZE,
    say,
)
from common.errors import DatabaseUnavailable, Locale
from common.messages.downloads import DownloadRequest, StatusEvent


async def show_result(shell: Shell, request: DownloadRequest, status: StatusEvent) -> None:
    """Print the outcome. Facts that the status lacks come from the library, where it is reachable."""
    if not status.success:
        code = status.error_code or "internal_error"
        shell.err.print(shell.say(FAILED, message=plain(status.message), code=plain(code)), style="red")
        return
    media = await _record(shell, status.video_id)
    was_there = media is not None and media.updated_at < request.timestamp
    title = plain(status.platform_metadata.title)
    shell.out.print(shell.say(ALREADY_THERE if was_there else READY, title=title), style="bold green")
    facts = [
        ("ID", plain(status.video_id)),
        (shell.say(DURATION), clock(status.platform_metadata.duration_ms)),
        (shell.say(SIZE), plain(status.file_data.file_size)),
        (shell.say(PLATFORM), plain(status.platform_metadata.platform)),
    ]
    if media is not None and media.encoding is not None:
        facts.append((shell.say(MADE), describe_encoding(shell.locale, media.encoding.mode, media.encoding.reason)))
    facts.append((shell.say(PATH), stored_path(shell, status.file_data.file_path)))
    print_facts(shell.out, facts)


def describe_encoding(locale: Locale, mode: str, reason: str) -> str:
    """Return how a DCA file was encoded, and the reason for that mode."""
    known = ENCODINGS.get(mode)
    words = say(known, locale) if known else plain(mode)
    return f"{words} ({plain(reason)})" if reason else words


def stored_path(shell: Shell, key: str) -> str:
    """Return where a blob lies: the path of its file, or its address in S3."""
    if shell.settings.storage_backend == "s3":
        return plain(f"s3://{shell.settings.s3_bucket_name}/{key}")
    return plain(str(shell.settings.local_storage_path / key))


async def _record(shell: Shell, media_id: str) -> Media | None:
    try:
        async with open_repository(shell.settings) as repository:
            return await repository.get(media_id)
    except DatabaseUnavailable:
        return None
