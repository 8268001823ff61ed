"""Guilds in SQLite: saved players, their positions, settings."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

from bot_service.store.base import GuildSettings, SavedPlayer
from bot_service.store.documents import PLAYER, SETTINGS, readable
from bot_service.store.sqlite.base import SqliteBase
from common.databases.sqlite import Transaction


class SqlitePlayers(SqliteBase):
    """Saved players and settings; the port's docstrings hold."""

    async def save_player(self, saved: SavedPlayer) -> None:
        """Replace a guild's saved player."""

        def step(tx: Transaction) -> None:
            tx.db.execute(
                "INSERT OR REPLACE INTO players (guild_id, document, next_frame, saved_at) VALUES (?, ?, ?, ?)",
                (saved.guild_id, PLAYER.text(saved), saved.next_frame, saved.saved_at.isoformat()),
            )

        await self._write(step)

    async def load_players(self) -> list[SavedPlayer]:
        """Return every player that can be read."""

        def step(tx: Transaction) -> list[SavedPlayer]:
            query = "SELECT guild_id, document, next_frame, saved_at FROM players ORDER BY guild_id"
            return readable(
                PLAYER.read_text(text, guild_id, {"next_frame": frame, "saved_at": saved_at})
                for guild_id, text, frame, saved_at in tx.db.execute(query).fetchall()
            )

        return await self._read(step)

    async def forget_player(self, guild_id: int) -> None:
        """Delete a guild's saved player."""
        await self._write(lambda tx: tx.db.execute("DELETE FROM players WHERE guild_id = ?", (guild_id,)))

    async def save_positions(self, positions: Mapping[int, int]) -> None:
        """Update saved players in one transaction; the single writer keeps the order of calls."""
        if not positions:
            return
        now = datetime.now(UTC).isoformat()
        rows = [(frame, now, guild_id) for guild_id, frame in positions.items()]
        statement = "UPDATE players SET next_frame = ?, saved_at = ? WHERE guild_id = ?"
        await self._write(lambda tx: tx.db.executemany(statement, rows))

    async def settings(self, guild_id: int) -> GuildSettings:
        """Return the guild's settings or the defaults."""

        def step(tx: Transaction) -> GuildSettings:
            row = tx.db.execute("SELECT document FROM settings WHERE guild_id = ?", (guild_id,)).fetchone()
            return (SETTINGS.read_text(row[0], guild_id) if row else None) or GuildSettings()

        return await self._read(step)

    async def save_settings(self, guild_id: int, settings: GuildSettings) -> None:
        """Replace a guild's settings."""
        row = (guild_id, SETTINGS.text(settings))
        statement = "INSERT OR REPLACE INTO settings (guild_id, document) VALUES (?, ?)"
        await self._write(lambda tx: tx.db.execute(statement, row))
