"""Questions to the sources: real children over a real site, the real Data API client over a server of ours."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest
import pytest_asyncio
from pydantic import SecretStr

from audio_service.sources import questions as questions_module
from audio_service.sources.questions import Listing, Questions, open_questions
from common.errors import (
    InvalidInput,
    MediaNotFound,
    QueueFull,
    SourceUnavailable,
    UrlNotAllowed,
    YouTubeKeyRejected,
)
from tests.servers.media_site import MediaSite, open_media_site
from tests.servers.youtube_api import FakeYouTubeApi, fake_youtube_api
from tests.unit.audio_service.sources.conftest import settings_for

LIST = "PLMC9KNkIncKtPzgY"
FIRST, SECOND, THIRD = "k2qgadSvNyU", "oygrmJFKYZY", "tgIqecROs5M"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def site(tmp_path_factory: pytest.TempPathFactory) -> AsyncGenerator[MediaSite]:
    async with open_media_site(tmp_path_factory.mktemp("site")) as site:
        yield site


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def asked(site: MediaSite) -> AsyncGenerator[Questions]:
    # As an API process without workers: questions have children of their own.
    async with open_questions(settings_for(site.address, num_workers=0, network_timeout_seconds=5)) as questions:
        yield questions


@pytest.fixture
async def fake() -> AsyncGenerator[FakeYouTubeApi]:
    async with fake_youtube_api() as server:
        yield server


@pytest.fixture
async def by_api(fake: FakeYouTubeApi) -> AsyncGenerator[Questions]:
    settings = settings_for("", youtube_api_url=fake.url, youtube_api_key=SecretStr(fake.key))
    async with open_questions(settings) as questions:
        yield questions


def titles(listing: Listing) -> list[str]:
    return [item.title for item in listing.items]


@pytest.mark.asyncio(loop_scope="module")
async def test_a_feed_holds_its_items_in_order_up_to_the_limit(asked: Questions, site: MediaSite) -> None:
    sources = [site.file(f"{number}.mp3") for number in range(5)]
    listing = await asked.playlist(site.feed(*sources, title="Five parts"), 3)
    assert listing.title == "Five parts"
    assert titles(listing) == ["Part 1", "Part 2", "Part 3"]
    assert [item.url for item in listing.items] == sources[:3]
    assert listing.total == 5
    assert not any(site.gets[site.file_path(f"{number}.mp3")] for number in range(5)), "an item was looked at"


@pytest.mark.asyncio(loop_scope="module")
async def test_a_page_with_several_media_holds_each_by_an_address_of_its_own(asked: Questions, site: MediaSite) -> None:
    sources = [site.file("a.mp3"), site.file("b.mp3")]
    listing = await asked.playlist(site.album(*sources, title="Two"), 10)
    assert [item.url for item in listing.items] == sources
    assert all(item.title.startswith("Two") for item in listing.items)


@pytest.mark.asyncio(loop_scope="module")
async def test_a_list_as_players_write_it_is_a_playlist(asked: Questions, site: MediaSite) -> None:
    text = "#EXTM3U\n#PLAYLIST:Mine\n#EXTINF:61,One\nfiles/a.mp3\n#EXTINF:-1,Two\n/files/b.mp3\nfiles/c.mp3\n"
    for changed in (text, text.replace("\n", "\r\n")):
        listing = await asked.playlist(site.to("/body", text=changed), 2)
        assert (listing.title, listing.total, titles(listing)) == ("Mine", 3, ["One", "Two"])
        assert [item.url for item in listing.items] == [site.file("a.mp3"), site.file("b.mp3")]
        assert [item.duration_ms for item in listing.items] == [61_000, 0]
        assert listing.items[0].platform == "127.0.0.1"
    assert not any(site.gets[site.file_path(f"{name}.mp3")] for name in "abc"), "an item was looked at"


@pytest.mark.asyncio(loop_scope="module")
async def test_what_is_no_playlist_has_no_items(asked: Questions, site: MediaSite) -> None:
    (site.directory / "one.mp3").write_bytes(bytes(2000))
    file = site.file("one.mp3")
    for url in (file, site.redirect(file), site.page(file), site.jsonld(file)):
        assert await asked.playlist(url, 10) == Listing()
    assert await asked.playlist(f"https://www.youtube.com/watch?v={FIRST}&list={LIST}", 10) == Listing()


@pytest.mark.asyncio(loop_scope="module")
async def test_an_address_of_a_file_is_no_playlist_and_is_not_requested(asked: Questions, site: MediaSite) -> None:
    (site.directory / "link.flac").write_bytes(bytes(2000))
    before = len(site.requests)
    for url in (
        site.file("link.flac", signed="once"),
        site.to("/download", file="A song.MP3"),
        site.to("/bucket/8f3a", **{"response-content-disposition": 'attachment; filename="a.ogg"'}),
        site.to("/bucket/8f3a", **{"X-Amz-Signature": "00ff"}),
    ):
        assert await asked.playlist(url, 10) == Listing()
    assert len(site.requests) == before


@pytest.mark.asyncio(loop_scope="module")
async def test_an_answer_is_remembered_and_asked_for_once_at_a_time(asked: Questions, site: MediaSite) -> None:
    url = site.feed(site.file("x.mp3"), title="Once")
    answers = await asyncio.gather(*(asked.playlist(url, 5) for _ in range(5)))
    assert len(set(answers)) == 1
    assert sum("title=Once" in line for line in site.requests if line.startswith("GET")) == 1


@pytest.mark.asyncio(loop_scope="module")
async def test_the_guard_and_the_source_say_no_in_their_own_words(asked: Questions, site: MediaSite) -> None:
    for url, error in (
        ("http://10.1.2.3/list", UrlNotAllowed),
        ("ftp://example.org/list", UrlNotAllowed),
        ("some words", InvalidInput),
        (site.to("/status/404"), MediaNotFound),
        (site.redirect("http://10.1.2.3/list"), UrlNotAllowed),
    ):
        with pytest.raises(error):
            await asked.playlist(url, 5)


@pytest.mark.asyncio(loop_scope="module")
async def test_a_silent_site_is_given_up_in_time_and_the_next_question_answered(
    asked: Questions, site: MediaSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    await asked.playlist(site.feed(site.file("warm.mp3")), 1)
    monkeypatch.setattr(questions_module, "PLAYLIST_SECONDS", 0.5)
    with pytest.raises(SourceUnavailable):
        await asked.playlist(site.to("/body", silent=1), 5)
    monkeypatch.undo()
    assert len((await asked.playlist(site.feed(site.file("next.mp3"), title="Next"), 5)).items) == 1


@pytest.mark.asyncio(loop_scope="module")
async def test_too_many_questions_are_refused_at_once(
    asked: Questions, site: MediaSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = site.feed(site.file("known.mp3"), title="Known")
    await asked.playlist(known, 5)
    monkeypatch.setattr(questions_module, "_MAX_WAITING", 0)
    with pytest.raises(QueueFull):
        await asked.playlist(site.feed(site.file("more.mp3"), title="More"), 5)
    assert len((await asked.playlist(known, 5)).items) == 1, "what is known needs nobody to ask"


async def test_the_data_api_searches_when_there_is_a_key(fake: FakeYouTubeApi, by_api: Questions) -> None:
    fake.add_video(FIRST, title="New Rules", duration="PT3M45S")
    fake.add_video(SECOND, title="New Rules & more", live="live")
    fake.add_video(THIRD, title="New Rules again")
    listing = await by_api.search("new rules", 5)
    assert titles(listing) == ["New Rules", "New Rules again"]
    assert listing.items[0].url == f"https://www.youtube.com/watch?v={FIRST}"
    assert listing.items[0].duration_ms == 225_000
    assert await by_api.search("  NEW  rules ", 5) == listing
    assert fake.count("search") == 1


async def test_the_data_api_lists_a_playlist_page_by_page_and_leaves_out_what_is_gone(
    fake: FakeYouTubeApi, by_api: Questions
) -> None:
    ids = [f"video-{number:05}" for number in range(120)]
    for video_id in ids[1:]:
        fake.add_video(video_id, title=f"Song {video_id}")
    fake.add_playlist(LIST, *ids, title="Many")
    listing = await by_api.playlist(f"https://music.youtube.com/playlist?list={LIST}", 70)
    assert (listing.title, listing.total) == ("Many", 120)
    assert titles(listing) == [f"Song {video_id}" for video_id in ids[1:70]]
    assert fake.count("playlistItems") == 2
    assert fake.count("videos") == 2


async def test_half_a_character_in_a_title_of_the_api_is_left_out(fake: FakeYouTubeApi, by_api: Questions) -> None:
    fake.add_video(FIRST, title="New \ud83d Rules")
    fake.add_playlist(LIST, FIRST, title="Cut \ud83d\nin two")
    listing = await by_api.playlist(f"https://music.youtube.com/playlist?list={LIST}", 5)
    assert (listing.title, titles(listing)) == ("Cut in two", ["New Rules"])
    assert titles(await by_api.search("new rules", 5)) == ["New Rules"]


async def test_a_playlist_that_is_not_there(fake: FakeYouTubeApi, by_api: Questions) -> None:
    with pytest.raises(MediaNotFound):
        await by_api.playlist(f"https://www.youtube.com/playlist?list={LIST}", 5)
    fake.fail_with("playlistNotFound", method="playlistItems")
    fake.add_playlist(LIST, FIRST)
    with pytest.raises(MediaNotFound):
        await by_api.playlist(f"https://www.youtube.com/playlist?list={LIST}", 5)


async def test_a_rejected_key_is_said(fake: FakeYouTubeApi, by_api: Questions) -> None:
    fake.key = "another"
    with pytest.raises(YouTubeKeyRejected):
        await by_api.search("words", 5)


@pytest.mark.parametrize("words", ["", "   ", "https://example.org/x", "x" * 501])
async def test_words_that_are_none(by_api: Questions, fake: FakeYouTubeApi, words: str) -> None:
    with pytest.raises(InvalidInput):
        await by_api.search(words, 5)
    assert fake.calls == []


async def test_with_a_key_other_sites_are_still_asked_directly(fake: FakeYouTubeApi, tmp_path: Path) -> None:
    async with open_media_site(tmp_path) as site:
        settings = settings_for(site.address, youtube_api_url=fake.url, youtube_api_key=SecretStr(fake.key))
        async with open_questions(settings) as questions:
            assert len((await questions.playlist(site.feed(site.file("a.mp3")), 5)).items) == 1
    assert fake.calls == []
