"""From what somebody asks for to a guild's player: songs and playlists into the queue, commands for who may give them.

Replies and Discord's messages are not known here; the checks of `permissions` are made here, once for commands,
buttons and menus.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass, replace

import discord

from bot_service.discord_ui.permissions import (
    check_dj,
    check_may_play_in,
    check_same_room,
    humans_in,
    may_skip,
    room_of,
    votes_needed,
)
from bot_service.discord_ui.request_replies import PlaylistId
from bot_service.player.players import Players
from bot_service.player.rules.events import Command, Dropped, Enqueue, Skip
from bot_service.player.rules.model import Entry
from bot_service.player.rules.outcomes import Enqueued, Outcome, PlayerRefusal, RefusalCode
from bot_service.requests.songs import Asker, Found
from bot_service.requests.tracks import Playlist, Suggestion
from bot_service.services import Services
from bot_service.store.base import Track
from common.errors import AppError, AudioServiceUnavailable, BrokerError
from common.messages.base import utc_now
from common.observability.telemetry import get_logger

log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Queued:
    """A song that the library had."""

    track: Track
    outcome: Enqueued


@dataclass(frozen=True, slots=True)
class Asked:
    """A song that is being fetched. `library_answered` False: it could not be looked for first."""

    song: str
    library_answered: bool


@dataclass(frozen=True, slots=True)
class PlaylistAsked:
    """A playlist. `asked` songs are being fetched, `queued` were at hand, `left_out` did not fit."""

    playlist: Playlist
    asked: int
    queued: int
    left_out: int


class Orders:
    """Carries out what people ask for."""

    def __init__(self, services: Services, players: Players) -> None:
        self._services = services
        self._players = players

    def check_can_play(self, member: discord.Member) -> int:
        """Return the id of the voice channel to play in.

        Raises:
            BotRefusal: the member is in none, or the bot may not play there.
            PlayerRefusal: the bot plays for people elsewhere.
        """
        room = room_of(member)
        snapshot = self._players.of(member.guild.id).snapshot
        if snapshot.voice_channel_id != room.id:
            # Such a player refuses by itself, but only after "thinking…" was promised for all to see.
            elsewhere = member.guild.me.voice.channel if member.guild.me.voice is not None else None
            if (
                elsewhere is not None
                and elsewhere.id != room.id
                and snapshot.current is not None
                and humans_in(elsewhere)
            ):
                raise PlayerRefusal(RefusalCode.OTHER_CHANNEL)
            check_may_play_in(room)
        return room.id

    async def play(
        self, song: str, asker: Asker, *, front: bool = False, title: str = ""
    ) -> Queued | Asked | PlaylistAsked:
        """Play what was typed: words, a song's URL, or a playlist's. `title` is what a menu called it.

        Raises:
            PlayerRefusal: the queue does not take it.
            AppError: it cannot be asked for.
        """
        playlist, library_away = await self._expand(song)
        if playlist is not None and playlist.items:
            return await self._play_all(playlist, asker, front=front)
        player = self._players.of(asker.guild_id)
        placed: list[str] = []

        async def hold_place(request_id: str) -> None:
            entry = Entry(request_id, asker.user_id, title or song, utc_now())
            await player.ask(self._enqueue([entry], asker, front=front))
            placed.append(request_id)

        try:
            found = await self._services.songs.find_or_request(
                song, asker, before_publishing=hold_place, library_away=library_away
            )
        except AppError as exc:
            for request_id in placed:
                await player.ask(Dropped(request_id, exc.code))
            raise
        if isinstance(found, Found):
            self._services.metrics.library_hits.inc()
            return Queued(found.track, await self.play_tracks([found.track], asker, front=front))
        return Asked(title or song, found.audio_service_answers)

    async def play_tracks(self, tracks: Sequence[Track], asker: Asker, *, front: bool = False) -> Enqueued:
        """Queue songs of the library.

        Raises:
            PlayerRefusal: the queue takes none of them.
        """
        entries = [Entry(str(uuid.uuid4()), asker.user_id, track.title, utc_now(), track) for track in tracks]
        outcome = await self._players.of(asker.guild_id).ask(self._enqueue(entries, asker, front=front))
        assert isinstance(outcome, Enqueued), "Enqueue is answered by Enqueued"  # noqa: S101 - narrows the type
        return outcome

    async def command(self, member: discord.Member, command: Command) -> Outcome:
        """Carry out a command of somebody who listens, and who is a DJ where that is asked for.

        Raises:
            BotRefusal: not this person, or not from there.
            PlayerRefusal: it makes no sense now.
        """
        player = self._players.of(member.guild.id)
        snapshot = player.snapshot
        check_same_room(member, snapshot.voice_channel_id)
        if isinstance(command, Skip):
            command = Skip(member.id, may_skip(member, snapshot.rules), votes_needed(member))
        else:
            check_dj(member, snapshot.rules)
        return await player.ask(command)

    async def _expand(self, song: str) -> tuple[Playlist | None, bool]:
        """Return the playlist if it is one, and whether the audio service is away."""
        try:
            return await self._services.songs.expand(song, self._services.settings.playlist_limit), False
        except AudioServiceUnavailable as exc:
            # Whether it is a playlist cannot be told; as one song it may still be fetched, by whoever reads the queue.
            log.info("playlist.unknown", detail=exc.detail)
            return None, True

    async def _play_all(self, playlist: Playlist, asker: Asker, *, front: bool) -> PlaylistAsked:
        player = self._players.of(asker.guild_id)
        items = playlist.items[: self._services.settings.playlist_limit]
        entries = [_entry_of(item, asker.user_id) for item in items]
        outcome = await player.ask(self._enqueue(entries, asker, front=front))
        assert isinstance(outcome, Enqueued), "Enqueue is answered by Enqueued"  # noqa: S101 - narrows the type
        urls = {entry.entry_id: item.url for entry, item in zip(entries, items, strict=True)}
        missing = [entry for entry in outcome.added if entry.track is None]
        playlist_id = PlaylistId.new(len(missing), len(outcome.added) - len(missing), playlist.title)
        wishes = [(entry.entry_id, urls[entry.entry_id]) for entry in missing]
        refused = await self._request_all(wishes, replace(asker, playlist_id=str(playlist_id)))
        for request_id, error in refused.items():
            await player.ask(Dropped(request_id, error.code))
        if missing and len(refused) == len(outcome.added):
            raise next(iter(refused.values()))
        return PlaylistAsked(
            playlist=playlist,
            asked=len(missing) - len(refused),
            queued=len(outcome.added) - len(missing),
            left_out=len(outcome.left_out) + len(refused),
        )

    async def _request_all(self, wishes: list[tuple[str, str]], asker: Asker) -> dict[str, AppError]:
        if not wishes:
            return {}
        try:
            refused = await self._services.songs.request_all(wishes, asker)
        except (AppError, BrokerError) as exc:
            return {request_id: exc for request_id, _ in wishes}
        return dict(refused)

    def _enqueue(self, entries: Sequence[Entry], asker: Asker, *, front: bool) -> Enqueue:
        # Who asks has been checked to be in a channel; 0 names none, and would end in voice_failed.
        return Enqueue(tuple(entries), asker.voice_channel_id or 0, asker.text_channel_id, front, asker.asked_at)


def _entry_of(item: Suggestion, user_id: int) -> Entry:
    return Entry(str(uuid.uuid4()), user_id, item.title or item.url, utc_now(), item.track)
