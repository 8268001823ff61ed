"""yt-dlp in a child process: resolves queries and downloads media. Synchronous; one job at a time.

No configuration files, no cache, no playlists, no external programs but the JavaScript runtime that YouTube needs.
yt-dlp's own retries are few: the worker has the retry policy. Its answer about the media travels through the service
as opaque JSON and comes back for the download, cut down to the fields that needs.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import orjson
from yt_dlp.extractor import gen_extractor_classes

from audio_service.children.jobs import ChildSettings, JsonObject
from audio_service.sources.cookies import CookieFile
from audio_service.sources.guard import Guard
from audio_service.sources.query import valid_values
from audio_service.sources.ytdlp.failures import translate
from audio_service.sources.ytdlp.generic import ListReadingIE
from audio_service.sources.ytdlp.growing import AbandonedError, GrowingFile
from audio_service.sources.ytdlp.metadata import describe, list_items
from audio_service.sources.ytdlp.transfers import FileTransfer, GuardedYoutubeDL, Transfer
from common.errors import (
    AppError,
    MediaLive,
    MediaNotFound,
    MediaTooLarge,
    MediaTooLong,
    MediaUnsupported,
    SearchFailed,
    SourceAuthRequired,
    SourceForbidden,
    SourceTruncated,
    SourceUnavailable,
)

Info = dict[str, Any]
"""An extractor's answer, in yt-dlp's terms."""
OnStatus = Callable[[Info], None]
"""Called with the dictionaries of yt-dlp's progress hooks."""

_PAGE_BYTES = 64 * 1024 * 1024
_FRAGMENT_REQUESTS = 50_000
_BLOCK_BYTES = 64 * 1024
_RETRIES = 1
_PROGRESS_BYTES = 64 * 1024
_FORMATS = (
    "(bestaudio[acodec^=opus]/bestaudio/best[height<=?480]/best)"
    "[protocol~='^(https?|m3u8|m3u8_native|http_dash_segments)$']"
)
_NO_SITE = "https://nowhere.invalid/"
_PLAIN = frozenset({"http", "https"})
_PLAYLISTS = frozenset({"playlist", "multi_video"})
_NOT_YET = frozenset({"is_live", "is_upcoming"})
_EXPIRED = (MediaNotFound, SourceAuthRequired, SourceForbidden)
_KEPT = (
    *("id", "title", "extractor", "extractor_key", "webpage_url", "original_url", "duration", "live_status", "direct"),
    *("http_headers", "hls_aes", "extra_param_to_segment_url", "extra_param_to_key_url"),
)
ENVIRONMENT = {
    "DENO_DIR": f"{os.devnull}/deno",
    "DENO_NO_UPDATE_CHECK": "1",
    "YTDLP_NO_PLUGINS": "1",
}
"""For the process that an Extractor lives in: neither yt-dlp nor its JavaScript runtime reads or writes a home."""
log = logging.getLogger(__name__)


