"""The fake, tried with a real client process: what it says and records is what discord.py does."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from common.dca import DcaMetadata, DcaWriter
from tests.discord import (
    Channel,
    FakeDiscord,
    Guild,
    Member,
    NotOffered,
    assert_plays,
    frames_of,
    heard_frames,
    open_fake_discord,
)
from tests.servers.reaper import child_environment

ROOT = Path(__file__).parents[2]
FRAMES = 700


@dataclass
class Stage:
    discord: FakeDiscord
    guild: Guild
    voice: Channel
    ana: Member
    frames: list[bytes]

    @property
    def text(self) -> Channel:
        return next(iter(self.guild.channels.values()))


def a_song(path: Path) -> Path:
    """Write frames that are all different; nobody decodes them."""
    with path.open("wb") as file:
        writer = DcaWriter(file, DcaMetadata())
        for number in range(FRAMES):
            writer.write(b"\xfc" + number.to_bytes(4, "big") * 20)
    return path


@asynccontextmanager
async def a_small_bot(discord: FakeDiscord, song: Path) -> AsyncGenerator[asyncio.subprocess.Process]:
    environment = {**os.environ, **discord.environment}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.discord.small_bot", str(song)), env=child_environment(environment), cwd=ROOT
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncGenerator[Stage]:
    """A bot and a Discord of their own for each test: most tests break one of the two."""
    song = a_song(tmp_path / "song.dca")
    async with open_fake_discord() as discord:
        guild = discord.guild()
        voice, ana = guild.voice_channel(), guild.member("ana")
        async with a_small_bot(discord, song):
            await discord.ready()
            yield Stage(discord, guild, voice, ana, frames_of(song))


@pytest.fixture
async def playing(stage: Stage) -> AsyncGenerator[Stage]:
    """Ana has started the song, and it is heard."""
    stage.ana.join(stage.voice)
    known = len(stage.guild.voice.connections)
    played = await stage.ana.slash("small", "play", title="a song")
    await stage.guild.voice.connected(known + 1)
    await played.message()
    stage.guild.voice.received.clear()
    stage.text.read_all()
    yield stage
    if stage.guild.me.voice_channel is not None:
        await (await stage.ana.slash("small", "stop")).message()
    await stage.guild.voice.disconnected()


async def test_a_command_is_deferred_and_its_song_arrives_packet_by_packet(stage: Stage) -> None:
    stage.ana.join(stage.voice)
    played = await stage.ana.slash("small", "play", title="a song", times=2)
    assert (await played.deferred()).after < 60
    assert (await played.message()).text == "playing a song 2"
    packets = await stage.guild.voice.packets(100)
    assert_plays(packets, stage.frames)
    assert packets[-1].speaking  # the first ones may overtake the word of it, which goes another way
    assert played.kinds == ["deferred", "message"]
    left = await stage.ana.slash("small", "stop")
    assert (await left.message()).text == "left"
    await stage.guild.voice.disconnected()
    assert stage.guild.me.voice_channel is None
    assert not stage.discord.problems


async def test_choices_are_offered_for_what_is_typed(stage: Stage) -> None:
    assert await stage.ana.autocomplete("small", "play", title="ab") == [
        {"name": "ab 1", "value": "ab1"},
        {"name": "ab 2", "value": "ab2"},
    ]


async def test_discord_refuses_what_the_command_does_not_declare(stage: Stage) -> None:
    wrong: list[tuple[tuple[str, ...], dict[str, object], str]] = [
        (("dance",), {}, "has no 'dance'"),
        ((), {}, "needs one of"),
        (("play",), {}, "requires"),
        (("play",), {"title": "x", "loud": True}, "no option"),
        (("play",), {"title": 3}, "type 3"),
        (("play",), {"title": "x", "times": "many"}, "type 4"),
        (("play",), {"title": "x", "times": True}, "type 4"),
        (("play",), {"title": "x" * 21}, "outside"),
    ]
    known = len(stage.discord.interactions)
    for path, options, words in wrong:
        with pytest.raises(NotOffered, match=words):
            await stage.ana.slash("small", *path, **options)
    with pytest.raises(NotOffered, match="no autocomplete"):
        await stage.ana.autocomplete("small", "play", title="x", times=1)
    assert len(stage.discord.interactions) == known


async def test_an_answer_in_steps_is_seen_step_by_step(stage: Stage) -> None:
    asked = await stage.ana.slash("small", "slow")
    shown = await asked.message(lambda message: "three" in message.text)
    assert [version.text for version in shown.versions] == [f"{n}\nStep\n{n}" for n in ("one", "two", "three")]
    assert shown.ephemeral
    assert shown not in stage.text.messages
    further = await asked.followup()
    assert (further.ephemeral, further.content, further.pings) == (False, "and <@1> @everyone", [])
    assert asked.kinds == ["deferred", "message", "edit", "edit", "followup"]


async def test_a_button_changes_the_message_on_which_it_stands(stage: Stage) -> None:
    shown = await (await stage.ana.slash("small", "ask")).message()
    for times in (1, 2):
        pressed = stage.ana.press(shown, "Mas")
        assert (await pressed.updated()) is shown
        assert shown.text == f"pressed {times}"
    with pytest.raises(NotOffered, match="disabled"):
        stage.ana.press(shown, "never")
    with pytest.raises(NotOffered, match="no button 'Menos'"):
        stage.ana.press(shown, "Menos")


async def test_a_choice_of_a_menu_is_answered_to_who_chose(stage: Stage) -> None:
    shown = await (await stage.ana.slash("small", "ask")).message()
    answer = await stage.ana.choose(shown, "blue").message()
    assert (answer.text, answer.ephemeral, answer.seen_by) == ("you chose blue", True, stage.ana.id)
    with pytest.raises(NotOffered, match="the menu has no"):
        stage.ana.choose(shown, "green")


async def test_a_form_is_filled_and_sent(stage: Stage) -> None:
    opened = await stage.ana.slash("small", "form")
    sent = await stage.ana.fill(opened, name="Ana")
    assert (await sent.message()).text == "hello Ana"


async def test_a_second_answer_is_refused_and_remembered(stage: Stage) -> None:
    asked = await stage.ana.slash("small", "twice")
    assert (await asked.followup()).text == "refused: 400 40060"
    assert "answered twice" in stage.discord.problems.pop()


async def test_messages_of_a_channel_can_be_followed_to_their_end(stage: Stage) -> None:
    asked = await stage.ana.slash("small", "talk", text="hola")
    await asked.message(lambda message: message.text == "written")
    written = next(message for message in stage.text.messages if message.content == "hola!")
    await written.gone()
    assert [version.text for version in written.versions] == ["hola", "hola!"]
    assert written not in stage.text.now


async def test_what_discord_does_not_take_is_refused(stage: Stage) -> None:
    asked = await stage.ana.slash("small", "talk", text="x" * 2001)
    assert (await asked.message()).text == "refused: 400 50035"
    assert "2001" in stage.discord.problems.pop()
    stage.text.deny(stage.guild.me, "send_messages")
    asked = await stage.ana.slash("small", "talk", text="x")
    assert (await asked.message()).text == "refused: 403 50013"
    stage.text.allow(stage.guild.me, "send_messages")


async def test_calls_fail_are_limited_and_hang_as_told(stage: Stage) -> None:
    faults, messages = stage.discord.rest.faults, "/channels/.*/messages$"
    faults.fail(messages, status=503)
    asked = await stage.ana.slash("small", "talk", text="away")
    assert (await asked.message()).text == "refused: 503 0"
    limit = faults.limit(messages, retry_after=0.01, times=2)
    asked = await stage.ana.slash("small", "talk", text="limited")
    assert (await asked.message()).text == "written"
    assert limit.hits == 2
    hang = faults.hang(messages)
    asked = await stage.ana.slash("small", "talk", text="hanging")
    await hang.arrived()
    assert asked.kinds == ["deferred"]
    hang.release()
    assert (await asked.message()).text == "written"


async def test_a_token_that_has_ended_takes_no_more_answers(stage: Stage) -> None:
    hang = stage.discord.rest.faults.hang("/channels/.*/messages$")
    asked = await stage.ana.slash("small", "talk", text="late")
    await hang.arrived()
    asked.expire()
    known = len(stage.discord.rest.matching(asked.token))
    hang.release()
    await stage.discord.rest.called(asked.token, times=known + 1)
    assert asked.kinds == ["deferred"]


async def test_a_gateway_that_breaks_is_resumed_with_what_was_missed(stage: Stage) -> None:
    gateway, bea = stage.discord.gateway, stage.guild.member("bea")
    for times, fault in enumerate((gateway.cut, gateway.reconnect, lambda: gateway.invalidate(resumable=True)), 1):
        known = gateway.lines
        fault()
        bea.join(stage.voice)
        await gateway.resumed(times)
        await stage.text.next_message(lambda message: message.text == "bea is in Voz")
        await stage.text.next_message(lambda message: message.text == "resumed")
        bea.leave()
        await stage.text.next_message(lambda message: message.text == "bea is in no channel")
        assert gateway.lines == known + 1
    assert len(gateway.identifies) == 1


async def test_a_session_that_is_forgotten_begins_anew(stage: Stage) -> None:
    gateway = stage.discord.gateway
    known = len(gateway.identifies)
    gateway.invalidate()
    await gateway.identified(known + 1)
    assert (await (await stage.ana.slash("small", "ask")).message()).text == "choose"


async def test_a_gateway_that_closes_is_connected_to_again(stage: Stage) -> None:
    gateway = stage.discord.gateway
    known = len(gateway.identifies) + gateway.resumes

    def is_back() -> bool:  # the library resumes after some codes and identifies after others
        return len(gateway.identifies) + gateway.resumes > known

    gateway.close(4000)
    await stage.discord.world.core.bell.until(is_back, lambda: "another session")
    assert (await (await stage.ana.slash("small", "ask")).message()).text == "choose"


async def test_a_refused_connection_is_tried_again(stage: Stage) -> None:
    gateway = stage.discord.gateway
    lines, resumes = gateway.lines, gateway.resumes
    gateway.refuse(4008)
    gateway.cut()
    await gateway.resumed(resumes + 1)
    assert gateway.lines == lines + 2


async def test_a_session_that_ends_while_the_bot_is_away_begins_anew(stage: Stage) -> None:
    gateway = stage.discord.gateway
    known, resumes = len(gateway.identifies), gateway.resumes
    gateway.forget()
    gateway.cut()
    await gateway.identified(known + 1)
    assert gateway.resumes == resumes
    assert (await (await stage.ana.slash("small", "ask")).message()).text == "choose"


async def test_a_global_limit_holds_every_call_until_it_is_over(stage: Stage) -> None:
    fault = stage.discord.rest.faults.limit("/messages$", retry_after=0.2, everywhere=True)
    talked = await stage.ana.slash("small", "talk", text="later")
    assert (await talked.message()).text == "written"
    assert fault.hits == 1


async def test_a_pause_is_silence_and_sequence_and_timestamp_go_on(playing: Stage) -> None:
    voice = playing.guild.voice
    await voice.sound(20)
    await (await playing.ana.slash("small", "pause")).message()
    silence = await voice.silence()
    paused = voice.mark
    await (await playing.ana.slash("small", "resume")).message()
    await voice.sound(20, since=paused)
    assert_plays(voice.received, playing.frames, first=playing.frames.index(voice.received[0].payload))
    assert silence[0].is_silence


async def test_a_lost_session_is_replaced_and_the_song_goes_on(playing: Stage) -> None:
    voice = playing.guild.voice
    await voice.sound(10)
    number = len(voice.connections)
    voice.close(4006)
    await voice.connected(number + 1)
    await voice.sound(10, since=voice.mark)
    before, after = (
        heard_frames([one for one in voice.received if one.connection == which], playing.frames)
        for which in (number, number + 1)
    )
    assert before == list(range(before[0], before[-1] + 1))
    assert after == list(range(after[0], after[-1] + 1))
    assert voice.connections[-1].token != voice.connections[-2].token


async def test_a_crashed_voice_server_is_the_end_of_the_song(stage: Stage) -> None:
    voice, known = stage.guild.voice, stage.guild.voice.mark
    stage.ana.join(stage.voice)
    await (await stage.ana.slash("small", "play", title="a song", patience=5)).message()
    stage.text.read_all()
    number = len(voice.connections)
    await voice.sound(10, since=known)
    voice.close(4015)
    await stage.text.next_message(lambda message: message.text == "ended")
    await voice.disconnected()
    assert len(voice.connections) == number  # the library waits for a new server before it would resume
    assert heard_frames(voice.received[known:], stage.frames)[-1] < FRAMES - 1


async def test_a_moved_bot_plays_on_and_one_that_is_kicked_stops(playing: Stage) -> None:
    voice, other = playing.guild.voice, playing.guild.voice_channel("Otra")
    number = len(voice.connections)
    playing.guild.move_bot(other)
    await voice.connected(number + 1)
    await voice.sound(10, since=voice.mark)
    assert playing.guild.me.voice_channel is other
    playing.guild.me.leave()
    await playing.text.next_message(lambda message: message.text == "ended")
    assert playing.guild.me.voice_channel is None


async def test_lost_packets_are_gone_and_leave_a_gap(playing: Stage) -> None:
    voice = playing.guild.voice
    await voice.sound(5)
    voice.lose()
    await voice.until(lambda heard: len(heard.lost) >= 10)
    voice.lose(0)
    await voice.packets(20, since=voice.mark)
    with pytest.raises(AssertionError, match="is followed by"):
        assert_plays(voice.received, playing.frames, first=playing.frames.index(voice.received[0].payload))


async def test_a_cut_voice_line_and_a_new_voice_server_are_survived(playing: Stage) -> None:
    voice, number = playing.guild.voice, len(playing.guild.voice.connections)
    voice.new_server()
    await voice.connected(number + 1)
    await voice.sound(5, since=voice.mark)
    voice.cut()
    await voice.connected(number + 2)
    await voice.sound(5, since=voice.mark)


async def test_a_voice_server_that_goes_away_is_replaced(playing: Stage) -> None:
    voice, number = playing.guild.voice, len(playing.guild.voice.connections)
    voice.server_lost()
    voice.new_server()
    await voice.connected(number + 1)
    await voice.sound(5, since=voice.mark)


async def test_an_outage_of_the_network_ends_when_it_ends(stage: Stage) -> None:
    known = stage.discord.gateway.resumes
    stage.discord.proxy.down()
    await stage.discord.gateway.disconnected()
    stage.discord.proxy.up()
    await stage.discord.gateway.resumed(known + 1)
    assert (await (await stage.ana.slash("small", "ask")).message()).text == "choose"


async def test_a_command_is_hidden_from_people_without_its_permissions(stage: Stage) -> None:
    manager = stage.guild.member("boss", stage.guild.role("managers", "manage_guild"))
    hidden = {"name": "settings", "description": "x", "default_member_permissions": str(1 << 5)}
    stage.discord.commands.replace([hidden], stage.guild.id)
    with pytest.raises(NotOffered, match="hidden"):
        await stage.ana.slash("settings")
    assert (await manager.slash("settings")).label == "/settings"
    stage.discord.commands.replace([], stage.guild.id)


async def test_an_answer_for_one_person_is_not_there_for_others(stage: Stage) -> None:
    bea = stage.guild.member("bea")
    shown = await (await stage.ana.slash("small", "slow")).message()
    shown.body["components"] = [{"type": 1, "components": [{"type": 2, "style": 1, "label": "Go", "custom_id": "go"}]}]
    with pytest.raises(NotOffered, match="does not see"):
        bea.press(shown, "Go")


async def test_a_full_channel_and_one_closed_to_the_bot_are_not_entered(stage: Stage) -> None:
    known = len(stage.guild.voice.connections)
    full, closed = stage.guild.voice_channel("Llena", user_limit=1), stage.guild.voice_channel("Cerrada")
    closed.deny(stage.guild.me, "connect")
    for channel in (full, closed):
        stage.ana.join(channel)
        asked = await stage.ana.slash("small", "play", title="x", patience=1)
        assert (await asked.message()).text == "no way in"
    assert len(stage.guild.voice.connections) == known


async def test_a_wrong_token_ends_the_bot(stage: Stage, tmp_path: Path) -> None:
    async with open_fake_discord(token="another") as other:  # noqa: S106 - the fake's own
        environment = {**os.environ, **other.environment, "DISCORD_TOKEN": "wrong"}
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "tests.discord.small_bot", str(a_song(tmp_path / "song.dca"))),
            env=child_environment(environment),
            cwd=ROOT,
            stderr=asyncio.subprocess.PIPE,
        )
        _, said = await process.communicate()
    assert process.returncode == 1
    assert b"LoginFailure" in said
    assert not stage.discord.problems
