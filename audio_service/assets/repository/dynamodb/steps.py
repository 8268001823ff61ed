"""Asset records: each function reads, decides, and writes one transaction or item on the condition that nothing was
changed meanwhile; else it raises Conflict, and all of it is run again. See `base`.

Reads are consistent. Times are this machine's, as the library's (docs/adr/0029-dynamodb.md).
"""

from __future__ import annotations

from contextlib import suppress
from datetime import timedelta

from audio_service.assets.model import Asset, AssetState, Made, check_move
from audio_service.assets.repository.base import Claim, Claimed, Ended, Held, Quota
from audio_service.assets.repository.dynamodb import quotas
from audio_service.assets.repository.dynamodb.items import (
    INCOMPLETE,
    REMOVED,
    UNFINISHED,
    asset_of,
    changed,
    made_fields,
    owner_entry,
    owner_key,
    record_key,
    record_of,
    removed_key,
    sweep_key,
    sweep_place,
)
from audio_service.media.repository.decision import in_force, milliseconds
from audio_service.media.repository.dynamodb.items import ms_of, now_ms, text_of
from common.databases.dynamodb import ConditionFailed, Delete, Item, Put, Table, Update
from common.errors import AssetNotFound, LeaseLost


async def create(table: Table, asset: Asset, quota: Quota) -> None:
    """See AssetRepository.create."""
    owner = await table.get(quotas.quota_key(asset.owner_id))
    if quotas.is_counted(owner, asset.asset_id):
        return  # in the transaction of an earlier run, whose answer was lost
    place = sweep_place(INCOMPLETE, asset.asset_id, ms_of(asset.created_at))
    entry = {**sweep_key(asset.asset_id), **place, "expires_at": ms_of(asset.upload.expires_at)}
    await table.transact(
        [
            quotas.counting(owner, asset, quota, now_ms()),
            Put(record_of(asset), "attribute_not_exists(#PK)"),
            Put(owner_entry(asset)),
            Put(entry),
        ]
    )


async def get(table: Table, asset_id: str) -> Asset | None:
    """See AssetRepository.get."""
    record = await table.get(record_key(asset_id))
    return None if record is None else asset_of(record)


async def complete(table: Table, asset_id: str, etag: str) -> Asset:
    """See AssetRepository.complete. Where the process dies before it gives back, the upload counts until it expires."""
    record = await table.get(record_key(asset_id))
    if record is None:
        raise AssetNotFound(asset_id)
    if "completed_at" not in record:
        now = now_ms()
        changes = {"completed_at": text_of(now), "updated_at": text_of(now), "etag": etag, "active_at": now}
        entry = {**sweep_key(asset_id), **sweep_place(UNFINISHED, asset_id, now)}
        await table.transact([changed(record, changes), Put(entry)])
        record |= changes
    await quotas.give_back(table, record["owner_id"], asset_id)
    return asset_of(record)


async def claim(table: Table, asset_id: str, lease: timedelta) -> Claim:
    """See AssetRepository.claim."""
    record = await table.get(record_key(asset_id))
    if record is None or "completed_at" not in record:
        raise AssetNotFound(f"{asset_id}: {'not complete' if record else 'no record'}")
    asset = asset_of(record)
    if asset.state.is_terminal:
        return Ended(asset)
    now = now_ms()
    if in_force(record["lease_until"], now):
        return Held(timedelta(milliseconds=record["lease_until"] - now))
    check_move(asset.state, AssetState.PROCESSING)
    until = now + milliseconds(lease)
    changes: Item = {
        "state": AssetState.PROCESSING.value,
        "fence": record["fence"] + 1,
        "attempts": record["attempts"] + 1,
        "lease_until": until,
        "active_at": until,
        "updated_at": text_of(now),
    }
    # A transaction, of one item: repeated after a lost answer, it does not find its own claim in the way.
    await table.transact([changed(record, changes)])
    return Claimed(changes["fence"], asset_of({**record, **changes}))


async def renew(table: Table, asset_id: str, fence: int, lease: timedelta) -> None:
    """See AssetRepository.renew."""
    values = {"fence": fence, "until": now_ms() + milliseconds(lease), "zero": 0, "one": 1}
    change = "SET #lease_until = :until, #active_at = :until ADD #rev :one"
    try:
        await table.write(Update(record_key(asset_id), change, "#fence = :fence AND #lease_until > :zero", values))
    except ConditionFailed as exc:
        if exc.item.get("fence") != fence:
            raise LeaseLost(f"{asset_id}: fence {fence} is not the record's") from exc


async def yield_claim(table: Table, asset_id: str, fence: int) -> None:
    """See AssetRepository.yield_claim."""
    mine = "#fence = :fence AND #state = :processing"
    values = {"fence": fence, "processing": AssetState.PROCESSING.value, "zero": 0, "now": now_ms(), "one": 1}
    change = "SET #lease_until = :zero, #active_at = :now ADD #rev :one"
    with suppress(ConditionFailed):
        await table.write(Update(record_key(asset_id), change, mine, values))


async def mark_done(table: Table, asset_id: str, fence: int, made: Made, *, message: str) -> Asset:
    """See AssetRepository.mark_done."""
    outcome: Item = {"made": made_fields(made), "error_code": None, "message": message}
    return await _end(table, asset_id, fence, AssetState.DONE, outcome)


async def mark_failed(table: Table, asset_id: str, fence: int, *, error_code: str, message: str) -> Asset:
    """See AssetRepository.mark_failed."""
    outcome: Item = {"made": made_fields(Made()), "error_code": error_code, "message": message}
    return await _end(table, asset_id, fence, AssetState.FAILED, outcome)


async def remove(table: Table, asset_id: str, *, unless_complete: bool = False) -> bool:
    """See AssetRepository.remove."""
    now = now_ms()
    guard = "attribute_not_exists(#completed_at)" if unless_complete else ""
    try:
        await table.transact(
            [
                Delete(record_key(asset_id), guard),
                Delete(owner_key(asset_id)),
                Delete(sweep_key(asset_id)),
                Put({**removed_key(asset_id), **sweep_place(REMOVED, asset_id, now), "removed_at": now}),
            ]
        )
    except ConditionFailed:
        return False
    return True


async def forget_removed(table: Table, asset_id: str) -> None:
    """See AssetRepository.forget_removed."""
    await table.write(Delete(removed_key(asset_id)))


async def _end(table: Table, asset_id: str, fence: int, state: AssetState, outcome: Item) -> Asset:
    record = await table.get(record_key(asset_id))
    if record is None or record["fence"] != fence:
        raise LeaseLost(f"{asset_id}: fence {fence}, the record's is {record['fence'] if record else 'not there'}")
    check_move(AssetState(record["state"]), state)
    ended = {"state": state.value, "updated_at": text_of(now_ms()), "lease_until": 0, "active_at": 0}
    changes = {**outcome, **ended}
    await table.transact([changed(record, changes), Delete(sweep_key(asset_id))])
    return asset_of({**record, **changes})
