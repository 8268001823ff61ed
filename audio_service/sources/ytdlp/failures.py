"""Translates yt-dlp's exceptions into this system's errors. One table: exception types first, then message patterns.

yt-dlp wraps exceptions in exceptions (`exc_info`, `cause`, `reason`), and after a retry it keeps only their text; so
the whole chain is matched, and the last network failure that the transfer saw as well.
"""

from __future__ import annotations

import errno
import re
from collections.abc import Iterator
from typing import Any, NamedTuple, cast

from requests.exceptions import InvalidSchema, InvalidURL
from yt_dlp.networking.exceptions import HTTPError, IncompleteRead, TransportError
from yt_dlp.utils import ContentTooShortError, GeoRestrictedError, UnsupportedError, UserNotLive

from audio_service.sources.guard import AddressRefusedError, Guard
from audio_service.sources.query import valid_text
from audio_service.sources.ytdlp.transfers import Transfer
from common.errors import (
    AppError,
    InvalidInput,
    MediaAgeRestricted,
    MediaEncrypted,
    MediaLive,
    MediaNotFound,
    MediaPrivate,
    MediaRegionLocked,
    MediaRemoved,
    MediaTooLarge,
    MediaUnsupported,
    ProcessingLimitExceeded,
    SourceAuthRequired,
    SourceForbidden,
    SourceTruncated,
    SourceUnavailable,
    StorageFull,
    UrlNotAllowed,
)

_DETAIL_CHARACTERS = 300
_COLOURS = re.compile(r"\x1b\[[0-9;]*m")
_LINKS = ("cause", "reason")


class ErrorRule(NamedTuple):
    """An exception that is of `kind` (None: any), has the HTTP status, and matches the pattern, means `error`."""

    error: type[AppError]
    kind: type[BaseException] | None = None
    status: range | None = None
    pattern: re.Pattern[str] | None = None


def _status(first: int, last: int | None = None) -> range:
    return range(first, (last or first) + 1)


# The first rule that matches wins. Types look at each exception of the chain; patterns at the outermost message.
RULES: tuple[ErrorRule, ...] = (
    ErrorRule(MediaRegionLocked, GeoRestrictedError),
    ErrorRule(MediaUnsupported, UnsupportedError),
    ErrorRule(MediaLive, UserNotLive),
    ErrorRule(UrlNotAllowed, InvalidSchema),
    ErrorRule(InvalidInput, InvalidURL),
    ErrorRule(MediaUnsupported, UnicodeError),  # an address with characters that none can have
    ErrorRule(UrlNotAllowed, HTTPError, _status(300, 399)),  # more redirects than are followed
    ErrorRule(SourceAuthRequired, HTTPError, _status(401)),
    ErrorRule(SourceForbidden, HTTPError, _status(403)),
    ErrorRule(MediaNotFound, HTTPError, _status(404)),
    ErrorRule(SourceUnavailable, HTTPError, _status(408)),
    ErrorRule(MediaNotFound, HTTPError, _status(410)),
    ErrorRule(SourceUnavailable, HTTPError, _status(416)),
    ErrorRule(SourceUnavailable, HTTPError, _status(425)),
    ErrorRule(SourceUnavailable, HTTPError, _status(429)),
    ErrorRule(MediaRegionLocked, HTTPError, _status(451)),
    ErrorRule(SourceForbidden, HTTPError, _status(400, 499)),
    ErrorRule(SourceUnavailable, HTTPError, _status(500, 599)),
    ErrorRule(SourceTruncated, ContentTooShortError),
    ErrorRule(SourceTruncated, IncompleteRead),
    ErrorRule(MediaLive, pattern=re.compile(r"\bICY 200\b")),  # the status line of SHOUTcast 1
    ErrorRule(SourceUnavailable, TransportError),
    ErrorRule(SourceUnavailable, pattern=re.compile(r"(?i)try again later")),
    ErrorRule(SourceAuthRequired, pattern=re.compile(r"(?i)not a bot|suspected as a bot|captcha|automation tools")),
    ErrorRule(MediaAgeRestricted, pattern=re.compile(r"(?i)confirm your age|age.?(restricted|limited|verif|gate)")),
    ErrorRule(
        MediaPrivate,
        pattern=re.compile(r"(?i)\b(is|either) private\b|\bprivate (video|playlist|clip|track)|in (a )?private show"),
    ),
    ErrorRule(
        MediaLive,
        pattern=re.compile(
            r"(?i)live ?(stream|event|broadcast)|premieres? (in|will)|\blive (has|was) ended|will begin (in|at)"
            r"|not (currently )?live\b|not yet started"
        ),
    ),
    ErrorRule(
        SourceAuthRequired,
        pattern=re.compile(
            r"(?i)members[- ]only|for (\w+ )?(members|subscribers)|(log|sign)[ -]?in\b|registered users|subscription"
            r"|password[- ]protected|--video-password|--cookies|join this channel|account is not subscribed"
        ),
    ),
    ErrorRule(
        MediaRegionLocked,
        pattern=re.compile(
            r"(?i)geo.?(restrict|block)|(your|this) (country|region|location|area)|blocked it in|licensing restrict"
        ),
    ),
    ErrorRule(
        MediaRemoved,
        pattern=re.compile(
            r"(?i)(been|was|were|be) (removed|deleted|taken down)|no longer available"
            r"|account.{0,300}terminated|copyright"
        ),
    ),
    ErrorRule(MediaNotFound, pattern=re.compile(r"(?i)does ?n[o']t exist|not found\b|HTTP Error 404")),
    ErrorRule(MediaEncrypted, pattern=re.compile(r"(?i)\bDRM\b")),
    ErrorRule(
        MediaUnsupported,
        pattern=re.compile(
            r"(?i)no (video|media|audio|playlist)\b.{0,300}\b(formats|content|found)|format is not available"
            r"|did not get any data blocks|downloaded file is empty|unsupported url"
        ),
    ),
    ErrorRule(
        MediaRemoved,
        pattern=re.compile(
            r"(?i)(video|content|clip|track|media|tweet|song|episode)\b.{0,20}(unavailable|not available)"
        ),
    ),
    ErrorRule(InvalidInput, pattern=re.compile(r"(?i)not a valid url|incomplete youtube id")),
)


