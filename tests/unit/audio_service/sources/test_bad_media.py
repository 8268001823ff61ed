from __future__ import annotations

import asyncio
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest

from audio_service.audio.base import Origin
from audio_service.children.pool import open_children
from audio_service.sources.client import fetch
from common.dca import DcaMetadata, DcaWriter
from common.errors import (
    AppError,
    MediaCorrupt,
    MediaEncrypted,
    MediaLive,
    MediaNotFound,
    MediaTooLarge,
    MediaTooLong,
    MediaTruncated,
    MediaUnsupported,
    ProcessingTimeout,
    SourceAuthRequired,
    SourceForbidden,
    SourceTruncated,
    SourceUnavailable,
    StorageFull,
)
from tests.servers.media_damage import truncated
from tests.servers.media_files import make
from tests.servers.media_site import MediaSite
from tests.unit.audio_service.sources.conftest import MAX_BYTES, MAX_SECONDS, Bench, settings_for

pytestmark = pytest.mark.asyncio(loop_scope="module")


HALF = 150_000


def song(media: Path) -> Path:
    return make("webm_opus", media, 3)


def longer_song(media: Path) -> Path:
    """Return twice HALF: several of the blocks in which a download arrives."""
    return make("webm_opus", media, 20)


def changed(playlist: Path, line: str) -> Path:
    """Return a copy of a playlist with this line before its first segment."""
    copy = playlist.with_name(f"changed-{abs(hash(line))}.m3u8")
    copy.write_text(playlist.read_text().replace("#EXTINF", f"{line}\n#EXTINF", 1))
    return copy


def with_error_page(media: Path) -> Path:
    """Return a playlist of three segments, the second one an error page."""
    playlist = make("hls", media, 6)
    names = [line for line in playlist.read_text().splitlines() if line.endswith(".ts")]
    page = playlist.with_name("error.ts")
    page.write_text("<html><body>502 Bad Gateway</body></html>")
    copy = playlist.with_name("error-page.m3u8")
    copy.write_text(playlist.read_text().replace(names[1], page.name))
    return copy


def with_other_container(media: Path) -> Path:
    """Return a playlist of MPEG-TS that ends with a WebM, of a third of the whole."""
    playlist = make("hls", media, 6)
    other = playlist.with_name("other.webm")
    other.write_bytes(make("webm_opus", media, 3).read_bytes())
    copy = playlist.with_name("other-container.m3u8")
    lines = f"#EXT-X-DISCONTINUITY\n#EXTINF:3.0,\n{other.name}\n#EXT-X-ENDLIST"
    copy.write_text(playlist.read_text().replace("#EXT-X-ENDLIST", lines))
    return copy


