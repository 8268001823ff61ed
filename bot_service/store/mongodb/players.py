"""Guilds in MongoDB: saved players, their positions, settings.

Commands use several connections, so that a later one may be executed first. A player's document carries the revision of
its last writer, and a position is written only over an older revision.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import UTC, datetime

from pymongo import UpdateOne

from bot_service.store.base import GuildSettings, SavedPlayer
from bot_service.store.documents import PLAYER, SETTINGS, readable
from bot_service.store.mongodb.base import BotCollections, MongoBase
from common.databases.mongodb import Document, MongoConnection


class MongoPlayers(MongoBase):
    """Saved players and settings; the port's docstrings hold."""

    def __init__(self, connection: MongoConnection[BotCollections]) -> None:
        super().__init__(connection)
        self._last_revision = 0

    async def save_player(self, saved: SavedPlayer) -> None:
        """Replace a guild's saved player."""
        document = {
            "player": PLAYER.document(saved),
            "next_frame": saved.next_frame,
            "saved_at": saved.saved_at.isoformat(),
            "revision": self._next_revision(),
        }
        await self._run(lambda db: db.players.replace_one({"_id": saved.guild_id}, document, upsert=True))

    async def load_players(self) -> list[SavedPlayer]:
        """Return every player that can be read."""
        documents: list[Document] = await self._run(lambda db: db.players.find().sort("_id").to_list(None))
        for document in documents:
            # Revisions keep growing even if the clock was set back since this one was written.
            self._last_revision = max(self._last_revision, int(document.get("revision", 0)))
        return readable(
            PLAYER.read(
                document.get("player"),
                document["_id"],
                {key: document[key] for key in ("next_frame", "saved_at") if key in document},
            )
            for document in documents
        )

    async def forget_player(self, guild_id: int) -> None:
        """Delete a guild's saved player."""
        await self._run(lambda db: db.players.delete_one({"_id": guild_id}))

    async def save_positions(self, positions: Mapping[int, int]) -> None:
        """Update saved players of older revisions with one command."""
        if not positions:
            return
        revision, now = self._next_revision(), datetime.now(UTC).isoformat()
        writes = [
            UpdateOne(
                {"_id": guild_id, "revision": {"$lt": revision}},
                {"$set": {"next_frame": frame, "saved_at": now, "revision": revision}},
            )
            for guild_id, frame in positions.items()
        ]

        async def step(db: BotCollections) -> None:
            await db.players.bulk_write(writes, ordered=False)  # pyright: ignore[reportUnknownMemberType] - its stub has a bare Mapping

        await self._run(step)

    async def settings(self, guild_id: int) -> GuildSettings:
        """Return the guild's settings or the defaults."""
        document = await self._run(lambda db: db.settings.find_one({"_id": guild_id}))
        return (SETTINGS.read(document.get("settings"), guild_id) if document else None) or GuildSettings()

    async def save_settings(self, guild_id: int, settings: GuildSettings) -> None:
        """Replace a guild's settings."""
        document = {"settings": SETTINGS.document(settings)}
        await self._run(lambda db: db.settings.replace_one({"_id": guild_id}, document, upsert=True))

    def _next_revision(self) -> int:
        """Return a number above all previous ones, and by the wall clock (µs) above those of earlier processes."""
        self._last_revision = max(self._last_revision, time.time_ns() // 1000) + 1
        return self._last_revision
