"""The words of yt-dlp that decide over an error code. Those marked as its own are looked for in its source, so that a
release which words them anew is noticed; the others are what YouTube's servers say.
"""

from __future__ import annotations

import errno
import importlib.resources
from functools import cache
from importlib.resources.abc import Traversable
from typing import Any

import pytest
from yt_dlp.networking.exceptions import IncompleteRead
from yt_dlp.utils import DownloadError, ExtractorError, GeoRestrictedError, UnsupportedError, UserNotLive

from audio_service.addresses import AllowList
from audio_service.sources.guard import AddressRefusedError, Guard
from audio_service.sources.ytdlp.failures import translate
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
    SourceTruncated,
    SourceUnavailable,
    StorageFull,
    UrlNotAllowed,
)

OWN = [
    ("Private video. Login if you have permissions to watch", MediaPrivate),
    ("This VOD is private", MediaPrivate),
    ("Sorry, this video is private", MediaPrivate),
    ("Video was deleted", MediaRemoved),
    ("this video has been removed", MediaRemoved),
    ("Requested tweet is unavailable", MediaRemoved),
    ("Video unavailable", MediaRemoved),
    ("This content is currently unavailable", MediaRemoved),
    ("This video is not available from your location due to geo restriction", MediaRegionLocked),
    ("Video is geo restricted.", MediaRegionLocked),
    ("The video is not available in your country", MediaRegionLocked),
    ("This song is blocked in this region", MediaRegionLocked),
    ("Age-limited video", MediaAgeRestricted),
    ("Login is required to access age-restricted content", MediaAgeRestricted),
    ("This video is only available for age verified users", MediaAgeRestricted),
    ("You are suspected as a bot", SourceAuthRequired),
    ("This video is only available for registered users", SourceAuthRequired),
    ("This video is for premium members only", SourceAuthRequired),
    ("This video requires a channel subscription", SourceAuthRequired),
    ("This video is protected by a password, use the --video-password option", SourceAuthRequired),
    ("Login details are needed to download this content", SourceAuthRequired),
    ("This live event will begin at", MediaLive),
    ("This livestream has not yet started", MediaLive),
    ("The channel is not currently live", MediaLive),
    ("This live has ended.", MediaLive),
    ("This video does not exist", MediaNotFound),
    ("No video formats found!", MediaUnsupported),
    ("This video is DRM protected", MediaEncrypted),
    ("The requested site is known to use DRM protection", MediaEncrypted),
    ("Requested format is not available", MediaUnsupported),
    ("Did not get any data blocks", MediaUnsupported),
    ("The downloaded file is empty", MediaUnsupported),
    ("is not a valid URL", InvalidInput),
    ("An extractor error has occurred.", SourceUnavailable),
]
YOUTUBE = [
    ("Private video. Sign in if you've been granted access to this video", MediaPrivate),
    ("Video unavailable. This video has been removed by the uploader", MediaRemoved),
    ("This video has been removed for violating YouTube's Terms of Service", MediaRemoved),
    (
        "This video is no longer available because the YouTube account associated with it has been terminated",
        MediaRemoved,
    ),
    ("Video unavailable. The uploader has not made this video available in your country", MediaRegionLocked),
    ("Sign in to confirm your age. This video may be inappropriate for some users.", MediaAgeRestricted),
    ("Sign in to confirm you're not a bot. Use --cookies-from-browser or --cookies", SourceAuthRequired),
    ("Join this channel to get access to members-only content like this video", SourceAuthRequired),
    ("Premieres in 3 hours", MediaLive),
    ("This live event will begin in 2 days.", MediaLive),
    ("This content isn't available, try again later. The current session has been rate-limited", SourceUnavailable),
]


def source_texts(folder: Traversable) -> list[str]:
    texts: list[str] = []
    for entry in folder.iterdir():
        if entry.is_dir():
            texts += source_texts(entry)
        elif entry.name.endswith(".py"):
            texts.append(entry.read_text(encoding="utf-8"))
    return texts


@cache
def ytdlp_source() -> str:
    return "\n".join(source_texts(importlib.resources.files("yt_dlp")))


def said(exc: BaseException) -> AppError:
    return translate(exc, Transfer(0), Guard(AllowList()))


def wrapped(cause: Exception) -> DownloadError:
    """Return an error as YoutubeDL raises it."""
    triple: Any = (type(cause), cause, None)
    return DownloadError(f"ERROR: {cause}", triple)


@pytest.mark.parametrize(("text", "error"), OWN)
def test_what_extractors_say_has_its_code(text: str, error: type[AppError]) -> None:
    assert text in ytdlp_source()
    assert type(said(wrapped(ExtractorError(text, expected=True)))) is error


@pytest.mark.parametrize(("text", "error"), YOUTUBE)
def test_what_youtube_says_has_its_code(text: str, error: type[AppError]) -> None:
    assert type(said(wrapped(ExtractorError(f"[youtube] k2qgadSvNyU: {text}", expected=True)))) is error


@pytest.mark.parametrize(
    ("cause", "error"),
    [
        (GeoRestrictedError("Not here"), MediaRegionLocked),
        (UnsupportedError("http://x/"), MediaUnsupported),
        (UserNotLive(), MediaLive),
        (MemoryError(), ProcessingLimitExceeded),
        (OSError(errno.ENOSPC, "No space left on device"), StorageFull),
        (OSError(errno.EDQUOT, "Disk quota exceeded"), StorageFull),
        (OSError(errno.EFBIG, "File too large"), MediaTooLarge),
        (AddressRefusedError("10.0.0.1:80"), UrlNotAllowed),
        (MediaTooLarge("of our own"), MediaTooLarge),
        (ValueError("what nobody foresaw"), SourceUnavailable),
    ],
)
def test_types_decide_however_deep_they_are_wrapped(cause: Exception, error: type[AppError]) -> None:
    outer = ExtractorError("Unable to download webpage", cause=cause)
    outer.__cause__ = cause
    assert type(said(wrapped(outer))) is error


def test_a_refusal_of_the_guard_outweighs_what_became_of_it() -> None:
    guard = Guard(AllowList())
    with pytest.raises(AddressRefusedError):
        guard.check_address("10.0.0.1", 80)
    found = translate(DownloadError("Giving up after 2 retries"), Transfer(0), guard)
    assert isinstance(found, UrlNotAllowed)


def test_the_detail_is_one_short_line_without_colours() -> None:
    detail = said(DownloadError("\x1b[0;31mERROR:\x1b[0m some\nthing " + "x" * 1000)).detail
    assert detail.startswith("some thing xxx")
    assert len(detail) <= 300


@pytest.mark.parametrize("in_body", [False, True])
def test_an_earlier_failure_of_the_network_counts_only_where_the_message_repeats_it(*, in_body: bool) -> None:
    transfer = Transfer(0)
    transfer.failure, transfer.broken_body = IncompleteRead(10, expected=20), in_body
    private, repeated = DownloadError("This video is private"), DownloadError(f"Giving up: {transfer.failure}")
    assert type(translate(private, transfer, Guard(AllowList()))) is MediaPrivate
    assert type(translate(repeated, transfer, Guard(AllowList()))) is SourceTruncated
