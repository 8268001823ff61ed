"""Records: one by its id, search by a part of the title, the list of all. Steps of one SELECT each.

Search goes through an FTS5 trigram index, which finds substrings of three characters and more. The text is handed to
it as one quoted phrase, and consists of letters, digits, marks and single spaces by then: it is never an operator.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from audio_service.media.model import MIN_SEARCH_CHARACTERS, Media, search_text
from audio_service.media.repository.base import Page
from audio_service.media.repository.cursors import decode_cursor, encode_cursor, page_size
from audio_service.media.repository.decision import milliseconds
from audio_service.media.repository.sqlite.rows import COLUMNS, media_of, text_of
from common.databases.sqlite import Transaction

_SEARCH = "s"
_LIST = "l"
_EXACT, _PART = 0, 1
_MAX_SEQ = 2**63 - 1
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

# One statement, so that both halves see the same moment; each ends at its own LIMIT. Left to itself, the planner walks
# all finished records for the first half (100 ms in 100 000, against 0.5): INDEXED BY and CROSS JOIN fix its choice.
_SEARCH_SQL = f"""
    SELECT * FROM (
        SELECT {COLUMNS}, {_EXACT} AS rank, seq FROM media INDEXED BY media_by_text
        WHERE search_text = :text AND status = 'success' AND seq < :exact_before ORDER BY seq DESC LIMIT :limit
    )
    UNION ALL
    SELECT * FROM (
        SELECT {COLUMNS}, {_PART} AS rank, seq FROM media_trigrams CROSS JOIN media ON seq = media_trigrams.rowid
        WHERE media_trigrams MATCH :phrase AND media_trigrams.rowid < :part_before AND status = 'success'
        AND media.search_text <> :text ORDER BY media_trigrams.rowid DESC LIMIT :limit
    )
    ORDER BY rank, seq DESC LIMIT :limit
"""  # noqa: S608 - constants
_LIST_SQL = (
    f"SELECT {COLUMNS}, updated_at, seq FROM media WHERE (updated_at, seq) < (?, ?) "  # noqa: S608 - constants
    "ORDER BY updated_at DESC, seq DESC LIMIT ?"
)


def find(tx: Transaction, media_id: str) -> Media | None:
    """Return a record: one SELECT on the unique index."""
    row = tx.db.execute(f"SELECT {COLUMNS} FROM media WHERE video_id = ?", (media_id,)).fetchone()  # noqa: S608 - a constant
    return None if row is None else media_of(row)


def insert(tx: Transaction, media: Media) -> bool:
    """Insert a finished record."""
    moments = (media.processing_date, media.created_at, media.updated_at)
    dates = [milliseconds(moment - _EPOCH) for moment in moments]
    played = None if media.last_played_at is None else milliseconds(media.last_played_at - _EPOCH)
    values = (
        *(media.video_id, text_of(media.metadata), search_text(media.metadata.title), text_of(media.file)),
        *(media.size_bytes, None if media.encoding is None else text_of(media.encoding), media.message, *dates),
        *(media.attempts, media.failures, media.play_count, played, tx.now),
    )
    done = tx.db.execute(
        "INSERT INTO media (video_id, status, metadata, search_text, file, size_bytes, encoding, message, error_code, "
        "processing_date, created_at, updated_at, attempts, failures, play_count, last_played_at, used_at, fence, "
        "lease_until, holder) VALUES (?, 'success', ?, ?, ?, ?, ?, ?, NULL, ?, ?, ?, ?, ?, ?, ?, ?, 1, 0, '') "
        "ON CONFLICT (video_id) DO NOTHING",
        values,
    )
    return done.rowcount == 1


def search(tx: Transaction, text: str, *, limit: int = 10, cursor: str | None = None) -> Page:
    """Exact titles, newest first; then titles that contain the text, newest first."""
    rank, before = (_EXACT, _MAX_SEQ) if cursor is None else decode_cursor(_SEARCH, cursor)
    needle = search_text(text)
    if len(needle) < MIN_SEARCH_CHARACTERS:
        return Page((), None)
    size = page_size(limit)
    values = {
        "text": needle,
        "phrase": '"' + needle.replace('"', '""') + '"',
        "exact_before": before if rank == _EXACT else 0,
        "part_before": before if rank == _PART else _MAX_SEQ,
        "limit": size + 1,
    }
    return _page(tx.db.execute(_SEARCH_SQL, values).fetchall(), size, _SEARCH)


def list_all(tx: Transaction, *, limit: int = 50, cursor: str | None = None) -> Page:
    """Return records of any status, last updated first; one that is updated meanwhile moves to the first page."""
    updated_at, seq = (_MAX_SEQ, _MAX_SEQ) if cursor is None else decode_cursor(_LIST, cursor)
    size = page_size(limit)
    return _page(tx.db.execute(_LIST_SQL, (updated_at, seq, size + 1)).fetchall(), size, _LIST)


def _page(rows: list[tuple[Any, ...]], size: int, kind: str) -> Page:
    """Make a page of up to `size` rows of COLUMNS and the two keys; a row too many means that another page follows."""
    shown = rows[:size]
    cursor = encode_cursor(kind, *shown[-1][-2:]) if len(rows) > size else None
    return Page(tuple(media_of(row[:-2]) for row in shown), cursor)
