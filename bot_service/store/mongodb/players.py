"""Guilds in MongoDB: their players, positions and settings.

Commands travel on several connections, so one that was sent later may arrive earlier. A player's document carries the
revision of what wrote it last, and positions land only on what is older than they are.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import UTC, datetime

from pymongo import UpdateOne

from bot_service.store.base import GuildSettings, SavedPlayer
from bot_service.store.mongodb.collections import BotCollections
from bot_service.store.records import PLAYER, SETTINGS
from common.databases.mongodb import Document


class Revisions:
    """Numbers that grow, within this process and, by the wall clock (µs), beyond it."""

    def __init__(self) -> None:
        self._last = 0

    def next(self) -> int:
        """Return a number above all before."""
        self.seen(time.time_ns() // 1000)
        self._last += 1
        return self._last

    def seen(self, revision: int) -> None:
        """Go on above this one, also when the clock was set back since it was given."""
        self._last = max(self._last, revision)


async def save(db: BotCollections, saved: SavedPlayer, revision: int) -> None:
    """Write a guild's player."""
    await db.players.replace_one(
        {"_id": saved.guild_id},
        {
            "player": PLAYER.document(saved),
            "next_frame": saved.next_frame,
            "saved_at": saved.saved_at.isoformat(),
            "revision": revision,
        },
        upsert=True,
    )


async def load(db: BotCollections, revisions: Revisions) -> list[SavedPlayer]:
    """Return every player that can be read."""
    documents: list[Document] = await db.players.find().sort("_id").to_list(None)
    found: list[SavedPlayer | None] = []
    for document in documents:
        revisions.seen(int(document.get("revision", 0)))
        newer = {key: document[key] for key in ("next_frame", "saved_at") if key in document}
        found.append(PLAYER.read_newer(document.get("player"), document["_id"], newer))
    return [saved for saved in found if saved is not None]


async def forget(db: BotCollections, guild_id: int) -> None:
    """Remove a guild's player."""
    await db.players.delete_one({"_id": guild_id})


async def save_positions(db: BotCollections, positions: Mapping[int, int], revision: int) -> None:
    """Set the positions of those players that are there, and were not written since."""
    now = datetime.now(UTC).isoformat()
    writes = [
        UpdateOne(
            {"_id": guild_id, "revision": {"$lt": revision}},
            {"$set": {"next_frame": frame, "saved_at": now, "revision": revision}},
        )
        for guild_id, frame in positions.items()
    ]
    await db.players.bulk_write(writes, ordered=False)  # pyright: ignore[reportUnknownMemberType] - its stub has a bare Mapping


async def settings(db: BotCollections, guild_id: int) -> GuildSettings:
    """Return what the guild has chosen, or the defaults."""
    document = await db.settings.find_one({"_id": guild_id})
    found = SETTINGS.read(document.get("settings"), guild_id) if document else None
    return found or GuildSettings()


async def save_settings(db: BotCollections, guild_id: int, chosen: GuildSettings) -> None:
    """Write a guild's settings."""
    await db.settings.replace_one({"_id": guild_id}, {"settings": SETTINGS.document(chosen)}, upsert=True)
