"""The voice link against the fake Discord: what arrives is compared with the file, faults with what is reported."""

from __future__ import annotations

import os
import resource
import threading
import time
from collections.abc import AsyncGenerator
from contextlib import ExitStack
from pathlib import Path

import discord
import pytest

from bot_service.player.rules.events import INTERRUPTED, TrackEnded, VoiceLost, VoiceReady
from bot_service.player.voice import connections
from bot_service.player.voice.connections import CannotJoinError
from bot_service.player.voice.dca_source import SILENCE
from tests.discord import assert_plays, assert_stream, heard_frames
from tests.unit.bot_service.player import songs
from tests.unit.bot_service.player.voice.voice_rig import VoiceRig, open_voice_rig
from tests.waiting import until

pytestmark = pytest.mark.slow

SECOND = 50
FD_SETSIZE = 1024


@pytest.fixture
async def rig(tmp_path: Path) -> AsyncGenerator[VoiceRig]:
    async with open_voice_rig(tmp_path) as opened:
        yield opened


def player_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "voice pacer"]


async def test_a_song_arrives_packet_by_packet_and_its_end_is_told(rig: VoiceRig) -> None:
    await rig.enter()
    await rig.link.play(7, rig.song(150), asked_at=time.monotonic())
    assert await rig.reports.next(TrackEnded) == TrackEnded(7, 150, finished=True)
    packets = await rig.voice.packets(155)
    assert_plays(packets, songs.frames(150))
    assert all(packet.is_silence for packet in packets[150:])
    assert rig.value("frames_sent_total") == 150
    assert rig.value("frames_starved_total") == 0
    assert rig.value("first_packet_seconds_count") == 1
    assert not discord.opus.is_loaded()


