"""Claims, fences and waiters: each reads the record, decides, and writes one transaction that fails if the record has
changed meanwhile (`rev`). Then the whole step is run again. See `base.Claims`.

A request's own item says what it waits for and whether it is answered. It is in the same transaction, so a request
that was answered never comes to own or join a record.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
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
from audio_service.media.repository.decision import SEQ_TAIL, Turn, in_force, milliseconds, seq_tail, turn_of
from audio_service.media.repository.dynamodb import expiring
from audio_service.media.repository.dynamodb.items import (
    changed,
    chunks,
    expiry,
    fields_without_file,
    is_ours,
    listed,
    made_fields,
    media_of,
    named_fields,
    now_ms,
    partition_of,
    record_key,
    request_key,
    search_entries,
    shard_of,
    taking_the_place_of,
    text_of,
    updated_sort,
    waiters_of,
    waiting,
    with_file,
    without_file,
)
from common.databases.dynamodb import EXPIRES, ConditionFailed, Conflict, Item, Put, Table, Update, Write, key, key_of
from common.errors import DatabaseUnavailable, LeaseLost
from common.messages.downloads import PlatformMetadata

_SETTLED_AT_ONCE = 90
"""Requests in one transaction, which has room for 100 items."""
_COUNTERS = (
    *("rev", "attempts", "failures", "play_count", "size_bytes"),
    *("fence", "lease_until", "used_at", "used_entry"),
)
_UNANSWERED = "attribute_not_exists(#answered_until) OR #answered_until <= :now"


async def claim(  # noqa: PLR0911 - one a turn
    table: Table, media_id: str, waiter: Waiter, metadata: PlatformMetadata, lease: timedelta
) -> Claim:
    """Decide which worker makes the record (see Claims.claim)."""
    record, request = await table.get_many([record_key(media_id), request_key(waiter.request_id)])
    now = now_ms()
    if expiring.answered(request, now):
        return Joined()
    if record is None or not is_ours(record):
        return await _own_new(table, media_id, record, waiter, metadata, lease)
    turn = turn_of(
        MediaStatus(record["status"]),
        held=in_force(record["lease_until"], now) and record["holder"] != waiter.request_id,
        evicting=record["holder"] == EVICTOR,
        waiting=_is_waiting(record, waiter),
        unannounced=bool(record["waiters"]),
    )
    match turn:
        case Turn.OWN:
            return await _own(table, record, waiter, metadata, lease)
        case Turn.SETTLE:
            return await _settle_for(table, record, waiter, lease)
        case Turn.JOIN:
            await _join(table, record, waiter)
            return Joined()
        case Turn.JOINED:
            return Joined()
        case Turn.FINISHED:
            return await _finished(table, record, waiter)
        case Turn.HELD:
            return LeaseHeld(timedelta(milliseconds=record["lease_until"] - now))


async def waits_for(table: Table, request_id: str) -> str | None:
    """Return the record that a request waits for."""
    request = await table.get(request_key(request_id))
    return min(request.get("waits", ()), default=None) if request else None


async def renew(table: Table, media_id: str, fence: int, lease: timedelta) -> None:
    """Extend a claim. No-op after it was yielded or settled: a late heartbeat does not revive it."""
    values = {"fence": fence, "until": now_ms() + milliseconds(lease), "zero": 0, "one": 1}
    change = "SET #lease_until = :until ADD #rev :one"
    try:
        await table.write(Update(record_key(media_id), change, "#fence = :fence AND #lease_until > :zero", values))
    except ConditionFailed as exc:
        if exc.item.get("fence") != fence:
            raise LeaseLost(f"{media_id}: fence {fence} is not the record's") from exc


async def yield_claim(table: Table, media_id: str, fence: int) -> None:
    """End a claim's lease; a stale fence is a no-op."""
    change = "SET #lease_until = :zero ADD #rev :one"
    with suppress(ConditionFailed):
        values = {"fence": fence, "zero": 0, "one": 1}
        await table.write(Update(record_key(media_id), change, "#fence = :fence", values))


async def mark_success(table: Table, media_id: str, fence: int, made: StoredMedia) -> tuple[Media, Sequence[Waiter]]:
    """Record what was made. Its search entries are written first: they count once the record names their fence."""
    record = await _guarded(table, media_id, fence, MediaStatus.SUCCESS)
    now = now_ms()
    await table.put_many(search_entries(record, search_text(made.metadata.title), fence))
    used = {"used_at": now, "used_entry": now, "indexed_fence": fence, "updated_at": text_of(now)}
    changes = {**made_fields(made, media_id), **used}
    file = with_file(media_id, made.size_bytes, now, before=record)
    await table.transact([changed(record, changes), *listed(record, now), *file])
    return media_of({**record, **changes}), waiters_of(record)


