"""Who may do what: votes, the DJ role, limits and turns, and who may set them."""

from __future__ import annotations

import pytest

from tests.discord import Member, NotOffered
from tests.discord.house import LIBRARY, House, Scene

pytestmark = pytest.mark.asyncio(loop_scope="package")

NOON, DUSK, MIDNIGHT, DAWN, *_ = LIBRARY


async def _ruled(house: House, **rules: object) -> tuple[Scene, Member]:
    """Return a scene with these settings, and the manager who made them; the manager does not listen."""
    scene = await house.scene()
    boss = scene.friend("jefa", listens=False)
    boss.give(scene.guild.role("jefas", "manage_guild"))
    if rules:
        saved = await scene.say("settings", by=boss, **rules)
        assert "Ajustes guardados." in saved.text
    return scene, boss


async def test_settings_are_for_managers_and_off_at_first(house: House) -> None:
    scene, boss = await _ruled(house)
    refused = await scene.say("settings", vote_skip=True)
    assert refused.ephemeral
    assert "quien puede gestionar el servidor. Pedíselo a alguien con ese permiso." in refused.text
    shown = await scene.say("settings", by=boss)
    assert shown.ephemeral
    assert "Votar para saltear\nno" in shown.text
    assert "Rol de DJ\ntodos" in shown.text
    assert "Temas por persona\nsin límite" in shown.text
    assert "Cola justa (por turnos)\nno" in shown.text


async def test_settings_are_kept_one_by_one_and_shown_in_words(house: House) -> None:
    scene, boss = await _ruled(house, per_user=3, fair_queue=True)
    role = scene.guild.role("DJ")
    shown = await scene.say("settings", by=boss, dj_role=role, language="en", stay=True)
    assert "Temas por persona\n3" in shown.text
    assert "Cola justa (por turnos)\nsí" in shown.text
    assert f"Rol de DJ\n<@&{role.id}>" in shown.text
    assert "Idioma\nEnglish" in shown.text
    assert "Quedarse 24/7\nsí" in shown.text
    assert not shown.pings
    back = await scene.say("settings", by=boss, no_dj_role=True, language="auto")
    assert "Rol de DJ\ntodos" in back.text
    assert "Idioma\nel de cada usuario" in back.text


async def test_a_limit_out_of_range_cannot_be_typed(house: House) -> None:
    scene, boss = await _ruled(house)
    with pytest.raises(NotOffered):
        await scene.say("settings", by=boss, per_user=-1)


async def test_a_majority_of_those_who_listen_skips(house: House) -> None:
    scene, _ = await _ruled(house, vote_skip=True)
    beto, carla = scene.friend("beto"), scene.friend("carla")
    await scene.play(NOON)
    assert "Voto anotado: 1 de 2" in (await scene.say("skip", by=beto)).text
    assert "Voto anotado: 1 de 2" in (await scene.say("skip", by=beto)).text
    assert f"Salteada: {NOON.title}" in (await scene.say("skip", by=carla)).text


async def test_who_asked_for_a_song_skips_it_without_a_vote(house: House) -> None:
    scene, _ = await _ruled(house, vote_skip=True)
    scene.friend("beto")
    scene.friend("carla")
    await scene.play(NOON)
    assert f"Salteada: {NOON.title}" in (await scene.say("skip")).text


async def test_managers_and_people_alone_need_no_vote(house: House) -> None:
    scene, boss = await _ruled(house, vote_skip=True)
    beto = scene.friend("beto")
    await scene.play(NOON)
    await scene.play(DUSK)
    boss.join(scene.voice)
    assert f"Salteada: {NOON.title}" in (await scene.say("skip", by=boss)).text
    boss.leave()
    scene.ana.leave()
    assert f"Salteada: {DUSK.title}" in (await scene.say("skip", by=beto)).text


async def test_the_player_is_the_djs_and_a_role_counts_as_soon_as_it_is_given(house: House) -> None:
    scene, boss = await _ruled(house)
    role = scene.guild.role("DJ")
    await scene.say("settings", by=boss, dj_role=role)
    beto = scene.friend("beto")
    await scene.play(NOON)
    for command, options in (("pause", {}), ("stop", {}), ("seek", {"time": "10"}), ("loop", {"mode": "queue"})):
        refused = await scene.say(command, by=beto, **options)
        assert refused.ephemeral
        assert "lo maneja quien tiene el rol de DJ. Pedíselo a alguien con ese rol." in refused.text
    assert "Voto anotado: 1 de 2" in (await scene.say("skip", by=beto)).text
    beto.give(role)
    assert "En pausa" in (await scene.say("pause", by=beto)).text
    assert f"Salteada: {NOON.title}" in (await scene.say("skip", by=beto)).text


async def test_everybody_may_add_songs_where_there_are_djs_and_who_listens_alone_is_one(house: House) -> None:
    scene, boss = await _ruled(house)
    await scene.say("settings", by=boss, dj_role=scene.guild.role("DJ"))
    beto = scene.friend("beto")
    assert "Sonando" in (await scene.play(NOON, by=beto)).text
    assert "rol de DJ" in (await scene.say("pause")).text
    beto.leave()
    assert "En pausa" in (await scene.say("pause")).text


async def test_the_dj_role_holds_for_the_buttons_too(house: House) -> None:
    scene, boss = await _ruled(house)
    await scene.say("settings", by=boss, dj_role=scene.guild.role("DJ"))
    beto = scene.friend("beto")
    await scene.play(NOON)
    shown = await scene.player_message()
    refused = await beto.press(shown, "⏹️").message()
    assert refused.ephemeral
    assert "rol de DJ" in refused.text


async def test_nobody_has_more_songs_queued_than_the_limit(house: House) -> None:
    scene, boss = await _ruled(house, per_user=2)
    beto = scene.friend("beto")
    for song in (NOON, DUSK, MIDNIGHT):  # the first one plays and is not queued
        await scene.play(song)
    refused = await scene.play(DAWN)
    assert "Llegaste al máximo de temas por persona. Esperá a que suene alguno." in refused.text
    assert "posición 3" in (await scene.play(DAWN, by=beto)).text
    await scene.say("settings", by=boss, per_user=0)
    assert "posición 4" in (await scene.play(DAWN)).text


async def test_turns_go_round_between_people(house: House) -> None:
    scene, _ = await _ruled(house, fair_queue=True)
    beto = scene.friend("beto")
    for song in (NOON, DUSK, MIDNIGHT):
        await scene.play(song)
    await scene.play(DAWN, by=beto)
    shown = (await scene.say("list")).text
    assert shown.index(DUSK.title) < shown.index(DAWN.title) < shown.index(MIDNIGHT.title)
