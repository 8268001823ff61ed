"""A link that is good for one request: the response that shows that it is a file is the one that is downloaded."""

from __future__ import annotations

import itertools
import shutil
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from audio_service.sources.base import Resolved
from common.errors import MediaNotFound
from tests.servers.media_files import make
from tests.unit.audio_service.sources.conftest import Bench

pytestmark = pytest.mark.asyncio(loop_scope="module")

SECONDS = 3
_numbers = itertools.count()


def one_time(bench: Bench, media: Path, name: str = "song.webm", kind: str = "webm_opus", **query: str | int) -> str:
    """Return a link to a file of its own, whose second GET is answered with 410."""
    folder = media / f"once-{next(_numbers)}"
    folder.mkdir()
    shutil.copyfile(make(kind, media, SECONDS), folder / name)
    return bench.site.file(folder / name, then=410, **query)


def requests_of(bench: Bench, url: str) -> list[str]:
    parts = urlsplit(url)
    return [line for line in bench.site.requests if line.endswith(f" {parts.path}?{parts.query}")]


LINKS: dict[str, tuple[str, str, dict[str, str]]] = {
    "suffix": ("song.webm", "webm_opus", {}),
    "ogg": ("song.ogg", "ogg_opus", {"type": "application/ogg"}),
    "octets": ("song.m4a", "m4a", {"type": "application/octet-stream"}),
    "no_suffix": ("8f3a", "webm_opus", {"type": "audio/webm"}),
    "octets_without_suffix": ("8f3a", "mp3", {"type": "application/octet-stream"}),
    "text": ("8f3a", "webm_opus", {"type": "text/plain"}),
    "other_letters": ("Corazón ñandú.webm", "webm_opus", {}),
}


@pytest.mark.parametrize("form", LINKS)
async def test_it_is_requested_once(bench: Bench, media: Path, form: str) -> None:
    name, kind, query = LINKS[form]
    link = one_time(bench, media, name, kind, **query)
    fetched = await bench.run(link)
    assert abs(fetched.encoded.duration_ms - SECONDS * 1000) < 200
    assert [line.split()[0] for line in requests_of(bench, link)] == ["GET"]
    assert fetched.downloaded_bytes == make(kind, media, SECONDS).stat().st_size


async def test_the_target_of_a_redirect_is_requested_once(bench: Bench, media: Path) -> None:
    link = one_time(bench, media)
    way = bench.site.redirect(link, hops=2)
    resolved = await bench.resolve(way)
    assert resolved.metadata.url == link
    assert (await bench.fetch(resolved)).encoded.mode == "passthrough"
    assert len(requests_of(bench, link)) == len(requests_of(bench, way)) == 1


async def test_the_only_song_of_a_list_is_requested_once(bench: Bench, media: Path) -> None:
    link = one_time(bench, media)
    assert await bench.run(bench.site.to("/body", text=f"#EXTM3U\n#EXTINF:3,A song\n{link}\n"))
    assert len(requests_of(bench, link)) == 1


async def test_without_a_resolution_one_request_does_for_both(bench: Bench, media: Path) -> None:
    known = await bench.resolve(bench.site.file(make("webm_opus", media, SECONDS)))
    link = one_time(bench, media)
    resolved = replace(known, metadata=known.metadata.model_copy(update={"url": link}), info=None, held_by=None)
    assert (await bench.fetch(resolved)).encoded.mode == "passthrough"
    assert len(requests_of(bench, link)) == 1


async def test_it_goes_on_by_range_when_the_first_response_breaks_off(bench: Bench, media: Path) -> None:
    path = make("webm_opus", media, 20)
    link = bench.site.file(path, cut=path.stat().st_size // 2, times=1, link="breaks")
    fetched = await bench.run(link)
    assert abs(fetched.encoded.duration_ms - 20_000) < 200
    assert len(requests_of(bench, link)) == 2


async def test_what_is_held_is_for_its_own_address(bench: Bench, media: Path) -> None:
    """Another song is fetched between: the link is used up, and the other one is not given its bytes."""
    link = one_time(bench, media)
    resolved: Resolved = await bench.resolve(link)
    other = await bench.run(bench.site.page(bench.site.file(make("m4a", media, SECONDS)), title="Another"))
    assert other.encoded.source_codec == "aac"
    with pytest.raises(MediaNotFound):
        await bench.fetch(resolved)
