"""The YouTube Data API's client and source, against a real HTTP server with the API's answers."""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator

import httpx
import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from audio_service.settings import AudioSettings
from audio_service.sources.base import Query, Resolved
from audio_service.sources.query import parse_query
from audio_service.sources.youtube.api import YouTubeApi, open_youtube_api, parse_duration
from audio_service.sources.youtube.source import YouTubeSource
from common.errors import (
    AppError,
    DetailsFailed,
    MediaAgeRestricted,
    MediaLive,
    MediaNotFound,
    MediaPrivate,
    MediaRemoved,
    MediaTooLong,
    SearchFailed,
    YouTubeApiUnavailable,
    YouTubeKeyRejected,
    YouTubeQuotaExceeded,
)
from common.messages.downloads import PlatformMetadata
from tests.servers.youtube_api import KEY, FakeYouTubeApi, fake_youtube_api

WATCH = "https://www.youtube.com/watch?v={id}"
FIRST, SECOND, THIRD = "k2qgadSvNyU", "aaaaaaaaaaa", "bbbbbbbbbbb"
HOUR_MS = 3_600_000


class OtherSite:
    """A source that knows every URL of one imaginary site, and remembers what it was asked."""

    def __init__(self) -> None:
        self.asked: list[Query] = []

    async def resolve(self, query: Query) -> Resolved:
        self.asked.append(query)
        return Resolved(media_id="other-1", metadata=PlatformMetadata(title="From elsewhere", platform="Other"))


@pytest.fixture
async def fake() -> AsyncGenerator[FakeYouTubeApi, None]:
    async with fake_youtube_api() as running:
        yield running


@pytest.fixture
async def api(fake: FakeYouTubeApi) -> AsyncGenerator[YouTubeApi, None]:
    settings = AudioSettings(youtube_api_key=SecretStr(f"{KEY}\n"), youtube_api_url=f"{fake.url}/")
    async with open_youtube_api(settings) as opened:
        yield opened


@pytest.fixture
def other() -> OtherSite:
    return OtherSite()


@pytest.fixture
def source(api: YouTubeApi, other: OtherSite) -> YouTubeSource:
    return YouTubeSource(api, other, WATCH, HOUR_MS)


def query(song: str) -> Query:
    return parse_query(song, WATCH)


async def test_words_become_the_best_match(fake: FakeYouTubeApi, source: YouTubeSource) -> None:
    fake.add_video(FIRST, title="Dua Lipa - New Rules (Official Music Video) & more", duration="PT3M45S")
    fake.add_video(SECOND, title="Dua Lipa - New Rules (cover)")

    resolved = await source.resolve(query("dua lipa new rules"))

    assert resolved == Resolved(
        media_id=FIRST,
        metadata=PlatformMetadata(
            title="Dua Lipa - New Rules (Official Music Video) & more",
            duration_ms=225_000,
            url=f"https://www.youtube.com/watch?v={FIRST}",
            thumbnail_url=fake.thumbnail(FIRST),
            platform="YouTube",
        ),
        info=None,
    )
    assert [call.method for call in fake.calls] == ["search", "videos"]


async def test_a_search_asks_for_five_videos_in_the_words_as_typed(fake: FakeYouTubeApi, api: YouTubeApi) -> None:
    for number in range(8):
        fake.add_video(f"{number:011}", title="AC/DC & Ñandú?=#")
    assert await api.search("AC/DC & Ñandú?=#") == [f"{number:011}" for number in range(5)]
    assert fake.calls[0].parameters == {
        "part": "snippet",
        "type": "video",
        "maxResults": "5",
        "q": "AC/DC & Ñandú?=#",
    }


async def test_an_id_is_described_without_a_search(fake: FakeYouTubeApi, source: YouTubeSource) -> None:
    fake.add_video(FIRST, title="New Rules")
    resolved = await source.resolve(query(f"https://youtu.be/{FIRST}?list=x"))
    assert (resolved.media_id, resolved.metadata.title) == (FIRST, "New Rules")
    assert [call.method for call in fake.calls] == ["videos"]


async def test_the_page_url_follows_the_setting(fake: FakeYouTubeApi, api: YouTubeApi, other: OtherSite) -> None:
    fake.add_video(FIRST)
    source = YouTubeSource(api, other, "http://127.0.0.1:9/page/{id}", HOUR_MS)
    assert (await source.resolve(query(f"youtu.be/{FIRST}"))).metadata.url == f"http://127.0.0.1:9/page/{FIRST}"


async def test_urls_of_other_sites_go_to_the_source_behind(
    fake: FakeYouTubeApi, source: YouTubeSource, other: OtherSite
) -> None:
    asked = query("https://example.org/song.mp3")
    assert (await source.resolve(asked)).media_id == "other-1"
    assert other.asked == [asked]
    assert fake.calls == []


