"""The player message of a guild, by the calls that reach Discord: real players, real discord.py, no sockets."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import replace
from pathlib import Path

import discord
import pytest

from bot_service.discord_ui import player_message
from bot_service.discord_ui.replies.embeds import player_embed
from bot_service.player.rules.events import JoinWaits, Pause, Resume, SetLoop, SetRules, Skip, Stop
from bot_service.player.rules.model import LoopMode
from bot_service.player.rules.outcomes import Notice, NoticeKind
from bot_service.player.snapshot import Snapshot
from bot_service.store.base import GuildSettings
from common.errors import Locale
from tests.discord import Message
from tests.unit.bot_service.discord_ui.local_bot import LocalBot, open_local_bot
from tests.unit.bot_service.player.entries import track
from tests.unit.bot_service.player.test_players import RecordedVoice
from tests.waiting import until


@pytest.fixture(autouse=True)
def without_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(player_message, "_MIN_INTERVAL_SECONDS", 0)


@pytest.fixture
async def bot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncGenerator[LocalBot]:
    async with open_local_bot(tmp_path, monkeypatch, shows=True) as opened:
        yield opened


async def play(bot: LocalBot, *names: str) -> None:
    await bot.interactions.play_requests.play_tracks([track(name) for name in names], bot.requester())


async def shown(bot: LocalBot, *names: str) -> Message:
    """Play songs, and wait for the player message of the first."""
    await play(bot, *names)
    return await bot.text.next_message(lambda message: message.buttons)


def messages(bot: LocalBot) -> list[Message]:
    return [message for message in bot.text.now if message.buttons]


async def test_it_is_sent_with_a_song_and_edited_with_the_state(bot: LocalBot) -> None:
    message = await shown(bot, "a", "b")
    assert message.embeds[0]["title"] == "Song a"
    assert f"La pidió\n<@{bot.ana.id}>" in message.text
    await message.until(lambda one: "Sonando ahora" in one.text)
    await bot.player.ask(Pause())
    await bot.player.ask(SetLoop(LoopMode.QUEUE))
    await message.until(lambda one: "En pausa" in one.text and "Repetición\nla cola" in one.text)
    assert [button["style"] for button in message.buttons] == [2, 1, 2, 2, 2, 1, 2]
    assert messages(bot) == [message]


async def test_while_a_song_plays_it_is_edited_when_its_content_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rendered: list[Snapshot] = []

    def render(snapshot: Snapshot, locale: Locale) -> discord.Embed:
        rendered.append(snapshot)
        return player_embed(snapshot, locale)

    monkeypatch.setattr(player_message, "player_embed", render)
    async with open_local_bot(tmp_path, monkeypatch, shows=True, player_update_seconds=0.01) as bot:
        message = await shown(bot, "a")
        bot.voices[int(bot.guild.id)].frame = 50 * 10
        await message.until(lambda one: "`0:10 / 1:00`" in one.text)
        edits = bot.discord.rest.matching(f"/messages/{message.id}$", "PATCH")
        rendered.clear()
        await until(lambda: len(rendered) > 3)
        assert bot.discord.rest.matching(f"/messages/{message.id}$", "PATCH") == edits


async def test_a_deleted_one_is_sent_again_and_saved(bot: LocalBot) -> None:
    message = await shown(bot, "a")
    message.delete()
    await bot.player.ask(Pause())
    again = await bot.text.next_message(lambda one: one.buttons)
    assert messages(bot) == [again]
    await until(lambda: bot.player.snapshot.message_id == int(again.id))


async def test_a_new_song_moves_it_below_other_messages(bot: LocalBot) -> None:
    message = await shown(bot, "a", "b")
    await bot.say("list")
    await bot.player.ask(Skip(int(bot.ana.id)))
    new = await bot.text.next_message(lambda one: one.buttons and "Song b" in one.text)
    assert message.deleted
    assert messages(bot) == [new]


async def test_a_new_song_is_shown_in_place_while_it_is_the_newest_message(bot: LocalBot) -> None:
    message = await shown(bot, "a", "b")
    await bot.player.ask(Skip(int(bot.ana.id)))
    await message.until(lambda one: "Song b" in one.text)
    assert messages(bot) == [message]


async def test_without_announcements_it_stays_in_place(bot: LocalBot) -> None:
    await bot.player.ask(SetRules(GuildSettings(announce=False)))
    message = await shown(bot, "a", "b")
    await bot.say("list")
    await bot.player.ask(Skip(int(bot.ana.id)))
    await message.until(lambda one: "Song b" in one.text)
    assert messages(bot) == [message]


async def test_it_follows_playback_to_another_text_channel(bot: LocalBot) -> None:
    message = await shown(bot, "a")
    other = bot.guild.text_channel("pedidos")
    requester = replace(bot.requester(), text_channel_id=int(other.id))
    await bot.interactions.play_requests.play_tracks([track("b")], requester)
    moved = await other.next_message(lambda one: one.buttons)
    assert "Song a" in moved.text
    assert message.deleted


async def test_when_nothing_plays_it_becomes_one_line_and_the_next_song_gets_its_own(bot: LocalBot) -> None:
    message = await shown(bot, "a")
    await bot.player.ask(Stop())
    await message.until(lambda one: one.text == "No está sonando nada." and not one.buttons)
    assert await shown(bot, "b") is not message


async def test_after_a_restart_the_saved_message_is_edited(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with open_local_bot(tmp_path, monkeypatch, shows=True) as first:
        message = await shown(first, "a")
        await until(lambda: first.player.snapshot.message_id == int(message.id))
    async with open_local_bot(tmp_path, monkeypatch, shows=True, before=first) as second:
        await second.parts.players.restore()
        await message.until(lambda one: len(one.versions) > 1 and "Song a" in one.text)
        assert messages(second) == [message]


async def test_a_restart_that_waits_for_its_turn_says_why_at_once(bot: LocalBot) -> None:
    voice = bot.voices.setdefault(int(bot.guild.id), RecordedVoice(bot.player.tell))
    voice.answers = False
    await play(bot, "a")
    bot.player.tell(JoinWaits(waiting=True))
    await bot.text.next_message(lambda message: "Esperando turno" in message.text)
    bot.parts.messages.notice(int(bot.guild.id), Notice(NoticeKind.RESTORED))
    told = await bot.text.next_message(lambda message: "sigo donde estaba" in message.text)
    assert "Esperando turno: Discord deja entrar a pocos canales por minuto" in told.text
    bot.player.tell(JoinWaits(waiting=False))
    await until(lambda: not bot.player.snapshot.waiting_to_join)
    bot.parts.messages.notice(int(bot.guild.id), Notice(NoticeKind.RESTORED))
    told = await bot.text.next_message(lambda message: "sigo donde estaba" in message.text)
    assert "Esperando" not in told.text


async def test_it_speaks_the_language_of_the_guild_unless_its_managers_choose_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_local_bot(tmp_path, monkeypatch, shows=True, locale="en-US") as bot:
        message = await shown(bot, "a")
        await message.until(lambda one: "Playing now" in one.text)
        await bot.player.ask(SetRules(GuildSettings(locale="es")))
        await message.until(lambda one: "Sonando ahora" in one.text)


async def test_notices_are_sent_with_their_reason_in_the_guilds_language(bot: LocalBot) -> None:
    await shown(bot, "a")
    entry = bot.player.snapshot.current
    bot.parts.messages.notice(int(bot.guild.id), Notice(NoticeKind.SONG_FAILED, entry, "media_corrupt"))
    bot.parts.messages.notice(int(bot.guild.id), Notice(NoticeKind.VOICE_FAILED, code="4017"))
    failed = await bot.text.next_message(lambda one: "No se pudo reproducir Song a" in one.text)
    voice = await bot.text.next_message(lambda one: "cifrado de extremo a extremo" in one.text)
    assert int(failed.id) < int(voice.id)


@pytest.mark.parametrize("status", [403, 500])
async def test_a_channel_that_refuses_messages_ends_nothing(bot: LocalBot, status: int) -> None:
    fault = bot.discord.rest.faults.fail(f"^/channels/{bot.text.id}/messages$", status=status, times=1)
    await play(bot, "a")
    await until(lambda: fault.hits)
    await bot.player.ask(Pause())
    assert "En pausa" in (await bot.text.next_message(lambda one: one.buttons)).text


@pytest.mark.parametrize("status", [403, 404])
async def test_a_channel_that_keeps_refusing_is_given_up_which_is_said_once(bot: LocalBot, status: int) -> None:
    await bot.say("list")
    fault = bot.discord.rest.faults.fail(f"^/channels/{bot.text.id}/messages", status=status, times=None)
    await play(bot, "a", "b")
    listed = bot.discord.world.interactions.all[0]
    told = await listed.followup()
    assert told.ephemeral
    assert told.text.startswith(f"⚠️ No puedo mostrar el reproductor en <#{bot.text.id}>")
    hits = fault.hits
    for command in (Pause(), Resume(), Skip(int(bot.ana.id))):
        await bot.player.ask(command)
    other = bot.guild.text_channel("pedidos")
    await bot.interactions.play_requests.play_tracks(
        [track("c")], replace(bot.requester(), text_channel_id=int(other.id))
    )
    assert "Song b" in (await other.next_message(lambda one: one.buttons)).text
    assert fault.hits == hits <= 4
    assert listed.followups == [told]


async def test_a_song_that_discord_does_not_take_is_shown_without_its_title(bot: LocalBot) -> None:
    bot.discord.rest.faults.fail(f"^/channels/{bot.text.id}/messages$", status=400, code=50035, times=1)
    await play(bot, "a")
    message = await bot.text.next_message(lambda one: one.buttons)
    assert message.text == "Sonando ahora"


async def test_a_defect_in_one_guilds_message_does_not_end_the_others(
    bot: LocalBot, monkeypatch: pytest.MonkeyPatch
) -> None:
    crashed = asyncio.Event()

    def broken(snapshot: Snapshot, locale: Locale) -> discord.Embed:
        crashed.set()
        raise RuntimeError(f"a defect in {snapshot} {locale}")

    with monkeypatch.context() as patch:
        patch.setattr(player_message, "player_embed", broken)
        await play(bot, "a")
        await crashed.wait()
    await bot.player.ask(Pause())
    assert "En pausa" in (await bot.text.next_message(lambda one: one.buttons)).text