class Extractor:
    """A warm yt-dlp. Its methods raise AppErrors and nothing else."""

    def __init__(self, settings: ChildSettings, guard: Guard, javascript: str) -> None:
        self._settings = settings
        self._guard = guard
        self._ydl: Any = GuardedYoutubeDL(_parameters(settings, javascript), guard, settings.max_redirects)
        self._ydl.add_progress_hook(self._hook)
        self._generic = ListReadingIE()
        self._ydl.add_info_extractor(self._generic)
        self._cookies = CookieFile(Path(settings.cookies) if settings.cookies else None)
        self._on_status: OnStatus = lambda _: None
        self._direct = False

    def get_warm(self) -> Iterator[None]:
        """Do in small steps what the first job would otherwise wait for: see `warm_up`."""
        return warm_up(self._ydl)

    def resolve(self, text: str, *, is_url: bool) -> JsonObject:
        """Find the media of a URL, or the best match for words.

        Returns:
            `media_id`, `metadata` (the fields of PlatformMetadata), `info` (JSON text for `download`), and `held_by`:
            this process when it holds the response that a download begins with, else None.
        """
        self._begin()
        try:
            info = self._extract(text if is_url else f"ytsearch1:{text}")
        except (SourceTruncated, SourceUnavailable) as exc:
            if is_url:
                raise
            raise SearchFailed(exc.detail) from exc
        self._check(info)
        media_id, metadata = describe(info, text if is_url else "")
        return {
            "media_id": media_id,
            "metadata": metadata._asdict(),
            "info": self._packed(info),
            "held_by": os.getpid() if self.holds else None,
        }

    def list_items(self, text: str, *, is_url: bool, limit: int) -> JsonObject:
        """Return the items of a playlist's URL, or of a search for words: see `metadata.list_items`."""
        self._begin()
        try:
            return list_items(self._look, text if is_url else f"ytsearch{limit}:{text}", limit)
        except Exception as exc:
            error = self._translate(exc)
            if not is_url and isinstance(error, (SourceTruncated, SourceUnavailable)):
                error = SearchFailed(error.detail)
            raise error from exc
        finally:
            self.let_go()

    def download(self, url: str, packed: str | None, growing: GrowingFile, on_status: OnStatus) -> None:
        """Write the media into `growing`, whose reader gets the error if there is one.

        URLs in an old answer may have expired; the media is then extracted again, once.
        """
        self._on_status = on_status
        try:
            self._begin(keep_held=True)
            try:
                self._fetch(self._unpacked(packed) if packed else self._extract(url), growing)
            except _EXPIRED:
                if not packed or self.received:
                    raise
                self._begin()
                self._fetch(self._extract(url), growing)
        except AbandonedError:
            growing.finish(SourceUnavailable("the download was abandoned"))
        except BaseException as exc:  # noqa: BLE001 - the reader must be woken after any failure
            growing.finish(self._translate(exc))
        else:
            growing.finish()
        finally:
            self.let_go()

    @property
    def holds(self) -> bool:
        """Whether a response is held for the next job, which may be the download of what was resolved."""
        return self._ydl.holds

    def let_go(self) -> None:
        """Close what is held."""
        self._ydl.let_go()

    @property
    def file_name(self) -> str | None:
        """The name that the server gave to the file that was transferred last; None for media of a page, which has
        its own title.
        """
        return getattr(self._ydl.transfer, "file_name", "") if self._direct else None

    @property
    def stated_ms(self) -> int | None:
        """The length of the media that was transferred last, by its playlist."""
        return self._ydl.transfer.stated_ms

    @property
    def whole(self) -> bool:
        """Whether the last transfer received all that the server has: what is missing then is missing there."""
        return self._ydl.transfer.whole

    @property
    def received(self) -> int:
        """Bytes of the last transfer."""
        return self._ydl.transfer.received

    def _begin(self, *, keep_held: bool = False) -> None:
        if not keep_held:
            self.let_go()
        self._guard.forget()
        self._generic.begin()
        self._ydl.transfer = Transfer(_PAGE_BYTES)
        self._ydl.cookiejar.clear()
        for cookie in self._cookies.current():
            self._ydl.cookiejar.set_cookie(cookie)

    def _extract(self, url: str) -> Info:
        try:
            found: Any = self._ydl.extract_info(url, download=False)
        except Exception as exc:
            raise self._translate(exc) from exc
        return _first_video(found)

    def _look(self, url: str, key: str | None) -> Info | None:
        found: Any = self._ydl.extract_info(url, download=False, process=False, ie_key=key)
        return found

    def _fetch(self, info: Info, growing: GrowingFile) -> None:
        self._check(info)
        sequential = info.get("protocol") in _PLAIN
        self._ydl.transfer = FileTransfer(
            self._settings.max_download_bytes, sequential=sequential, requests_limit=_FRAGMENT_REQUESTS
        )
        self._growing = growing
        self._direct = bool(info.get("direct"))
        while not self._transferred(info, growing, resumable=sequential):
            pass
        self._ydl.transfer.check_complete()
        if not growing.path.is_file():
            raise SourceTruncated("the download ended without a file")

    def _transferred(self, info: Info, growing: GrowingFile, *, resumable: bool) -> bool:
        """Download what is missing of the file; False when the connection broke and it is worth to go on.

        yt-dlp goes on at the end of what it has, a fixed number of times. Some servers drop every connection after a
        megabyte: what has come since the last time renews the right to go on.
        """
        before = self.received
        try:
            complete, _ = self._ydl.dl(str(growing.path), info)
        except AbandonedError:
            raise
        except Exception as exc:
            error = self._translate(exc)
            broke = isinstance(error, (SourceTruncated, SourceUnavailable))
            if broke and resumable and self.received - before >= _PROGRESS_BYTES:
                return False
            raise error from exc
        if not complete:
            raise SourceTruncated("the download ended without a file")
        return True

    def _hook(self, status: Info) -> None:
        self._growing.open_ended = self._ydl.transfer.open_ended
        self._growing.grew()
        self._on_status(status)

    def _check(self, info: Info) -> None:
        """Refuse what the answer alone shows to be unusable."""
        if info.get("is_live") or info.get("live_status") in _NOT_YET:
            raise MediaLive(f"live status: {info.get('live_status')}")
        if not info.get("url"):
            raise MediaUnsupported("no format that can be downloaded")
        duration, size = info.get("duration") or 0, info.get("filesize") or 0
        if duration > self._settings.max_duration:
            raise MediaTooLong(f"{duration:.0f} s, at most {self._settings.max_duration} s")
        if size > self._settings.max_download_bytes:
            raise MediaTooLarge(f"{size} bytes, at most {self._settings.max_download_bytes}")

    def _packed(self, info: Info) -> str:
        """Return the answer with the chosen format alone, as JSON."""
        formats: list[Info] = info.get("formats") or []
        chosen = next((entry for entry in formats if entry.get("format_id") == info.get("format_id")), None)
        kept: Info = {key: info[key] for key in _KEPT if info.get(key) is not None}
        kept["formats"] = [chosen or {k: info[k] for k in ("url", "ext", "vcodec", "acodec") if info.get(k)}]
        return orjson.dumps(valid_values(self._ydl.sanitize_info(kept))).decode()

    def _unpacked(self, packed: str) -> Info:
        try:
            return self._ydl.process_ie_result(orjson.loads(packed), download=False)
        except Exception as exc:
            raise self._translate(exc) from exc

    def _translate(self, exc: BaseException) -> AppError:
        return translate(exc, self._ydl.transfer, self._guard)


