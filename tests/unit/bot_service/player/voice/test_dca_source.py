from __future__ import annotations

import asyncio
import threading

import discord

from bot_service.player.voice.dca_source import LOW_WATER, SILENCE, DcaSource
from tests.unit.bot_service.player.songs import frames


def test_frames_come_out_as_they_went_in_and_then_the_end() -> None:
    source = DcaSource()
    source.feed(frames(3))
    source.finish()
    assert [source.read() for _ in range(5)] == [*frames(3), b"", b""]
    assert (source.sent, source.starved, source.exhausted) == (3, 0, True)


def test_opus_goes_through_without_an_encoder() -> None:
    assert DcaSource().is_opus()
    assert not discord.opus.is_loaded()


def test_an_empty_ring_gives_silence_that_is_counted_and_loses_nothing() -> None:
    source = DcaSource(100)
    source.feed(frames(1))
    assert [source.read() for _ in range(3)] == [*frames(1), SILENCE, SILENCE]
    assert (source.sent, source.starved, source.next_frame, source.handed_out) == (1, 2, 101, 3)
    source.feed(frames(1, first=1))
    source.finish()
    assert [source.read() for _ in range(2)] == [*frames(1, first=1), b""]


def test_the_end_is_not_told_before_the_last_frame_was_taken() -> None:
    source = DcaSource()
    source.feed(frames(2))
    source.finish()
    assert not source.exhausted
    source.read()
    source.read()
    assert not source.exhausted
    source.read()
    assert source.exhausted


def test_next_frame_counts_from_where_the_playback_began() -> None:
    source = DcaSource(7_000)
    source.feed(frames(10))
    for _ in range(4):
        source.read()
    assert source.next_frame == 7_004
    assert source.buffered == 6


def test_more_is_asked_for_once_when_the_ring_runs_low() -> None:
    asked: list[int] = []
    source = DcaSource(on_low=lambda: asked.append(source.buffered))
    source.feed(frames(LOW_WATER + 10))
    for _ in range(LOW_WATER + 10):
        source.read()
    assert asked == [LOW_WATER]


async def test_a_thread_and_a_loop_hand_over_every_frame_in_order() -> None:
    loop, low = asyncio.get_running_loop(), asyncio.Event()
    heard: list[bytes] = []

    def ask_for_more() -> None:
        loop.call_soon_threadsafe(low.set)

    source = DcaSource(on_low=ask_for_more)

    def listen() -> None:
        while data := source.read():
            if data != SILENCE:
                heard.append(data)

    thread = threading.Thread(target=listen)
    thread.start()
    for first in range(0, 20_000, 2 * LOW_WATER):
        source.feed(frames(2 * LOW_WATER, first))
        await low.wait()
        low.clear()
    source.finish()
    await asyncio.to_thread(thread.join)
    assert heard == frames(20_000)
