"""An asset as an item, the items beside it, and their keys.

`ASSET#<id>` / `METADATA` is the record, and by GSI1 its place among its chat's. Beside its fields: `rev` (grows with
every change), `fence`, `lease_until` (ms, 0: none), `active_at` (ms: when its claim ends or ended, or it was completed
or queued again; 0: before and after). `completed_at` is there once it is complete.

Written in the record's transactions: `ASSET#<id>` / `OWNER`, its place among its owner's, and `ASSET#<id>` / `SWEEP`,
which is there until the end and by which the sweep finds it. `REMOVED#<id>` / `ASSET` remembers a removed one.
"""

from __future__ import annotations

import uuid
import zlib
from dataclasses import asdict
from typing import Any

from audio_service.assets.model import Asset, AssetState, Made, Output, Upload
from audio_service.media.repository.dynamodb.items import ms_of, parsed, short, text_of
from common.databases.dynamodb import Item, Update, key

INDEX = "GSI1"
INCOMPLETE, UNFINISHED, REMOVED = "INCOMPLETE", "UNFINISHED", "REMOVEDASSETS"
"""What the sweep looks for, by GSI1PK: uploads that were prepared, complete ones without an end, removed ones."""
SHARDS = 4
_RECORD = "METADATA"
_ASSET = "ASSET#"
_REMOVED = "REMOVED#"


def record_key(asset_id: str) -> Item:
    """Return a record's key."""
    return key(_ASSET + short(asset_id), _RECORD)


def owner_key(asset_id: str) -> Item:
    """Return the key of an asset's place among its owner's."""
    return key(_ASSET + short(asset_id), "OWNER")


def sweep_key(asset_id: str) -> Item:
    """Return the key of what the sweep finds an asset by."""
    return key(_ASSET + short(asset_id), "SWEEP")


def removed_key(asset_id: str) -> Item:
    """Return the key of what is remembered of a removed asset."""
    return key(_REMOVED + short(asset_id), "ASSET")


def id_of(item: Item) -> str:
    """Return the id of the asset that an item is about."""
    return item["PK"].partition("#")[2]


def chat_partition(chat_id: str) -> str:
    """Return the partition of a chat's assets in the index."""
    return f"CHAT#{short(chat_id)}"


def owner_partition(owner_id: str) -> str:
    """Return the partition of an owner's assets in the index."""
    return f"OWNER#{short(owner_id)}"


def sweep_partition(what: str, shard: int) -> str:
    """Return the partition of a shard of what the sweep looks for."""
    return f"{what}#{shard}"


def sort_of(ms: int, tail: int) -> str:
    """Return a place in the order of time; `tail` orders the assets of one millisecond."""
    return f"{ms:015d}#{tail:019d}"


def tail_of(asset_id: str) -> int:
    """Return the first 63 bits of an id."""
    return uuid.UUID(asset_id).int >> 65


def record_of(asset: Asset) -> Item:
    """Return the record of an asset that was prepared."""
    return {
        **record_key(asset.asset_id),
        "GSI1PK": chat_partition(asset.chat_id),
        "GSI1SK": sort_of(ms_of(asset.created_at), tail_of(asset.asset_id)),
        "asset_id": asset.asset_id,
        "kind": asset.kind,
        "state": asset.state.value,
        "owner_id": asset.owner_id,
        "chat_id": asset.chat_id,
        "upload": asdict(asset.upload) | {"expires_at": text_of(ms_of(asset.upload.expires_at))},
        "created_at": text_of(ms_of(asset.created_at)),
        "updated_at": text_of(ms_of(asset.updated_at)),
        "etag": asset.etag,
        "made": made_fields(asset.made),
        "error_code": asset.error_code,
        "message": asset.message,
        **dict.fromkeys(("attempts", "rev", "fence", "lease_until", "active_at"), 0),
    }


def asset_of(record: Item) -> Asset:
    """Build an asset."""
    made: Item = record["made"]
    outputs: list[dict[str, Any]] = made["outputs"]
    upload: Item = {**record["upload"], "expires_at": parsed(record["upload"]["expires_at"])}
    completed = record.get("completed_at")
    return Asset(
        asset_id=record["asset_id"],
        kind=record["kind"],
        state=AssetState(record["state"]),
        owner_id=record["owner_id"],
        chat_id=record["chat_id"],
        upload=Upload(**upload),
        created_at=parsed(record["created_at"]),
        updated_at=parsed(record["updated_at"]),
        completed_at=None if completed is None else parsed(completed),
        etag=record["etag"],
        made=Made(tuple(Output(**output) for output in outputs), tuple(made["waveform"]), made["duration_ms"]),
        error_code=record["error_code"],
        message=record["message"],
        attempts=record["attempts"],
    )


def made_fields(made: Made) -> Item:
    """Return what was made as a map; the waveform is one byte a bar, which is a third of a list's size."""
    return asdict(made) | {"outputs": [asdict(output) for output in made.outputs], "waveform": bytes(made.waveform)}


def owner_entry(asset: Asset) -> Item:
    """Return an asset's place among its owner's."""
    place = sort_of(ms_of(asset.created_at), tail_of(asset.asset_id))
    return {**owner_key(asset.asset_id), "GSI1PK": owner_partition(asset.owner_id), "GSI1SK": place}


def sweep_place(what: str, asset_id: str, ms: int) -> Item:
    """Return the place of an asset among those that the sweep looks for: no sooner than `ms`."""
    shard = zlib.crc32(asset_id.encode()) % SHARDS
    return {"GSI1PK": sweep_partition(what, shard), "GSI1SK": sort_of(ms, tail_of(asset_id))}


def changed(record: Item, changes: Item) -> Update:
    """Return the write that changes a record, unless another writer has changed or removed it since it was read."""
    sets = ", ".join(f"#{name} = :{name}" for name in changes)
    values = {**changes, "one": 1, "seen_rev": record["rev"]}
    return Update(record_key(record["asset_id"]), f"SET {sets} ADD #rev :one", "#rev = :seen_rev", values)