def translate(exc: BaseException, transfer: Transfer, guard: Guard) -> AppError:
    """Return the error that a failure inside yt-dlp means. Never raises; an unknown one is SourceUnavailable."""
    detail = _detail(exc)
    for link in _chain(exc, contexts=True):
        if (found := _ours(link, detail)) is not None:
            return found
    if guard.refused:
        return UrlNotAllowed(guard.refused[-1])
    if transfer.broken_body and transfer.failure is not None and str(transfer.failure) in str(exc):
        return SourceTruncated(detail)
    roots = [*_chain(exc, contexts=False)]
    if transfer.failure is not None and str(transfer.failure) in str(exc):
        roots.append(transfer.failure)
    error = next((rule.error for rule in RULES if _matches(rule, roots, detail)), SourceUnavailable)
    return error(detail)


def _ours(link: BaseException, detail: str) -> AppError | None:
    """Return the error of a failure that is not the source's: this system's own, the guard's, the machine's."""
    match link:
        case AppError():
            return link
        case AddressRefusedError():
            return UrlNotAllowed(str(link))
        case MemoryError():
            return ProcessingLimitExceeded("out of memory")
        case OSError(errno=errno.ENOSPC | errno.EDQUOT):
            return StorageFull(detail)
        case OSError(errno=errno.EFBIG):
            return MediaTooLarge("a file grew over its limit")
        case _:
            return None


def _matches(rule: ErrorRule, chain: list[BaseException], detail: str) -> bool:
    if rule.pattern is not None:
        return rule.pattern.search(detail) is not None
    for link in chain:
        of_kind = isinstance(link, rule.kind or BaseException)
        if of_kind and (rule.status is None or getattr(link, "status", 0) in rule.status):
            return True
    return False


def _chain(exc: BaseException, *, contexts: bool) -> Iterator[BaseException]:
    """Yield an exception and those it was made of, each once; `contexts` adds those it merely came after."""
    waiting, seen = [exc], set[int]()
    while waiting:
        link = waiting.pop(0)
        if id(link) in seen:
            continue
        seen.add(id(link))
        yield link
        info: Any = getattr(link, "exc_info", None)
        candidates: list[object] = [link.__cause__, info[1] if info else None]
        candidates += [getattr(link, name, None) for name in _LINKS]
        candidates += [*link.args, *cast("list[object]", getattr(link, "unexpected_errors", []))]
        candidates += [link.__context__] if contexts else []
        waiting += [candidate for candidate in candidates if isinstance(candidate, BaseException)]


def _detail(exc: BaseException) -> str:
    text = _COLOURS.sub("", valid_text(str(exc))).removeprefix("ERROR: ").strip()
    return " ".join(f"{text or type(exc).__name__}".split())[:_DETAIL_CHARACTERS]