Ask = Callable[[MediaSite, Path], str]
BAD_INPUT: dict[str, tuple[Ask, type[AppError]]] = {
    "401": (lambda site, _: site.to("/status/401"), SourceAuthRequired),
    "403": (lambda site, _: site.to("/status/403"), SourceForbidden),
    "404": (lambda site, _: site.to("/status/404"), MediaNotFound),
    "410": (lambda site, _: site.to("/status/410"), MediaNotFound),
    "429": (lambda site, _: site.to("/status/429"), SourceUnavailable),
    "500": (lambda site, _: site.to("/status/500"), SourceUnavailable),
    "503": (lambda site, _: site.to("/status/503"), SourceUnavailable),
    "404 behind a page": (lambda site, _: site.page(site.to("/status/404")), MediaNotFound),
    "truncated body": (lambda site, media: site.file(longer_song(media), cut=HALF), SourceTruncated),
    "longer than it is": (lambda site, media: site.file(song(media), claim=90_000), SourceTruncated),
    "whole, and cut off at its server": (
        lambda site, media: site.file(truncated(longer_song(media), 0.5)),
        MediaTruncated,
    ),
    "breaks off, cannot go on": (
        lambda site, media: site.page(site.file(longer_song(media), cut=HALF, times=1, ranges="no")),
        SourceTruncated,
    ),
    "breaks off, is another file then": (
        lambda site, media: site.page(site.file(longer_song(media), cut=HALF, times=1, etag="changing")),
        SourceTruncated,
    ),
    "zero length": (lambda site, _: site.to("/body", type="audio/mpeg"), MediaUnsupported),
    "text": (lambda site, _: site.to("/body", text="not a song"), MediaUnsupported),
    "a song of ours": (lambda site, media: site.file(of_ours(media)), MediaUnsupported),
    "a page without media": (
        lambda site, _: site.to("/body", text="<html></html>", type="text/html"),
        MediaUnsupported,
    ),
    "junk that says it is MP3": (lambda site, _: site.to("/body", junk=50_000, type="audio/mpeg"), MediaUnsupported),
    "corrupt container": (
        lambda site, media: site.file(make("webm_opus", media, 3), type="audio/webm", damage=1),
        MediaCorrupt,
    ),
    "too large, as announced": (lambda site, media: site.file(song(media), claim=MAX_BYTES + 1), MediaTooLarge),
    "too large, unannounced": (lambda site, _: site.to("/endless.wav"), MediaTooLarge),
    "a page that grows when unpacked": (lambda site, _: site.to("/gzip-page"), MediaTooLarge),
    "too long, as announced": (
        lambda site, media: site.jsonld(site.file(song(media)), seconds=MAX_SECONDS + 1),
        MediaTooLong,
    ),
    "too long, unannounced": (
        lambda site, media: site.file(make("webm_opus", media, MAX_SECONDS + 10)),
        MediaTooLong,
    ),
    "a part that was not asked for": (
        lambda site, media: site.page(site.file(longer_song(media), unasked=HALF)),
        MediaTruncated,
    ),
    "a radio stream": (lambda site, media: site.file(make("mp3", media, 3), radio=1), MediaLive),
    "a radio stream behind a page": (
        lambda site, media: site.page(site.file(make("mp3", media, 3), radio=1)),
        MediaLive,
    ),
    "HLS with encrypted samples": (
        lambda site, media: site.file(changed(make("hls", media, 3), '#EXT-X-KEY:METHOD=SAMPLE-AES,URI="k"')),
        MediaEncrypted,
    ),
    "HLS with protected samples": (
        lambda site, media: site.file(changed(make("hls", media, 3), '#EXT-X-KEY:METHOD=SAMPLE-AES,URI="skd://k"')),
        MediaEncrypted,
    ),
    "HLS with an error page in it": (lambda site, media: site.file(with_error_page(media)), SourceTruncated),
    "HLS that goes on in another container": (
        lambda site, media: site.file(with_other_container(media)),
        SourceTruncated,
    ),
    "live": (lambda site, media: site.live(make("hls", media, 3)), MediaLive),
    "live behind a page": (lambda site, media: site.page(site.live(make("hls", media, 3))), MediaLive),
    "live behind JSON-LD": (lambda site, media: site.jsonld(site.live(make("hls", media, 3))), MediaLive),
}


def of_ours(media: Path) -> Path:
    path = media / "song.dca"
    with path.open("wb") as file:
        writer = DcaWriter(file, DcaMetadata())
        for _ in range(100):
            writer.write(b"\xfc\xff\xfe")
        writer.flush()
    return path


@pytest.mark.parametrize("name", BAD_INPUT)
async def test_bad_input_has_its_error_and_leaves_nothing(bench: Bench, media: Path, name: str) -> None:
    ask, error = BAD_INPUT[name]
    pids = bench.pool.pids
    with pytest.raises(error) as raised:
        await bench.run(ask(bench.site, media))
    assert type(raised.value) is error
    assert bench.leftovers() == []
    assert bench.pool.pids == pids, "the child was lost"


async def test_a_body_that_breaks_off_before_anything_was_kept_starts_again(bench: Bench, media: Path) -> None:
    url = bench.site.page(bench.site.file(song(media), cut=10_000, times=1, ranges="no"))
    assert (await bench.run(url)).encoded.mode == "passthrough"


async def test_a_server_that_drops_every_connection_is_asked_again(bench: Bench, media: Path) -> None:
    path = make("wav", media, 6)
    # Five connections for half a megabyte: more than are tried without progress.
    url = bench.site.page(bench.site.file(path, drop=100_000))
    assert abs((await bench.run(url)).encoded.duration_ms - 6000) < 100
    assert bench.site.gets[bench.site.file_path(path)] >= 5


async def test_a_download_that_is_refused_midway_is_not_extracted_again(bench: Bench, media: Path) -> None:
    file = bench.site.file(longer_song(media), cut=HALF, then=403)
    resolved = await bench.resolve(bench.site.page(file))
    before = len(bench.site.requests)
    with pytest.raises(SourceForbidden):
        await bench.fetch(resolved)
    assert not [request for request in bench.site.requests[before:] if "/page" in request]
    assert bench.leftovers() == []


