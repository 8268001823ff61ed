"""What every MediaSource keeps. A new adapter adds a parameter and its `World`, and no test.

yt-dlp runs in real child processes against a site on loopback, which no name of the Internet resolves to; the YouTube
Data API's source stands in front of it, as in the service, against a server with the API's shapes.
"""

from __future__ import annotations

import asyncio
import itertools
import shutil
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path

import pytest
import pytest_asyncio
from pydantic import SecretStr

from audio_service.audio.base import Origin
from audio_service.children.jobs import ChildProgress
from audio_service.children.pool import ChildPool, open_children
from audio_service.media.model import check_media_id
from audio_service.settings import AudioSettings
from audio_service.sources.base import MediaSource, Query, Resolved
from audio_service.sources.client import fetch, open_ytdlp
from audio_service.sources.query import parse_query
from audio_service.sources.youtube.api import open_youtube_api
from audio_service.sources.youtube.source import YouTubeSource
from common.dca import DcaReader
from common.errors import (
    AppError,
    MediaLive,
    MediaTooLong,
    ProcessingCrashed,
    SearchFailed,
    SourceError,
    UrlNotAllowed,
)
from tests.servers.media_files import make
from tests.servers.media_site import MediaSite, open_media_site
from tests.servers.ports import free_port
from tests.servers.youtube_api import KEY, FakeYouTubeApi, fake_youtube_api
from tests.unit.audio_service.children import lying_child
from tests.unit.audio_service.sources.conftest import MAX_SECONDS, settings_for
from tests.waiting import patience, until

pytestmark = pytest.mark.asyncio(loop_scope="module")

SECONDS = 2
HELD_AT = 4096
UNCLEAN_TITLE = "New\nRules\u202e \x07 (live)"


class World(ABC):
    """One adapter, and the media that it can find, made on demand. Each call makes another piece of media."""

    def __init__(self, source: MediaSource, site: MediaSite, children: ChildPool, song: Path, refusing: int) -> None:
        self.source = source
        self.site = site
        self.children = children
        self.song = song
        self.refusing = refusing

    @abstractmethod
    def media(self, *, title: str = "New Rules", seconds: int = SECONDS, **behaviour: int) -> Query:
        """Publish media and return a query that names it. `behaviour` is how its file is sent (see MediaSite)."""

    @abstractmethod
    def missing(self) -> Query:
        """Return a query that names nothing."""

    @abstractmethod
    def live(self) -> Query:
        """Return a query that names a live stream."""

    @abstractmethod
    def unreachable(self) -> Query:
        """Return a query that names media whose server refuses connections."""

    @abstractmethod
    def silent(self) -> Query:
        """Return a query that names media whose server never answers."""

    @abstractmethod
    def unsearchable(self) -> Query:
        """Return words while no search can be made."""

    def elsewhere(self, url: str) -> Query:
        """Return the query of a URL that carries no id."""
        return parse_query(url, "https://www.youtube.com/watch?v={id}")

    def requests(self) -> int:
        """Return how many requests the adapter's servers have received."""
        return len(self.site.requests)

    def bytes_of_media(self) -> int:
        """Return how many bytes of media files the site has sent."""
        return sum(count for path, count in self.site.bytes_sent.items() if path.startswith("/files/"))


class YtDlpWorld(World):
    """Pages of a site whose JSON-LD names a file and its duration."""

    def media(self, *, title: str = "New Rules", seconds: int = SECONDS, **behaviour: int) -> Query:
        copy = self.song.with_name(f"song-{next(_numbers)}{self.song.suffix}")
        shutil.copyfile(self.song, copy)
        return self.elsewhere(self.site.jsonld(self.site.file(copy, **behaviour), title=title, seconds=seconds))

    def missing(self) -> Query:
        return self.elsewhere(self.site.to("/status/404"))

    def live(self) -> Query:
        return self.elsewhere(self.site.playlist(self.site.file(self.song), live=True))

    def unreachable(self) -> Query:
        return self.elsewhere(f"http://127.0.0.1:{self.refusing}/song.webm")

    def silent(self) -> Query:
        return self.elsewhere(self.site.file(self.song, silent=1))

    def unsearchable(self) -> Query:
        return self.elsewhere("dua lipa new rules")


