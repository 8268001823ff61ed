"""Favourites and history in SQLite, both bounded."""

from __future__ import annotations

from datetime import datetime

from bot_service.store.base import MAX_FAVOURITES, MAX_HISTORY, FavouritesFull, Played, Track
from bot_service.store.documents import PLAYED, TRACK, readable
from bot_service.store.sqlite.base import SqliteBase
from common.databases.sqlite import Transaction


class SqliteTracks(SqliteBase):
    """Users' favourites and guilds' history; the port's docstrings hold."""

    async def add_favourite(self, user_id: int, track: Track) -> bool:
        """Insert a favourite; False if it is one already. Raises FavouritesFull."""
        mine = (user_id, track.video_id)

        def step(tx: Transaction) -> bool:
            if tx.db.execute("SELECT 1 FROM favourites WHERE user_id = ? AND video_id = ?", mine).fetchone():
                return False
            (count,) = tx.db.execute("SELECT count(*) FROM favourites WHERE user_id = ?", (user_id,)).fetchone()
            if count >= MAX_FAVOURITES:
                raise FavouritesFull
            statement = "INSERT INTO favourites (user_id, video_id, document) VALUES (?, ?, ?)"
            tx.db.execute(statement, (*mine, TRACK.text(track)))
            return True

        return await self._write(step)

    async def favourites(self, user_id: int) -> list[Track]:
        """Return a user's favourites, newest first."""

        def step(tx: Transaction) -> list[Track]:
            query = "SELECT document FROM favourites WHERE user_id = ? ORDER BY position DESC"
            return readable(TRACK.read_text(text, user_id) for (text,) in tx.db.execute(query, (user_id,)).fetchall())

        return await self._read(step)

    async def remove_favourite(self, user_id: int, video_id: str) -> bool:
        """Delete a favourite; False if it was not one."""
        statement = "DELETE FROM favourites WHERE user_id = ? AND video_id = ?"
        return await self._write(lambda tx: tx.db.execute(statement, (user_id, video_id)).rowcount > 0)

    async def add_history(self, guild_id: int, track: Track, user_id: int, when: datetime) -> None:
        """Insert a line and delete those beyond MAX_HISTORY."""

        def step(tx: Transaction) -> None:
            tx.db.execute(
                "INSERT INTO history (guild_id, document) VALUES (?, ?)",
                (guild_id, PLAYED.text(Played(track, user_id, when))),
            )
            tx.db.execute(
                """
                DELETE FROM history WHERE guild_id = :guild AND position <= (
                    SELECT position FROM history WHERE guild_id = :guild ORDER BY position DESC LIMIT 1 OFFSET :kept
                )
                """,
                {"guild": guild_id, "kept": MAX_HISTORY},
            )

        await self._write(step)

    async def history(self, guild_id: int, limit: int = 20) -> list[Played]:
        """Return lines, newest first."""

        def step(tx: Transaction) -> list[Played]:
            query = "SELECT document FROM history WHERE guild_id = ? ORDER BY position DESC LIMIT ?"
            rows = tx.db.execute(query, (guild_id, max(limit, 0))).fetchall()
            return readable(PLAYED.read_text(text, guild_id) for (text,) in rows)

        return await self._read(step)