async def test_unplayable_candidates_are_passed_over(fake: FakeYouTubeApi, source: YouTubeSource) -> None:
    fake.add_video(FIRST, title="song live", live="live", duration="P0D")
    fake.add_video(SECOND, title="song 10 hours", duration="PT10H")
    fake.add_video("ccccccccccc", title="song gone")
    fake.remove_video("ccccccccccc")
    fake.add_video(THIRD, title="song", region_blocked=("AR",))
    assert (await source.resolve(query("song"))).media_id == THIRD
    assert fake.count("videos") == 1


async def test_words_whose_every_match_is_too_long(fake: FakeYouTubeApi, source: YouTubeSource) -> None:
    fake.add_video(FIRST, title="mix", duration="PT1H0M1S")
    fake.add_video(SECOND, title="mix", duration="P1DT1S")
    with pytest.raises(MediaTooLong):
        await source.resolve(query("mix"))


async def test_a_video_of_exactly_the_longest_duration_is_playable(fake: FakeYouTubeApi, source: YouTubeSource) -> None:
    fake.add_video(FIRST, duration="PT1H")
    assert (await source.resolve(query(f"youtu.be/{FIRST}"))).metadata.duration_ms == HOUR_MS


@pytest.mark.parametrize(
    ("title", "shown"), [("New Rules \ud83d", "New Rules"), ("\udfb5New Rules \ud83c\udfb5", "New Rules 🎵")]
)
async def test_half_a_character_is_left_out(
    fake: FakeYouTubeApi, source: YouTubeSource, title: str, shown: str
) -> None:
    fake.add_video(FIRST, title=title)
    fake.add_video(SECOND, title="Another")
    found = await source.resolve(query("new rules"))
    assert (found.media_id, found.metadata.title) == (FIRST, shown)


async def test_words_that_match_nothing(fake: FakeYouTubeApi, source: YouTubeSource) -> None:
    with pytest.raises(MediaNotFound):
        await source.resolve(query("no such song"))
    assert [call.method for call in fake.calls] == ["search"]


async def test_words_whose_every_match_is_gone(fake: FakeYouTubeApi, source: YouTubeSource) -> None:
    fake.add_video(FIRST, title="song")
    fake.remove_video(FIRST)
    with pytest.raises(MediaNotFound):
        await source.resolve(query("song"))


async def test_an_id_that_the_api_does_not_know(source: YouTubeSource, other: OtherSite) -> None:
    with pytest.raises(MediaRemoved):
        await source.resolve(query(f"youtu.be/{FIRST}"))
    assert other.asked == []


@pytest.mark.parametrize(
    ("properties", "error"),
    [
        ({"live": "live", "duration": "P0D"}, MediaLive),
        ({"live": "upcoming", "duration": "P0D"}, MediaLive),
        ({"privacy": "private"}, MediaPrivate),
        ({"upload": "deleted"}, MediaRemoved),
        ({"upload": "rejected"}, MediaRemoved),
        ({"duration": "PT1H0M1S"}, MediaTooLong),
    ],
)
async def test_a_video_that_cannot_be_had_says_why(
    fake: FakeYouTubeApi, source: YouTubeSource, other: OtherSite, properties: dict[str, str], error: type[AppError]
) -> None:
    fake.add_video(
        FIRST,
        live=properties.get("live", "none"),
        duration=properties.get("duration", "PT3M"),
        privacy=properties.get("privacy", "public"),
        upload=properties.get("upload", "processed"),
    )
    with pytest.raises(error):
        await source.resolve(query(f"youtu.be/{FIRST}"))
    assert other.asked == []


async def test_an_age_restricted_video_says_so(fake: FakeYouTubeApi, source: YouTubeSource) -> None:
    fake.add_video(FIRST, age_restricted=True)
    with pytest.raises(MediaAgeRestricted):
        await source.resolve(query(f"youtu.be/{FIRST}"))


async def test_unlisted_videos_are_playable_by_id(fake: FakeYouTubeApi, source: YouTubeSource) -> None:
    fake.add_video(FIRST, privacy="unlisted")
    assert (await source.resolve(query(f"youtu.be/{FIRST}"))).media_id == FIRST


@pytest.mark.parametrize(
    ("reason", "error"),
    [
        ("keyInvalid", YouTubeKeyRejected),
        ("keyExpired", YouTubeKeyRejected),
        ("accessNotConfigured", YouTubeKeyRejected),
        ("ipRefererBlocked", YouTubeKeyRejected),
        ("API_KEY_INVALID", YouTubeKeyRejected),
        ("API_KEY_SERVICE_BLOCKED", YouTubeKeyRejected),
        ("quotaExceeded", YouTubeQuotaExceeded),
        ("dailyLimitExceeded", YouTubeQuotaExceeded),
        ("rateLimitExceeded", YouTubeQuotaExceeded),
        ("backendError", YouTubeApiUnavailable),
        ("500", YouTubeApiUnavailable),
        ("garbage", YouTubeApiUnavailable),
        ("shape", YouTubeApiUnavailable),
        ("html", YouTubeApiUnavailable),
        ("drop", YouTubeApiUnavailable),
    ],
)
async def test_the_apis_own_trouble_has_a_name_whatever_was_asked(
    fake: FakeYouTubeApi, api: YouTubeApi, reason: str, error: type[AppError]
) -> None:
    fake.fail_with(reason)
    with pytest.raises(error) as searched:
        await api.search("song")
    with pytest.raises(error) as described:
        await api.videos([FIRST])
    assert (type(searched.value), type(described.value)) == (error, error)


