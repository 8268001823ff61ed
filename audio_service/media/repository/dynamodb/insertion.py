"""Inserts a finished record of another library, with its place in the list, its search entries and its size."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import asdict
from typing import Any

from audio_service.media.model import Media
from audio_service.media.repository.decision import SEQ_TAIL, seq_tail
from audio_service.media.repository.dynamodb.items import (
    id_of,
    is_ours,
    ms_of,
    named_fields,
    now_ms,
    partition_of,
    record_key,
    search_entries,
    shard_of,
    taking_the_place_of,
    text_of,
    updated_sort,
    with_file,
)
from common.databases.dynamodb import Conflict, Item, Put, Table, key, key_of
from common.errors import DatabaseUnavailable

_FENCE = 1


async def insert(table: Table, media: Media) -> bool:
    """Insert a finished record, also in the place of another program's."""
    standing = await table.get(record_key(media.video_id))
    if standing is not None and is_ours(standing):
        return False
    now = now_ms()
    record = _item(media, now)
    replaced, guard, values = taking_the_place_of(standing)
    entries = search_entries(record, record["search_text"], _FENCE)
    await table.put_many(entries)
    place = key(partition_of(shard_of(media.video_id)), updated_sort(ms_of(media.updated_at), record["seq"]))
    listed = Put({**place, "video_id": id_of(record)})
    try:
        await table.transact(
            [Put(record | replaced, guard, values), listed, *with_file(media.video_id, media.size_bytes, now)]
        )
    except Conflict:
        with suppress(Conflict, DatabaseUnavailable):
            await table.delete_many(key_of(entry) for entry in entries)
        return False
    return True


def _item(media: Media, now: int) -> Item:
    played = media.last_played_at
    ours: dict[str, Any] = {
        "seq": now * SEQ_TAIL + seq_tail(),
        "rev": 0,
        "fence": _FENCE,
        "lease_until": 0,
        "holder": "",
        "waiters": [],
        "used_at": now,
        "used_entry": now,
        "indexed_fence": _FENCE,
    }
    return {
        **record_key(media.video_id),
        **named_fields(media.metadata, media.video_id),
        **ours,
        "video_id": media.video_id,
        "status": media.status.value,
        "success": True,
        "file_data": media.file.model_dump(),
        "size_bytes": media.size_bytes,
        "encoding": None if media.encoding is None else asdict(media.encoding),
        "message": media.message,
        "error_code": None,
        "processing_date": text_of(ms_of(media.processing_date)),
        "created_at": text_of(ms_of(media.created_at)),
        "updated_at": text_of(ms_of(media.updated_at)),
        "attempts": media.attempts,
        "failures": media.failures,
        "play_count": media.play_count,
        "last_played_at": None if played is None else text_of(ms_of(played)),
    }
