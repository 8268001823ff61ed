"""Asking for songs: from the library, new ones with their progress, from menus, as playlists; and why some fail."""

from __future__ import annotations

from collections.abc import AsyncGenerator

import pytest
import pytest_asyncio

from tests.discord import Message
from tests.discord.house import BY_ID, LIBRARY, PLAYLIST_LIMIT, House, Scene

pytestmark = pytest.mark.asyncio(loop_scope="package")

NOON, DUSK, *_ = LIBRARY
LOST = BY_ID["perdida0001"]
HOSTILE = BY_ID["maliciosa01"]


def _is_failure(message: Message) -> bool:
    return message.text.startswith("❌")


def _is_queued(message: Message) -> bool:
    return message.text.startswith(("▶️", "✅"))


@pytest_asyncio.fixture(loop_scope="package")
async def scene(house: House) -> AsyncGenerator[Scene]:
    """A scene in which a song is on, so that what is asked for next goes into the queue."""
    scene = await house.scene()
    await scene.play(NOON)
    yield scene
    await scene.say("stop")


async def test_while_typing_the_library_is_offered(scene: Scene) -> None:
    offered = await scene.ana.autocomplete("music", "play", input="tango")
    value = f"butakero:youtube:{DUSK.video_id}"
    assert {"name": f"{DUSK.title} · 3:20", "value": value} in [dict(choice) for choice in offered]
    played = await scene.say("play", input=value)
    assert DUSK.title in played.text


@pytest.mark.parametrize("typed", ["", "ta", "nothing like it", "%", "'; DROP TABLE"])
async def test_what_the_library_does_not_have_is_not_offered(scene: Scene, typed: str) -> None:
    assert await scene.ana.autocomplete("music", "play", input=typed) == []


async def test_a_song_of_the_library_needs_no_search(scene: Scene) -> None:
    asked = await scene.ask("play", input="tango del ATARDECER")
    answer = await asked.message()
    assert answer.text == f"✅ En la cola, posición 1: {DUSK.title}"
    assert asked.kinds == ["deferred", "message"]


async def test_next_puts_a_song_before_the_others(scene: Scene) -> None:
    await scene.play(DUSK)
    answer = await scene.say("play", input=HOSTILE.video_id, next=True)
    assert "posición 1" in answer.text


async def test_a_new_song_tells_how_far_it_is(house: House, scene: Scene) -> None:
    file = house.link("despacio", 12, rate=30_000)  # seconds to the first sound: edits are 1.5 s apart
    asked = await scene.ask("play", input=house.site.page(file, title="Despacito"))
    await asked.message(lambda message: any("Descargando" in version.text for version in message.versions))
    answer = await asked.message(_is_queued)
    told = [version.text for version in answer.versions]
    assert told[0].startswith("🔎 Buscando http")
    assert any("Descargando ▰" in text and "%" in text for text in told)
    assert told[-1] == "✅ En la cola, posición 1: Despacito"


async def test_words_lead_to_a_song_that_is_called_by_its_title(house: House, scene: Scene) -> None:
    house.video("Los Palmeras - Bombón asesino", 2)
    asked = await scene.ask("play", input="bombón asesino")
    answer = await asked.message(_is_queued)
    assert answer.text == "✅ En la cola, posición 1: Los Palmeras - Bombón asesino"


async def test_a_song_whose_token_has_ended_is_told_in_the_channel(house: House, scene: Scene) -> None:
    asked = await scene.ask("play", input=house.link("tardia", 20, hold=40_000, gate="late"))
    await asked.message(lambda message: "⏳" in message.text)
    asked.expire()
    scene.text.read_all()
    house.site.gate("late").release()
    told = await scene.text.next_message(lambda message: "tardia" in message.text and not message.buttons)
    assert told.text.startswith(f"{scene.ana.mention} ✅ En la cola")
    assert not told.pings


async def test_a_song_that_was_removed_while_it_was_fetched_is_cancelled(house: House, scene: Scene) -> None:
    asked = await scene.ask("play", input=house.link("sacada", 20, hold=40_000, gate="removed"))
    await asked.message(lambda message: "⏳" in message.text)
    assert "preparando" in (await scene.say("list")).text
    assert "Saqué de la cola" in (await scene.say("remove", position=1)).text
    await asked.message(lambda message: "se canceló la descarga" in message.text)
    # The worker is free: with the only song that it was making gone, its place in the library is, too.
    again = await scene.ask("play", input=house.link("otra", 2))
    await again.message(_is_queued)


