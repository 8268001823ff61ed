"""The queue as people see and change it; history; favourites, which follow a person everywhere."""

from __future__ import annotations

import asyncio
import re
from typing import Any

import pytest

from tests.discord import Message, NotOffered, heard_frames
from tests.discord.house import LIBRARY, House, Scene
from tests.unit.bot_service.player.songs import frames
from tests.waiting import patience

pytestmark = pytest.mark.asyncio(loop_scope="package")

NOON, DUSK, MIDNIGHT, DAWN, *_ = LIBRARY
LINE = re.compile(r"^`(\d+)\.` (.+?) `3:20` · <@\d+>$", re.MULTILINE)


def _queue(message: Message) -> dict[int, str]:
    """Return position → title, as a person reads them."""
    return {int(number): title for number, title in LINE.findall(message.text)}


async def _with_four(house: House) -> Scene:
    """Return a scene in which NOON is on, and DUSK, MIDNIGHT and DAWN are queued."""
    scene = await house.scene()
    for song in (NOON, DUSK, MIDNIGHT, DAWN):
        await scene.play(song)
    await scene.guild.voice.sound(1)
    return scene


async def _listed(scene: Scene) -> list[str]:
    return list(_queue(await scene.say("list")).values())


async def test_it_is_listed_with_numbers_lengths_and_who_asked(house: House) -> None:
    scene = await _with_four(house)
    shown = await scene.say("list")
    assert shown.text.startswith(f"Cola\n**Sonando ahora:** {NOON.title}")
    assert _queue(shown) == {1: DUSK.title, 2: MIDNIGHT.title, 3: DAWN.title}
    assert f"`1.` {DUSK.title} `3:20` · {scene.ana.mention}" in shown.text
    assert shown.text.endswith("Página 1 de 1 · temas: 3 · 10:00")
    assert not shown.buttons
    assert not shown.pings


async def test_pages_are_turned_in_the_same_message(house: House) -> None:
    scene = await house.scene()
    for number in range(22):
        await scene.play(LIBRARY[number % 4])
    first = await scene.say("queue")
    assert sorted(_queue(first)) == list(range(1, 11))
    with pytest.raises(NotOffered):
        scene.ana.press(first, "◀️")
    second = await scene.ana.press(first, "▶️").updated()
    assert sorted(_queue(second)) == list(range(11, 21))
    third = await scene.ana.press(second, "▶️").updated()
    assert sorted(_queue(third)) == [21]
    assert "Página 3 de 3 · temas: 21" in third.text
    with pytest.raises(NotOffered):
        scene.ana.press(third, "▶️")
    back = await scene.ana.press(third, "◀️").updated()
    assert sorted(_queue(back)) == list(range(11, 21))
    assert back is first


async def test_a_page_beyond_the_last_is_the_last(house: House) -> None:
    scene = await _with_four(house)
    assert len(_queue(await scene.say("queue", page=9))) == 3
    with pytest.raises(NotOffered):
        await scene.say("queue", page=0)


async def test_songs_are_moved_and_removed_by_their_number(house: House) -> None:
    scene = await _with_four(house)
    places: dict[str, Any] = {"from": 3, "to": 1}
    assert f"{DAWN.title} pasó a la posición 1." in (await scene.say("move", **places)).text
    assert await _listed(scene) == [DAWN.title, DUSK.title, MIDNIGHT.title]
    assert f"Saqué de la cola: {DUSK.title}" in (await scene.say("remove", position=2)).text
    assert await _listed(scene) == [DAWN.title, MIDNIGHT.title]


async def test_a_shuffled_queue_has_the_same_songs_and_a_cleared_one_none(house: House) -> None:
    scene = await _with_four(house)
    assert "Cola mezclada." in (await scene.say("shuffle")).text
    assert set(await _listed(scene)) == {DUSK.title, MIDNIGHT.title, DAWN.title}
    assert "Vacié la cola (temas: 3)." in (await scene.say("clear")).text
    assert await _listed(scene) == []
    assert NOON.title in (await scene.say("playing")).text


async def test_a_jump_plays_that_song_and_those_after_it_stay(house: House) -> None:
    scene = await _with_four(house)
    answer = await scene.say("jump", position=2)
    assert answer.text == f"⏭️ Salteada: {NOON.title}\nAhora suena: {MIDNIGHT.title}"
    assert await _listed(scene) == [DAWN.title]