async def mark_error(
    table: Table, media_id: str, fence: int, *, error_code: str, message: str
) -> tuple[Media, Sequence[Waiter]]:
    """Record a final failure."""
    record = await _guarded(table, media_id, fence, MediaStatus.ERROR)
    now = now_ms()
    changes = {
        "status": MediaStatus.ERROR.value,
        "error_code": error_code,
        "message": message,
        "failures": record["failures"] + 1,
        "updated_at": text_of(now),
    }
    await table.transact([changed(record, changes), *listed(record, now)])
    return media_of({**record, **changes}), waiters_of(record)


async def settle(
    table: Table, media_id: str, fence: int, request_ids: Sequence[str], *, keep: timedelta
) -> Sequence[Waiter]:
    """Mark requests as answered, and end the lease with the last waiter.

    They are marked whatever the fence: a worker that lost its lease after publishing spares them a second status. More
    than a transaction has room for are marked in several; each leaves a state that a further call completes.
    """
    left: Sequence[Waiter] = ()
    for some in chunks(list(dict.fromkeys(request_ids)), _SETTLED_AT_ONCE) or [()]:
        left = await _settle(table, media_id, fence, some, keep)
    return left


async def withdraw(table: Table, request_id: str, *, keep: timedelta) -> None:
    """Forget a request that no one waits for any more (see Claims.withdraw)."""
    media_id = await waits_for(table, request_id)
    record = None if media_id is None else await table.get(record_key(media_id))
    if media_id is None or record is None or not is_ours(record):
        await expiring.mark_answered(table, request_id, keep=keep)
        return
    if record["status"] != MediaStatus.PROCESSING.value:
        return
    await expiring.mark_answered(table, withdrawal(request_id), keep=keep)
    ids = [waiter.request_id for waiter in waiters_of(record)]
    marks = [await expiring.is_answered(table, withdrawal(other)) for other in ids]
    if all(marks):
        # The record and the first requests in one: none joins in between.
        free = changed(record, {"waiters": [], "lease_until": 0, "holder": ""})
        for some in chunks(ids, _SETTLED_AT_ONCE):
            requests = await table.get_many([request_key(other) for other in some])
            until = now_ms() + milliseconds(keep)
            answered = [_answered(o, known, until, media_id) for o, known in zip(some, requests, strict=True)]
            await table.transact([*([free] if some[0] == ids[0] else []), *answered])
    elif record["holder"] != request_id:
        await settle(table, media_id, record["fence"], [request_id], keep=keep)


async def reopen(table: Table, media_id: str) -> None:
    """Make a `success` record claimable; no-op for any other, which another worker has reopened already.

    The fence grows, so that a worker still settling the missing file cannot end its successor's lease.
    """
    record = await table.get(record_key(media_id))
    if record is None or not is_ours(record) or record["status"] != MediaStatus.SUCCESS.value:
        return
    now = now_ms()
    leaseless = {"size_bytes": 0, "fence": record["fence"] + 1, "lease_until": 0, "holder": ""}
    changes = {**fields_without_file(), **leaseless, "updated_at": text_of(now)}
    await table.transact([changed(record, changes), *listed(record, now), *without_file(record)])
    await forget_search_entries(table, record)


async def forget_search_entries(table: Table, record: Item) -> None:
    """Remove what a record was found by, after it has ceased to name it. What stays is skipped by searches."""
    with suppress(Conflict, DatabaseUnavailable):
        entries = search_entries(record, record["search_text"], record["indexed_fence"])
        await table.delete_many(key_of(entry) for entry in entries)


async def _own_new(  # noqa: PLR0913, PLR0917 - those of `claim`, and what stands there
    table: Table, media_id: str, foreign: Item | None, waiter: Waiter, metadata: PlatformMetadata, lease: timedelta
) -> Owned:
    """Make the record, also in the place of another program's."""
    now = now_ms()
    seq = now * SEQ_TAIL + seq_tail()
    record: Item = {
        **record_key(media_id),
        "video_id": media_id,
        "seq": seq,
        "created_at": text_of(now),
        **dict.fromkeys(_COUNTERS, 0),
        "last_played_at": None,
        "waiters": [],
    }
    record |= _owned_fields(record, waiter, metadata, lease, now)
    replaced, guard, values = taking_the_place_of(foreign)
    place = key(partition_of(shard_of(media_id)), updated_sort(now, seq))
    entry = Put({**place, "video_id": media_id})
    await table.transact([Put(record | replaced, guard, values), entry, _waits(waiter, media_id, now)])
    return Owned(record["fence"], media_of(record))


async def _own(table: Table, record: Item, waiter: Waiter, metadata: PlatformMetadata, lease: timedelta) -> Owned:
    now = now_ms()
    changes = {**_owned_fields(record, waiter, metadata, lease, now), "size_bytes": 0}
    writes = [changed(record, changes), *listed(record, now), *without_file(record)]
    await table.transact([*writes, _waits(waiter, record["video_id"], now)])
    return Owned(changes["fence"], media_of({**record, **changes}))


