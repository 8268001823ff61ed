"""The real bot in voice channels: a song packet by packet, what people do to it, and whom the bot follows or leaves."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass

import pytest
import pytest_asyncio

from tests.discord import Channel, FakeDiscord, assert_plays, assert_stream, open_fake_discord
from tests.discord.bot_process import bot_environment, open_bot_process
from tests.discord.concert import FRAMES_PER_SECOND, Library, Room, Song, open_library, open_room

pytestmark = pytest.mark.asyncio(loop_scope="module")


@dataclass(frozen=True, slots=True)
class Concert:
    """A bot that leaves after a second, alone or idle."""

    discord: FakeDiscord
    library: Library


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def concert(tmp_path_factory: pytest.TempPathFactory) -> AsyncGenerator[Concert]:
    directory = tmp_path_factory.mktemp("voice")
    async with AsyncExitStack() as stack:
        library = await stack.enter_async_context(open_library(directory))
        discord = await stack.enter_async_context(open_fake_discord())
        environment = bot_environment(discord, library.settings, directory, ALONE_SECONDS="1", IDLE_SECONDS="1")
        await stack.enter_async_context(open_bot_process(discord, environment))
        yield Concert(discord, library)
        assert not discord.problems


@pytest.fixture
def room(concert: Concert) -> Room:
    return open_room(concert.discord)


async def test_a_song_arrives_packet_by_packet_as_it_stands_in_the_file(concert: Concert, room: Room) -> None:
    song = concert.library.short
    assert "Sonando" in await room.play(song)
    await room.hears_the_end(song)
    tail = await room.voice.silence()
    packets = room.voice.received
    assert_plays(packets, song.frames)
    assert [packet.payload for packet in packets[: len(song.frames)]] == song.frames
    assert len(packets) == len(song.frames) + len(tail)
    assert packets[len(song.frames) // 2].speaking
    nonces = [packet.nonce for packet in packets]
    assert nonces == list(range(nonces[0], nonces[0] + len(packets)))
    took = packets[-1].arrived - packets[0].arrived
    assert took > (len(packets) - 1) * 0.02 * 0.8, "sent faster than it is heard"


async def test_after_a_pause_the_next_frame_is_heard(concert: Concert, room: Room) -> None:
    song = concert.library.long
    await room.play(song)
    await room.hears(song, 30)
    assert "pausa" in await room.say("pause")
    await room.voice.silence()
    place = room.voice.mark
    held_at = song.numbers(room.voice.received)[-1]
    assert "Seguimos" in await room.say("resume")
    await room.hears(song, held_at + 30, since=place)
    heard = song.numbers(room.voice.received)
    assert heard == list(range(len(heard)))
    assert_stream(room.voice.received)


@pytest.mark.parametrize(("time", "frame"), [("6s", 300), ("0:00", 0)])
async def test_a_seek_is_exact_to_the_frame(concert: Concert, room: Room, time: str, frame: int) -> None:
    song = concert.library.long
    await room.play(song)
    await room.hears(song, 60)
    await room.say("seek", time=time)
    await room.hears(song, frame + 30 if frame else 60, since=room.voice.mark)
    heard = song.numbers(room.voice.received)
    [leap] = [place for place in range(1, len(heard)) if heard[place] != heard[place - 1] + 1]
    assert heard[:leap] == list(range(leap))
    assert heard[leap:] == list(range(frame, frame + len(heard) - leap))
    assert_stream(room.voice.received)


async def test_skip_jump_previous_and_repeat_each_begin_a_song_at_its_first_frame(concert: Concert, room: Room) -> None:
    short, middle, long = concert.library.short, concert.library.middle, concert.library.long
    voice = room.voice

    async def begins(song: Song, since: int) -> None:
        await room.hears(song, 20, since=since)
        assert song.numbers(voice.received[since:])[:20] == list(range(20))

    for song in (long, middle, short, long):
        await room.play(song)
    await begins(long, 0)
    place = voice.mark
    assert middle.title in await room.say("skip")
    await begins(middle, place)
    place = voice.mark
    assert long.title in await room.say("jump", position=2)
    await begins(long, place)
    place = voice.mark
    assert short.title in await room.say("previous")  # it was passed over by the jump
    await begins(short, place)
    for mode, following in (("track", short), ("queue", long)):
        await room.say("loop", mode=mode)
        place = voice.mark
        await room.say("seek", time="2s")
        await begins(following, await _end_of(short, room, since=place))
    assert_stream(voice.received)


def _walk(room: Room, elsewhere: Channel) -> None:
    room.ana.join(elsewhere)


def _move_the_bot(room: Room, elsewhere: Channel) -> None:
    room.guild.member("beto").join(elsewhere)
    room.guild.move_bot(elsewhere)


@pytest.mark.parametrize("move", [_walk, _move_the_bot], ids=["the last listener", "a moderator"])
async def test_in_another_channel_it_plays_on_without_a_gap(
    concert: Concert, room: Room, move: Callable[[Room, Channel], None]
) -> None:
    song, elsewhere = concert.library.long, room.guild.voice_channel("Arriba")
    await room.play(song)
    await room.hears(song, 40)
    move(room, elsewhere)
    await room.voice.connected(2)
    await room.hears(song, 140)
    assert room.guild.me.voice_channel is elsewhere
    _assert_hardly_a_gap(song, room)


@pytest.mark.parametrize("flag", ["mute", "deaf"])
async def test_muted_or_deafened_by_a_moderator_it_pauses_and_goes_on_with_the_next_frame(
    concert: Concert, room: Room, flag: str
) -> None:
    song = concert.library.long
    await room.play(song)
    await room.hears(song, 30)
    room.guild.me.moderate(**{flag: True})
    await room.notice("un moderador me")
    await room.voice.silence()
    place = room.voice.mark
    held_at = song.numbers(room.voice.received)[-1]
    assert "no me dejan hablar" in await room.say("resume")
    room.guild.me.moderate(**{flag: False})
    await room.hears(song, held_at + 30, since=place)
    heard = song.numbers(room.voice.received)
    assert heard == list(range(len(heard)))


async def test_on_a_stage_it_becomes_a_speaker_where_it_may(concert: Concert, room: Room) -> None:
    song, stage = concert.library.long, room.guild.stage_channel()
    stage.allow(room.guild.me, "mute_members")
    room.ana.join(stage)
    await room.play(song)
    await room.hears(song, 30)
    assert room.guild.me.voice_flags["suppress"] is False


async def test_on_a_stage_it_asks_to_speak_says_so_and_plays_from_the_start_once_accepted(
    concert: Concert, room: Room
) -> None:
    song, stage = concert.library.long, room.guild.stage_channel()
    room.ana.join(stage)
    await room.play(song)
    await room.notice("pedí la palabra")
    assert room.guild.me.voice_flags["request_to_speak_timestamp"]
    assert song.numbers(room.voice.received) == []
    room.guild.me.moderate(suppress=False)  # an invitation: the request's time still stands
    await room.hears(song, 30)
    assert room.guild.me.voice_flags["request_to_speak_timestamp"] is None
    place = room.voice.mark
    room.guild.me.moderate(suppress=True)
    await room.notice("me pasó al público")
    await room.voice.silence()
    held_at = song.numbers(room.voice.received)[-1]
    room.guild.me.moderate(suppress=False)
    await room.hears(song, held_at + 30, since=place)
    heard = song.numbers(room.voice.received)
    assert heard == list(range(len(heard)))


async def test_alone_it_stops_and_says_so(concert: Concert, room: Room) -> None:
    await room.play(concert.library.long)
    await room.hears(concert.library.long, 20)
    room.ana.leave()
    await room.notice("sin nadie en el canal")
    await room.voice.disconnected()
    assert room.guild.me.voice_channel is None
    room.ana.join(room.channel)
    assert "vac" in await room.say("list")


async def test_listeners_who_leave_between_two_gateway_sessions_are_missed(concert: Concert, room: Room) -> None:
    await room.play(concert.library.long)
    await room.hears(concert.library.long, 20)
    concert.discord.gateway.invalidate()
    room.ana.leave()  # told to no session
    await room.notice("sin nadie en el canal")
    await room.voice.disconnected()


async def test_when_nothing_was_on_for_a_while_it_leaves_and_says_so(concert: Concert, room: Room) -> None:
    await room.play(concert.library.short)
    await room.hears(concert.library.short, 5)
    await room.say("seek", time="2s")
    await room.notice("no suena nada")
    await room.voice.disconnected()
    assert room.guild.me.voice_channel is None


async def test_told_to_stay_it_plays_on_alone(concert: Concert, room: Room) -> None:
    boss = room.guild.member("carla", room.guild.role("jefes", "manage_guild"))
    await (await boss.slash("music", "settings", stay=True)).message()
    await room.play(concert.library.long)
    await room.hears(concert.library.long, 20)
    room.ana.leave()
    await room.hears(concert.library.long, 120)  # twice as long as it would have stayed
    assert room.guild.me.voice_channel is room.channel


@pytest.mark.parametrize(("end", "words"), [("kicked", "Me sacaron"), ("deleted", "Borraron el canal")])
async def test_sent_away_it_stops_says_why_and_stays_away(concert: Concert, room: Room, end: str, words: str) -> None:
    await room.play(concert.library.long)
    await room.play(concert.library.short)
    await room.hears(concert.library.long, 20)
    if end == "kicked":
        room.guild.me.leave()
    else:
        room.channel.delete()
    await room.notice(words)
    assert "vac" in await room.say("list")
    assert len(room.voice.connections) == 1
    assert room.guild.me.voice_channel is None


async def _end_of(song: Song, room: Room, *, since: int) -> int:
    """Wait until the song is over and return the place after its last packet."""
    await room.hears(song, len(song.frames) - 1, since=since)
    last = song.frames[-1]
    return 1 + next(place for place in range(since, room.voice.mark) if room.voice.received[place].payload == last)


def _assert_hardly_a_gap(song: Song, room: Room) -> None:
    """Assert that at most a second was lost, and as much repeated."""
    heard = song.numbers(room.voice.received)
    assert len(set(range(heard[-1] + 1)) - set(heard)) <= FRAMES_PER_SECOND
    assert len(heard) - len(set(heard)) <= FRAMES_PER_SECOND
