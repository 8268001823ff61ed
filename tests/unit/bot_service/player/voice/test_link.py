"""The voice link against the fake Discord: what arrives is compared with the file, faults with what is reported."""

from __future__ import annotations

import threading
import time
from collections.abc import AsyncGenerator
from pathlib import Path

import discord
import pytest

from bot_service.player.rules.events import INTERRUPTED, TrackEnded, VoiceLost, VoiceReady
from bot_service.player.voice import entry as voice_entry
from bot_service.player.voice.dca_source import SILENCE
from bot_service.player.voice.entry import CannotJoinError
from tests.discord import assert_plays, assert_stream, heard_frames
from tests.unit.bot_service.player import songs
from tests.unit.bot_service.player.voice.voice_stage import Stage, open_stage
from tests.waiting import until

SECOND = 50


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncGenerator[Stage]:
    async with open_stage(tmp_path) as opened:
        yield opened


def player_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "voice pacer"]


async def test_a_song_arrives_packet_by_packet_and_its_end_is_told(stage: Stage) -> None:
    await stage.enter()
    await stage.link.play(7, stage.song(150), asked_at=time.monotonic())
    assert await stage.reports.next(TrackEnded) == TrackEnded(7, 150, finished=True)
    packets = await stage.voice.packets(155)
    assert_plays(packets, songs.frames(150))
    assert all(packet.is_silence for packet in packets[150:])
    assert stage.value("frames_sent_total") == 150
    assert stage.value("frames_starved_total") == 0
    assert stage.value("first_packet_seconds_count") == 1
    assert not discord.opus.is_loaded()


async def test_the_bot_is_deaf_before_and_after_a_move(stage: Stage) -> None:
    other = stage.guild.voice_channel("Otro")
    await stage.enter()
    assert stage.guild.me.voice_flags["self_deaf"]
    await stage.link.play(1, stage.song(500))
    await stage.voice.sound(20)
    await stage.link.join(int(other.id))
    assert await stage.reports.next(VoiceReady) == VoiceReady(int(other.id))
    assert stage.guild.me.voice_channel is other
    assert stage.guild.me.voice_flags["self_deaf"]
    mark = stage.voice.mark
    await stage.voice.sound(20, since=mark)
    assert stage.reports.unread == []


async def test_a_pause_holds_the_frame_and_resume_goes_on_with_the_next(stage: Stage) -> None:
    await stage.enter()
    await stage.link.play(1, stage.song(100))
    await stage.voice.sound(30)
    stage.link.hold()
    await stage.voice.silence()
    held = stage.link.next_frame
    assert len(heard_frames(stage.voice.received, songs.frames(100))) == held
    stage.link.proceed()
    assert await stage.reports.next(TrackEnded) == TrackEnded(1, 100, finished=True)
    assert_plays(await stage.voice.packets(110), songs.frames(100))


async def test_a_song_that_is_held_before_it_begins_sends_nothing_until_it_proceeds(stage: Stage) -> None:
    await stage.enter()
    await stage.link.play(1, stage.song(20))
    stage.link.hold()
    playback = stage.link._play  # pyright: ignore[reportPrivateUsage] - that it has read is told to nobody
    assert playback is not None
    await until(lambda: playback.source.buffered == 20)
    # Those of an earlier song take a moment to end; one of this song would stay.
    await until(lambda: not player_threads())
    assert stage.link.next_frame == 0
    stage.link.proceed()
    assert await stage.reports.next(TrackEnded) == TrackEnded(1, 20, finished=True)
    assert_plays(await stage.voice.packets(20), songs.frames(20))


async def test_a_seek_is_exact_to_the_frame(stage: Stage) -> None:
    await stage.enter()
    song = stage.song(2_000)
    await stage.link.play(1, song)
    await stage.voice.sound(10)
    await stage.link.play(2, song, 1_950)
    assert await stage.reports.next(TrackEnded) == TrackEnded(2, 2_000, finished=True)
    await stage.voice.silence()
    heard = heard_frames(stage.voice.received, songs.frames(2_000))
    assert heard[-50:] == list(range(1_950, 2_000))
    assert heard[:-50] == list(range(len(heard) - 50))