async def test_media_that_grows_when_unpacked_is_cut_off(bench: Bench) -> None:
    with pytest.raises((MediaTooLarge, MediaUnsupported)):
        await bench.run(bench.site.to("/gzip-media.mp3"))
    assert bench.leftovers() == []


async def test_a_refused_connection_is_worth_another_attempt(bench: Bench) -> None:
    with pytest.raises(SourceUnavailable):
        await bench.run(bench.refusing)


async def test_a_host_that_never_answers_is_given_up(impatient: Bench, media: Path) -> None:
    with pytest.raises(SourceUnavailable):
        await impatient.run(impatient.site.redirect(impatient.site.file(song(media), silent=1)))


async def test_a_body_that_stalls_is_given_up_and_leaves_nothing(impatient: Bench, media: Path) -> None:
    pids = impatient.pool.pids
    with pytest.raises(SourceTruncated):
        await impatient.run(impatient.site.file(longer_song(media), stall=HALF))
    assert impatient.leftovers() == []
    assert impatient.pool.pids == pids, "the child was lost"


@pytest.mark.parametrize("name", ["source.part", "out.dca"])
async def test_a_full_disk_is_told(bench: Bench, media: Path, name: str) -> None:
    resolved = await bench.resolve(bench.site.file(song(media)))
    for old in bench.directory.iterdir():
        old.unlink()
    (bench.directory / name).symlink_to("/dev/full")
    with pytest.raises(StorageFull):
        await fetch(
            bench.pool,
            resolved,
            bench.directory,
            origin=Origin(),
            on_progress=bench.progress.append,
            deadline_seconds=30,
        )
    assert bench.leftovers() == []


async def test_a_deadline_ends_the_job_and_its_files(bench: Bench, media: Path) -> None:
    resolved = await bench.resolve(bench.site.page(bench.site.file(longer_song(media), rate=100_000)))
    pids = bench.pool.pids
    with pytest.raises(ProcessingTimeout):
        await bench.fetch(resolved, seconds=1)
    assert bench.leftovers() == []
    assert not bench.pool.pids & pids
    assert (await bench.run(bench.site.file(song(media)))).encoded.mode == "passthrough"


async def test_a_cancelled_job_ends_and_leaves_nothing(bench: Bench, media: Path) -> None:
    resolved = await bench.resolve(bench.site.page(bench.site.file(longer_song(media), hold=HALF, gate="cancel")))
    job = asyncio.ensure_future(bench.fetch(resolved))
    await bench.site.gate("cancel").reached.wait()
    job.cancel()
    with pytest.raises(asyncio.CancelledError):
        await job
    assert bench.leftovers() == []
    assert (await bench.run(bench.site.file(song(media)))).encoded.mode == "passthrough"


async def test_a_download_that_hangs_after_its_encoder_failed_costs_the_child_and_no_time(
    bench: Bench, media: Path, tmp_path: Path
) -> None:
    settings = settings_for(bench.site.address, network_timeout_seconds=60)
    async with open_children(settings) as pool:
        patient = Bench(bench.site, pool, settings, tmp_path, "")
        # To be decoded, which takes longer than the download needs to get to where it hangs.
        path = make("m4a_faststart", media, MAX_SECONDS + 40)
        url = bench.site.file(path, stall=path.stat().st_size * 9 // 10)
        resolved = await patient.resolve(bench.site.page(url))
        pids = pool.pids
        with pytest.raises(MediaTooLong):
            await patient.fetch(resolved)
        assert patient.leftovers() == []
        assert not pool.pids & pids


@pytest.mark.parametrize(
    ("names", "error"),
    [(("there", "back", "there"), MediaNotFound), (tuple(f"nested{number}" for number in range(9)), MediaUnsupported)],
)
async def test_a_list_that_leads_to_lists_without_end_is_given_up(
    bench: Bench, media: Path, names: tuple[str, ...], error: type[AppError]
) -> None:
    for name, other in pairwise(names):
        (media / f"{name}.m3u").write_text(f"#EXTM3U\n{name}.m3u\n{other}.m3u\n")
    before = len(bench.site.requests)
    with pytest.raises(error):
        await bench.run(bench.site.file(f"{names[0]}.m3u"))
    assert len(bench.site.requests) - before <= 6


async def test_a_list_without_a_web_address_is_unsupported(bench: Bench) -> None:
    with pytest.raises(MediaUnsupported):
        await bench.run(bench.site.to("/body", text="[playlist]\nFile1=C:\\Music\\one.mp3\n"))
