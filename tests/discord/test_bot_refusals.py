"""What people read when something cannot be done: what happened, what to do, in their language, seen by them alone."""

from __future__ import annotations

from typing import Any, Literal

import pytest

from tests.discord.house import LIBRARY, QUEUE_LIMIT, House, Scene

pytestmark = pytest.mark.asyncio(loop_scope="package")

Language = Literal["es-ES", "en-US"]
NOON, DUSK, *_ = LIBRARY

_NOTHING_ON = "❌ No está sonando nada. Poné algo con «play».", "❌ Nothing is playing. Start something with “play”."
_EMPTY = "❌ La cola está vacía. Agregá algo con «play».", "❌ The queue is empty. Add something with “play”."
_NO_PLACE = "❌ No hay nada en esa posición.", "❌ There is nothing at that position."
_NOWHERE = "❌ No estoy en ningún canal de voz.", "❌ I am in no voice channel."
_NO_FAVOURITES = "❌ Todavía no tenés favoritas.", "❌ You have no favourites yet."

WITH_NOTHING_ON: list[tuple[str, dict[str, Any], tuple[str, str]]] = [
    ("playing", {}, _NOTHING_ON),
    ("skip", {}, _NOTHING_ON),
    ("stop", {}, _NOTHING_ON),
    ("pause", {}, _NOTHING_ON),
    ("resume", {}, _NOTHING_ON),
    ("seek", {"time": "1:00"}, _NOTHING_ON),
    ("seek", {"time": "soon"}, ("❌ No entiendo ese momento. Escribilo como", "❌ I cannot read that time. Write")),
    ("shuffle", {}, _EMPTY),
    ("clear", {}, _EMPTY),
    ("remove", {"position": 1}, _NO_PLACE),
    ("move", {"from": 1, "to": 2}, _NO_PLACE),
    ("jump", {"position": 1}, _NOWHERE),
    ("previous", {}, _NOWHERE),
    ("favorites add", {}, _NOTHING_ON),
    ("favorites play", {}, _NO_FAVOURITES),
    ("favorites remove", {"number": 1}, _NO_FAVOURITES),
]

WITH_A_SONG_ON: list[tuple[str, dict[str, Any], tuple[str, str]]] = [
    ("resume", {}, ("❌ No está en pausa", "❌ It is not paused")),
    ("seek", {"time": "9:59"}, ("❌ No puedo ir a ese momento", "❌ I cannot go there")),
    ("previous", {}, ("❌ No hay un tema anterior.", "❌ There is no song before this one.")),
    ("jump", {"position": 1}, _NO_PLACE),
]


async def _read(scene: Scene, language: Language, table: list[tuple[str, dict[str, Any], tuple[str, str]]]) -> None:
    """Send every line of the table; each answer must begin with its words and be for the person alone."""
    wrong: list[str] = []
    for command, options, words in table:
        answer = await scene.say(*command.split(), **options)
        if not answer.ephemeral or not answer.text.startswith(words[language == "en-US"]):
            wrong.append(f"{command} {options}: {answer.text!r}, private: {answer.ephemeral}")
    assert not wrong


@pytest.mark.parametrize("language", ["es-ES", "en-US"])
async def test_with_nothing_on_every_command_says_what_to_do(house: House, language: Language) -> None:
    await _read(await house.scene(locale=language), language, WITH_NOTHING_ON)


@pytest.mark.parametrize("language", ["es-ES", "en-US"])
async def test_what_does_not_fit_the_song_that_is_on_is_explained(house: House, language: Language) -> None:
    scene = await house.scene(locale=language)
    await scene.play(NOON)
    await _read(scene, language, WITH_A_SONG_ON)
    await scene.say("pause")
    again = await scene.say("pause")
    assert again.text.startswith(("❌ Ya está en pausa.", "❌ It is paused already.")[language == "en-US"])


async def test_a_language_that_the_bot_does_not_speak_is_answered_in_spanish(house: House) -> None:
    scene = await house.scene(locale="de")
    assert "No está sonando nada" in (await scene.say("skip")).text