async def test_a_skip_reports_nothing_of_the_halted_song_and_the_two_do_not_send_at_once(stage: Stage) -> None:
    await stage.enter()
    song = stage.song(500)
    for play_id in range(5):
        await stage.link.play(play_id, song, play_id * 100)
        await stage.voice.sound(5, since=stage.voice.mark)
    await stage.link.play(9, song, 490)
    assert (await stage.reports.next(TrackEnded)).play_id == 9
    packets = list(stage.voice.received)
    assert_stream(packets)
    payloads = [packet.payload for packet in packets]
    for first in (100, 200, 300, 400, 490):
        place = payloads.index(songs.frame(first))
        assert payloads[place - 5 : place] == [SILENCE] * 5
        assert payloads[place + 1] == songs.frame(first + 1)


async def test_the_next_song_follows_from_memory(stage: Stage) -> None:
    await stage.enter()
    following = stage.song(600, "dQw4w9WgXcQ")
    await stage.link.play(1, stage.song(60))
    await stage.link.prefetch(following)
    assert (await stage.reports.next(TrackEnded)).finished
    (stage.files / following.file_path).unlink()
    await stage.link.play(2, following)
    packets = await stage.voice.packets(60 + 5 + 100)
    assert heard_frames(packets[65:], songs.frames(600)) == list(range(100))


async def test_a_song_that_nobody_has_ends_with_its_code(stage: Stage) -> None:
    await stage.enter()
    await stage.link.play(1, songs.track())
    ended = await stage.reports.next(TrackEnded)
    assert not ended.finished
    assert ended.reason not in {"", INTERRUPTED}


async def test_a_damaged_song_plays_to_the_damage_and_says_so(stage: Stage) -> None:
    await stage.enter()
    song = songs.stored(stage.files, songs.track(), songs.dca(40) + b"\x00\x00")
    await stage.link.play(1, song)
    assert await stage.reports.next(TrackEnded) == TrackEnded(1, 40, finished=False, reason="media_corrupt")


@pytest.mark.parametrize("code", [1000, 1001, 4006, 4009, 4015])
async def test_a_closed_connection_is_told_with_its_code_and_the_song_goes_on(stage: Stage, code: int) -> None:
    await stage.enter()
    song = stage.song(200)
    await stage.link.play(1, song)
    await stage.voice.sound(30)
    stage.voice.close(code)
    ended = await stage.reports.next(TrackEnded)
    assert (ended.finished, ended.reason) == (False, INTERRUPTED)
    lost = await stage.reports.next(VoiceLost)
    assert (lost.code, lost.reason) == (code, "closed")
    await stage.again(lost, ended, song)
    assert (await stage.reports.next(TrackEnded)).finished
    await stage.voice.silence()
    heard = heard_frames(stage.voice.received, songs.frames(200))
    assert len(set(heard)) >= 200 - SECOND
    assert len(heard) - len(set(heard)) <= SECOND
    assert stage.value("voice_reconnects_total", reason=str(code)) == 1


async def test_a_cut_connection_goes_on_too(stage: Stage) -> None:
    await stage.enter()
    song = stage.song(200)
    await stage.link.play(1, song)
    await stage.voice.sound(30)
    stage.voice.cut()
    ended = await stage.reports.next(TrackEnded)
    lost = await stage.reports.next(VoiceLost)
    assert lost.reason == "closed"
    await stage.again(lost, ended, song)
    assert (await stage.reports.next(TrackEnded)).finished


async def test_a_close_that_forbids_to_come_back_is_told_as_one(stage: Stage) -> None:
    await stage.enter()
    stage.voice.close(4021)
    assert await stage.reports.next(VoiceLost) == VoiceLost(4021, "closed", may_retry=False)


async def test_a_move_to_another_voice_server_loses_no_frame_and_reports_nothing(stage: Stage) -> None:
    await stage.enter()
    await stage.link.play(1, stage.song(120))
    await stage.voice.sound(30)
    stage.guild.move_bot(stage.guild.voice_channel("Otro"))
    assert await stage.reports.next(TrackEnded) == TrackEnded(1, 120, finished=True)
    assert len(stage.voice.connections) == 2


