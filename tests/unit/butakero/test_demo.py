"""The first run's song and its site."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import av
import httpx
import pytest
from av.buffer import Buffer

from butakero import demo_song
from butakero.demo_site import open_demo_site


@pytest.fixture(scope="module")
def song(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("song") / "song.webm"
    demo_song.write_song(path)
    return path.read_bytes()


def test_the_song_is_opus_in_packets_of_20_ms(song: bytes) -> None:
    with av.open(io.BytesIO(song), "r") as container:
        stream = container.streams.audio[0]
        assert (stream.codec_context.name, stream.rate, stream.channels) == ("opus", 48_000, 2)
        demuxed = cast("Iterator[Buffer]", container.demux(stream))  # pyright: ignore[reportUnknownMemberType] - Packet's parameter is open there
        packets = [content for content in map(bytes, demuxed) if content]
    # RFC 6716 section 3.1: CELT full band 20 ms or its hybrid kin, one frame in each packet.
    assert {packet[0] & 0x03 for packet in packets} == {0}
    assert {packet[0] >> 3 for packet in packets} <= {15, 31}
    assert abs(len(packets) * 0.02 - demo_song.SECONDS) < 0.1


def test_the_song_is_the_same_every_time(song: bytes, tmp_path: Path) -> None:
    again = tmp_path / "again.webm"
    demo_song.write_song(again)
    assert again.read_bytes() == song


def test_the_site_keeps_its_address_and_serves_page_song_and_cover(song: bytes, tmp_path: Path) -> None:
    (tmp_path / "milonga.webm").write_bytes(song)
    with open_demo_site(tmp_path) as site:
        page = httpx.get(site.url)
        base = f"http://{site.address}"
        assert demo_song.TITLE in page.text
        assert httpx.get(f"{base}/milonga.webm").content == song
        assert httpx.head(f"{base}/milonga.webm").headers["content-length"] == str(len(song))
        assert httpx.get(f"{base}/milonga.svg").headers["content-type"] == "image/svg+xml"
        assert httpx.get(f"{base}/../port").status_code == 404
        first = site
    with open_demo_site(tmp_path) as second:
        assert second == first


def test_an_address_that_is_taken_or_unreadable_is_replaced(song: bytes, tmp_path: Path) -> None:
    (tmp_path / "milonga.webm").write_bytes(song)
    with open_demo_site(tmp_path) as first, open_demo_site(tmp_path) as second:
        assert first.address != second.address
    (tmp_path / "port").write_text("99999999")
    with open_demo_site(tmp_path) as third:
        assert httpx.get(third.url).is_success