@pytest.mark.parametrize("reason", ["badRequest", "invalidSearchFilter", "forbidden", "videoNotFound"])
async def test_other_refusals_are_named_by_what_was_asked(fake: FakeYouTubeApi, api: YouTubeApi, reason: str) -> None:
    fake.fail_with(reason)
    with pytest.raises(SearchFailed, match=reason):
        await api.search("song")
    with pytest.raises(DetailsFailed, match=reason):
        await api.videos([FIRST])


async def test_an_api_that_never_answers_is_given_up(fake: FakeYouTubeApi) -> None:
    fake.fail_with("slow")
    async with httpx.AsyncClient() as client:
        impatient = YouTubeApi(client, fake.url, SecretStr(KEY), 0.05)
        with pytest.raises(YouTubeApiUnavailable, match="Timeout"):
            await impatient.search("song")


async def test_an_api_that_cannot_be_reached(fake: FakeYouTubeApi) -> None:
    async with httpx.AsyncClient() as client:
        nobody = YouTubeApi(client, fake.url.replace("127.0.0.1", "127.0.0.2"), SecretStr(KEY), 5)
        with pytest.raises(YouTubeApiUnavailable, match="ConnectError"):
            await nobody.search("song")


@pytest.mark.parametrize("reason", ["quotaExceeded", "500", "garbage"])
@pytest.mark.parametrize("song", ["dua lipa", f"youtu.be/{FIRST}"])
async def test_quota_and_outages_are_logged_and_the_source_behind_answers(
    fake: FakeYouTubeApi, source: YouTubeSource, other: OtherSite, reason: str, song: str
) -> None:
    fake.fail_with(reason)
    with structlog.testing.capture_logs() as logged:
        resolved = await source.resolve(query(song))
    assert resolved.media_id == "other-1"
    assert other.asked == [query(song)]
    assert [(line["event"], line["log_level"]) for line in logged] == [("youtube_api.fallback", "warning")]


async def test_used_up_searches_leave_look_ups_by_id_working(fake: FakeYouTubeApi, source: YouTubeSource) -> None:
    fake.add_video(FIRST, title="song")
    fake.fail_with("quotaExceeded", method="search")
    assert (await source.resolve(query("song"))).media_id == "other-1"
    assert (await source.resolve(query(f"youtu.be/{FIRST}"))).media_id == FIRST
    fake.fail_with(None)
    assert (await source.resolve(query("song"))).media_id == FIRST


async def test_a_rejected_key_is_not_hidden_behind_the_other_source(
    fake: FakeYouTubeApi, source: YouTubeSource, other: OtherSite
) -> None:
    fake.key = "another key"
    with pytest.raises(YouTubeKeyRejected):
        await source.resolve(query("song"))
    assert other.asked == []


async def test_the_key_is_in_no_url_log_line_or_error(
    fake: FakeYouTubeApi, api: YouTubeApi, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    fake.add_video(FIRST, title="song")
    await api.search("song")
    fake.fail_with("keyInvalid")
    with pytest.raises(YouTubeKeyRejected) as caught:
        await api.search("song")
    assert KEY not in caught.value.detail
    assert KEY not in caplog.text
    assert all(KEY not in call.url for call in fake.calls)


@pytest.mark.parametrize("key", ["", " ", "clé", "two\nlines"])
async def test_a_key_that_no_header_can_carry_is_rejected_without_being_repeated(
    fake: FakeYouTubeApi, key: str
) -> None:
    async with httpx.AsyncClient() as client:
        with pytest.raises(YouTubeKeyRejected) as caught:
            await YouTubeApi(client, fake.url, SecretStr(key), 5).search("song")
    assert caught.value.__cause__ is None
    assert fake.calls == []


@pytest.mark.parametrize(
    ("text", "milliseconds"),
    [
        ("PT3M45S", 225_000),
        ("PT1H", 3_600_000),
        ("PT59S", 59_000),
        ("P1DT2H3M4S", 93_784_000),
        ("P1W", 604_800_000),
        ("P0D", 0),
        ("PT0S", 0),
        ("", 0),
        ("3:45", 0),
        ("P1M", 0),
        ("PT-5S", 0),
    ],
)
def test_durations(text: str, milliseconds: int) -> None:
    assert parse_duration(text) == milliseconds


@given(st.integers(0, 99), st.integers(0, 23), st.integers(0, 59), st.integers(0, 59))
def test_durations_add_up(days: int, hours: int, minutes: int, seconds: int) -> None:
    expected = (((days * 24 + hours) * 60 + minutes) * 60 + seconds) * 1000
    assert parse_duration(f"P{days}DT{hours}H{minutes}M{seconds}S") == expected
