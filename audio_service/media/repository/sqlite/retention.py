"""Plays, and eviction of the least recently used files: steps of one transaction. See `base.Retention`."""

from __future__ import annotations

from datetime import timedelta

from audio_service.media.repository.base import EVICTOR, Eviction
from audio_service.media.repository.decision import LONGEST_LEASE_MS, milliseconds
from audio_service.media.repository.sqlite.rows import NO_FILE
from common.databases.sqlite import Transaction

# A file whose evictor died before it removed it is still the oldest: its lease has expired, so it comes first.
_OLDEST = """
    SELECT video_id, size_bytes FROM media INDEXED BY media_by_use
    WHERE size_bytes > 0 AND used_at <= ? AND NOT lease_until BETWEEN ? + 1 AND ? AND (status = 'success' OR holder = ?)
    AND NOT EXISTS (SELECT 1 FROM waiters WHERE waiters.video_id = media.video_id)
    ORDER BY used_at LIMIT 1
"""


def count_play(tx: Transaction, media_id: str) -> None:
    """Count a play."""
    tx.db.execute(
        "UPDATE media SET play_count = play_count + 1, last_played_at = ?, used_at = ? "
        "WHERE video_id = ? AND status = 'success'",
        (tx.now, tx.now, media_id),
    )


def stored_bytes(tx: Transaction) -> int:
    """Add up the files: one walk through a small index."""
    (total,) = tx.db.execute(
        "SELECT coalesce(sum(size_bytes), 0) FROM media INDEXED BY media_by_use WHERE size_bytes > 0"
    ).fetchone()
    return total


def begin_eviction(tx: Transaction, *, idle: timedelta, lease: timedelta) -> Eviction | None:
    """Take the least recently used file out of the library."""
    oldest = tx.db.execute(
        _OLDEST, (tx.now - milliseconds(idle), tx.now, tx.now + LONGEST_LEASE_MS, EVICTOR)
    ).fetchone()
    if oldest is None:
        return None
    media_id, size_bytes = oldest
    (fence,) = tx.db.execute(
        "UPDATE media SET status = 'processing', file = ?, encoding = NULL, message = '', fence = fence + 1, "
        "lease_until = ?, holder = ?, updated_at = ? WHERE video_id = ? RETURNING fence",
        (NO_FILE, tx.now + milliseconds(lease), EVICTOR, tx.now, media_id),
    ).fetchone()
    return Eviction(media_id, fence, size_bytes)


def finish_eviction(tx: Transaction, media_id: str, fence: int) -> None:
    """Record that the file is gone."""
    tx.db.execute(
        "UPDATE media SET size_bytes = 0, lease_until = 0, holder = '' WHERE video_id = ? AND fence = ? AND holder = ?",
        (media_id, fence, EVICTOR),
    )
