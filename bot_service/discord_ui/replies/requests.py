"""Words for the progress and completion of requests."""

from __future__ import annotations

from dataclasses import dataclass

from bot_service.discord_ui.replies import texts
from bot_service.discord_ui.replies.errors import explain_failure
from bot_service.discord_ui.replies.escape import plain
from bot_service.discord_ui.replies.formatting import clock, percent_bar
from bot_service.requests.entries import ReadyEntry
from bot_service.requests.play import PlaylistId
from common.errors import Locale
from common.messages.downloads import ProgressEvent


@dataclass(slots=True)
class PlaylistCounts:
    """Completed requests of a playlist; `last_failure` in words, "" without one."""

    ready: int = 0
    failed: int = 0
    last_failure: str = ""

    @property
    def completed(self) -> int:
        """How many are completed."""
        return self.ready + self.failed

    def add(self, failure: str) -> None:
        """Count a request; `failure` is "" if it succeeded."""
        self.failed += bool(failure)
        self.ready += not failure
        self.last_failure = failure or self.last_failure


def describe_arrival(ready: ReadyEntry, locale: Locale) -> str:
    """Return what became of a downloaded song."""
    title = plain(ready.track.title)
    if ready.arrived is None:
        return texts.READY_BUT_REMOVED.to(locale).format(title=title)
    if ready.arrived.starts_now:
        return texts.PLAYING_NOW.to(locale).format(title=title)
    return texts.ADDED.to(locale).format(title=title, position=ready.arrived.position)


def describe_progress(song: str, event: ProgressEvent, locale: Locale) -> str:
    """Return stage, bar and time left."""
    stage = texts.STAGES[event.stage].to(locale)
    progress = texts.PROGRESS.to(locale).format(song=plain(song), stage=stage, bar=percent_bar(event.percent))
    if event.eta_seconds is None or event.eta_seconds < 1:
        return progress
    return f"{progress} · {texts.ETA.to(locale).format(time=clock(event.eta_seconds * 1000))}"


def describe_failure(song: str, code: str, locale: Locale) -> str:
    """Return why a song could not be downloaded, and what to do."""
    return texts.FAILED.to(locale).format(song=plain(song), reason=explain_failure(code, locale))


def describe_withdrawal(song: str, locale: Locale) -> str:
    """Return that a song's download was cancelled."""
    return texts.WITHDRAWN.to(locale).format(song=plain(song))


def describe_playlist(counts: PlaylistCounts, playlist: PlaylistId, locale: Locale) -> str:
    """Return how many songs of a playlist are ready and how many failed."""
    ready, count = counts.ready + playlist.at_hand, playlist.count + playlist.at_hand
    lines = [texts.PLAYLIST_PROGRESS.to(locale).format(title=plain(playlist.title), ready=ready, count=count)]
    if counts.failed:
        lines.append(texts.PLAYLIST_FAILED.to(locale).format(failed=counts.failed))
        lines.append(counts.last_failure)
    return "\n".join(lines)