class YouTubeWorld(World):
    """Videos of the Data API, whose watch pages are files of the site. The API fails where the test wants a failure:
    the source behind it then meets the same failure at the watch page.
    """

    api: FakeYouTubeApi

    def media(self, *, title: str = "New Rules", seconds: int = SECONDS, **behaviour: int) -> Query:
        del behaviour  # the adapter never asks for the file
        video_id = self._new_id()
        self.api.add_video(video_id, title=title, duration=f"PT{seconds}S")
        shutil.copyfile(self.song, self.song.with_name(f"{video_id}{self.song.suffix}"))
        return self._query(video_id)

    def missing(self) -> Query:
        return self._query(self._new_id())

    def live(self) -> Query:
        video_id = self._new_id()
        self.api.add_video(video_id, live="live", duration="P0D")
        return self._query(video_id)

    def unreachable(self) -> Query:
        self.api.fail_with("drop")
        return replace(self.missing(), text=f"http://127.0.0.1:{self.refusing}/song.webm")

    def silent(self) -> Query:
        self.api.fail_with("slow")
        return replace(self.missing(), text=self.site.file(self.song, silent=1))

    def unsearchable(self) -> Query:
        self.api.fail_with("quotaExceeded", method="search")
        return self.elsewhere("dua lipa new rules")

    def requests(self) -> int:
        return super().requests() + len(self.api.calls)

    def _new_id(self) -> str:
        return f"{next(_numbers):011}"

    def _query(self, video_id: str) -> Query:
        return parse_query(f"https://youtu.be/{video_id}", watch_url(self.site))


_numbers = itertools.count()


