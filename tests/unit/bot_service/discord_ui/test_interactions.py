"""Commands, buttons and menus from their event to their answer: real discord.py objects, players and store."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncGenerator
from contextlib import closing
from pathlib import Path

import pytest
from discord.ui import Button, View

from bot_service.discord_ui.views import player_view
from bot_service.player.rules.model import LoopMode, Phase
from bot_service.requests.tracks import Suggestion
from tests.unit.bot_service.discord_ui.local_bot import LocalBot, open_local_bot
from tests.unit.bot_service.player.entries import track
from tests.waiting import until

SONG, OTHER = track("nonino"), track("libertango")


@pytest.fixture
async def bot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncGenerator[LocalBot]:
    async with open_local_bot(tmp_path, monkeypatch) as opened:
        for song in (SONG, OTHER):
            opened.services.songs.remember(song)
        yield opened


async def playing(bot: LocalBot) -> None:
    await bot.say("play", input=SONG.video_id)
    assert bot.player.snapshot.phase is Phase.PLAYING


async def test_a_library_song_is_deferred_then_said_to_play_and_counted(bot: LocalBot) -> None:
    played = await bot.ask("play", input=f" {SONG.video_id} ")
    assert (await played.message()).text == "▶️ Sonando: Song nonino"
    assert played.kinds == ["deferred", "message"]
    assert bot.voices[int(bot.guild.id)].calls == [f"join {bot.voice.id}", "play nonino 0"]
    await until(lambda: bot.counted("commands", name="play", outcome="ok") == 1)
    assert bot.counted("library_hits") == 1


async def test_an_unknown_song_is_requested_with_what_its_later_reply_needs(bot: LocalBot) -> None:
    asked = await bot.ask("play", input=" volver ")
    answer = await asked.message()
    assert answer.text.startswith("🔎 Buscando volver…\n(La biblioteca no responde")
    [request] = await bot.services.store.open_requests()
    assert (request.song, request.interaction_token, request.message_id) == ("volver", asked.token, int(answer.id))
    assert (request.user_id, request.text_channel_id) == (int(bot.ana.id), int(bot.text.id))
    assert [entry.entry_id for entry in bot.player.snapshot.entries] == [request.request_id]


async def test_play_is_refused_in_private_before_anything_is_promised(bot: LocalBot) -> None:
    beto = bot.friend("beto", locale="en-US", listens=False)
    refused = await bot.ask("play", by=beto, input=SONG.video_id)
    answer = await refused.message()
    assert answer.ephemeral
    assert answer.text == "❌ You are not in a voice channel. Join one and try again."
    assert refused.kinds == ["message"]
    await until(lambda: bot.counted("commands", name="play", outcome="not_in_voice") == 1)


@pytest.mark.parametrize("blank", [" ", "\u200b\u2060 ", "\t\n"])
async def test_blank_input_is_refused_in_private(bot: LocalBot, blank: str) -> None:
    for asked in (await bot.ask("play", input=blank), await bot.ask("search", input=blank * 2)):
        answer = await asked.message()
        assert answer.ephemeral
        assert "Escribí el nombre de un tema" in answer.text
        assert asked.kinds == ["message"]


async def test_of_two_channels_at_once_the_second_is_refused_in_private(
    bot: LocalBot, monkeypatch: pytest.MonkeyPatch
) -> None:
    beto, other = bot.friend("beto", listens=False), bot.guild.voice_channel("Otra")
    beto.join(other)
    found = asyncio.Event()
    find = bot.services.songs.find

    async def slow(song: str) -> object:
        await found.wait()
        return await find(song)

    monkeypatch.setattr(bot.services.songs, "find", slow)
    first = await bot.ask("play", input=SONG.video_id)
    await first.deferred()
    for _ in range(2):
        second = await bot.ask("play", by=beto, input=OTHER.video_id)
        answer = await second.message()
        assert (second.kinds, answer.ephemeral) == (["message"], True)
        assert answer.text.startswith("❌ Estoy sonando en otro canal de voz.")
        found.set()
        assert (await first.message()).text == "▶️ Sonando: Song nonino"
    assert bot.player.snapshot.voice_channel_id == int(bot.voice.id)


async def test_a_locked_store_is_answered_within_discords_three_seconds(bot: LocalBot) -> None:
    await playing(bot)
    with closing(sqlite3.connect(bot.services.settings.bot_sqlite_path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        refused = await bot.say("play", input="volver")
        assert refused.text.startswith("❌")
        assert "Probá en un rato" in refused.text
        kept = await bot.ask("favorites", "add")
        assert (await kept.message()).text.startswith("❌")
        other.execute("ROLLBACK")
    assert (await bot.say("favorites", "add")).text == "⭐ Guardada en tus favoritas: Song nonino"
    assert await bot.services.store.open_requests() == [], "what was refused is not stored later"


async def test_the_presence_names_the_bot_and_its_command(bot: LocalBot) -> None:
    assert bot.client.activity is not None
    assert bot.client.activity.name == "con Butakero /music"


async def test_a_command_before_the_players_are_restored_is_refused(
    bot: LocalBot, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bot_service.discord_ui.interactions._STARTUP_SECONDS", 0.01)
    bot.interactions.ready.clear()
    assert (await bot.say("skip")).text.startswith("❌ Recién arranco.")


async def test_a_command_waits_for_the_players_to_be_restored(bot: LocalBot) -> None:
    bot.interactions.ready.clear()
    asked = await bot.ask("list")
    bot.interactions.ready.set()
    assert "La cola está vacía" in (await asked.message()).text


async def test_a_defect_is_told_in_private_without_its_details(bot: LocalBot, monkeypatch: pytest.MonkeyPatch) -> None:
    async def broken(guild_id: int, limit: int = 20) -> object:
        raise RuntimeError(f"secret of {guild_id} {limit}")

    monkeypatch.setattr(type(bot.services.store), "history", staticmethod(broken))
    answer = await bot.say("history")
    assert answer.ephemeral
    assert "secret" not in answer.text
    await until(lambda: bot.counted("commands", name="history", outcome="internal_error") == 1)


async def test_slow_work_is_deferred_and_answered_by_an_edit(bot: LocalBot, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bot_service.discord_ui.replies.answer._DEFER_AFTER_SECONDS", 0.01)
    release = asyncio.Event()

    async def search(words: str, limit: int) -> list[Suggestion]:
        del limit
        await release.wait()
        return [Suggestion.of_track(track(words))]

    monkeypatch.setattr(bot.services.songs, "search", search)
    asked = await bot.ask("search", input="nonino")
    await asked.deferred()
    release.set()
    assert "Song nonino" in (await asked.message()).text
    assert asked.kinds == ["deferred", "message"]


async def test_an_answer_that_discord_refuses_ends_nothing(bot: LocalBot) -> None:
    bot.discord.rest.faults.fail("/callback$", status=404, code=10062)
    await bot.ask("list")
    await until(lambda: bot.counted("commands", name="queue", outcome="ok") == 1)
    assert "La cola está vacía" in (await bot.say("list")).text


async def test_a_reply_that_discord_refuses_is_followed_by_one_line(bot: LocalBot) -> None:
    bot.discord.rest.faults.fail("/callback$", status=400, code=50035)
    assert (await bot.say("list")).text.startswith("⚠️ Discord no aceptó mi respuesta.")
    bot.discord.rest.faults.fail("/messages/@original$", status=400, code=50035)
    assert (await bot.say("play", input=SONG.video_id)).text.startswith("⚠️ Discord no aceptó mi respuesta.")


async def test_a_later_edit_that_discord_refuses_is_followed_by_one_line(bot: LocalBot) -> None:
    answer = await bot.say("play", input="volver")
    [request] = await bot.services.store.open_requests()
    bot.discord.rest.faults.fail(f"/messages/{answer.id}$", status=400, code=50035)
    await bot.parts.replies.timed_out(request)
    assert answer.text.startswith("⚠️ Discord no aceptó mi respuesta.")


async def test_a_page_that_discord_refuses_is_followed_by_one_line(bot: LocalBot) -> None:
    for number in range(12):
        await bot.interactions.play_requests.play_tracks([track(f"t{number:02}")], bot.requester())
    first = await bot.say("queue")
    bot.discord.rest.faults.fail("/callback$", status=400, code=50035)
    assert (await bot.ana.press(first, "▶️").message()).text.startswith("⚠️ Discord no aceptó mi respuesta.")


async def test_an_expired_interaction_is_no_crash_and_its_work_is_done(
    bot: LocalBot, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("bot_service.discord_ui.replies.answer._DEFER_AFTER_SECONDS", 0)
    await playing(bot)
    bot.discord.rest.faults.fail("/callback$", status=404, code=10062, times=None)
    await bot.ask("pause")
    await until(lambda: bot.player.snapshot.phase is Phase.PAUSED)
    await bot.ask("play", input=OTHER.video_id)
    await until(lambda: bot.counted("commands", name="play", outcome="expired") == 1)
    assert not [record for record in caplog.records if "crashed" in record.getMessage()]


async def test_the_outcome_of_a_command_is_the_reply(bot: LocalBot) -> None:
    await playing(bot)
    await bot.say("play", input=OTHER.video_id)
    assert (await bot.say("seek", time="0:30")).text == "⏩ Seguimos desde 0:30."
    assert (await bot.say("pause")).text == "⏸️ En pausa."
    assert (await bot.say("skip")).text == "⏭️ Salteada: Song nonino\nAhora suena: Song libertango"
    assert "No entiendo ese momento" in (await bot.say("seek", time="soon")).text


async def test_favourites_are_added_listed_played_and_removed(bot: LocalBot) -> None:
    await playing(bot)
    assert (await bot.say("favorites", "add")).text == "⭐ Guardada en tus favoritas: Song nonino"
    assert (await bot.say("favorites", "add")).text == "⭐ Ya estaba en tus favoritas: Song nonino"
    assert "`1.` Song nonino" in (await bot.say("favorites", "list")).text
    assert (await bot.say("favorites", "play")).text == "✅ En la cola, posición 1: Song nonino"
    assert (await bot.say("favorites", "remove", number=1)).text == "Saqué de tus favoritas: Song nonino"
    assert (await bot.say("favorites", "play")).text.startswith("❌ Todavía no tenés favoritas.")


async def test_managers_change_settings_and_the_player_knows_at_once(bot: LocalBot) -> None:
    assert (await bot.say("settings", vote_skip=True)).text.startswith("❌ Los ajustes los cambia")
    assert "Votar para saltear\nno" in (await bot.say("settings")).text, "any member may see them"
    bot.ana.give(bot.guild.role("jefas", "manage_guild"))
    assert "Ajustes guardados." in (await bot.say("settings", vote_skip=True, language="en")).text
    assert (bot.player.snapshot.rules.vote_skip, bot.player.snapshot.rules.locale) == (True, "en")


async def test_status_names_what_does_not_respond_and_the_last_failure(bot: LocalBot) -> None:
    answer = await bot.say("status")
    assert "Servicio de audio\n❌ no responde" in answer.text
    assert "Base del bot\n✅ funciona" in answer.text
    assert "ninguno desde que arrancó el bot" in answer.text
    await bot.say("play", input="volver")
    [request] = await bot.services.store.open_requests()
    await bot.parts.replies.timed_out(request)
    assert "volver: Nadie respondió el pedido a tiempo." in (await bot.say("status")).text


async def test_pages_of_the_queue_are_turned_in_place(bot: LocalBot) -> None:
    for number in range(12):
        await bot.interactions.play_requests.play_tracks([track(f"t{number:02}")], bot.requester())
    first = await bot.say("queue")
    assert "Página 1 de 2" in first.text
    assert [button.get("disabled", False) for button in first.buttons] == [True, False]
    turned = bot.ana.press(first, "▶️")
    assert "Página 2 de 2" in (await turned.updated()).text
    assert turned.kinds == ["update"]
    assert [button.get("disabled", False) for button in first.buttons] == [False, True]


async def test_a_search_result_is_played_by_its_title(bot: LocalBot, monkeypatch: pytest.MonkeyPatch) -> None:
    async def search(words: str, limit: int) -> list[Suggestion]:
        del words, limit
        return [Suggestion("Volver", "https://example.org/volver"), Suggestion.of_track(SONG)]

    monkeypatch.setattr(bot.services.songs, "search", search)
    found = await bot.say("search", input="tangos")
    assert (await bot.ana.choose(found, "Song nonino").message()).text == "▶️ Sonando: Song nonino"
    asked = await bot.ana.choose(found, "Volver").message()
    assert asked.text.startswith("🔎 Buscando Volver…")
    assert [entry.title for entry in bot.player.snapshot.entries] == ["Volver"]


async def test_buttons_act_silently_and_a_skip_tells_its_user(bot: LocalBot) -> None:
    await playing(bot)
    await bot.say("play", input=OTHER.video_id)
    shown = await bot.send(player_view(bot.player.snapshot))
    for button, state in (("⏯️", Phase.PAUSED), ("⏯️", Phase.PLAYING)):
        pressed = bot.ana.press(shown, button)
        await pressed.deferred()
        assert (bot.player.snapshot.phase, pressed.kinds) == (state, ["deferred update"])
    for mode in (LoopMode.QUEUE, LoopMode.TRACK, LoopMode.OFF):
        await bot.ana.press(shown, "butakero:player:loop").deferred()
        assert bot.player.snapshot.loop is mode
    kept = await bot.ana.press(shown, "⭐").message()
    assert (kept.ephemeral, kept.text) == (True, "⭐ Guardada en tus favoritas: Song nonino")
    skipped = await bot.ana.press(shown, "⏭️").message()
    assert (skipped.ephemeral, skipped.text) == (True, "⏭️ Salteada: Song nonino\nAhora suena: Song libertango")
    await bot.ana.press(shown, "⏮️").deferred()
    assert bot.player.snapshot.current is not None
    assert bot.player.snapshot.current.title == "Song nonino"
    await bot.ana.press(shown, "⏹️").deferred()
    assert bot.player.snapshot.phase is Phase.IDLE
    await until(lambda: bot.counted("commands", name="button", outcome="ok") == 9)


async def test_no_view_that_was_sent_is_kept_in_memory(bot: LocalBot) -> None:
    await playing(bot)
    message = await bot.send(player_view(bot.player.snapshot))
    assert bot.client.persistent_views == []
    await bot.ana.press(message, "⏯️").deferred()
    assert bot.player.snapshot.phase is Phase.PAUSED


async def test_who_does_not_listen_presses_in_vain(bot: LocalBot) -> None:
    await playing(bot)
    shown = await bot.send(player_view(bot.player.snapshot))
    refused = await bot.friend("beto", listens=False).press(shown, "⏹️").message()
    assert refused.ephemeral
    assert refused.text.startswith("❌ No estás en un canal de voz.")
    assert bot.player.snapshot.phase is Phase.PLAYING


@pytest.mark.parametrize("custom_id", ["butakero:player:dance", "skip_button", "butakero:queue:next"])
async def test_a_button_of_another_version_says_what_to_do(bot: LocalBot, custom_id: str) -> None:
    await playing(bot)
    old = View(timeout=None).add_item(Button(label="Bailar", custom_id=custom_id))
    pressed = bot.ana.press(await bot.send(old), "Bailar")
    answer = await pressed.message()
    assert answer.ephemeral
    assert answer.text == "Ese botón es de una versión anterior del bot. Usá /music, por ejemplo /music playing."


async def test_two_who_press_skip_at_once_skip_one_song(bot: LocalBot) -> None:
    await bot.interactions.play_requests.play_tracks([track("a"), track("b"), track("c")], bot.requester())
    bot.guild.me.join(bot.voice)
    shown = await bot.send(player_view(bot.player.snapshot))
    pressed = [bot.ana.press(shown, "⏭️"), bot.friend("beto").press(shown, "⏭️")]
    assert [(await one.message()).text for one in pressed] == [
        "⏭️ Salteada: Song a\nAhora suena: Song b",
        "⏭️ Ya se había pasado de tema.\nAhora suena: Song b",
    ]
    # A message that still shows the song before: pressed a second later.
    assert (await bot.ana.press(shown, "⏭️").message()).text.startswith("⏭️ Ya se había pasado de tema.")
    shown = await bot.send(player_view(bot.player.snapshot))
    assert (await bot.ana.press(shown, "⏭️").message()).text == "⏭️ Salteada: Song b\nAhora suena: Song c"


async def test_two_who_type_skip_at_once_skip_one_song_and_one_after_the_other_two(bot: LocalBot) -> None:
    await bot.interactions.play_requests.play_tracks([track(name) for name in "abcd"], bot.requester())
    beto = bot.friend("beto")
    async with asyncio.TaskGroup() as tasks:
        both = [tasks.create_task(bot.say("skip", by=one)) for one in (bot.ana, beto)]
    assert sorted(one.result().text for one in both) == [
        "⏭️ Salteada: Song a\nAhora suena: Song b",
        "⏭️ Ya se había pasado de tema.\nAhora suena: Song b",
    ]
    assert (await bot.say("skip")).text == "⏭️ Salteada: Song b\nAhora suena: Song c"
    assert (await bot.say("skip")).text == "⏭️ Salteada: Song c\nAhora suena: Song d"


async def test_a_command_of_an_earlier_prefix_says_what_to_type(bot: LocalBot) -> None:
    known = bot.discord.world.commands
    known.replace([{**one, "name": "musica"} for one in known.everywhere], None)
    answer = await (await bot.ana.slash("musica", "list")).message()
    assert answer.ephemeral
    assert answer.text.startswith("Ese comando ya no existe o cambió: ahora es /music.")


async def test_commands_of_an_earlier_start_are_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bot: LocalBot
) -> None:
    monkeypatch.setattr("bot_service.discord_ui.bot._COMMANDS_SECONDS", 0)
    known = bot.discord.world.commands
    assert [command["name"] for command in known.everywhere] == ["music"]
    guild_id = bot.guild.id
    async with open_local_bot(tmp_path, monkeypatch, before=bot, discord_guilds=guild_id) as second:
        assert known.everywhere == []
        assert [command["name"] for command in known.in_guild[guild_id]] == ["music"]
        await second.client.remove_stale_commands()
        assert [command["name"] for command in known.in_guild[guild_id]] == ["music"]
    async with open_local_bot(tmp_path, monkeypatch, before=bot) as third:
        await third.client.remove_stale_commands()
        assert not known.in_guild[guild_id]
        assert [command["name"] for command in known.everywhere] == ["music"]