async def test_thrown_out_is_told_and_the_player_thread_ends(stage: Stage) -> None:
    await stage.enter()
    await stage.link.play(1, stage.song(500))
    await stage.voice.sound(10)
    stage.guild.me.leave()
    assert (await stage.reports.next(TrackEnded)).reason == INTERRUPTED
    assert await stage.reports.next(VoiceLost) == VoiceLost(None, "kicked", may_retry=False)
    await until(lambda: not player_threads())


async def test_a_deleted_channel_is_told_apart_from_being_thrown_out(stage: Stage) -> None:
    await stage.enter()
    stage.channel.delete()
    assert await stage.reports.next(VoiceLost) == VoiceLost(None, "channel_deleted", may_retry=False)


async def test_leaving_ends_the_thread_reports_nothing_and_can_be_followed_by_a_join(stage: Stage) -> None:
    await stage.enter()
    await stage.link.play(1, stage.song(500))
    await stage.voice.sound(10)
    await stage.link.leave()
    await stage.voice.disconnected()
    await until(lambda: not player_threads())
    assert stage.reports.unread == []
    await stage.enter()
    await stage.link.play(2, stage.song(20))
    assert (await stage.reports.next(TrackEnded)).finished


@pytest.mark.parametrize("half_way", [False, True])
async def test_leaving_while_entering_and_entering_again_ends_in_the_channel(
    stage: Stage,
    half_way: bool,  # noqa: FBT001 - a parameter of the test
) -> None:
    await stage.link.join(stage.channel_id)
    if half_way:
        await stage.voice.until(lambda voice: voice.connections)
    assert not stage.reports.all, "it has not entered yet"
    await stage.link.leave()
    await stage.link.join(stage.channel_id)
    assert await stage.reports.next(VoiceReady) == VoiceReady(stage.channel_id)
    await stage.link.play(1, stage.song(20))
    assert (await stage.reports.next(TrackEnded)).finished


async def test_a_channel_that_may_not_be_entered_is_refused_at_once(stage: Stage) -> None:
    stage.channel.deny(stage.guild.me, "connect")
    channel = stage.client.get_channel(stage.channel_id)
    assert isinstance(channel, discord.VoiceChannel)
    await until(lambda: not channel.permissions_for(channel.guild.me).connect)
    await stage.link.join(stage.channel_id)
    assert await stage.reports.next(VoiceLost) == VoiceLost(None, "forbidden", may_retry=False)


async def test_a_channel_that_is_not_there_is_said_to_be_gone(stage: Stage) -> None:
    await stage.link.join(1)
    assert await stage.reports.next(VoiceLost) == VoiceLost(None, "channel_deleted", may_retry=False)


async def test_a_song_without_a_connection_ends_at_its_first_frame(stage: Stage) -> None:
    await stage.link.play(3, stage.song(20), 5)
    assert await stage.reports.next(TrackEnded) == TrackEnded(3, 5, finished=False, reason=INTERRUPTED)


async def test_a_voice_server_that_never_answers_is_given_up_in_time(stage: Stage) -> None:
    stage.voice.lose()
    with pytest.raises(CannotJoinError) as caught:
        await voice_entry.enter(stage.client, int(stage.guild.id), stage.channel_id, seconds=0.5)
    assert (caught.value.reason, caught.value.may_retry) == ("timeout", True)
    assert not stage.client.voice_clients
    stage.voice.lose(0)
    await voice_entry.told_that_it_left(stage.client, int(stage.guild.id))
    await stage.enter()


async def test_a_player_that_sends_nothing_is_told_as_stalled_and_another_takes_over(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    await stage.enter()
    song = stage.song(60)
    stuck = threading.Event()

    def send(_packet: bytes, *, encode: bool) -> None:
        stuck.wait()
        assert not encode

    monkeypatch.setattr(stage.client.voice_clients[0], "send_audio_packet", send)
    await stage.link.play(1, song)
    try:
        ended = await stage.reports.next(TrackEnded)
        lost = await stage.reports.next(VoiceLost)
        assert lost == VoiceLost(None, "stalled", may_retry=True)
        await stage.again(lost, ended, song)
        assert (await stage.reports.next(TrackEnded)).finished
    finally:
        stuck.set()
    assert stage.value("voice_reconnects_total", reason="stalled") == 1
