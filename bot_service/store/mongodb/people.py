"""What people like and heard, in MongoDB: favourites and history, both lists of a document that one command bounds."""

from __future__ import annotations

from pymongo.errors import DuplicateKeyError

from bot_service.store.base import MAX_FAVOURITES, MAX_HISTORY, FavouritesFull, Played, Track
from bot_service.store.mongodb.collections import BotCollections
from bot_service.store.records import PLAYED, TRACK
from common.databases.mongodb import Document
from common.errors import DatabaseUnavailable

_TRIES = 5


async def add_favourite(db: BotCollections, user_id: int, track: Track) -> bool:
    """Put a track first; False: it is there. Raises FavouritesFull."""
    room = {"tracks.video_id": {"$ne": track.video_id}, f"tracks.{MAX_FAVOURITES - 1}": {"$exists": False}}
    push = {"$push": {"tracks": {"$each": [TRACK.document(track)], "$position": 0}}}
    for _ in range(_TRIES):
        try:
            await db.favourites.update_one({"_id": user_id, **room}, push, upsert=True)
        except DuplicateKeyError:
            # The user has a document, and the track is in it, or it is full, or it was made just now.
            document: Document = await db.favourites.find_one({"_id": user_id}) or {}
            tracks: list[Document] = document.get("tracks", [])
            if any(other.get("video_id") == track.video_id for other in tracks):
                return False
            if len(tracks) >= MAX_FAVOURITES:
                raise FavouritesFull from None
        else:
            return True
    raise DatabaseUnavailable("MongoDB: somebody else changes the same favourites all the time")


async def favourites(db: BotCollections, user_id: int) -> list[Track]:
    """Return a user's favourites, the latest first."""
    document = await db.favourites.find_one({"_id": user_id})
    return TRACK.read_all(document.get("tracks", []), user_id) if document else []


async def remove_favourite(db: BotCollections, user_id: int, video_id: str) -> bool:
    """Take a track out; False: it was not there."""
    pull = {"$pull": {"tracks": {"video_id": video_id}}}
    return (await db.favourites.update_one({"_id": user_id}, pull)).modified_count > 0


async def add_history(db: BotCollections, guild_id: int, played: Played) -> None:
    """Add a line, and drop what is beyond MAX_HISTORY."""
    push = {"played": {"$each": [PLAYED.document(played)], "$position": 0, "$slice": MAX_HISTORY}}
    await db.history.update_one({"_id": guild_id}, {"$push": push}, upsert=True)


async def history(db: BotCollections, guild_id: int, limit: int) -> list[Played]:
    """Return lines, the latest first."""
    if limit <= 0:
        return []
    document = await db.history.find_one({"_id": guild_id}, {"played": {"$slice": limit}})
    return PLAYED.read_all(document.get("played", []), guild_id) if document else []