async def test_each_person_is_answered_in_their_own_language(house: House) -> None:
    scene = await house.scene()
    bob = scene.friend("bob", locale="en-GB")
    assert "Nothing is playing" in (await scene.say("skip", by=bob)).text
    assert "No está sonando nada" in (await scene.say("skip")).text


async def test_who_is_in_no_voice_channel_commands_nothing(house: House) -> None:
    scene = await house.scene()
    await scene.play(NOON)
    beto = scene.friend("beto", listens=False)
    for command in ("skip", "stop", "pause", "shuffle"):
        answer = await scene.say(command, by=beto)
        assert answer.ephemeral
        assert "No estás en un canal de voz. Entrá a uno" in answer.text
    answer = await scene.say("play", by=beto, input=DUSK.title)
    assert answer.ephemeral
    assert "No estás en un canal de voz." in answer.text
    assert NOON.title in (await scene.say("playing", by=beto)).text


async def test_who_is_in_another_voice_channel_commands_nothing(house: House) -> None:
    scene = await house.scene()
    await scene.play(NOON)
    beto = scene.friend("beto", listens=False)
    beto.join(scene.guild.voice_channel("Otra"))
    skipped = await scene.say("skip", by=beto)
    assert skipped.ephemeral
    assert "Estoy en otro canal de voz. Entrá a ese canal" in skipped.text
    played = await scene.say("play", by=beto, input=DUSK.video_id)
    assert played.ephemeral
    assert "Estoy sonando en otro canal de voz." in played.text
    assert DUSK.title not in (await scene.say("list")).text


@pytest.mark.parametrize(
    ("permission", "words"),
    [
        ("connect", "No tengo permiso para entrar a tu canal de voz. Pedí que me den «Conectar»."),
        ("speak", "No tengo permiso para hablar en tu canal de voz. Pedí que me den «Hablar»."),
        ("view_channel", "No puedo ver tu canal de voz. Pedí que me den permiso de «Ver canal»."),
    ],
)
async def test_where_the_bot_may_not_play_it_says_which_permission_is_missing(
    house: House, permission: str, words: str
) -> None:
    scene = await house.scene()
    scene.voice.deny(scene.guild.everyone, permission)
    answer = await scene.play(NOON)
    assert answer.ephemeral
    assert words in answer.text
    assert "La cola está vacía" in (await scene.say("list")).text


async def test_a_stage_where_it_may_not_even_ask_to_speak_is_not_entered(house: House) -> None:
    scene = await house.scene()
    stage = scene.guild.stage_channel()
    stage.deny(scene.guild.everyone, "request_to_speak")
    scene.ana.join(stage)
    answer = await scene.play(NOON)
    assert answer.ephemeral
    assert "Pedí que me den «Solicitar hablar»." in answer.text
    assert "La cola está vacía" in (await scene.say("list")).text


async def test_the_channel_of_who_is_away_is_not_entered(house: House) -> None:
    scene = await house.scene(locale="en-US")
    scene.ana.join(scene.guild.away_channel())
    answer = await scene.play(NOON)
    assert answer.ephemeral
    assert "Members cannot be heard in the AFK channel." in answer.text


async def test_a_full_voice_channel_is_not_entered(house: House) -> None:
    scene = await house.scene()
    scene.ana.join(scene.guild.voice_channel("Chica", user_limit=1))
    assert "Tu canal de voz está lleno." in (await scene.play(NOON)).text


async def test_a_full_queue_says_so_and_keeps_what_it_has(house: House) -> None:
    scene = await house.scene()
    for _ in range(QUEUE_LIMIT + 1):
        await scene.play(NOON)
    answer = await scene.play(DUSK)
    assert "La cola está llena. Esperá a que avance, o sacá algo con «remove»." in answer.text
    assert f"temas: {QUEUE_LIMIT}" in (await scene.say("queue")).text
