"""What a command came to, in words."""

from __future__ import annotations

from bot_service.discord_ui.commands import Asked, PlaylistAsked, Queued
from bot_service.discord_ui.replies import texts
from bot_service.discord_ui.replies.escape import plain
from bot_service.discord_ui.replies.shape import clock
from bot_service.player.rules.events import Command, Pause, Resume, SetLoop, Shuffle
from bot_service.player.rules.outcomes import (
    Cleared,
    Enqueued,
    Moved,
    Outcome,
    Removed,
    Skipped,
    Sought,
    Stopped,
    VoteCast,
)
from common.errors import Locale


def tell_play(result: Queued | Asked | PlaylistAsked, locale: Locale) -> str:
    """Return what `play` says at once; a song that is being fetched is told about later."""
    if isinstance(result, Queued):
        return tell_enqueued(result.track.title, result.outcome, locale)
    if isinstance(result, Asked):
        words = texts.SEARCHING.to(locale).format(song=plain(result.song))
        return words if result.library_answered else f"{words}\n{texts.LIBRARY_NOT_ASKED.to(locale)}"
    playlist, count = result.playlist, result.asked + result.queued
    lines = [texts.PLAYLIST_BEGUN.to(locale).format(title=plain(playlist.title), count=count)]
    if playlist.total > len(playlist.items):
        lines.append(texts.PLAYLIST_CUT.to(locale).format(total=playlist.total, count=len(playlist.items)))
    if result.left_out:
        lines.append(texts.LEFT_OUT.to(locale).format(count=result.left_out))
    return "\n".join(lines)


def tell_enqueued(title: str, outcome: Enqueued, locale: Locale) -> str:
    """Return where a song that is at hand went."""
    text = texts.PLAYING_NOW if outcome.starts_now else texts.ADDED
    return text.to(locale).format(title=plain(title), position=outcome.position)


def tell(command: Command, outcome: Outcome, locale: Locale) -> str:  # noqa: PLR0911 - one line for each outcome
    """Return what a command of the player came to."""
    match outcome:
        case Skipped(left, entry):
            first = texts.SKIPPED.to(locale).format(title=plain(left.title)) if left is not None else ""
            then = texts.NEXT_IS.to(locale).format(title=plain(entry.title)) if entry is not None else ""
            return "\n".join(line for line in (first, then or texts.NOTHING_MORE.to(locale)) if line)
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
            return _tell_done(command, locale)


def _tell_done(command: Command, locale: Locale) -> str:
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