async def test_a_process_with_more_than_a_thousand_descriptors_still_joins(rig: VoiceRig) -> None:
    """discord.py's reader waits by select(2), which takes none from 1,024 on: joins ran into their time-out."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with ExitStack() as stack:
        stack.callback(resource.setrlimit, resource.RLIMIT_NOFILE, (soft, hard))
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, 2 * FD_SETSIZE)), hard))
        first = os.open(os.devnull, os.O_RDONLY)
        stack.callback(os.close, first)
        while (taken := os.dup(first)) < FD_SETSIZE:
            stack.callback(os.close, taken)
        stack.callback(os.close, taken)
        await rig.enter()
        await rig.link.play(1, rig.song(20))
        assert await rig.reports.next(TrackEnded) == TrackEnded(1, 20, finished=True)
        await rig.link.close()


async def test_the_bot_is_deaf_before_and_after_a_move(rig: VoiceRig) -> None:
    other = rig.guild.voice_channel("Otro")
    await rig.enter()
    assert rig.guild.me.voice_flags["self_deaf"]
    await rig.link.play(1, rig.song(500))
    await rig.voice.sound(20)
    await rig.link.join(int(other.id))
    assert await rig.reports.next(VoiceReady) == VoiceReady(int(other.id))
    assert rig.guild.me.voice_channel is other
    assert rig.guild.me.voice_flags["self_deaf"]
    mark = rig.voice.mark
    await rig.voice.sound(20, since=mark)
    assert rig.reports.unread == []


async def test_a_pause_holds_the_frame_and_resume_goes_on_with_the_next(rig: VoiceRig) -> None:
    await rig.enter()
    await rig.link.play(1, rig.song(100))
    await rig.voice.sound(30)
    rig.link.hold()
    await rig.voice.silence()
    held = rig.link.next_frame
    assert len(heard_frames(rig.voice.received, songs.frames(100))) == held
    rig.link.proceed()
    assert await rig.reports.next(TrackEnded) == TrackEnded(1, 100, finished=True)
    assert_plays(await rig.voice.packets(110), songs.frames(100))


async def test_a_song_that_is_held_before_it_begins_sends_nothing_until_it_proceeds(rig: VoiceRig) -> None:
    await rig.enter()
    await rig.link.play(1, rig.song(20))
    rig.link.hold()
    playback = rig.link._play  # pyright: ignore[reportPrivateUsage] - that it has read is told to nobody
    assert playback is not None
    await until(lambda: playback.source.buffered == 20)
    # Those of an earlier song take a moment to end; one of this song would stay.
    await until(lambda: not player_threads())
    assert rig.link.next_frame == 0
    rig.link.proceed()
    assert await rig.reports.next(TrackEnded) == TrackEnded(1, 20, finished=True)
    assert_plays(await rig.voice.packets(20), songs.frames(20))


async def test_a_seek_is_exact_to_the_frame(rig: VoiceRig) -> None:
    await rig.enter()
    song = rig.song(2_000)
    await rig.link.play(1, song)
    await rig.voice.sound(10)
    await rig.link.play(2, song, 1_950)
    assert await rig.reports.next(TrackEnded) == TrackEnded(2, 2_000, finished=True)
    await rig.voice.silence()
    heard = heard_frames(rig.voice.received, songs.frames(2_000))
    assert heard[-50:] == list(range(1_950, 2_000))
    assert heard[:-50] == list(range(len(heard) - 50))


async def test_a_skip_reports_nothing_of_the_halted_song_and_the_two_do_not_send_at_once(rig: VoiceRig) -> None:
    await rig.enter()
    song = rig.song(500)
    for play_id in range(5):
        await rig.link.play(play_id, song, play_id * 100)
        await rig.voice.sound(5, since=rig.voice.mark)
    await rig.link.play(9, song, 490)
    assert (await rig.reports.next(TrackEnded)).play_id == 9
    packets = list(rig.voice.received)
    assert_stream(packets)
    payloads = [packet.payload for packet in packets]
    for first in (100, 200, 300, 400, 490):
        place = payloads.index(songs.frame(first))
        assert payloads[place - 5 : place] == [SILENCE] * 5
        assert payloads[place + 1] == songs.frame(first + 1)


async def test_the_next_song_follows_from_memory(rig: VoiceRig) -> None:
    await rig.enter()
    following = rig.song(600, "dQw4w9WgXcQ")
    await rig.link.play(1, rig.song(60))
    await rig.link.prefetch(following)
    assert (await rig.reports.next(TrackEnded)).finished
    (rig.files / following.file_path).unlink()
    await rig.link.play(2, following)
    packets = await rig.voice.packets(60 + 5 + 100)
    assert heard_frames(packets[65:], songs.frames(600)) == list(range(100))


async def test_a_song_that_nobody_has_ends_with_its_code(rig: VoiceRig) -> None:
    await rig.enter()
    await rig.link.play(1, songs.track())
    ended = await rig.reports.next(TrackEnded)
    assert not ended.finished
    assert ended.reason not in {"", INTERRUPTED}


async def test_a_damaged_song_plays_to_the_damage_and_says_so(rig: VoiceRig) -> None:
    await rig.enter()
    song = songs.stored(rig.files, songs.track(), songs.dca(40) + b"\x00\x00")
    await rig.link.play(1, song)
    assert await rig.reports.next(TrackEnded) == TrackEnded(1, 40, finished=False, reason="media_corrupt")


@pytest.mark.parametrize("code", [1000, 1001, 4006, 4009, 4015])
async def test_a_closed_connection_is_told_with_its_code_and_the_song_goes_on(rig: VoiceRig, code: int) -> None:
    await rig.enter()
    song = rig.song(200)
    await rig.link.play(1, song)
    await rig.voice.sound(30)
    rig.voice.close(code)
    ended = await rig.reports.next(TrackEnded)
    assert (ended.finished, ended.reason) == (False, INTERRUPTED)
    lost = await rig.reports.next(VoiceLost)
    assert (lost.code, lost.reason) == (code, "closed")
    await rig.again(lost, ended, song)
    assert (await rig.reports.next(TrackEnded)).finished
    await rig.voice.silence()
    heard = heard_frames(rig.voice.received, songs.frames(200))
    assert len(set(heard)) >= 200 - SECOND
    assert len(heard) - len(set(heard)) <= SECOND
    assert rig.value("voice_reconnects_total", reason=str(code)) == 1


async def test_a_cut_connection_goes_on_too(rig: VoiceRig) -> None:
    await rig.enter()
    song = rig.song(200)
    await rig.link.play(1, song)
    await rig.voice.sound(30)
    rig.voice.cut()
    ended = await rig.reports.next(TrackEnded)
    lost = await rig.reports.next(VoiceLost)
    assert lost.reason == "closed"
    await rig.again(lost, ended, song)
    assert (await rig.reports.next(TrackEnded)).finished


@pytest.mark.parametrize("code", [4021, 4022])
async def test_a_close_that_forbids_to_come_back_is_told_as_one(
    rig: VoiceRig, code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    # As long as discord.py may take to connect it waits for another voice server.
    monkeypatch.setattr(connections.connect, "__kwdefaults__", {"seconds": 1000.0})
    await rig.enter()
    rig.voice.close(code)
    assert await rig.reports.next(VoiceLost) == VoiceLost(code, "closed", may_retry=False)


async def test_a_move_to_another_voice_server_loses_no_frame_and_reports_nothing(rig: VoiceRig) -> None:
    await rig.enter()
    await rig.link.play(1, rig.song(120))
    await rig.voice.sound(30)
    rig.guild.move_bot(rig.guild.voice_channel("Otro"))
    assert await rig.reports.next(TrackEnded) == TrackEnded(1, 120, finished=True)
    assert len(rig.voice.connections) == 2


async def test_thrown_out_is_told_and_the_player_thread_ends(rig: VoiceRig) -> None:
    await rig.enter()
    await rig.link.play(1, rig.song(500))
    await rig.voice.sound(10)
    rig.guild.me.leave()
    assert (await rig.reports.next(TrackEnded)).reason == INTERRUPTED
    assert await rig.reports.next(VoiceLost) == VoiceLost(None, "kicked", may_retry=False)
    await until(lambda: not player_threads())


async def test_a_deleted_channel_is_told_apart_from_being_removed(rig: VoiceRig) -> None:
    await rig.enter()
    rig.channel.delete()
    assert await rig.reports.next(VoiceLost) == VoiceLost(None, "channel_deleted", may_retry=False)


async def test_leaving_ends_the_thread_reports_nothing_and_can_be_followed_by_a_join(rig: VoiceRig) -> None:
    await rig.enter()
    await rig.link.play(1, rig.song(500))
    await rig.voice.sound(10)
    await rig.link.leave()
    await rig.voice.disconnected()
    await until(lambda: not player_threads())
    assert rig.reports.unread == []
    await rig.enter()
    await rig.link.play(2, rig.song(20))
    assert (await rig.reports.next(TrackEnded)).finished


@pytest.mark.parametrize("half_way", [False, True])
async def test_leaving_while_entering_and_entering_again_ends_in_the_channel(
    rig: VoiceRig,
    half_way: bool,  # noqa: FBT001 - a parameter of the test
) -> None:
    await rig.link.join(rig.channel_id)
    if half_way:
        await rig.voice.until(lambda voice: voice.connections)
    assert not rig.reports.all, "it has not entered yet"
    await rig.link.leave()
    await rig.link.join(rig.channel_id)
    assert await rig.reports.next(VoiceReady) == VoiceReady(rig.channel_id)
    await rig.link.play(1, rig.song(20))
    assert (await rig.reports.next(TrackEnded)).finished


async def test_a_channel_that_may_not_be_entered_is_refused_at_once(rig: VoiceRig) -> None:
    rig.channel.deny(rig.guild.me, "connect")
    channel = rig.client.get_channel(rig.channel_id)
    assert isinstance(channel, discord.VoiceChannel)
    await until(lambda: not channel.permissions_for(channel.guild.me).connect)
    await rig.link.join(rig.channel_id)
    assert await rig.reports.next(VoiceLost) == VoiceLost(None, "forbidden", may_retry=False)


async def test_a_channel_that_is_not_there_is_said_to_be_gone(rig: VoiceRig) -> None:
    await rig.link.join(1)
    assert await rig.reports.next(VoiceLost) == VoiceLost(None, "channel_deleted", may_retry=False)


async def test_a_song_without_a_connection_ends_at_its_first_frame(rig: VoiceRig) -> None:
    await rig.link.play(3, rig.song(20), 5)
    assert await rig.reports.next(TrackEnded) == TrackEnded(3, 5, finished=False, reason=INTERRUPTED)


async def test_a_voice_server_that_never_answers_is_given_up_in_time(rig: VoiceRig) -> None:
    rig.voice.lose()
    with pytest.raises(CannotJoinError) as caught:
        await connections.connect(rig.client, int(rig.guild.id), rig.channel_id, seconds=0.5)
    assert (caught.value.reason, caught.value.may_retry) == ("timeout", True)
    assert not rig.client.voice_clients
    rig.voice.lose(0)
    await connections.wait_until_left(rig.client, int(rig.guild.id))
    await rig.enter()


async def test_a_player_that_sends_nothing_is_told_as_stalled_and_another_takes_over(
    rig: VoiceRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    await rig.enter()
    song = rig.song(60)
    stuck = threading.Event()

    def send(_packet: bytes, *, encode: bool) -> None:
        stuck.wait()
        assert not encode

    monkeypatch.setattr(rig.client.voice_clients[0], "send_audio_packet", send)
    await rig.link.play(1, song)
    try:
        ended = await rig.reports.next(TrackEnded)
        lost = await rig.reports.next(VoiceLost)
        assert lost == VoiceLost(None, "stalled", may_retry=True)
        await rig.again(lost, ended, song)
        assert (await rig.reports.next(TrackEnded)).finished
    finally:
        stuck.set()
    assert rig.value("voice_reconnects_total", reason="stalled") == 1