@pytest.mark.parametrize(
    ("properties", "words"),
    [
        ({"live": "live"}, "Es una transmisión en vivo: todavía no se puede descargar. Pedilo cuando haya terminado"),
        ({"privacy": "private"}, "Ese video es privado. Elegí otra versión que sea pública."),
        ({"age_restricted": True}, "Ese video tiene restricción de edad. Buscá otra versión"),
        ({"duration": "PT30H"}, "Ese tema es demasiado largo. Buscá una versión más corta."),
    ],
)
async def test_a_video_that_cannot_be_had_is_explained(
    house: House, scene: Scene, properties: dict[str, object], words: str
) -> None:
    video_id = house.video("Imposible", 2, **properties)
    asked = await scene.ask("play", input=f"https://www.youtube.com/watch?v={video_id}")
    answer = await asked.message(_is_failure)
    assert words in answer.text
    assert "La cola está vacía" in (await scene.say("list")).text


@pytest.mark.parametrize(
    ("behaviour", "words"),
    [
        ({"fail": 404}, "No encontré ese tema. Revisá el enlace, o probá con otras palabras"),
        ({"fail": 403}, "El sitio no permite descargarlo. Buscá otra versión con «search»."),
        ({"damage": 1}, "El archivo está dañado. Buscá otra versión con «search»."),
    ],
)
async def test_a_link_that_leads_to_nothing_is_explained_and_status_remembers_it(
    house: House, scene: Scene, behaviour: dict[str, int], words: str
) -> None:
    asked = await scene.ask("play", input=house.link("roto", **behaviour))
    assert words in (await asked.message(_is_failure)).text
    status = await scene.say("status")
    assert status.ephemeral
    assert words in status.text
    assert "roto" in status.text


async def test_status_says_what_works_and_that_nothing_failed(scene: Scene) -> None:
    told = (await scene.say("status")).text
    for part in ("Discord\n✅", "Servicio de audio\n✅", "Cola de pedidos\n✅", "Base del bot\n✅", "Archivos\n✅"):
        assert part in told
    assert "ninguno desde que arrancó el bot" in told


async def test_a_song_whose_file_is_gone_is_passed_over_and_status_remembers_it(house: House, scene: Scene) -> None:
    house.lose(LOST.video_id)
    await scene.play(LOST)
    await scene.play(DUSK)
    scene.text.read_all()
    await scene.say("skip")
    told = await scene.text.next_message(lambda message: message.text.startswith("⚠️"))
    assert told.text.startswith(f"⚠️ No se pudo reproducir {LOST.title}: ")
    assert "Pedilo otra vez con «play»" in told.text
    assert not told.pings
    assert LOST.title in (await scene.say("status")).text
    await scene.player_message(DUSK.title)


async def test_a_song_whose_file_is_gone_is_fetched_anew_when_it_is_asked_for_again(house: House) -> None:
    scene = await house.scene()
    video_id = house.video("Vals del regreso", 60)
    await (await scene.ask("play", input="vals del regreso")).message(_is_queued)
    await scene.guild.voice.sound(1)
    await scene.say("stop")
    house.lose(video_id)
    assert "▶️" in (await scene.say("play", input="vals del regreso")).text
    await scene.text.next_message(lambda message: message.text.startswith("⚠️ No se pudo reproducir Vals"))
    since = scene.guild.voice.mark
    again = await scene.ask("play", input="vals del regreso")
    assert "▶️ Sonando" in (await again.message(_is_queued)).text
    await scene.guild.voice.sound(1, since=since)


async def test_after_a_few_failures_in_a_row_the_queue_waits_for_a_person(house: House, scene: Scene) -> None:
    lost = BY_ID["perdida0002"]
    house.lose(lost.video_id)
    for song in (lost, lost, lost, DUSK):
        await scene.play(song)
    await scene.say("skip")
    told = await scene.text.next_message(lambda message: "así que paré" in message.text)
    assert "La cola sigue guardada; probá con «resume»." in told.text
    assert DUSK.title in (await scene.say("list")).text
    assert "Seguimos" in (await scene.say("resume")).text
    await scene.player_message(DUSK.title)


