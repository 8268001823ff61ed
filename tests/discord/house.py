"""One bot process, one fake Discord and one audio service for many tests; each test takes a guild of its own.

    scene = await house.scene()              # a guild with ana in its voice channel, where nothing was played yet
    song = house.songs[0]                    # in the library already: its file was never fetched from anywhere
    await scene.ana.slash("music", "play", input=song.title)

Words that the library does not know go to a YouTube Data API of our own (`house.youtube`), whose videos are files of
the media site, `house.site`: `house.video` publishes one.
"""

from __future__ import annotations

import asyncio
import hashlib
import itertools
from collections.abc import AsyncGenerator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

from audio_service.media.model import Encoding, audio_key, human_size
from audio_service.media.repository import open_repository
from audio_service.media.repository.base import Owned, StoredMedia, Waiter
from audio_service.settings import AudioSettings
from common.blobs import open_blobs
from common.messages.downloads import FileData, PlatformMetadata
from tests.discord import Channel, FakeDiscord, Guild, Interaction, Member, Message, open_fake_discord
from tests.discord.bot_process import BotProcess, bot_environment, open_bot_process
from tests.servers.media_files import make
from tests.servers.media_site import MediaSite, open_media_site
from tests.servers.ports import free_port
from tests.servers.system import open_audio_process, settings_for
from tests.servers.youtube_api import FakeYouTubeApi, fake_youtube_api
from tests.unit.bot_service.player.songs import dca

FRAMES_PER_SECOND = 50
PLAYLIST_LIMIT = 5
QUEUE_LIMIT = 25
_LEASE = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class Song:
    """A song of the library. Its file has as many frames as its length says."""

    video_id: str
    title: str
    seconds: int = 200

    @property
    def metadata(self) -> PlatformMetadata:
        """What its source said about it."""
        return PlatformMetadata(
            title=self.title,
            duration_ms=self.seconds * 1000,
            url=f"https://youtube.com/watch?v={self.video_id}",
            thumbnail_url=f"https://i.ytimg.com/vi/{self.video_id}/default.jpg",
            platform="YouTube",
        )


LIBRARY = (
    Song("mediodia001", "Tema del mediodía"),
    Song("atardecer01", "Tango del atardecer"),
    Song("medianoche1", "Milonga de medianoche"),
    Song("madrugada01", "Zamba de la madrugada"),
    Song("cortito0001", "Jingle cortito", 2),
    Song("perdida0001", "Vals perdido"),
    Song("perdida0002", "Ranchera perdida"),
    Song("maliciosa01", "**@everyone** <@1> `code` [click](https://example.com) <#5> ||spoiler||\u202edne"),
)
BY_ID = {song.video_id: song for song in LIBRARY}


@dataclass(slots=True)
class Scene:
    """A guild of one test: text channel, voice channel, and ana, who sits in it and speaks `locale`."""

    guild: Guild
    text: Channel
    voice: Channel
    ana: Member

    def friend(self, name: str, *, locale: str = "es-ES", listens: bool = True) -> Member:
        """Let somebody else come in."""
        friend = self.guild.member(name, locale=locale)
        if listens:
            friend.join(self.voice)
        return friend

    async def say(self, *path: str, by: Member | None = None, **options: object) -> Message:
        """Send `/music path…` and return the first answer that can be read."""
        return await (await self.ask(*path, by=by, **options)).message()

    async def ask(self, *path: str, by: Member | None = None, **options: object) -> Interaction:
        """Send `/music path…`."""
        return await (by or self.ana).slash("music", *path, **options)

    async def play(self, song: Song, *, by: Member | None = None) -> Message:
        """Play or queue a song of the library."""
        return await self.say("play", by=by, input=song.video_id)

    async def player_message(self, where: str = "") -> Message:
        """Wait for a new player message, in which `where` can be read."""
        return await self.text.next_message(lambda message: message.buttons and where in message.text)


