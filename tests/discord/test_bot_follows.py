"""Members who ask for a song and change their voice channel while the bot is on its way: it comes where they are."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.discord.house import LIBRARY, House, Scene

pytestmark = pytest.mark.asyncio(loop_scope="package")

NOON, DUSK, *_ = LIBRARY

# What has happened of the join when ana moves.
MOMENTS: dict[str, Callable[[Scene], object]] = {
    "asked": lambda _scene: True,
    "answered": lambda scene: scene.text.messages,
    "in the channel": lambda scene: scene.guild.me.voice_channel is scene.voice,
    "at the voice server": lambda scene: scene.guild.voice.connections,
    "connected": lambda scene: scene.guild.voice.connection,
}


@pytest.mark.parametrize(("moment", "moves"), [*((moment, 1) for moment in MOMENTS), ("in the channel", 2)])
async def test_the_asker_who_moves_while_the_bot_joins_is_followed(house: House, moment: str, moves: int) -> None:
    scene = await house.scene()
    bell = scene.guild.world.core.bell
    others = [scene.guild.voice_channel(f"Otro {number}") for number in range(moves)]
    played = [await scene.ask("play", input=song.video_id) for song in (NOON, DUSK)]
    await bell.until(lambda: bool(MOMENTS[moment](scene)), lambda: moment)
    for channel in others:
        scene.ana.join(channel)
    for answer in played:
        await answer.message()

    def plays_there() -> bool:
        voice = scene.guild.voice
        return scene.guild.me.voice_channel is others[-1] and voice.connection is not None and voice.mark > 0

    await bell.until(plays_there, lambda: f"the bot with ana; it is in {scene.guild.me.voice_channel}")
    await scene.guild.voice.sound(50, since=scene.guild.voice.mark)
    assert scene.guild.me.voice_channel is others[-1]
    listed = (await scene.say("list")).text
    assert NOON.title in listed
    assert DUSK.title in listed
