from __future__ import annotations

import asyncio
import hashlib
import json
from itertools import islice
from pathlib import Path

import pytest

from audio_service.audio.drafts import draft_path
from audio_service.sources.ytdlp.fetching import PLAYABLE_FRAMES
from common.dca import DcaReader
from common.messages.downloads import PlatformMetadata
from tests.servers.media_files import make
from tests.unit.audio_service.sources.conftest import Bench
from tests.waiting import until

pytestmark = pytest.mark.asyncio(loop_scope="module")

SECONDS = 3
EXPECTED_MODES = {
    "webm_opus": "passthrough",
    "ogg_opus": "passthrough",
    "m4a": "transcoded",
    "fmp4": "transcoded",
    "mp3": "transcoded",
    "flac": "transcoded",
    "wav": "transcoded",
    "mp4_video": "transcoded",
    "hls": "transcoded",
}


def packets(path: Path) -> list[bytes]:
    with path.open("rb") as file:
        return list(DcaReader(file))


@pytest.mark.parametrize("kind", EXPECTED_MODES)
async def test_each_format_becomes_a_complete_dca_file_and_nothing_else(bench: Bench, media: Path, kind: str) -> None:
    fetched = await bench.run(bench.site.file(make(kind, media, SECONDS)))

    made = fetched.path.read_bytes()
    assert fetched.encoded.mode == EXPECTED_MODES[kind]
    assert (len(made), hashlib.sha256(made).hexdigest()) == (fetched.encoded.size, fetched.encoded.sha256)
    assert abs(fetched.encoded.duration_ms - SECONDS * 1000) < 200
    assert bench.leftovers() == ["out.dca"]


async def test_the_bytes_that_were_received_are_counted(bench: Bench, media: Path) -> None:
    path = make("webm_opus", media, SECONDS)
    assert (await bench.run(bench.site.file(path))).downloaded_bytes == path.stat().st_size


async def test_an_audio_element_is_fetched_once_and_named_after_its_page(bench: Bench, media: Path) -> None:
    path = make("webm_opus", media, SECONDS, sound="sweep")
    resolved = await bench.resolve(bench.site.page(bench.site.file(path), title="Canción / ..\x07 🎵"))
    await bench.fetch(resolved)

    assert resolved.metadata.title == "Canción / .. 🎵"
    assert resolved.metadata.platform == "127.0.0.1"
    assert bench.site.gets[bench.site.file_path(path)] == 1


async def test_a_video_element_with_a_source_is_fetched(bench: Bench, media: Path) -> None:
    url = bench.site.page(bench.site.file(make("mp4_video", media, SECONDS)), tag="video")
    assert (await bench.run(url)).encoded.source_codec == "aac"


LISTS = {
    "m3u": ("audio/x-mpegurl", "#EXTM3U\r\n#EXTINF:3,A song\r\n{name}\r\n"),
    "m3u8": ("application/vnd.apple.mpegurl", "\ufeff#EXTM3U\n#EXTINF:3,A song\n{name}\n"),
    "pls": ("audio/x-scpls", "[playlist]\nFile1={name}\nTitle1=A song\n"),
    "asx": ("video/x-ms-asf", '<ASX><Entry><Title>A song</Title><Ref HREF="{name}"/></Entry></ASX>'),
}


@pytest.mark.parametrize("form", LISTS)
async def test_a_list_of_one_song_plays_it_under_its_title(bench: Bench, media: Path, form: str) -> None:
    kind, text = LISTS[form]
    path = make("webm_opus", media, SECONDS)
    (media / f"one.{form}").write_text(text.format(name=path.name), newline="")
    resolved = await bench.resolve(bench.site.file(f"one.{form}", type=kind))
    assert (resolved.metadata.url, resolved.metadata.title) == (bench.site.file(path), "A song")
    assert (await bench.fetch(resolved)).encoded.mode == "passthrough"


