"""Guilds in SQLite: their players, positions and settings. Steps of a Transaction."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

from bot_service.store.base import GuildSettings, SavedPlayer
from bot_service.store.records import PLAYER, SETTINGS
from common.databases.sqlite import Transaction


def save(tx: Transaction, saved: SavedPlayer) -> None:
    """Write a guild's player."""
    tx.db.execute(
        "INSERT OR REPLACE INTO players (guild_id, document, next_frame, saved_at) VALUES (?, ?, ?, ?)",
        (saved.guild_id, PLAYER.text(saved), saved.next_frame, saved.saved_at.isoformat()),
    )


def load(tx: Transaction) -> list[SavedPlayer]:
    """Return every player that can be read."""
    rows = tx.db.execute("SELECT guild_id, document, next_frame, saved_at FROM players ORDER BY guild_id").fetchall()
    found = (PLAYER.read_text(text, guild, {"next_frame": frame, "saved_at": at}) for guild, text, frame, at in rows)
    return [saved for saved in found if saved is not None]


def forget(tx: Transaction, guild_id: int) -> None:
    """Remove a guild's player."""
    tx.db.execute("DELETE FROM players WHERE guild_id = ?", (guild_id,))


def save_positions(tx: Transaction, positions: Mapping[int, int]) -> None:
    """Set the positions of those players that are there."""
    now = datetime.now(UTC).isoformat()
    tx.db.executemany(
        "UPDATE players SET next_frame = ?, saved_at = ? WHERE guild_id = ?",
        [(frame, now, guild_id) for guild_id, frame in positions.items()],
    )


def settings(tx: Transaction, guild_id: int) -> GuildSettings:
    """Return what the guild has chosen, or the defaults."""
    row = tx.db.execute("SELECT document FROM settings WHERE guild_id = ?", (guild_id,)).fetchone()
    return (SETTINGS.read_text(row[0], guild_id) if row else None) or GuildSettings()


def save_settings(tx: Transaction, guild_id: int, chosen: GuildSettings) -> None:
    """Write a guild's settings."""
    tx.db.execute(
        "INSERT OR REPLACE INTO settings (guild_id, document) VALUES (?, ?)", (guild_id, SETTINGS.text(chosen))
    )