def warm_up(ydl: Any) -> Iterator[None]:  # noqa: ANN401 - a YoutubeDL; the library is untyped
    """Load every site that yt-dlp knows, and yield after each. No network is used.

    yt-dlp knows some 1,800 sites. When the first URL is of none of the well-known ones, it compiles the sites' URL
    patterns, imports their modules and compiles what they look for in a page: a second of CPU. Done site by site here,
    so that a job that arrives meanwhile waits for one site at most.
    """
    sites: list[Any] = gen_extractor_classes()
    for site in sites:
        try:
            site.suitable(_NO_SITE)
            list(site.extract_from_webpage(ydl, _NO_SITE, ""))
        except Exception:  # noqa: BLE001, S110 - a site that fails here fails again in the job that needs it
            pass
        yield


def _first_video(found: Info | None) -> Info:
    """Return the first entry of what may be a playlist (a search, a page with several media), however nested."""
    while found and found.get("_type", "video") in _PLAYLISTS:
        entries: Iterable[Info | None] = found.get("entries") or []
        found = next((entry for entry in entries if entry), None)
    if not found:
        raise MediaNotFound("nothing was found")
    return found


class _Log:
    """Sends yt-dlp's warnings and errors to the child's stderr."""

    def debug(self, message: str) -> None:
        """Drop screen output."""

    info = debug

    def warning(self, message: str) -> None:
        """Log a warning."""
        log.warning("%s", message)

    error = warning


def _parameters(settings: ChildSettings, javascript: str) -> Info:
    return {
        "buffersize": _BLOCK_BYTES,
        "cachedir": False,
        "color": "never",
        # `CookieFile` reads them, and yt-dlp writes none back.
        "cookiefile": None,
        "external_downloader": {"default": "native"},
        "extractor_retries": 1,
        "fixup": "never",
        "format": _FORMATS,
        "fragment_retries": _RETRIES,
        "geo_bypass": False,
        "hls_prefer_native": True,
        "js_runtimes": {"deno": {"path": javascript}},
        "logger": _Log(),
        # Resized blocks (up to 4 MB) would keep received bytes from the reader.
        "noresizebuffer": True,
        "noplaylist": True,
        "noprogress": True,
        "playlist_items": "1",
        # "" means: directly, whatever the environment says; the guard must see real peers.
        "proxy": "",
        "quiet": True,
        "retries": _RETRIES,
        "skip_unavailable_fragments": False,
        "socket_timeout": settings.network_timeout,
    }