async def test_a_list_does_not_rename_what_a_page_names(bench: Bench, media: Path) -> None:
    page = bench.site.page(bench.site.file(make("webm_opus", media, SECONDS)), title="The page's own")
    resolved = await bench.resolve(bench.site.to("/body", text=f"#EXTM3U\n#EXTINF:3,Another\n{page}\n"))
    assert resolved.metadata.title == "The page's own"


async def test_the_hls_behind_an_m3u_plays(bench: Bench, media: Path) -> None:
    stream = bench.site.file(make("hls", media, SECONDS))
    assert await bench.run(bench.site.to("/body", text=f"#EXTM3U\n{stream}\n"))


@pytest.mark.parametrize("half", ["&#xD800;", "&#55357;"])
async def test_half_a_character_in_a_page_is_left_out(bench: Bench, media: Path, half: str) -> None:
    source = bench.site.file(make("webm_opus", media, SECONDS))
    page = (
        f'<html><head><title>Can{half}ción &#x1F3B5;</title></head><body><audio src="{source}"></audio></body></html>'
    )
    resolved = await bench.resolve(bench.site.to("/body", text=page, type="text/html"))
    assert resolved.metadata.title == "Canción 🎵"
    assert (await bench.fetch(resolved)).encoded.mode == "passthrough"


async def test_half_a_character_in_json_ld_is_left_out(bench: Bench, media: Path) -> None:
    source = bench.site.file(make("webm_opus", media, SECONDS))
    thing = json.dumps(
        {"@context": "https://schema.org", "@type": "VideoObject", "contentUrl": source, "name": "Can\ud800"}
    )
    page = f'<html><head><script type="application/ld+json">{thing}</script></head><body></body></html>'
    resolved = await bench.resolve(bench.site.to("/body", text=page, type="text/html"))
    assert resolved.metadata.title == "Can"
    assert (await bench.fetch(resolved)).encoded.mode == "passthrough"


async def test_json_ld_gives_title_duration_and_thumbnail(bench: Bench, media: Path) -> None:
    url = bench.site.jsonld(bench.site.file(make("ogg_opus", media, SECONDS)), title="שיר חדש", seconds=SECONDS)
    resolved = await bench.resolve(url)

    assert resolved.metadata == PlatformMetadata(
        title="שיר חדש",
        duration_ms=SECONDS * 1000,
        url=url,
        thumbnail_url=bench.site.to("/files/cover.jpg"),
        platform="127.0.0.1",
    )


async def test_titles_are_cut(bench: Bench, media: Path) -> None:
    url = bench.site.jsonld(bench.site.file(make("ogg_opus", media, SECONDS)), title="x" * 800)
    assert (await bench.resolve(url)).metadata.title == "x" * 500


async def test_redirects_are_followed_and_both_ways_are_the_same_record(bench: Bench, media: Path) -> None:
    target = bench.site.file(make("webm_opus", media, SECONDS))
    ways = [await bench.resolve(url) for url in (target, bench.site.redirect(target, hops=3, code=301))]
    assert ways[0].media_id == ways[1].media_id
    assert (await bench.fetch(ways[1])).encoded.mode == "passthrough"


async def test_pages_of_the_same_name_are_different_records(bench: Bench, media: Path) -> None:
    file = bench.site.file(make("webm_opus", media, SECONDS))
    one, two = bench.site.page(file, title="a"), bench.site.page(file, title="b")
    assert (await bench.resolve(one)).media_id != (await bench.resolve(two)).media_id