def watch_url(site: MediaSite) -> str:
    return f"{site.url}/files/{{id}}.webm"


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=["ytdlp", "youtube"])
async def opened(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> AsyncGenerator[World, None]:
    directory = tmp_path_factory.mktemp("media")
    song = make("webm_opus", directory, SECONDS)
    refusing = free_port()
    async with AsyncExitStack() as stack:
        site = await stack.enter_async_context(open_media_site(directory))
        settings = settings_for(f"{site.address},127.0.0.1:{refusing}", network_timeout_seconds=patience(2))
        children = await stack.enter_async_context(open_children(settings, module=lying_child.__name__))
        ytdlp = open_ytdlp(settings, children)
        if request.param == "ytdlp":
            yield YtDlpWorld(ytdlp, site, children, song, refusing)
            return
        fake = await stack.enter_async_context(fake_youtube_api())
        keyed: AudioSettings = settings.model_copy(
            update={"youtube_api_key": SecretStr(KEY), "youtube_api_url": fake.url}
        )
        api = await stack.enter_async_context(open_youtube_api(keyed))
        source = YouTubeSource(api, ytdlp, watch_url(site), MAX_SECONDS * 1000)
        world = YouTubeWorld(source, site, children, song, refusing)
        world.api = fake
        yield world


@pytest.fixture
def world(opened: World) -> World:
    """The adapter's world, with every server well."""
    if isinstance(opened, YouTubeWorld):
        opened.api.fail_with(None)
    return opened


async def fetched_frames(world: World, resolved: Resolved, directory: Path) -> int:
    made = await fetch(
        world.children,
        resolved,
        directory,
        origin=Origin(),
        on_progress=_ignore,
        deadline_seconds=30,
    )
    with made.path.open("rb") as file:
        return sum(1 for _ in DcaReader(file))


def _ignore(_: ChildProgress) -> None:
    """Progress is of no interest here."""


async def test_media_is_described(world: World) -> None:
    resolved = await world.source.resolve(world.media(title="Dua Lipa - New Rules", seconds=42))
    assert check_media_id(resolved.media_id) == resolved.media_id
    assert (resolved.metadata.title, resolved.metadata.duration_ms) == ("Dua Lipa - New Rules", 42_000)
    assert resolved.metadata.url.startswith(world.site.url)
    assert resolved.metadata.thumbnail_url.startswith("http")
    assert resolved.metadata.platform


async def test_titles_are_one_line_without_control_characters(world: World) -> None:
    assert (await world.source.resolve(world.media(title=UNCLEAN_TITLE))).metadata.title == "New Rules (live)"


async def test_the_same_query_has_the_same_id_and_other_media_another(world: World) -> None:
    first, second = world.media(), world.media()
    ids = [(await world.source.resolve(query)).media_id for query in (first, second, first)]
    assert ids[0] == ids[2]
    assert ids[0] != ids[1]


async def test_resolving_waits_for_no_more_than_the_start_of_the_media(world: World) -> None:
    before = world.bytes_of_media()
    assert (await world.source.resolve(world.media(hold=HELD_AT))).metadata.title == "New Rules"
    assert world.bytes_of_media() - before <= HELD_AT


@pytest.mark.parametrize("with_info", [True, False], ids=["at_once", "later"])
async def test_what_was_resolved_can_be_fetched(world: World, tmp_path: Path, *, with_info: bool) -> None:
    resolved = await world.source.resolve(world.media())
    frames = await fetched_frames(world, resolved if with_info else replace(resolved, info=None), tmp_path)
    assert abs(frames * 20 - SECONDS * 1000) < 200


async def test_media_of_the_longest_duration_is_resolved_and_longer_media_is_refused(world: World) -> None:
    longest = await world.source.resolve(world.media(seconds=MAX_SECONDS))
    assert longest.metadata.duration_ms == MAX_SECONDS * 1000
    with pytest.raises(MediaTooLong):
        await world.source.resolve(world.media(seconds=MAX_SECONDS + 1))


async def test_what_is_missing_is_a_final_failure(world: World) -> None:
    assert not await failure(world, world.missing(), SourceError)


async def test_a_live_stream_is_a_final_failure(world: World) -> None:
    assert not await failure(world, world.live(), MediaLive)


async def test_a_server_that_refuses_connections_is_worth_another_attempt(world: World) -> None:
    assert await failure(world, world.unreachable(), SourceError)


async def test_a_server_that_never_answers_is_worth_another_attempt(world: World) -> None:
    assert await failure(world, world.silent(), AppError)


async def test_a_search_that_cannot_be_made_is_worth_another_attempt(world: World) -> None:
    assert await failure(world, world.unsearchable(), SearchFailed)


@pytest.mark.parametrize("by_redirect", [False, True], ids=["directly", "by_redirect"])
async def test_an_address_that_the_guard_refuses_is_a_final_failure(world: World, *, by_redirect: bool) -> None:
    inside = f"http://127.0.0.1:{free_port()}/song.mp3"
    assert not await failure(
        world, world.elsewhere(world.site.redirect(inside) if by_redirect else inside), UrlNotAllowed
    )


async def test_a_url_that_carries_no_id_is_resolved_by_every_source(world: World) -> None:
    page = world.site.page(world.site.file(world.song), title="From elsewhere")
    assert (await world.source.resolve(world.elsewhere(page))).metadata.title == "From elsewhere"


async def test_a_child_that_dies_is_reported_and_the_next_query_is_resolved(world: World) -> None:
    page = world.site.to("/body", text="<html></html>", type="text/html", kill=0)
    assert await failure(world, world.elsewhere(page), ProcessingCrashed)
    assert (await world.source.resolve(world.media())).media_id


async def test_a_cancelled_query_leaves_the_source_usable(world: World) -> None:
    query, before = world.silent(), world.requests()
    asking = asyncio.ensure_future(world.source.resolve(query))
    await until(lambda: world.requests() > before)
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    if isinstance(world, YouTubeWorld):
        world.api.fail_with(None)
    assert (await world.source.resolve(world.media(title="After"))).metadata.title == "After"


async def test_queries_at_the_same_time_each_get_their_own_answer(world: World) -> None:
    titles = [f"Song {number}" for number in range(5)]
    found = await asyncio.gather(*(world.source.resolve(world.media(title=title)) for title in titles))
    assert [resolved.metadata.title for resolved in found] == titles
    assert len({resolved.media_id for resolved in found}) == len(titles)


async def failure(world: World, query: Query, kind: type[AppError]) -> bool:
    """Resolve what cannot be resolved, and return whether the failure is worth another attempt."""
    with pytest.raises(kind) as caught:
        await world.source.resolve(query)
    return caught.value.retryable
