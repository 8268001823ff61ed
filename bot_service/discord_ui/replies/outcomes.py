"""Words for the outcomes of commands, and for the player's notices."""

from __future__ import annotations

from bot_service.discord_ui.replies import texts
from bot_service.discord_ui.replies.errors import explain_code, explain_silence, explain_voice
from bot_service.discord_ui.replies.escape import plain
from bot_service.discord_ui.replies.formatting import clock
from bot_service.player.rules.events import Command, Pause, Resume, SetLoop, Shuffle
from bot_service.player.rules.outcomes import (
    AlreadySkipped,
    Cleared,
    Enqueued,
    Moved,
    Notice,
    NoticeKind,
    Outcome,
    Removed,
    Skipped,
    Sought,
    Stopped,
    VoteCast,
)
from bot_service.requests.play import PlaylistQueued, SongQueued, SongRequested
from common.errors import Locale


def describe_play(result: SongQueued | SongRequested | PlaylistQueued, locale: Locale) -> str:
    """Return the first reply of `play`; a requested song is followed up by `RequestReplies`."""
    if isinstance(result, SongQueued):
        return describe_enqueued(result.track.title, result.outcome, locale)
    if isinstance(result, SongRequested):
        words = texts.SEARCHING.to(locale).format(song=plain(result.song))
        return words if result.library_searched else f"{words}\n{texts.LIBRARY_NOT_ASKED.to(locale)}"
    playlist, count = result.playlist, result.requested + result.queued
    lines = [texts.PLAYLIST_BEGUN.to(locale).format(title=plain(playlist.title), count=count)]
    if playlist.total > len(playlist.items):
        lines.append(texts.PLAYLIST_CUT.to(locale).format(total=playlist.total, count=len(playlist.items)))
    if result.left_out:
        lines.append(texts.LEFT_OUT.to(locale).format(count=result.left_out))
    return "\n".join(lines)


def describe_enqueued(title: str, outcome: Enqueued, locale: Locale) -> str:
    """Return where a library song was queued."""
    text = texts.PLAYING_NOW if outcome.starts_now else texts.ADDED
    return text.to(locale).format(title=plain(title), position=outcome.position)


def describe(command: Command, outcome: Outcome, locale: Locale) -> str:  # noqa: PLR0911 - one line for each outcome
    """Return the outcome of a command of the player."""
    match outcome:
        case Skipped(left, entry):
            first = texts.SKIPPED.to(locale).format(title=plain(left.title)) if left is not None else ""
            then = texts.NEXT_IS.to(locale).format(title=plain(entry.title)) if entry is not None else ""
            return "\n".join(line for line in (first, then or texts.NOTHING_MORE.to(locale)) if line)
        case AlreadySkipped(entry):
            then = texts.NEXT_IS.to(locale).format(title=plain(entry.title)) if entry is not None else ""
            return f"{texts.ALREADY_SKIPPED.to(locale)}\n{then}".rstrip()
        case VoteCast(votes, needed):
            return texts.VOTE_CAST.to(locale).format(votes=votes, needed=needed)
        case Stopped(count):
            return texts.STOPPED.to(locale).format(count=count)
        case Cleared(count):
            return texts.CLEARED.to(locale).format(count=count)
        case Removed(entry):
            return texts.REMOVED.to(locale).format(title=plain(entry.title))
        case Moved(entry, position):
            return texts.MOVED.to(locale).format(title=plain(entry.title), position=position)
        case Sought(position_ms):
            return texts.SOUGHT.to(locale).format(time=clock(position_ms))
        case _:
            return _describe_done(command, locale)


def describe_favourite(title: str, locale: Locale, *, is_new: bool) -> str:
    """Return that a song is a favourite, now or already."""
    text = texts.FAVOURITE_ADDED if is_new else texts.FAVOURITE_KNOWN
    return text.to(locale).format(title=plain(title))


def describe_notice(notice: Notice, locale: Locale) -> str:
    """Return a notice of the player."""
    explain = {NoticeKind.VOICE_FAILED: explain_voice, NoticeKind.SILENCED: explain_silence}.get(
        notice.kind, explain_code
    )
    return (
        texts.NOTICES[notice.kind]
        .to(locale)
        .format(
            title=plain(notice.entry.title) if notice.entry is not None else "", reason=explain(notice.code, locale)
        )
    )


def _describe_done(command: Command, locale: Locale) -> str:
    match command:
        case Pause():
            return texts.PAUSED.to(locale)
        case Resume():
            return texts.RESUMED.to(locale)
        case Shuffle():
            return texts.SHUFFLED.to(locale)
        case SetLoop(mode):
            return texts.LOOPS[mode].to(locale)
        case _:
            return "✅"
