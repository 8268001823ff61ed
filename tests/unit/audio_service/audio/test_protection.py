"""Protected media is told as that, not as damaged, and nothing of it is decoded."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO, cast

import av
import pytest

from audio_service.audio import protection
from audio_service.audio.protection import index_of, refuse_protected
from common.errors import MediaEncrypted
from tests.servers.media_files import make
from tests.unit.audio_service.audio.pcm import OnceOnly, demuxed, encode
from tests.unit.audio_service.audio.test_formats import written
from tests.unit.audio_service.audio.webm import webm_bytes as webm

_KEYS = {"encryption_scheme": "cenc-aes-ctr", "encryption_key": "76" * 16, "encryption_kid": "a7" * 16}
_CODEC_LIST = bytes.fromhex("4052d1861d31d011a3a400a0c90348f6")
_EXTENDED_ENCRYPTION = bytes.fromhex("14e68a292226174cb935dae07ee9289c")


def copied(source: Path, form: str, **options: str) -> bytes:
    """Return the sound of a file in another container."""
    out = source.with_name(f"copy-{form}-{source.name}")
    with av.open(str(source)) as opened, av.open(str(out), "w", format=form, options=options) as target:
        container = cast("Any", target)
        given = opened.streams.audio[0]
        stream = container.add_stream_from_template(given)
        for packet in opened.demux(given):
            if packet.size:
                packet.stream = stream
                container.mux(packet)
    return out.read_bytes()


def common_encryption(directory: Path) -> bytes:
    return copied(make("m4a", directory), "mp4", **_KEYS, movflags="faststart")


def index_at_the_end(directory: Path) -> bytes:
    return copied(make("m4a", directory), "mp4", **_KEYS)


def fragments(directory: Path) -> bytes:
    return copied(make("mp4_opus", directory), "mp4", **_KEYS, movflags="frag_keyframe+empty_moov")


def fairplay(directory: Path) -> bytes:
    return make("m4a_faststart", directory).read_bytes().replace(b"mp4a\0\0\0\0\0\0\0\1", b"drms\0\0\0\0\0\0\0\1")


def windows_media(directory: Path) -> bytes:
    path = written(directory / "song.asf", "asf", "wmav2", 44_100, "stereo")
    assert encode(path)[0].source_codec == "wmav2"
    return path.read_bytes().replace(_CODEC_LIST, _EXTENDED_ENCRYPTION)


def matroska(directory: Path, *, encryption: bool = True) -> bytes:
    kind = webm.element(0x5035, webm.number(0x47E1, 5)) if encryption else webm.element(0x5034, webm.number(0x4254, 3))
    encodings = webm.element(0x6D80, webm.element(0x6240, webm.number(0x5033, int(encryption)) + kind))
    packets = demuxed(make("webm_opus", directory))
    blocks = [webm.block(packet, 20 * number) for number, packet in enumerate(packets[:100])]
    body = webm.segment(webm.info(), webm.tracks(webm.track(more=encodings)), webm.cluster(0, blocks))
    return webm.header() + body


@pytest.mark.parametrize(
    "made",
    [common_encryption, index_at_the_end, fragments, fairplay, windows_media, matroska],
    ids=lambda made: made.__name__,
)
def test_protected_sound_is_told_as_that(made: Callable[[Path], bytes], media: Path) -> None:
    data = made(media)
    with pytest.raises(MediaEncrypted):
        encode(io.BytesIO(data))
    if made is not index_at_the_end:
        with pytest.raises(MediaEncrypted):
            encode(cast("BinaryIO", OnceOnly(data)))


def test_packed_headers_of_matroska_are_no_encryption(media: Path) -> None:
    refuse_protected(matroska(media, encryption=False))


def test_a_protected_picture_is_no_protected_sound(media: Path) -> None:
    data = make("mp4_video_faststart", media).read_bytes()
    assert b"mp4v" in data
    refuse_protected(data.replace(b"mp4v", b"encv"))
    with pytest.raises(MediaEncrypted):
        refuse_protected(data.replace(b"mp4a", b"enca"))


@pytest.mark.parametrize("kind", ["m4a", "m4a_faststart", "fmp4", "webm_opus", "mp4_opus"])
def test_what_is_not_protected_is_taken_whatever_is_cut_off(kind: str, media: Path) -> None:
    data = make(kind, media).read_bytes()
    for cut in (16, 40, 100, 300, 600, 1000, len(data)):
        refuse_protected(data[:cut])
    at = index_of(io.BytesIO(data))
    refuse_protected(data[at:])
    assert (data[at + 4 : at + 8] == b"moov") == (kind != "webm_opus")


def test_boxes_without_an_end_are_not_followed_for_ever() -> None:
    endless = b"\0\0\0\x08free" * 200_000
    assert index_of(io.BytesIO(endless)) == 0
    assert len(list(protection.boxes(endless[:80]))) == 10
    assert list(protection.boxes(b"\0\0\0\x04free" * 3)) == []