async def test_failures_are_told_in_the_language_of_who_asked(house: House, scene: Scene) -> None:
    bob = scene.friend("bob", locale="en-US")
    asked = await scene.ask("play", by=bob, input=house.link("broken", fail=404))
    assert "That song was not found. Check the link" in (await asked.message(_is_failure)).text


async def test_results_are_picked_from_a_menu_and_called_by_their_title(house: House, scene: Scene) -> None:
    house.video("Chacarera nueva", 2)
    house.video("Chacarera **vieja** @everyone", 2)
    found = await scene.say("search", input="chacarera")
    assert "Resultados para chacarera" in found.text
    assert not found.pings
    assert "**vieja**" not in found.text
    [menu] = found.menus
    assert [option["label"] for option in menu["options"]] == ["Chacarera nueva", "Chacarera **vieja** @everyone"]
    picked = scene.ana.choose(found, "Chacarera nueva")
    answer = await picked.message(_is_queued)
    assert answer.versions[0].text == "🔎 Buscando Chacarera nueva…"


async def test_somebody_else_may_pick_too_if_they_listen(scene: Scene) -> None:
    found = await scene.say("search", input="tango del")
    beto = scene.friend("beto", listens=False)
    refused = await beto.choose(found, DUSK.title).message()
    assert refused.ephemeral
    assert "No estás en un canal de voz." in refused.text
    beto.join(scene.voice)
    assert DUSK.title in (await beto.choose(found, DUSK.title).message()).text


async def test_a_search_without_results_says_what_else_to_try(scene: Scene) -> None:
    answer = await scene.say("search", input="zzzz nada")
    assert answer.ephemeral
    assert answer.text == "No encontré nada para zzzz nada. Probá con otras palabras, o pegá el enlace en «play»."


async def test_a_playlist_counts_up_to_its_limit_and_names_what_failed(house: House, scene: Scene) -> None:
    links = [house.link(f"parte{number}", 2, **({"fail": 404} if number == 2 else {})) for number in range(7)]
    asked = await scene.ask("play", input=house.site.feed(*links, title="Fiesta **grande** @here"))
    answer = await asked.message(lambda message: "4 de 5 listas" in message.text)
    assert len(links) - 2 == PLAYLIST_LIMIT
    begun = answer.versions[0].text
    assert "temas pedidos: 5" in begun
    assert "La lista tiene 7: tomé los primeros 5, que es el máximo." in begun
    assert answer.text.startswith("📜 Fiesta")
    assert "**" not in answer.text
    assert "Sin conseguir: 1. La última:\n❌ Part 3: No encontré ese tema." in answer.text
    queue = (await scene.say("queue")).text
    places = [queue.index(f"parte{number}") for number in (0, 1, 3, 4)]
    assert places == sorted(places)
    assert "parte2" not in queue


async def test_a_playlist_of_youtube_is_fetched_too(house: House, scene: Scene) -> None:
    videos = [house.video(f"Disco, tema {number}", 2) for number in range(3)]
    house.youtube.add_playlist("PLdisco-entero-de-prueba", *videos, title="Disco entero")
    asked = await scene.ask("play", input="https://www.youtube.com/playlist?list=PLdisco-entero-de-prueba")
    answer = await asked.message(lambda message: "3 de 3 listas" in message.text)
    assert "Disco entero" in answer.text


async def test_what_does_not_fit_of_a_playlist_is_counted(house: House, scene: Scene) -> None:
    boss = scene.friend("jefa", listens=False)
    boss.give(scene.guild.role("jefas", "manage_guild"))
    await scene.say("settings", by=boss, per_user=2)
    links = [house.link(f"sobra{number}", 2) for number in range(4)]
    asked = await scene.ask("play", input=house.site.feed(*links))
    answer = await asked.message(lambda message: "2 de 2 listas" in message.text)
    assert "Quedaron afuera: 2. La cola está llena o llegaste a tu límite." in answer.versions[0].text
