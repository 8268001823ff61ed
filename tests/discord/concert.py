"""Songs that an audio service already has, rooms in which a real bot plays them, and a count of what was heard there.

Each room is a guild of its own, so that one bot process and one fake Discord serve many tests, several at once.
"""

from __future__ import annotations

import itertools
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from audio_service.settings import AudioSettings
from common.messages.downloads import StatusEvent
from tests.discord import Channel, FakeDiscord, Guild, Member, Message, Packet, VoiceCapture, frames_of, heard_frames
from tests.servers.media_files import make
from tests.servers.media_site import MediaSite, open_media_site
from tests.servers.ports import free_port
from tests.servers.system import ServiceProcess, open_audio_process, open_client, settings_for

LENGTHS = {"corta": 3, "media": 5, "larga": 10}
FRAMES_PER_SECOND = 50


@dataclass(frozen=True, slots=True)
class Song:
    """A song of the library; no two frames of all songs are alike. `title` finds it by words."""

    title: str
    url: str
    frames: Sequence[bytes]

    def numbers(self, packets: Sequence[Packet]) -> list[int]:
        """Return the frame number of each packet that is of this song."""
        known = set(self.frames)
        return heard_frames([packet for packet in packets if packet.payload in known], self.frames)


@dataclass(frozen=True, slots=True)
class Library:
    """A running audio service with its songs by name (see LENGTHS), and the site from which more can be had.

    `statuses` are what it answered when it was asked for the songs.
    """

    settings: AudioSettings
    service: ServiceProcess
    site: MediaSite
    songs: dict[str, Song]
    statuses: Sequence[StatusEvent]

    @property
    def short(self) -> Song:
        return self.songs["corta"]

    @property
    def middle(self) -> Song:
        return self.songs["media"]

    @property
    def long(self) -> Song:
        return self.songs["larga"]


@dataclass(frozen=True, slots=True)
class Room:
    """A guild with one voice channel and one person in it."""

    guild: Guild
    channel: Channel
    ana: Member

    @property
    def voice(self) -> VoiceCapture:
        return self.guild.voice

    @property
    def text(self) -> Channel:
        return next(iter(self.guild.channels.values()))

    async def say(self, *path: str, **options: object) -> str:
        """Give a command and return what the bot answers."""
        return (await (await self.ana.slash("music", *path, **options)).message()).text

    async def play(self, song: Song) -> str:
        """Ask for a song of the library and return the answer, which names it."""
        played = await self.ana.slash("music", "play", input=song.title)
        return (await played.message(lambda message: song.title in message.text)).text

    async def notice(self, words: str) -> Message:
        """Wait for what the bot says in the text channel of its own accord."""
        return await self.text.next_message(lambda message: words in message.text)

    async def hears(self, song: Song, frame: int, *, since: int = 0) -> Packet:
        """Wait until this frame of the song, or a later one, is heard."""
        later = set(song.frames[frame:])

        def look() -> Packet | None:
            return next((packet for packet in self.voice.received[since:] if packet.payload in later), None)

        await self.voice.until(lambda _: look())
        packet = look()
        assert packet is not None
        return packet

    async def hears_the_end(self, song: Song, *, since: int = 0) -> list[Packet]:
        """Wait until the song is over and return everything that was received."""
        await self.hears(song, len(song.frames) - 1, since=since)
        return self.voice.received[since:]


def open_room(discord: FakeDiscord, name: str = "Casa") -> Room:
    """Add a guild to a Discord, with somebody in its voice channel."""
    guild = discord.guild(name)
    room = Room(guild, guild.voice_channel("Musica"), guild.member("ana"))
    room.ana.join(room.channel)
    return room


@asynccontextmanager
async def open_library(directory: Path) -> AsyncGenerator[Library]:
    """Start an audio service (embedded backends) and have it fetch the songs."""
    files = directory / "files"
    files.mkdir()
    async with open_media_site(files) as site:
        settings = settings_for(directory, site.address, http_port=free_port())
        async with open_audio_process(settings) as service:
            songs, statuses = await _fetch(settings, site)
            yield Library(settings, service, site, songs, statuses)


async def _fetch(settings: AudioSettings, site: MediaSite) -> tuple[dict[str, Song], list[StatusEvent]]:
    songs = dict[str, Song]()
    async with open_client(settings) as client:
        for number, (name, seconds) in enumerate(LENGTHS.items()):
            # The same noise at another bit rate makes other packets.
            file = make("webm_opus", site.directory, seconds, sound="noise", codec_options={"b": f"{48 + number}000"})
            title = f"Milonga {name}"
            url = site.page(site.file(file), title=title)
            status = await client.status(await client.ask(url))
            assert status.success, status
            songs[name] = Song(title, url, frames_of(settings.local_storage_path / status.file_data.file_path))
    payloads = list(itertools.chain.from_iterable(song.frames for song in songs.values()))
    assert len(set(payloads)) == len(payloads), "packets must tell which frame they are"
    return songs, client.statuses
