from __future__ import annotations

import contextlib
import socket
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import contextmanager
from pathlib import Path

import pytest
import pytest_asyncio

from audio_service.children.pool import open_children
from audio_service.sources.base import Query
from audio_service.sources.client import open_ytdlp
from common.errors import MediaUnsupported, SearchFailed, SourceUnavailable, UrlNotAllowed
from tests.servers.media_files import make
from tests.servers.media_site import MediaSite, open_media_site
from tests.unit.audio_service.children import lying_child
from tests.unit.audio_service.sources.conftest import Bench, settings_for

pytestmark = pytest.mark.asyncio(loop_scope="module")


class Secret:
    """A service inside, that nobody may talk to."""

    def __init__(self, listener: socket.socket) -> None:
        self._listener = listener
        self.port = int(listener.getsockname()[1])

    def assert_untouched(self) -> None:
        self._listener.settimeout(0)
        with pytest.raises(BlockingIOError):
            self._listener.accept()


@contextmanager
def open_secret(host: str = "127.0.0.1") -> Generator[Secret]:
    with socket.create_server((host, 0)) as listener:
        yield Secret(listener)


@pytest.fixture
def secret() -> Generator[Secret]:
    with open_secret() as secret:
        yield secret


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def liar(media: Path, tmp_path_factory: pytest.TempPathFactory) -> AsyncGenerator[Bench]:
    async with open_media_site(media) as site:
        settings = settings_for(site.address)
        async with open_children(settings, module=lying_child.__name__) as pool:
            yield Bench(site, pool, settings, tmp_path_factory.mktemp("liar"), "")


FORMS = ("127.0.0.1", "2130706433", "0177.0.0.1", "0x7f000001", "0x7f.1", "127.1", "[::ffff:127.0.0.1]", "localhost")
WAYS: dict[str, Callable[[MediaSite, str], str]] = {
    "directly": lambda _, target: target,
    "by redirect": lambda site, target: site.redirect(target, code=307),
    "by the last of several redirects": lambda site, target: site.redirect(target, hops=4),
    "by <audio>": lambda site, target: site.page(target),
    "by <source>": lambda site, target: site.page(target, tag="video"),
    "by JSON-LD": lambda site, target: site.jsonld(target),
    "inside a playlist": lambda site, target: site.playlist(target),
    "inside an M3U": lambda site, target: site.to("/body", text=f"#EXTM3U\n{target}\n"),
    "inside a PLS": lambda site, target: site.to("/body", text=f"[playlist]\nFile1={target}\n"),
    "inside an ASX": lambda site, target: site.to("/body", text=f'<asx><entry><ref href="{target}"/></entry></asx>'),
}


@pytest.mark.parametrize("form", FORMS)
async def test_no_spelling_of_an_inner_address_gets_through(bench: Bench, secret: Secret, form: str) -> None:
    with pytest.raises(UrlNotAllowed):
        await bench.run(f"http://{form}:{secret.port}/song.mp3")
    secret.assert_untouched()


@pytest.mark.parametrize("way", WAYS)
async def test_no_way_leads_to_an_inner_address(bench: Bench, secret: Secret, way: str) -> None:
    with pytest.raises(UrlNotAllowed):
        await bench.run(WAYS[way](bench.site, f"http://127.0.0.1:{secret.port}/song.mp3"))
    secret.assert_untouched()
    assert bench.leftovers() == []


@pytest.mark.parametrize("way", WAYS)
async def test_no_way_leads_to_the_metadata_service(bench: Bench, way: str) -> None:
    with pytest.raises(UrlNotAllowed):
        await bench.run(WAYS[way](bench.site, "http://169.254.169.254/latest/meta-data/"))


@pytest.mark.parametrize("way", ["directly", "by redirect", "by <source>", "inside a playlist", "inside an M3U"])
@pytest.mark.parametrize("target", ["file:///etc/hostname", "ftp://127.0.0.1/song.mp3"])
async def test_no_way_leads_to_another_scheme(bench: Bench, way: str, target: str) -> None:
    with pytest.raises((UrlNotAllowed, MediaUnsupported)):
        await bench.run(WAYS[way](bench.site, target))


async def test_more_redirects_than_allowed_are_refused(bench: Bench, media: Path) -> None:
    target = bench.site.file(make("webm_opus", media, 3))
    limit = bench.settings.max_redirects
    assert await bench.run(bench.site.redirect(target, hops=limit))
    with pytest.raises(UrlNotAllowed):
        await bench.run(bench.site.redirect(target, hops=limit + 1))


async def test_media_that_is_a_list_of_addresses_is_not_followed(bench: Bench, secret: Secret) -> None:
    listing = f"#EXTM3U\n#EXTINF:9,\nhttp://127.0.0.1:{secret.port}/a.ts\n#EXT-X-ENDLIST\n"
    with pytest.raises(MediaUnsupported):
        await bench.run(bench.site.to("/body", text=listing, type="audio/mpeg"))
    secret.assert_untouched()


@pytest.mark.parametrize("host", ["inside.test", "mapped.test", "metadata.test"])
async def test_a_name_that_leads_inside_is_refused(liar: Bench, secret: Secret, host: str) -> None:
    with pytest.raises(UrlNotAllowed):
        await liar.run(f"http://{host}:{secret.port}/song.mp3")
    secret.assert_untouched()


async def test_a_name_whose_answer_changes_is_refused_at_the_second(liar: Bench) -> None:
    with open_secret("127.0.0.2") as secret:
        # The first answer is the site, which is allowed; it leads to its own name, which leads inside by now.
        page = liar.site.page(f"http://moving.test:{secret.port}/song.mp3").replace("127.0.0.1", "moving.test", 1)
        resolved = await liar.resolve(page)
        with pytest.raises(UrlNotAllowed):
            await liar.fetch(resolved)
        secret.assert_untouched()


async def test_a_name_without_an_address_is_the_source_being_away(liar: Bench) -> None:
    with pytest.raises(SourceUnavailable):
        await liar.run("http://no-such-host.test/song.mp3")


async def test_a_search_that_does_not_get_through_is_worth_another_attempt(liar: Bench) -> None:
    source = open_ytdlp(liar.settings, liar.pool)
    with pytest.raises(SearchFailed):
        await source.resolve(Query(text="dua lipa new rules", is_url=False, media_id=None, key="q-test"))


async def test_an_answer_inside_is_reachable_when_the_operator_says_so(media: Path, tmp_path: Path) -> None:
    with contextlib.suppress(FileExistsError):
        tmp_path.mkdir()
    async with open_media_site(media) as site:
        settings = settings_for("localhost")
        async with open_children(settings) as pool:
            bench = Bench(site, pool, settings, tmp_path, "")
            url = site.file(make("webm_opus", media, 3)).replace("127.0.0.1", "localhost")
            assert (await bench.run(url)).encoded.mode == "passthrough"