async def test_encoding_starts_before_the_download_has_ended(bench: Bench, media: Path) -> None:
    path = make("webm_opus", media, 30)
    url = bench.site.page(bench.site.file(path, hold=path.stat().st_size // 2, gate="half"))
    resolved = await bench.resolve(url)

    async def look_inside() -> int:
        gate, out = bench.site.gate("half"), bench.directory / "out.dca"
        await gate.reached.wait()
        # The encoder writes in blocks; the download cannot go on, so what appears was made of its first half.
        await until(lambda: out.exists() and out.stat().st_size)
        size = out.stat().st_size
        gate.release()
        return size

    async with asyncio.TaskGroup() as tasks:
        looking = tasks.create_task(look_inside())
        fetched = await bench.fetch(resolved)
    assert 0 < looking.result() < fetched.encoded.size


async def test_a_draft_that_can_be_played_is_told_though_the_source_has_stopped(bench: Bench, media: Path) -> None:
    path = make("webm_opus", media, 30)
    url = bench.site.page(bench.site.file(path, hold=path.stat().st_size // 2, gate="half of another"))
    resolved = await bench.resolve(url)
    bench.progress.clear()

    async def listen() -> int:
        await until(lambda: any(news.draft is not None for news in bench.progress))
        with draft_path(bench.directory, 0).open("rb") as draft:
            frames = DcaReader(draft)
            heard = sum(1 for _ in islice(frames, PLAYABLE_FRAMES))
        bench.site.gate("half of another").release()
        return heard

    async with asyncio.TaskGroup() as tasks:
        listening = tasks.create_task(listen())
        fetched = await bench.fetch(resolved)
    assert listening.result() == PLAYABLE_FRAMES
    assert fetched.path == draft_path(bench.directory, 0)
    told = [news.draft for news in bench.progress]
    assert told[told.index(0) :] == [0] * (len(told) - told.index(0))


async def test_an_encoder_that_has_to_begin_again_takes_another_draft(bench: Bench, media: Path) -> None:
    """A chained Ogg whose second half has packets of another length, too far in to be read from the start again."""
    halves = [
        make("ogg_opus", media, 30, sound="noise", codec_options={"frame_duration": length}) for length in ("20", "60")
    ]
    song = media / "chained.ogg"
    song.write_bytes(b"".join(half.read_bytes() for half in halves))
    first = halves[0].stat().st_size
    resolved = await bench.resolve(bench.site.page(bench.site.file(song, hold=first, gate="end of the first")))
    bench.progress.clear()
    copies: list[bytes] = []

    async def listen() -> None:
        await until(lambda: any(news.draft is not None for news in bench.progress))
        with draft_path(bench.directory, 0).open("rb") as draft:
            copies.append(draft.read())
            bench.site.gate("end of the first").release()
            await until(lambda: not draft_path(bench.directory, 0).exists())
            draft.seek(0)
            copies.append(draft.read())

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(listen())
        fetched = await bench.fetch(resolved)
    assert fetched.encoded.mode == "repacketised"
    assert fetched.path != draft_path(bench.directory, 0)
    assert bench.leftovers() == [fetched.path.name]
    assert copies[1].startswith(copies[0])
    assert len(packets(fetched.path)) == fetched.encoded.frames == pytest.approx(3000, abs=6)


async def test_a_download_that_breaks_off_goes_on_where_it_was(bench: Bench, media: Path) -> None:
    path = make("webm_opus", media, 20)
    whole = packets((await bench.run(bench.site.file(path))).path)
    broken = await bench.run(bench.site.page(bench.site.file(path, cut=path.stat().st_size // 2, times=1)))
    assert packets(broken.path) == whole


async def test_progress_says_how_far_the_download_is(bench: Bench, media: Path) -> None:
    path = make("webm_opus", media, 20)
    bench.progress.clear()
    await bench.run(bench.site.file(path))
    first = bench.progress[0]
    assert (first.stage, first.percent is not None and 0 < first.percent <= 100) == ("downloading", True)


async def test_an_old_description_is_asked_for_again(bench: Bench, media: Path) -> None:
    path = make("webm_opus", media, SECONDS, sound="noise")
    page = bench.site.page(bench.site.file(path, fail=403, times=1))
    resolved = await bench.resolve(page)
    assert (await bench.fetch(resolved)).encoded.mode == "passthrough"
    assert bench.site.gets[bench.site.file_path(path)] == 2
