"""Claims, fences and waiters: each a step of one transaction, which no other writer interleaves. See `base.Claims`.

A lease excludes every request but its holder: one delivery of a request is worked on at a time (see `acquire`), so
the holder's redelivery means that its worker died, and it takes over without waiting.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from audio_service.media.model import Media, MediaStatus, check_move, search_text
from audio_service.media.repository.base import (
    EVICTOR,
    TOUCH_EVERY,
    Claim,
    Finished,
    Joined,
    LeaseHeld,
    Owned,
    StoredMedia,
    Unannounced,
    Waiter,
    withdrawal,
)
from audio_service.media.repository.decision import Turn, in_force, milliseconds, turn_of
from audio_service.media.repository.sqlite import expiring
from audio_service.media.repository.sqlite.records import find
from audio_service.media.repository.sqlite.rows import NO_FILE, text_of
from common.databases.sqlite import Transaction
from common.errors import LeaseLost
from common.messages.downloads import PlatformMetadata


@dataclass(frozen=True, slots=True)
class _State:
    status: MediaStatus
    fence: int
    lease_until: int
    holder: str


def claim(  # noqa: PLR0911 - one a turn
    tx: Transaction, media_id: str, waiter: Waiter, metadata: PlatformMetadata, lease: timedelta
) -> Claim:
    """Decide which worker makes the record (see Claims.claim)."""
    if expiring.is_answered(tx, waiter.request_id):
        # It was settled between the caller's `is_answered` and this claim.
        return Joined()
    state = _state(tx, media_id)
    if state is None:
        return _own(tx, media_id, waiter, metadata, lease)
    waiters = _waiters(tx, media_id)
    turn = turn_of(
        state.status,
        held=in_force(state.lease_until, tx.now) and state.holder != waiter.request_id,
        evicting=state.holder == EVICTOR,
        waiting=waiter.request_id in {other.request_id for other in waiters},
        unannounced=bool(waiters),
    )
    match turn:
        case Turn.OWN:
            return _own(tx, media_id, waiter, metadata, lease)
        case Turn.SETTLE:
            return _settle_for(tx, media_id, waiter, lease)
        case Turn.JOIN:
            _join(tx, media_id, waiter)
            return Joined()
        case Turn.JOINED:
            return Joined()
        case Turn.FINISHED:
            return _finished(tx, media_id)
        case Turn.HELD:
            return LeaseHeld(timedelta(milliseconds=state.lease_until - tx.now))


def waits_for(tx: Transaction, request_id: str) -> str | None:
    """Return the record that a request waits for."""
    row = tx.db.execute("SELECT video_id FROM waiters WHERE request_id = ?", (request_id,)).fetchone()
    return None if row is None else row[0]


def renew(tx: Transaction, media_id: str, fence: int, lease: timedelta) -> None:
    """Extend a claim. No-op after it was yielded or settled: a late heartbeat does not revive it."""
    state = _guarded(tx, media_id, fence)
    if state.lease_until:
        tx.db.execute("UPDATE media SET lease_until = ? WHERE video_id = ?", (tx.now + milliseconds(lease), media_id))


def yield_claim(tx: Transaction, media_id: str, fence: int) -> None:
    """End a claim's lease; a stale fence is a no-op."""
    tx.db.execute("UPDATE media SET lease_until = 0 WHERE video_id = ? AND fence = ?", (media_id, fence))


def mark_success(tx: Transaction, media_id: str, fence: int, made: StoredMedia) -> tuple[Media, Sequence[Waiter]]:
    """Record what was made."""
    check_move(_guarded(tx, media_id, fence).status, MediaStatus.SUCCESS)
    tx.db.execute(
        "UPDATE media SET status = 'success', metadata = ?, search_text = ?, file = ?, size_bytes = ?, encoding = ?, "
        "message = ?, error_code = NULL, updated_at = ?, used_at = ? WHERE video_id = ?",
        (
            *(text_of(made.metadata), search_text(made.metadata.title), text_of(made.file), made.size_bytes),
            *(text_of(made.encoding), made.message, tx.now, tx.now, media_id),
        ),
    )
    return _existing(tx, media_id), _waiters(tx, media_id)


def mark_error(
    tx: Transaction, media_id: str, fence: int, *, error_code: str, message: str
) -> tuple[Media, Sequence[Waiter]]:
    """Record a final failure."""
    check_move(_guarded(tx, media_id, fence).status, MediaStatus.ERROR)
    tx.db.execute(
        "UPDATE media SET status = 'error', error_code = ?, message = ?, failures = failures + 1, updated_at = ? "
        "WHERE video_id = ?",
        (error_code, message, tx.now, media_id),
    )
    return _existing(tx, media_id), _waiters(tx, media_id)


def settle(
    tx: Transaction, media_id: str, fence: int, request_ids: Sequence[str], *, keep: timedelta
) -> Sequence[Waiter]:
    """Mark requests as answered, and end the lease with the last waiter.

    They are marked whatever the fence: a worker that lost its lease after publishing spares them a second status. The
    waiters that are left are then its successor's, and not returned.
    """
    for request_id in request_ids:
        tx.db.execute("DELETE FROM waiters WHERE video_id = ? AND request_id = ?", (media_id, request_id))
    expiring.mark_all_answered(tx, request_ids, keep=keep)
    state = _state(tx, media_id)
    if state is None or state.fence != fence:
        return ()
    left = _waiters(tx, media_id)
    if not left:
        yield_claim(tx, media_id, fence)
    return left


