"""Favourites and history in MongoDB: lists inside one document, bounded by the command that writes them."""

from __future__ import annotations

from datetime import datetime

from pymongo.errors import DuplicateKeyError

from bot_service.store.base import MAX_FAVOURITES, MAX_HISTORY, FavouritesFull, Played, Track
from bot_service.store.documents import PLAYED, TRACK, readable
from bot_service.store.mongodb.base import BotCollections, MongoBase
from common.databases.mongodb import Document
from common.errors import DatabaseUnavailable

_ATTEMPTS = 5


class MongoTracks(MongoBase):
    """Users' favourites and guilds' history; the port's docstrings hold."""

    async def add_favourite(self, user_id: int, track: Track) -> bool:
        """Insert a favourite; False if it is one already. Raises FavouritesFull."""
        has_room = {"tracks.video_id": {"$ne": track.video_id}, f"tracks.{MAX_FAVOURITES - 1}": {"$exists": False}}
        push = {"$push": {"tracks": {"$each": [TRACK.document(track)], "$position": 0}}}

        async def step(db: BotCollections) -> bool:
            for _ in range(_ATTEMPTS):
                try:
                    await db.favourites.update_one({"_id": user_id, **has_room}, push, upsert=True)
                except DuplicateKeyError:
                    # The document exists and did not match: it has the track, is full, or was inserted just now.
                    document: Document = await db.favourites.find_one({"_id": user_id}) or {}
                    tracks: list[Document] = document.get("tracks", [])
                    if any(other.get("video_id") == track.video_id for other in tracks):
                        return False
                    if len(tracks) >= MAX_FAVOURITES:
                        raise FavouritesFull from None
                else:
                    return True
            raise DatabaseUnavailable("MongoDB: too many concurrent changes of the same favourites")

        return await self._run(step)

    async def favourites(self, user_id: int) -> list[Track]:
        """Return a user's favourites, newest first."""
        document = await self._run(lambda db: db.favourites.find_one({"_id": user_id})) or {}
        return readable(TRACK.read(track, user_id) for track in document.get("tracks", []))

    async def remove_favourite(self, user_id: int, video_id: str) -> bool:
        """Remove a favourite; False if it was not one."""
        pull = {"$pull": {"tracks": {"video_id": video_id}}}
        result = await self._run(lambda db: db.favourites.update_one({"_id": user_id}, pull))
        return result.modified_count > 0

    async def add_history(self, guild_id: int, track: Track, user_id: int, when: datetime) -> None:
        """Insert a line and cut the list to MAX_HISTORY."""
        line = PLAYED.document(Played(track, user_id, when))
        push = {"$push": {"played": {"$each": [line], "$position": 0, "$slice": MAX_HISTORY}}}
        await self._run(lambda db: db.history.update_one({"_id": guild_id}, push, upsert=True))

    async def history(self, guild_id: int, limit: int = 20) -> list[Played]:
        """Return lines, newest first."""
        if limit <= 0:
            return []
        first = {"played": {"$slice": limit}}
        document = await self._run(lambda db: db.history.find_one({"_id": guild_id}, first)) or {}
        return readable(PLAYED.read(played, guild_id) for played in document.get("played", []))