@dataclass(slots=True)
class House:
    """What runs, and a counter that gives every guild and video another name."""

    discord: FakeDiscord
    bot: BotProcess
    audio: AudioSettings
    site: MediaSite
    youtube: FakeYouTubeApi
    numbers: Iterator[int] = field(default_factory=itertools.count)
    guilds: list[Guild] = field(default_factory=list[Guild])

    async def scene(self, *, locale: str = "es-ES") -> Scene:
        """Return a guild where nothing was played yet, once the bot knows it. `locale`: the guild's and ana's.

        The bot is sent out of the guilds before the last one, so that never more than two play at once.
        """
        for guild in self.guilds[:-1]:
            if guild.me.voice_channel is not None:
                guild.me.leave()
        guild = self.discord.guild(f"Casa {next(self.numbers)}", locale=locale)
        self.guilds = [*self.guilds[-1:], guild]
        voice, ana = guild.voice_channel("Musica"), guild.member("ana", locale=locale)
        scene = Scene(guild, next(iter(guild.channels.values())), voice, ana)
        await scene.say("list")
        ana.join(voice)
        return scene

    def video(self, title: str, seconds: float = 3.0, **properties: object) -> str:
        """Publish a video that nobody has asked for yet; return its id. `properties` as FakeYouTubeApi.add_video."""
        video_id = f"video{next(self.numbers):06}"
        path = make("webm_opus", self.site.directory, seconds)
        (self.site.directory / f"{video_id}.webm").write_bytes(path.read_bytes())
        shown: dict[str, Any] = {"title": title, "duration": f"PT{seconds:.0f}S", **properties}
        self.youtube.add_video(video_id, **shown)
        return video_id

    def lose(self, video_id: str) -> None:
        """Take a song's file out of the store; the library goes on to believe that it is there."""
        (self.audio.local_storage_path / audio_key(video_id)).unlink(missing_ok=True)

    def link(self, name: str, seconds: float = 3.0, **behaviour: str | int) -> str:
        """Return the address of a file that nobody has asked for yet; `behaviour` as the media site's."""
        path = make("webm_opus", self.site.directory, seconds)
        copy = path.with_name(f"{name}-{next(self.numbers)}.webm")
        copy.write_bytes(path.read_bytes())
        return self.site.file(copy, **behaviour)


@asynccontextmanager
async def open_house(directory: Path, **settings: str) -> AsyncGenerator[House]:
    """Start everything; `settings` are further environment keys of the bot."""
    files = directory / "files"
    files.mkdir()
    async with AsyncExitStack() as stack:
        site = await stack.enter_async_context(open_media_site(files))
        youtube = await stack.enter_async_context(fake_youtube_api())
        audio = settings_for(
            directory,
            site.address,
            youtube.url.removeprefix("http://").split("/")[0],
            http_port=free_port(),
            youtube_api_url=youtube.url,
            youtube_api_key=youtube.key,
            youtube_watch_url=f"{site.url}/files/{{id}}.webm",
        )
        await _fill(audio)
        await stack.enter_async_context(open_audio_process(audio))
        discord = await stack.enter_async_context(open_fake_discord())
        environment = bot_environment(
            discord,
            audio,
            directory,
            PLAYLIST_LIMIT=str(PLAYLIST_LIMIT),
            QUEUE_LIMIT=str(QUEUE_LIMIT),
            PLAYER_UPDATE_SECONDS="1",
            LOG_LEVEL="warning",
            **settings,
        )
        bot = await stack.enter_async_context(open_bot_process(discord, environment))
        yield House(discord, bot, audio, site, youtube)


async def _fill(audio: AudioSettings) -> None:
    """Put the songs of LIBRARY where finished downloads are."""
    async with open_repository(audio) as repository, open_blobs(audio) as blobs:
        for song in LIBRARY:
            content = dca(song.seconds * FRAMES_PER_SECOND, size=40)
            upload = audio.local_storage_path.parent / f"{song.video_id}.part"
            await asyncio.to_thread(upload.write_bytes, content)
            await blobs.put(audio_key(song.video_id), upload)
            request_id = f"request-{song.video_id}"
            owned = await repository.claim(song.video_id, Waiter(request_id, "1"), song.metadata, _LEASE)
            assert isinstance(owned, Owned)
            made = StoredMedia(
                metadata=song.metadata,
                file=FileData(
                    file_path=audio_key(song.video_id), file_size=human_size(len(content)), file_type="audio/dca"
                ),
                size_bytes=len(content),
                encoding=Encoding("passthrough", "opus 20 ms", 100, hashlib.sha256(content).hexdigest()),
                message="",
            )
            await repository.mark_success(song.video_id, owned.fence, made)
            await repository.settle(song.video_id, owned.fence, [request_id], keep=_LEASE)