def _owned_fields(record: Item, waiter: Waiter, metadata: PlatformMetadata, lease: timedelta, now: int) -> Item:
    return {
        **fields_without_file(),
        **named_fields(metadata, record["video_id"]),
        **_held_fields(record, waiter, lease, now),
        "error_code": None,
        "processing_date": text_of(now),
        "updated_at": text_of(now),
        "attempts": record["attempts"] + 1,
    }


def _held_fields(record: Item, waiter: Waiter, lease: timedelta, now: int) -> Item:
    """Return the fields that make a request the holder, and a waiter: its delivery, still unacked, stands for all."""
    mine = [] if _is_waiting(record, waiter) else [waiting(waiter)]
    return {
        "fence": record["fence"] + 1,
        "lease_until": now + milliseconds(lease),
        "holder": waiter.request_id,
        "waiters": [*record["waiters"], *mine],
    }


async def _settle_for(table: Table, record: Item, waiter: Waiter, lease: timedelta) -> Unannounced:
    now = now_ms()
    changes = _held_fields(record, waiter, lease, now)
    await table.transact([changed(record, changes), _waits(waiter, record["video_id"], now)])
    return Unannounced(changes["fence"], media_of(record), waiters_of({**record, **changes}))


async def _join(table: Table, record: Item, waiter: Waiter) -> None:
    """Add the request to the waiters. Concurrent joins do not exclude one another: this looks at the claim alone."""
    claimed = {name: record[name] for name in ("fence", "status", "lease_until", "holder")}
    guard = " AND ".join(f"#{name} = :{name}" for name in claimed)
    change = "SET #waiters = list_append(#waiters, :mine) ADD #rev :one"
    joined = Update(key_of(record), change, guard, {**claimed, "mine": [waiting(waiter)], "one": 1})
    await table.transact([joined, _waits(waiter, record["video_id"], now_ms(), once=True)])


async def _finished(table: Table, record: Item, waiter: Waiter) -> Claim:
    # It may have been answered just before the record was read, and after what is known of it was.
    if await expiring.is_answered(table, waiter.request_id):
        return Joined()
    now = now_ms()
    lately = now - milliseconds(TOUCH_EVERY)
    if record["used_at"] < lately:
        with suppress(Conflict):
            guard = "#status = :success AND #used_at < :lately"
            values = {"success": MediaStatus.SUCCESS.value, "lately": lately, "now": now}
            await table.write(Update(key_of(record), "SET #used_at = :now", guard, values))
    return Finished(media_of(record))


async def _settle(
    table: Table, media_id: str, fence: int, request_ids: Sequence[str], keep: timedelta
) -> Sequence[Waiter]:
    record, *requests = await table.get_many([record_key(media_id), *map(request_key, request_ids)])
    until = now_ms() + milliseconds(keep)
    writes: list[Write] = [
        _answered(request_id, request, until, media_id)
        for request_id, request in zip(request_ids, requests, strict=True)
    ]
    left: tuple[Waiter, ...] = ()
    if record is not None and is_ours(record):
        left = tuple(waiter for waiter in waiters_of(record) if waiter.request_id not in request_ids)
        changes: Item = {}
        if len(left) < len(record["waiters"]):
            changes["waiters"] = [waiting(waiter) for waiter in left]
        if record["fence"] != fence:
            left = ()
        elif not left and record["lease_until"]:
            changes["lease_until"] = 0
        if changes:
            writes.append(changed(record, changes))
    if writes:
        await table.transact(writes)
    return left


def _waits(waiter: Waiter, media_id: str, now: int, *, once: bool = False) -> Update:
    """Return the write that lets a request wait for a record; it fails if the request is answered."""
    guard = f"({_UNANSWERED})" + (" AND NOT contains(#waits, :song)" if once else "")
    values = {"songs": {media_id}, "song": media_id, "now": now}
    return Update(request_key(waiter.request_id), f"ADD #waits :songs REMOVE #{EXPIRES}", guard, values)


def _answered(request_id: str, request: Item | None, until: int, media_id: str) -> Update:
    """Return the write that marks a request as answered, unless another has done so since it was read."""
    before = request.get("answered_until") if request else None
    guard = "attribute_not_exists(#answered_until)" if before is None else "#answered_until = :before"
    later = max(until, before or 0)
    values = {"until": later, "expiry": expiry(later), "before": before, "songs": {media_id}}
    change = f"SET #answered_until = :until, #{EXPIRES} = :expiry DELETE #waits :songs"
    return Update(request_key(request_id), change, guard, values)


async def _guarded(table: Table, media_id: str, fence: int, outcome: MediaStatus) -> Item:
    """Return the record, which must be under this fence and may get this outcome."""
    record = await table.get(record_key(media_id))
    if record is None or not is_ours(record) or record["fence"] != fence:
        raise LeaseLost(f"{media_id}: fence {fence}, the record's is {(record or {}).get('fence', 'not there')}")
    check_move(MediaStatus(record["status"]), outcome)
    return record


def _is_waiting(record: Item, waiter: Waiter) -> bool:
    return waiter.request_id in {other["request_id"] for other in record["waiters"]}
