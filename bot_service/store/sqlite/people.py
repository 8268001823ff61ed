"""What people like and heard, in SQLite: favourites and history, both bounded. Steps of a Transaction."""

from __future__ import annotations

from bot_service.store.base import MAX_FAVOURITES, MAX_HISTORY, FavouritesFull, Played, Track
from bot_service.store.records import PLAYED, TRACK
from common.databases.sqlite import Transaction


def add_favourite(tx: Transaction, user_id: int, track: Track) -> bool:
    """Put a track first; False: it is there. Raises FavouritesFull."""
    mine = (user_id, track.video_id)
    if tx.db.execute("SELECT 1 FROM favourites WHERE user_id = ? AND video_id = ?", mine).fetchone():
        return False
    (count,) = tx.db.execute("SELECT count(*) FROM favourites WHERE user_id = ?", (user_id,)).fetchone()
    if count >= MAX_FAVOURITES:
        raise FavouritesFull
    tx.db.execute("INSERT INTO favourites (user_id, video_id, document) VALUES (?, ?, ?)", (*mine, TRACK.text(track)))
    return True


def favourites(tx: Transaction, user_id: int) -> list[Track]:
    """Return a user's favourites, the latest first."""
    query = "SELECT document FROM favourites WHERE user_id = ? ORDER BY position DESC"
    found = (TRACK.read_text(text, user_id) for (text,) in tx.db.execute(query, (user_id,)).fetchall())
    return [track for track in found if track is not None]


def remove_favourite(tx: Transaction, user_id: int, video_id: str) -> bool:
    """Take a track out; False: it was not there."""
    query = "DELETE FROM favourites WHERE user_id = ? AND video_id = ?"
    return tx.db.execute(query, (user_id, video_id)).rowcount > 0


def add_history(tx: Transaction, guild_id: int, played: Played) -> None:
    """Add a line, and drop what is beyond MAX_HISTORY."""
    tx.db.execute("INSERT INTO history (guild_id, document) VALUES (?, ?)", (guild_id, PLAYED.text(played)))
    tx.db.execute(
        """
        DELETE FROM history WHERE guild_id = :guild AND position <= (
            SELECT position FROM history WHERE guild_id = :guild ORDER BY position DESC LIMIT 1 OFFSET :kept
        )
        """,
        {"guild": guild_id, "kept": MAX_HISTORY},
    )


def history(tx: Transaction, guild_id: int, limit: int) -> list[Played]:
    """Return lines, the latest first."""
    query = "SELECT document FROM history WHERE guild_id = ? ORDER BY position DESC LIMIT ?"
    rows = tx.db.execute(query, (guild_id, max(limit, 0))).fetchall()
    found = (PLAYED.read_text(text, guild_id) for (text,) in rows)
    return [played for played in found if played is not None]
