"""Asset records: each function is a step of one transaction, which no other writer interleaves. See `base`."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any, Literal

from audio_service.assets.model import Asset, AssetState, Made, check_move
from audio_service.assets.repository.base import AssetPage, Claim, Claimed, Ended, Held, Quota
from audio_service.assets.repository.sqlite.rows import COLUMNS, asset_of, row_of, text_of
from audio_service.media.repository.cursors import decode_cursor, encode_cursor, page_size
from audio_service.media.repository.decision import in_force, milliseconds
from common.databases.sqlite import Transaction
from common.errors import AssetNotFound, LeaseLost, QuotaExceeded

_DAY_MS = 24 * 3600 * 1000
_MARKS = ", ".join("?" for _ in COLUMNS.split(","))


def create(tx: Transaction, asset: Asset, quota: Quota) -> None:
    """See AssetRepository.create."""
    (open_uploads,) = tx.db.execute(
        "SELECT count(*) FROM assets WHERE owner_id = ? AND completed_at IS NULL AND expires_at > ?",
        (asset.owner_id, tx.now),
    ).fetchone()
    if open_uploads >= quota.open_uploads:
        raise QuotaExceeded(f"{open_uploads} open uploads")
    (today,) = tx.db.execute(
        "SELECT count(*) FROM assets WHERE owner_id = ? AND created_at > ?", (asset.owner_id, tx.now - _DAY_MS)
    ).fetchone()
    if today >= quota.per_day:
        raise QuotaExceeded(f"{today} uploads in 24 hours")
    tx.db.execute(f"INSERT INTO assets ({COLUMNS}) VALUES ({_MARKS})", row_of(asset))  # noqa: S608 - this module's names


def get(tx: Transaction, asset_id: str) -> Asset | None:
    """See AssetRepository.get."""
    row = tx.db.execute(f"SELECT {COLUMNS} FROM assets WHERE asset_id = ?", (asset_id,)).fetchone()  # noqa: S608 - as above
    return None if row is None else asset_of(row)


def complete(tx: Transaction, asset_id: str, etag: str) -> Asset:
    """See AssetRepository.complete."""
    tx.db.execute(
        "UPDATE assets SET completed_at = ?, etag = ?, updated_at = ?, active_at = ? "
        "WHERE asset_id = ? AND completed_at IS NULL",
        (tx.now, etag, tx.now, tx.now, asset_id),
    )
    return _existing(tx, asset_id)


def claim(tx: Transaction, asset_id: str, lease: timedelta) -> Claim:
    """See AssetRepository.claim."""
    asset = _existing(tx, asset_id)
    if asset.state.is_terminal:
        return Ended(asset)
    if asset.completed_at is None:
        raise AssetNotFound(f"{asset_id}: not complete")
    fence, until = _claim_of(tx, asset_id)
    if in_force(until, tx.now):
        return Held(timedelta(milliseconds=until - tx.now))
    check_move(asset.state, AssetState.PROCESSING)
    until = tx.now + milliseconds(lease)
    tx.db.execute(
        "UPDATE assets SET state = 'processing', fence = ?, lease_until = ?, active_at = ?, attempts = attempts + 1, "
        "updated_at = ? WHERE asset_id = ?",
        (fence + 1, until, until, tx.now, asset_id),
    )
    return Claimed(fence + 1, _existing(tx, asset_id))


def renew(tx: Transaction, asset_id: str, fence: int, lease: timedelta) -> None:
    """See AssetRepository.renew."""
    if _guarded(tx, asset_id, fence):
        until = tx.now + milliseconds(lease)
        tx.db.execute("UPDATE assets SET lease_until = ?, active_at = ? WHERE asset_id = ?", (until, until, asset_id))


def yield_claim(tx: Transaction, asset_id: str, fence: int) -> None:
    """See AssetRepository.yield_claim."""
    tx.db.execute(
        "UPDATE assets SET lease_until = 0, active_at = ? WHERE asset_id = ? AND fence = ? AND state = 'processing'",
        (tx.now, asset_id, fence),
    )


def mark_done(tx: Transaction, asset_id: str, fence: int, made: Made, *, message: str) -> Asset:
    """See AssetRepository.mark_done."""
    return _end(tx, asset_id, fence, AssetState.DONE, (text_of(made), None, message))


def mark_failed(tx: Transaction, asset_id: str, fence: int, *, error_code: str, message: str) -> Asset:
    """See AssetRepository.mark_failed."""
    return _end(tx, asset_id, fence, AssetState.FAILED, (text_of(Made()), error_code, message))


def by_chat(tx: Transaction, chat_id: str, *, limit: int = 50, cursor: str | None = None) -> AssetPage:
    """See AssetRepository.by_chat."""
    return _page(tx, "chat_id", chat_id, limit, cursor)


def by_owner(tx: Transaction, owner_id: str, *, limit: int = 50, cursor: str | None = None) -> AssetPage:
    """See AssetRepository.by_owner."""
    return _page(tx, "owner_id", owner_id, limit, cursor)


def never_completed(tx: Transaction, older_than: timedelta, *, limit: int = 100) -> Sequence[Asset]:
    """See AssetRepository.never_completed."""
    rows = tx.db.execute(
        f"SELECT {COLUMNS} FROM assets WHERE completed_at IS NULL AND created_at <= ? AND expires_at <= ? "  # noqa: S608 - as above
        "ORDER BY created_at LIMIT ?",
        (tx.now - milliseconds(older_than), tx.now, limit),
    )
    return [asset_of(row) for row in rows.fetchall()]


def take_stalled(tx: Transaction, idle: timedelta) -> Asset | None:
    """See AssetRepository.take_stalled."""
    row = tx.db.execute(
        f"UPDATE assets SET active_at = ? WHERE asset_id = (SELECT asset_id FROM assets WHERE active_at <= ? "  # noqa: S608 - as above
        f"ORDER BY active_at LIMIT 1) RETURNING {COLUMNS}",
        (tx.now, tx.now - milliseconds(idle)),
    ).fetchone()
    return None if row is None else asset_of(row)


def remove(tx: Transaction, asset_id: str, *, unless_complete: bool = False) -> bool:
    """See AssetRepository.remove."""
    if unless_complete and (asset := get(tx, asset_id)) is not None and asset.completed_at is not None:
        return False
    tx.db.execute("DELETE FROM assets WHERE asset_id = ?", (asset_id,))
    tx.db.execute("INSERT OR REPLACE INTO removed_assets (asset_id, removed_at) VALUES (?, ?)", (asset_id, tx.now))
    return True


def removed(tx: Transaction, older_than: timedelta, *, limit: int = 100) -> Sequence[str]:
    """See AssetRepository.removed."""
    rows = tx.db.execute(
        "SELECT asset_id FROM removed_assets WHERE removed_at <= ? ORDER BY removed_at LIMIT ?",
        (tx.now - milliseconds(older_than), limit),
    )
    return [asset_id for (asset_id,) in rows.fetchall()]


def forget_removed(tx: Transaction, asset_id: str) -> None:
    """See AssetRepository.forget_removed."""
    tx.db.execute("DELETE FROM removed_assets WHERE asset_id = ?", (asset_id,))


def _end(tx: Transaction, asset_id: str, fence: int, state: AssetState, outcome: tuple[Any, ...]) -> Asset:
    _guarded(tx, asset_id, fence)
    check_move(_existing(tx, asset_id).state, state)
    tx.db.execute(
        "UPDATE assets SET state = ?, made = ?, error_code = ?, message = ?, updated_at = ?, lease_until = 0, "
        "active_at = NULL WHERE asset_id = ?",
        (state, *outcome, tx.now, asset_id),
    )
    return _existing(tx, asset_id)


def _page(
    tx: Transaction, column: Literal["chat_id", "owner_id"], value: str, limit: int, cursor: str | None
) -> AssetPage:
    limit = page_size(limit)
    before = (1 << 62, 1 << 62) if cursor is None else decode_cursor(column, cursor)
    rows = tx.db.execute(
        f"SELECT created_at, seq, {COLUMNS} FROM assets WHERE {column} = ? AND (created_at, seq) < (?, ?) "  # noqa: S608 - as above
        "ORDER BY created_at DESC, seq DESC LIMIT ?",
        (value, *before, limit + 1),
    ).fetchall()
    further = len(rows) > limit
    rows = rows[:limit]
    return AssetPage(
        [asset_of(row[2:]) for row in rows], encode_cursor(column, rows[-1][0], rows[-1][1]) if further else None
    )


def _claim_of(tx: Transaction, asset_id: str) -> tuple[int, int]:
    row: tuple[int, int] | None = tx.db.execute(
        "SELECT fence, lease_until FROM assets WHERE asset_id = ?", (asset_id,)
    ).fetchone()
    if row is None:
        raise LeaseLost(f"{asset_id}: the record is gone")
    return row


def _guarded(tx: Transaction, asset_id: str, fence: int) -> int:
    """Return until when the claim of this fence holds, 0 when it was ended. Raises LeaseLost."""
    found, until = _claim_of(tx, asset_id)
    if found != fence:
        raise LeaseLost(f"{asset_id}: fence {fence}, the record's is {found}")
    return until


def _existing(tx: Transaction, asset_id: str) -> Asset:
    asset = get(tx, asset_id)
    if asset is None:
        raise AssetNotFound(asset_id)
    return asset
