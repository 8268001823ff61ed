"""Copied Opus streams begin where their containers say that the sound begins."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO, cast

import numpy as np
import pytest

from audio_service.audio.base import ENCODER_DELAY, EncodeOptions
from audio_service.audio.lead_in import PRE_ROLL, LeadIn
from tests.servers.media_damage import set_edit_start, set_pre_skip
from tests.servers.media_files import make
from tests.unit.audio_service.audio.pcm import (
    Decoder,
    OnceOnly,
    Samples,
    decoded_packets,
    demuxed,
    encode,
)

FRAME = 960
SKIPS = [1272, 3840, 20_000, 48_312, 65_535]
WAYS: dict[str, Callable[[bytes, int], bytes]] = {
    "ogg_opus": set_pre_skip,
    "webm_opus": set_pre_skip,
    "mp4_opus": set_edit_start,
}


def ratio(expected: Samples, heard: Samples) -> float:
    """Return how far the difference is below the sound, in dB."""
    return float(10 * np.log10(np.mean(expected**2) / (np.mean((expected - heard) ** 2) + 1e-20)))


@pytest.mark.parametrize("kind", WAYS)
@pytest.mark.parametrize("skip", SKIPS)
@pytest.mark.parametrize("layout", ["stereo", "mono"])
def test_the_sound_begins_at_the_sample(kind: str, skip: int, layout: str, media: Path) -> None:
    whole = make(kind, media, sound="sweep", layout=layout)
    packets, data = demuxed(whole), WAYS[kind](whole.read_bytes(), skip)
    dropped = (skip - ENCODER_DELAY) // FRAME
    for source in (io.BytesIO(data), cast("BinaryIO", OnceOnly(data))):
        result, frames = encode(source)
        assert (result.mode, result.reason) == ("passthrough", "opus 48k 20ms")
        assert frames[PRE_ROLL:] == packets[dropped + PRE_ROLL :]
        decoder: Decoder
        for decoder in ("opus", "libopus"):
            channels = 1 if layout == "mono" else 2
            heard = decoded_packets(frames, channels=channels, decoder=decoder)
            sound = decoded_packets(packets, channels=channels, decoder=decoder)[:, dropped * FRAME :]
            begins = skip - dropped * FRAME
            assert np.abs(heard[:, : begins - 240]).max(initial=0) < 0.02
            # The start itself is an edge that was none; from the next frame on it is the sound.
            assert ratio(sound[:, begins + FRAME : 5 * FRAME], heard[:, begins + FRAME : 5 * FRAME]) > 15
            assert ratio(sound[:, 5 * FRAME : 10 * FRAME], heard[:, 5 * FRAME : 10 * FRAME]) > 30
            assert ratio(sound[:, -10 * FRAME :], heard[:, -10 * FRAME :]) > 60


@pytest.mark.parametrize("milliseconds", ["10", "60"])
def test_what_is_repacketised_begins_there_as_well(milliseconds: str, media: Path) -> None:
    whole = make("ogg_opus", media, sound="sweep", codec_options={"frame_duration": milliseconds})
    plain = encode(whole)[1]
    result, frames = encode(io.BytesIO(set_pre_skip(whole.read_bytes(), 48_312)))
    assert result.mode == "repacketised"
    assert frames[PRE_ROLL:] == plain[50 + PRE_ROLL :]


@pytest.mark.parametrize("skip", [0, 312, 1271])
def test_the_delay_of_an_encoder_is_left_in(skip: int, media: Path) -> None:
    whole = make("ogg_opus", media)
    assert encode(io.BytesIO(set_pre_skip(whole.read_bytes(), skip)))[1] == demuxed(whole)


@pytest.mark.parametrize(("taken", "given"), [(1, 0), (2, 1), (4, 3), (5, 4), (6, 5), (40, 39)])
def test_a_stream_that_ends_soon_is_passed_on(taken: int, given: int, media: Path) -> None:
    packets = demuxed(make("ogg_opus", media))[:taken]
    out: list[bytes] = []
    lead_in = LeadIn(ENCODER_DELAY + FRAME, 2, EncodeOptions(), out.append)
    for packet in packets:
        lead_in.put(packet)
    lead_in.finish()
    assert len(out) == given
    assert out[PRE_ROLL:] == packets[1 + PRE_ROLL :]


def test_packets_that_cannot_be_decoded_are_copied(media: Path) -> None:
    packets = [b"\xff\x00", *demuxed(make("ogg_opus", media))]
    out: list[bytes] = []
    lead_in = LeadIn(ENCODER_DELAY + FRAME, 2, EncodeOptions(), out.append)
    for packet in packets:
        lead_in.put(packet)
    assert out == packets[1:]


def test_every_link_begins_where_it_says(media: Path) -> None:
    whole = make("ogg_opus", media, sound="sweep")
    packets, link = demuxed(whole), set_pre_skip(whole.read_bytes(), 48_312)
    _, frames = encode(io.BytesIO(link * 2))
    once = len(packets) - 50
    assert len(frames) == 2 * once
    assert frames[PRE_ROLL:once] == frames[once + PRE_ROLL :] == packets[50 + PRE_ROLL :]


def test_an_edit_in_the_middle_is_transcoded(media: Path) -> None:
    """The first second, then the third one."""
    data = bytearray(make("mp4_opus", media, sound="sweep").read_bytes())
    start = data.index(b"elst") - 4
    size = int.from_bytes(data[start : start + 4], "big")
    entries = [(1000, 312), (1000, 312 + 96_000)]
    body = b"elst" + bytes(4) + len(entries).to_bytes(4, "big")
    body += b"".join(s.to_bytes(4, "big") + t.to_bytes(4, "big") + b"\0\1\0\0" for s, t in entries)
    grown = len(body) + 4 - size
    for box in (b"moov", b"trak", b"edts"):
        at = data.index(box) - 4
        data[at : at + 4] = (int.from_bytes(data[at : at + 4], "big") + grown).to_bytes(4, "big")
    at = data.index(b"stco") + 12
    data[at : at + 4] = (int.from_bytes(data[at : at + 4], "big") + grown).to_bytes(4, "big")
    data[start : start + size] = (len(body) + 4).to_bytes(4, "big") + body
    result, frames = encode(io.BytesIO(bytes(data)))
    assert (result.mode, result.reason) == ("transcoded", "edit list")
    assert len(frames) == pytest.approx(101, abs=2)