def withdraw(tx: Transaction, request_id: str, *, keep: timedelta) -> None:
    """Forget a request that no one waits for any more (see Claims.withdraw)."""
    media_id = waits_for(tx, request_id)
    state = None if media_id is None else _state(tx, media_id)
    if media_id is None or state is None:
        expiring.mark_answered(tx, request_id, keep=keep)
        return
    if state.status is not MediaStatus.PROCESSING:
        return
    expiring.mark_answered(tx, withdrawal(request_id), keep=keep)
    waiting = [waiter.request_id for waiter in _waiters(tx, media_id)]
    if all(expiring.is_answered(tx, withdrawal(other)) for other in waiting):
        tx.db.execute("DELETE FROM waiters WHERE video_id = ?", (media_id,))
        expiring.mark_all_answered(tx, waiting, keep=keep)
        tx.db.execute("UPDATE media SET lease_until = 0, holder = '' WHERE video_id = ?", (media_id,))
    elif state.holder != request_id:
        tx.db.execute("DELETE FROM waiters WHERE video_id = ? AND request_id = ?", (media_id, request_id))
        expiring.mark_answered(tx, request_id, keep=keep)


def reopen(tx: Transaction, media_id: str) -> None:
    """Make a `success` record claimable; no-op for any other, which another worker has reopened already.

    The fence grows, so that a worker still settling the missing file cannot end its successor's lease.
    """
    tx.db.execute(
        "UPDATE media SET status = 'processing', file = ?, size_bytes = 0, encoding = NULL, message = '', "
        "fence = fence + 1, lease_until = 0, holder = '', updated_at = ? WHERE video_id = ? AND status = 'success'",
        (NO_FILE, tx.now, media_id),
    )


def _own(tx: Transaction, media_id: str, waiter: Waiter, metadata: PlatformMetadata, lease: timedelta) -> Owned:
    tx.db.execute(
        "INSERT INTO media (video_id, status, metadata, search_text, file, size_bytes, encoding, message, error_code, "
        "processing_date, created_at, updated_at, attempts, failures, play_count, fence, lease_until, holder) "
        "VALUES (:id, 'processing', :metadata, :text, :file, 0, NULL, '', NULL, :now, :now, :now, 1, 0, 0, 1, :until, "
        ":holder) ON CONFLICT (video_id) DO UPDATE SET status = 'processing', metadata = :metadata, "
        "search_text = :text, file = :file, size_bytes = 0, encoding = NULL, message = '', error_code = NULL, "
        "processing_date = :now, updated_at = :now, attempts = attempts + 1, fence = fence + 1, "
        "lease_until = :until, holder = :holder",
        {
            "id": media_id,
            "metadata": text_of(metadata),
            "text": search_text(metadata.title),
            "file": NO_FILE,
            "now": tx.now,
            "until": tx.now + milliseconds(lease),
            "holder": waiter.request_id,
        },
    )
    _join(tx, media_id, waiter)
    return Owned(_guarded(tx, media_id).fence, _existing(tx, media_id))


def _finished(tx: Transaction, media_id: str) -> Finished:
    tx.db.execute(
        "UPDATE media SET used_at = ? WHERE video_id = ? AND used_at < ?",
        (tx.now, media_id, tx.now - milliseconds(TOUCH_EVERY)),
    )
    return Finished(_existing(tx, media_id))


def _settle_for(tx: Transaction, media_id: str, waiter: Waiter, lease: timedelta) -> Unannounced:
    # The claiming request is a waiter too: its delivery, still unacked, stands for all of them.
    _join(tx, media_id, waiter)
    tx.db.execute(
        "UPDATE media SET fence = fence + 1, lease_until = ?, holder = ? WHERE video_id = ?",
        (tx.now + milliseconds(lease), waiter.request_id, media_id),
    )
    return Unannounced(_guarded(tx, media_id).fence, _existing(tx, media_id), _waiters(tx, media_id))


def _join(tx: Transaction, media_id: str, waiter: Waiter) -> None:
    tx.db.execute(
        "INSERT INTO waiters (video_id, request_id, user_id) VALUES (?, ?, ?) ON CONFLICT DO NOTHING",
        (media_id, waiter.request_id, waiter.user_id),
    )


def _waiters(tx: Transaction, media_id: str) -> tuple[Waiter, ...]:
    rows = tx.db.execute("SELECT request_id, user_id FROM waiters WHERE video_id = ? ORDER BY position", (media_id,))
    return tuple(Waiter(request_id, user_id) for request_id, user_id in rows.fetchall())


def _state(tx: Transaction, media_id: str) -> _State | None:
    row = tx.db.execute(
        "SELECT status, fence, lease_until, holder FROM media WHERE video_id = ?", (media_id,)
    ).fetchone()
    return None if row is None else _State(MediaStatus(row[0]), *row[1:])


def _guarded(tx: Transaction, media_id: str, fence: int | None = None) -> _State:
    """Return the state of a record that must be there, and under this fence when one is given."""
    state = _state(tx, media_id)
    if state is None or fence not in (None, state.fence):
        raise LeaseLost(f"{media_id}: fence {fence}, the record's is {state.fence if state else 'not there'}")
    return state


def _existing(tx: Transaction, media_id: str) -> Media:
    media = find(tx, media_id)
    if media is None:
        raise LeaseLost(f"{media_id}: the record is gone")
    return media
