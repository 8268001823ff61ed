"""What an owner has, in one item: the uploads that are open, and how many were begun in each quarter of an hour.

`open` is a map of ids to the ms until which each counts, `parts` one of quarters of an hour since the epoch to counts.
`rev` grows with every change: an upload is counted in the transaction that writes its record, which fails if the item
was changed since it was read. TTL removes it when nothing in it counts any more.
"""

from __future__ import annotations

from contextlib import suppress
from datetime import timedelta

from audio_service.assets.model import Asset
from audio_service.assets.repository.base import Quota
from audio_service.media.repository.dynamodb.items import expiry, ms_of, short
from common.databases.dynamodb import EXPIRES, ConditionFailed, Item, Put, Table, Update, key
from common.errors import QuotaExceeded

_MS = timedelta(milliseconds=1)
_DAY_MS = timedelta(hours=24) // _MS
_PART_MS = timedelta(minutes=15) // _MS


def quota_key(owner_id: str) -> Item:
    """Return the key of what an owner has."""
    return key(f"OWNER#{short(owner_id)}", "UPLOADS")


def is_counted(owner: Item | None, asset_id: str) -> bool:
    """Whether an upload counts as open."""
    return owner is not None and _name(asset_id) in owner["open"]


def counting(owner: Item | None, asset: Asset, quota: Quota, now: int) -> Put:
    """Return the write that counts an upload to its owner, unless another was counted meanwhile.

    Raises:
        QuotaExceeded: its owner has as many as `quota` allows.
    """
    before: Item = owner or {"open": {}, "parts": {}, "rev": 0, EXPIRES: 0}
    opened = {name: until for name, until in before["open"].items() if until > now}
    parts = {part: count for part, count in before["parts"].items() if (int(part) + 1) * _PART_MS > now - _DAY_MS}
    today = sum(parts.values())
    if len(opened) >= quota.open_uploads or today >= quota.per_day:
        raise QuotaExceeded(f"{len(opened)} open uploads, {today} uploads in 24 hours")
    until = ms_of(asset.upload.expires_at)
    part = str(ms_of(asset.created_at) // _PART_MS)
    item = {
        **quota_key(asset.owner_id),
        "open": {**opened, _name(asset.asset_id): until},
        "parts": {**parts, part: parts.get(part, 0) + 1},
        "rev": before["rev"] + 1,
        EXPIRES: max(before[EXPIRES], expiry(max(until, now + _DAY_MS + _PART_MS))),
    }
    if owner is None:
        return Put(item, "attribute_not_exists(#PK)")
    return Put(item, "#rev = :seen_rev", {"seen_rev": before["rev"]})


async def give_back(table: Table, owner_id: str, asset_id: str) -> None:
    """Count an upload as open no more; no-op where it does not."""
    place = f"#open.#{_name(asset_id)}"
    with suppress(ConditionFailed):
        change = f"REMOVE {place} ADD #rev :one"
        await table.write(Update(quota_key(owner_id), change, f"attribute_exists({place})", {"one": 1}))


def _name(asset_id: str) -> str:
    """Return an id as part of an expression, where a name has no dashes."""
    return asset_id.replace("-", "")
