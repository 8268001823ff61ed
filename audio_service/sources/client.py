"""The service's side of the yt-dlp jobs: resolve and fetch in a child process. Asynchronous; parses no media."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path

from audio_service.audio.base import Encoded, Origin
from audio_service.audio.drafts import DRAFTS
from audio_service.children.jobs import ChildJob, ChildProgress, OnProgress
from audio_service.children.pool import ChildPool
from audio_service.settings import AudioSettings
from audio_service.sources.base import Query, Resolved
from audio_service.sources.cookies import read_cookies, why_unusable
from common.messages.downloads import PlatformMetadata
from common.observability.telemetry import get_logger

log = get_logger(__name__)

_WORK_SECONDS = 30.0
_LEFTOVERS = ("source*", DRAFTS)


@dataclass(frozen=True, slots=True)
class Fetched:
    """A DCA file that a child made, and the number of bytes that were received for it.

    `title` is by the file's tags or its server when it has no page, else "".
    """

    path: Path
    encoded: Encoded
    downloaded_bytes: int
    title: str = ""


class YtDlpSource:
    """MediaSource by yt-dlp in a child process; words are searched on YouTube."""

    def __init__(self, children: ChildPool, *, deadline_seconds: float) -> None:
        self._children = children
        self._deadline = deadline_seconds

    async def resolve(self, query: Query) -> Resolved:
        """As MediaSource.resolve."""
        job = ChildJob("resolve", {"text": query.text, "is_url": query.is_url})
        found = await self._children.call(job, on_progress=_ignore, deadline_seconds=self._deadline)
        return Resolved(
            media_id=found["media_id"],
            metadata=PlatformMetadata(**found["metadata"]),
            info=found["info"].encode(),
            held_by=found["held_by"],
        )


async def fetch(  # noqa: PLR0913 - each says another thing about one job
    children: ChildPool,
    resolved: Resolved,
    directory: Path,
    *,
    origin: Origin,
    on_progress: OnProgress,
    deadline_seconds: float,
) -> Fetched:
    """Download and encode into a file in `directory`, which holds nothing else afterwards, also after a failure.

    `directory` is absolute. `on_progress` is called at most twice a second, and when a draft can be played.

    Raises:
        SourceError, UrlNotAllowed: the source failed, or the media is not usable.
        StorageFull: the disk below `directory` is full.
        ProcessingError: the child died, reached a limit, or was killed at the deadline.
    """
    arguments = {
        "url": resolved.address or resolved.metadata.url,
        "info": resolved.info.decode() if resolved.info else None,
        "directory": str(directory),
        "duration_ms": resolved.metadata.duration_ms,
        "origin": asdict(origin),
    }
    try:
        made = await children.call(
            ChildJob("fetch", arguments),
            on_progress=on_progress,
            deadline_seconds=deadline_seconds,
            preferred=resolved.held_by,
        )
    except BaseException:
        # A killed child leaves its files behind; no other process uses them.
        _sweep(directory)
        raise
    return Fetched(Path(made["path"]), Encoded(**made["encoded"]), made["downloaded_bytes"], made["title"])


def open_ytdlp(settings: AudioSettings, children: ChildPool) -> YtDlpSource:
    """Return the source that needs no key, and log once what COOKIES_YOUTUBE holds now.

    A resolution's deadline allows for four slow answers and its own work.
    """
    _log_cookies(settings.cookies_youtube)
    return YtDlpSource(children, deadline_seconds=_WORK_SECONDS + 4 * settings.network_timeout_seconds)


def _log_cookies(path: Path | None) -> None:
    """Log what the children will find in the file, which they read again whenever it changes."""
    if path is None:
        return
    try:
        log.info("cookies.found", count=len(read_cookies(path)))
    except FileNotFoundError:
        log.info("cookies.absent")
    except (OSError, ValueError) as exc:
        log.warning("cookies.unusable", reason=why_unusable(exc))


def _sweep(directory: Path) -> None:
    for pattern in _LEFTOVERS:
        for leftover in directory.glob(pattern):
            leftover.unlink(missing_ok=True)


def _ignore(_: ChildProgress) -> None:
    """A resolution reports no progress."""
