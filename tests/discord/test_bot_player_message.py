"""The player message: one in a guild, up to date, where people are; and its buttons."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.discord import Message
from tests.discord.house import BY_ID, LIBRARY, House, Scene

pytestmark = pytest.mark.asyncio(loop_scope="package")

NOON, DUSK, MIDNIGHT, DAWN, *_ = LIBRARY
SHORT, HOSTILE = BY_ID["cortito0001"], BY_ID["maliciosa01"]


async def _playing(house: House, *, locale: str = "es-ES") -> tuple[Scene, Message]:
    scene = await house.scene(locale=locale)
    await scene.play(NOON)
    return scene, await scene.player_message()


def _player_messages(scene: Scene) -> list[Message]:
    return [message for message in scene.text.now if message.buttons]


async def test_it_shows_the_song_its_place_and_who_asked(house: House) -> None:
    scene, shown = await _playing(house)
    [embed] = shown.embeds
    assert embed["title"] == NOON.title
    assert embed["url"] == NOON.metadata.url
    assert embed["thumbnail"]["url"] == NOON.metadata.thumbnail_url
    await shown.until(lambda message: "Sonando ahora" in message.text)
    assert "/ 3:20`" in shown.text
    assert "🔘" in shown.text
    assert "Origen\nYouTube" in shown.text
    assert f"La pidió\n{scene.ana.mention}" in shown.text
    assert "Sigue\nnada más por ahora" in shown.text
    assert not shown.pings


async def test_it_moves_on_with_the_song(house: House) -> None:
    _, shown = await _playing(house)
    await shown.until(lambda message: "`0:02 /" in message.text or "`0:03 /" in message.text)


async def test_it_follows_the_state_and_the_queue_and_stays_the_only_one(house: House) -> None:
    scene, shown = await _playing(house)
    await scene.play(DUSK)
    await scene.play(MIDNIGHT)
    await shown.until(lambda message: f"Sigue\n{DUSK.title} … y 1 más" in message.text)
    await scene.say("pause")
    await scene.say("loop", mode="queue")
    await shown.until(lambda message: "En pausa" in message.text and "Repetición\nla cola" in message.text)
    assert _player_messages(scene) == [shown]


async def test_a_deleted_one_is_sent_again(house: House) -> None:
    scene, shown = await _playing(house)
    shown.delete()
    again = await scene.player_message(NOON.title)
    await house.discord.world.core.bell.until(lambda: _player_messages(scene) == [again], lambda: "one player message")


async def test_with_a_new_song_it_comes_down_below_what_was_said(house: House) -> None:
    scene, shown = await _playing(house)
    await scene.play(DUSK)
    await scene.say("skip")
    new = await scene.player_message(DUSK.title)
    assert shown.deleted
    assert _player_messages(scene) == [new]
    assert int(new.id) > int(shown.id)


async def test_where_songs_are_not_announced_it_stays_in_place(house: House) -> None:
    scene = await house.scene()
    boss = scene.friend("jefa", listens=False)
    boss.give(scene.guild.role("jefas", "manage_guild"))
    await scene.say("settings", by=boss, announce=False)
    await scene.play(NOON)
    shown = await scene.player_message()
    await scene.play(DUSK)
    await scene.say("skip")
    await shown.until(lambda message: DUSK.title in message.text)
    assert _player_messages(scene) == [shown]


async def test_when_nothing_is_on_any_more_it_is_a_plain_line(house: House) -> None:
    scene = await house.scene()
    await scene.play(SHORT)
    shown = await scene.player_message()
    await shown.until(lambda message: message.text == "No está sonando nada." and not message.buttons)
    assert not _player_messages(scene)


async def test_it_is_where_the_music_was_asked_for_last(house: House) -> None:
    scene, shown = await _playing(house)
    other = scene.guild.text_channel("pedidos")
    scene.ana.channel = other
    await scene.play(DUSK)
    await shown.gone()
    moved = await other.next_message(lambda message: message.buttons)
    assert NOON.title in moved.text
    assert not _player_messages(scene)


async def test_a_title_can_neither_format_nor_mention(house: House) -> None:
    scene = await house.scene()
    answer = await scene.play(HOSTILE)
    shown = await scene.player_message()
    queued = await scene.play(HOSTILE)
    for message in (answer, shown, queued, await scene.say("list"), await scene.say("skip")):
        assert not message.pings
        assert "@everyone" not in message.text
        assert "\u202e" not in message.text
        for mark in ("**@", " `code`", " [click]", " ||spoiler", " <#5>", " <@1>"):
            assert mark not in message.text


@pytest.mark.parametrize(("guild_locale", "words"), [("en-US", "Playing now"), ("es-419", "Sonando ahora")])
async def test_it_speaks_the_language_of_the_guild(house: House, guild_locale: str, words: str) -> None:
    _, shown = await _playing(house, locale=guild_locale)
    await shown.until(lambda message: words in message.text)


async def test_managers_choose_its_language(house: House) -> None:
    scene, shown = await _playing(house)
    boss = scene.friend("jefa", listens=False)
    boss.give(scene.guild.role("jefas", "manage_guild"))
    await scene.say("settings", by=boss, language="en")
    await shown.until(lambda message: "Playing now" in message.text)


async def test_pause_and_loop_are_done_silently_and_seen_in_it(house: House) -> None:
    scene, shown = await _playing(house)
    states: list[tuple[str, Callable[[Message], object]]] = [
        ("⏯️", lambda message: "En pausa" in message.text),
        ("⏯️", lambda message: "Sonando ahora" in message.text),
        ("🔁", lambda message: "Repetición\nla cola" in message.text),
        ("🔁", lambda message: "Repetición\neste tema" in message.text),
        ("🔂", lambda message: "Repetición" not in message.text),
    ]
    for button, state in states:
        pressed = scene.ana.press(shown, button)
        await pressed.deferred()
        await shown.until(state)
        assert pressed.kinds == ["deferred update"]


async def test_skip_previous_and_stop_do_what_they_show(house: House) -> None:
    scene, shown = await _playing(house)
    await scene.play(DUSK)
    skipped = await scene.ana.press(shown, "⏭️").message()
    assert skipped.ephemeral
    assert f"Ahora suena: {DUSK.title}" in skipped.text
    shown = await scene.player_message(DUSK.title)
    await scene.ana.press(shown, "⏮️").deferred()
    await house.discord.world.core.bell.until(
        lambda: any(NOON.title in one.text for one in _player_messages(scene)), lambda: "the song before"
    )
    [shown] = _player_messages(scene)
    await scene.ana.press(shown, "⏹️").deferred()
    await scene.guild.voice.disconnected()
    await shown.until(lambda message: not message.buttons)


async def test_the_star_keeps_the_song_and_shuffle_needs_a_queue(house: House) -> None:
    scene, shown = await _playing(house)
    kept = await scene.ana.press(shown, "⭐").message()
    assert kept.ephemeral
    assert f"Guardada en tus favoritas: {NOON.title}" in kept.text
    refused = await scene.ana.press(shown, "🔀").message()
    assert refused.ephemeral
    assert "La cola está vacía." in refused.text


async def test_who_does_not_listen_presses_in_vain_but_may_keep_the_song(house: House) -> None:
    scene, shown = await _playing(house)
    bob = scene.friend("bob", locale="en-US", listens=False)
    for button in ("⏯️", "⏭️", "⏹️", "🔁", "🔀", "⏮️"):
        refused = await bob.press(shown, button).message()
        assert refused.ephemeral
        assert "You are not in a voice channel." in refused.text
    assert "Kept among your favourites" in (await bob.press(shown, "⭐").message()).text


async def test_a_channel_in_which_the_bot_may_not_write_does_not_stop_the_music(house: House) -> None:
    scene = await house.scene()
    fault = house.discord.rest.faults.fail(f"^/channels/{scene.text.id}/messages$", status=403, code=50013, times=None)
    try:
        await scene.play(NOON)
        assert await scene.guild.voice.sound(10)
        await house.discord.world.core.bell.until(lambda: fault.hits or None, lambda: "a message that is refused")
    finally:
        house.discord.rest.faults.heal()
    assert "Seguimos desde" in (await scene.say("seek", time="1:00")).text
    assert NOON.title in (await scene.player_message()).text