async def test_skip_previous_and_history_tell_the_same_story(house: House) -> None:
    scene = await _with_four(house)
    await scene.guild.voice.sound(1)  # what nobody heard is not remembered
    assert f"Ahora suena: {DUSK.title}" in (await scene.say("skip")).text
    assert f"Ahora suena: {NOON.title}" in (await scene.say("previous")).text
    async with asyncio.timeout(patience(30)):
        while len((history := await scene.say("history")).text.splitlines()) < 4:
            pass  # it is written beside the answer
    lines = history.text.splitlines()
    assert lines[0] == "Lo último que sonó"
    assert [line.split("` ")[1].split(" · ")[0] for line in lines[1:]] == [NOON.title, DUSK.title, NOON.title]
    assert all(re.search(r" · <@\d+> · <t:\d+:R>$", line) for line in lines[1:])
    assert not history.pings


async def test_the_last_song_skipped_leaves_silence(house: House) -> None:
    scene = await house.scene()
    await scene.play(NOON)
    answer = await scene.say("skip")
    assert answer.text == f"⏭️ Salteada: {NOON.title}\nNo queda nada en la cola."


async def test_a_repeated_queue_comes_round(house: House) -> None:
    scene = await house.scene()
    await scene.play(NOON)
    await scene.play(DUSK)
    assert "Repito la cola." in (await scene.say("loop", mode="queue")).text
    assert f"Ahora suena: {DUSK.title}" in (await scene.say("skip")).text
    assert await _listed(scene) == [NOON.title]
    assert f"Ahora suena: {NOON.title}" in (await scene.say("skip")).text


async def test_what_is_heard_goes_on_exactly_where_seek_says(house: House) -> None:
    scene = await house.scene()
    await scene.play(NOON)
    await scene.guild.voice.sound(10)
    since = scene.guild.voice.mark
    assert "Seguimos desde 1:23." in (await scene.say("seek", time="1m23s")).text
    packets = await scene.guild.voice.sound(scene.guild.voice.mark - since + 50, since=since)
    heard = heard_frames(packets, frames(200 * 50, size=40))
    after = heard[heard.index(83 * 50) :]
    assert len(after) >= 50
    assert after == list(range(83 * 50, 83 * 50 + len(after)))
    assert max(heard[: -len(after)], default=0) < 83 * 50


async def test_stopping_counts_what_was_given_up_and_leaves(house: House) -> None:
    scene = await _with_four(house)
    assert "paré la música y vacié la cola (temas: 4)." in (await scene.say("stop")).text
    await scene.guild.voice.disconnected()
    assert "La cola está vacía." in (await scene.say("list")).text


async def test_favourites_are_kept_played_and_removed(house: House) -> None:
    scene = await house.scene()
    await scene.play(NOON)
    assert f"Guardada en tus favoritas: {NOON.title}" in (await scene.say("favorites", "add")).text
    assert f"Ya estaba en tus favoritas: {NOON.title}" in (await scene.say("favorites", "add")).text
    await scene.play(DUSK)
    await scene.say("skip")
    await scene.say("favorites", "add")
    shown = await scene.say("favorites", "list")
    assert shown.ephemeral
    assert f"`1.` {DUSK.title} `3:20`\n`2.` {NOON.title} `3:20`" in shown.text
    assert f"En la cola, posición 1: {NOON.title}" in (await scene.say("favorites", "play", number=2)).text
    assert "Favoritas en la cola: 2." in (await scene.say("favorites", "play")).text
    assert await _listed(scene) == [NOON.title, DUSK.title, NOON.title]
    assert "Esa favorita no existe." in (await scene.say("favorites", "play", number=3)).text
    assert f"Saqué de tus favoritas: {DUSK.title}" in (await scene.say("favorites", "remove", number=1)).text
    assert DUSK.title not in (await scene.say("favorites", "list")).text


async def test_favourites_are_a_persons_own_and_the_same_everywhere(house: House) -> None:
    scene, other = await house.scene(), await house.scene()
    await scene.play(NOON)
    await scene.say("favorites", "add")
    beto = scene.friend("beto")
    assert "No tenés favoritas todavía" in (await scene.say("favorites", "list", by=beto)).text
    there = other.guild.member(scene.ana)
    there.join(other.voice)
    assert f"▶️ Sonando: {NOON.title}" in (await other.say("favorites", "play", by=there)).text
