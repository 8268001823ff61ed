"""End-to-end encryption in voice, as far as one side of it can be tried: Discord's side keys the group.

What is not tried: the keying itself (proposals, commits, welcomes), for it needs Discord's external sender.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any, cast

import davey
import pytest

from bot_service.player.rules.events import TrackEnded
from tests.discord import assert_plays, frames_of
from tests.unit.bot_service.player import songs
from tests.unit.bot_service.player.voice.voice_rig import VoiceRig, open_voice_rig


@pytest.fixture
async def rig(tmp_path: Path) -> AsyncGenerator[VoiceRig]:
    async with open_voice_rig(tmp_path) as opened:
        yield opened


class Sealing:
    """Stands for a keyed session of davey: remembers what it was given, and marks what it gives back."""

    ready = True

    def __init__(self) -> None:
        self.given: list[bytes] = []

    def encrypt_opus(self, packet: bytes) -> bytes:
        self.given.append(packet)
        return b"sealed" + packet


def connection_of(rig: VoiceRig) -> Any:  # noqa: ANN401 - discord.py's own, without public view
    return cast("Any", rig.client.voice_clients[0])._connection


async def test_the_version_that_davey_speaks_is_offered(rig: VoiceRig) -> None:
    await rig.enter()
    assert rig.voice.connections[-1].identify["max_dave_protocol_version"] == davey.DAVE_PROTOCOL_VERSION >= 1


async def test_a_keyed_session_gets_the_frames_of_the_file_and_what_it_makes_of_them_is_sent(rig: VoiceRig) -> None:
    await rig.enter()
    session = Sealing()
    connection = connection_of(rig)
    connection.dave_session, connection.dave_protocol_version = session, 1
    await rig.link.play(1, rig.song(20))
    assert (await rig.reports.next(TrackEnded)).finished
    packets = await rig.voice.packets(20)
    assert session.given[:20] == songs.frames(20)
    assert [packet.payload for packet in packets] == [b"sealed" + frame for frame in songs.frames(20)]


async def test_frames_pass_as_they_are_while_a_session_is_not_keyed_yet(rig: VoiceRig) -> None:
    await rig.enter()
    session = davey.DaveSession(davey.DAVE_PROTOCOL_VERSION, int(rig.guild.me.id), rig.channel_id)
    assert session.get_serialized_key_package()
    connection = connection_of(rig)
    connection.dave_session, connection.dave_protocol_version = session, 1
    song = rig.song(20)
    await rig.link.play(1, song)
    assert (await rig.reports.next(TrackEnded)).finished
    assert_plays(await rig.voice.packets(20), frames_of(rig.files / song.file_path))
