"""A media record as an item, the items beside it, and their keys.

`VIDEO#<id>` / `METADATA` is the record: the fields of the HTTP contract under their own names, as the original system
writes them, times as RFC 3339 text; beside them ours: `seq` (order of creation), `rev` (grows with every change that a
concurrent writer must see), `fence`, `lease_until` (ms, 0: none), `holder`, `waiters`, `used_at` and `used_entry` (ms),
`indexed_fence` (the claim whose search entries are valid, 0: none).

Index entries are items of their own, written in the record's transaction. What is shared by the whole library is
spread over SHARDS partitions, by the media id.
"""

from __future__ import annotations

import hashlib
import time
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import Any

from audio_service.media.model import Encoding, Media, MediaStatus, normalise_title, search_text
from audio_service.media.repository.base import StoredMedia, Waiter
from audio_service.media.repository.decision import grams
from common.databases.dynamodb import Delete, Item, Put, Update, Write, key
from common.messages.downloads import FileData, PlatformMetadata
from common.observability.telemetry import get_logger

log = get_logger(__name__)

SHARDS = 16
FOREIGN = "SONG"
"""GSI1PK of the original system's records. Ours are under `SONG#<0..f>`."""
GRAM_LENGTH = 3
UPDATED, USED = "UPDATED", "USED"
_MAX_KEY = 1_000  # bytes; DynamoDB takes 2,048 for PK and 1,024 for SK
_MAX_GRAMS, _MAX_INDEXED = 500, 1_000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def now_ms() -> int:
    """Return this machine's time, in ms since the epoch."""
    return time.time_ns() // 1_000_000


def moment_of(ms: int) -> datetime:
    """Return ms since the epoch as a time."""
    return _EPOCH + timedelta(milliseconds=ms)


def text_of(ms: int) -> str:
    """Return ms since the epoch as RFC 3339 text."""
    return moment_of(ms).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def parsed(text: str) -> datetime:
    """Return the time of an RFC 3339 text, to the millisecond. Raises ValueError, TypeError."""
    moment = datetime.fromisoformat(text)
    aware = moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
    return aware.replace(microsecond=aware.microsecond // 1000 * 1000)


def ms_of(moment: datetime) -> int:
    """Return a time as ms since the epoch."""
    return (moment - _EPOCH) // timedelta(milliseconds=1)


def expiry(until: int) -> int:
    """Return the value of EXPIRES for what is valid until then, in ms: the next full second."""
    return -(-until // 1000)


def record_key(media_id: str) -> Item:
    """Return a record's key."""
    return key(f"VIDEO#{short(media_id)}", "METADATA")


def request_key(request_id: str) -> Item:
    """Return the key of what is known of a request: `waits` (a set of media ids), `answered_until` (ms)."""
    return key(f"REQUEST#{short(request_id)}", "STATE")


def lease_key(name: str) -> Item:
    """Return a named lease's key."""
    return key(f"LEASE#{short(name)}", "LEASE")


def resolution_key(query_key: str) -> Item:
    """Return the key of what a query resolved to."""
    return key(f"QUERY#{short(query_key)}", "RESOLUTION")


def shard_of(media_id: str) -> str:
    """Return the shard of a record's index entries."""
    return f"{zlib.crc32(media_id.encode('utf-8', 'replace')) % SHARDS:x}"


def shards() -> list[str]:
    """Return all shards."""
    return [f"{number:x}" for number in range(SHARDS)]


def partition_of(shard: str) -> str:
    """Return the partition of a shard's entries."""
    return f"LIBRARY#{shard}"


def updated_sort(updated_ms: int, seq: int) -> str:
    """Return the place in the list of all records."""
    return f"{UPDATED}#{updated_ms:015d}#{seq:019d}"


def used_sort(used_ms: int, media_id: str = "") -> str:
    """Return the place among the files, by their use."""
    return f"{USED}#{used_ms:015d}#{media_id}"


def stored_key(shard: str) -> Item:
    """Return the key of the counter `bytes`: the sizes of a shard's files, added up."""
    return key(partition_of(shard), "STORED")


def is_ours(record: Mapping[str, Any]) -> bool:
    """Whether this program has written the record. The original system's have fewer attributes."""
    numbers = (record.get(name) for name in ("seq", "rev", "fence", "lease_until", "size_bytes"))
    return all(isinstance(number, int) for number in numbers) and isinstance(record.get("waiters"), list)


def readable(record: Item | None) -> Media | None:
    """Build a record, or None from an item that is not there or not complete: a query never fails because of one."""
    if record is None:
        return None
    try:
        return media_of(record)
    except (AttributeError, KeyError, TypeError, ValueError) as exc:
        log.debug("library.foreign_record", media_id=str(record.get("PK")), error=repr(exc))
        return None


def media_of(record: Item) -> Media:
    """Build a record from an item, ours or the original system's.

    Raises:
        KeyError, TypeError, ValueError: it is not complete.
    """
    encoding = record.get("encoding")
    played = record.get("last_played_at")
    return Media(
        video_id=record.get("video_id") or record["PK"].removeprefix("VIDEO#"),
        status=MediaStatus(record["status"]),
        metadata=PlatformMetadata.model_validate(record["metadata"]),
        file=FileData.model_validate(record["file_data"]),
        size_bytes=record.get("size_bytes", 0),
        encoding=Encoding(**encoding) if encoding else None,
        message=record.get("message", ""),
        error_code=record.get("error_code"),
        processing_date=parsed(record.get("processing_date") or record["created_at"]),
        created_at=parsed(record["created_at"]),
        updated_at=parsed(record["updated_at"]),
        attempts=record.get("attempts", 0),
        failures=record.get("failures", 0),
        play_count=record.get("play_count", 0),
        last_played_at=parsed(played) if played else None,
    )


def waiters_of(record: Item) -> tuple[Waiter, ...]:
    """Return a record's waiting list, in order of arrival."""
    return tuple(Waiter(waiter["request_id"], waiter["user_id"]) for waiter in record["waiters"])


def waiting(waiter: Waiter) -> Item:
    """Return an entry of a waiting list."""
    return {"request_id": waiter.request_id, "user_id": waiter.user_id}


def named_fields(metadata: PlatformMetadata, media_id: str) -> Item:
    """Return the fields that come from a record's metadata."""
    title = normalise_title(metadata.title)
    return {
        "metadata": metadata.model_dump(),
        "title_lower": title,
        "search_text": search_text(metadata.title),
        "GSI1PK": f"{FOREIGN}#{shard_of(media_id)}",
        # A key may not be empty, and has 1,024 bytes.
        "GSI1SK": title.encode()[:_MAX_KEY].decode(errors="ignore") or media_id,
    }


def made_fields(made: StoredMedia, media_id: str) -> Item:
    """Return the fields of a record with its file."""
    return {
        **named_fields(made.metadata, media_id),
        "status": MediaStatus.SUCCESS.value,
        "success": True,
        "file_data": made.file.model_dump(),
        "size_bytes": made.size_bytes,
        "encoding": asdict(made.encoding),
        "message": made.message,
        "error_code": None,
    }


def fields_without_file() -> Item:
    """Return the fields of a record without a file, but for `size_bytes`."""
    return {
        "status": MediaStatus.PROCESSING.value,
        "success": False,
        "file_data": FileData().model_dump(),
        "encoding": None,
        "message": "",
        "indexed_fence": 0,
    }


def changed(record: Item, changes: Item, condition: str = "", **values: Any) -> Update:  # noqa: ANN401 - any value
    """Return the write that changes a record of ours, unless another writer has changed it since it was read."""
    sets = ", ".join(f"#{name} = :{name}" for name in changes)
    guard = "#rev = :seen_rev" + (f" AND {condition}" if condition else "")
    return Update(
        record_key(id_of(record)),
        f"SET {sets} ADD #rev :one",
        guard,
        {**changes, "one": 1, "seen_rev": record["rev"], **values},
    )


def id_of(record: Item) -> str:
    """Return a record's media id."""
    return record["video_id"]


def taking_the_place_of(foreign: Item | None) -> tuple[Item, str, Item]:
    """Return what a new record keeps of the item in its place, and the condition that this item is still as it was
    read, with its values. What another program has written stays under `original`; None: no item is there.
    """
    if foreign is None:
        return {}, "attribute_not_exists(#PK)", {}
    seen = [name for name in ("PK", "status", "updated_at") if name in foreign]
    guard = " AND ".join(["attribute_not_exists(#rev)", *(f"#{name} = :{name}" for name in seen)])
    return {"original": {name: value for name, value in foreign.items() if name not in {"PK", "SK"}}}, guard, foreign


def listed(record: Item, now: int) -> list[Write]:
    """Return the writes that move a record to the head of the list of all: it is updated now."""
    entry = {"video_id": id_of(record)}
    partition = partition_of(shard_of(id_of(record)))
    before = updated_sort(ms_of(parsed(record["updated_at"])), record["seq"])
    after = updated_sort(now, record["seq"])
    if before == after:
        return []
    return [Delete(key(partition, before)), Put({**key(partition, after), **entry})]


def with_file(media_id: str, size: int, now: int, before: Item | None = None) -> list[Write]:
    """Return the writes for a file that was made now, in place of the one that the record had `before`."""
    replaced = 0 if before is None else max(0, before["size_bytes"])
    writes: list[Write] = []
    if before is not None and replaced and before["used_entry"] != now:
        writes.append(Delete(_use_key(media_id, before["used_entry"])))
    if size > 0:
        writes.append(Put({**_use_key(media_id, now), "video_id": media_id}))
    if size != replaced:
        writes.append(Update(stored_key(shard_of(media_id)), "ADD #bytes :size", values={"size": size - replaced}))
    return writes


def without_file(record: Item) -> list[Write]:
    """Return the writes for a file that is gone."""
    size = record["size_bytes"]
    if size <= 0:
        return []
    media_id = id_of(record)
    return [
        Delete(_use_key(media_id, record["used_entry"])),
        Update(stored_key(shard_of(media_id)), "ADD #bytes :size", values={"size": -size}),
    ]


def _use_key(media_id: str, used_ms: int) -> Item:
    return key(partition_of(shard_of(media_id)), used_sort(used_ms, media_id))


def title_partition(text: str) -> str:
    """Return the partition of the songs with exactly this `search_text`."""
    return f"TITLE#{short(text)}"


def gram_partition(gram: str) -> str:
    """Return the partition of the songs whose `search_text` contains the gram."""
    return f"GRAM#{gram}"


def entry_sort(seq: int) -> str:
    """Return the beginning of a search entry's sort key: songs are in the order of their creation."""
    return f"{seq:019d}#"


def search_entries(record: Item, text: str, fence: int) -> list[Item]:
    """Return what a finished record is found by: an item for its title, and one for each of its title's grams.

    The claim's fence is part of the key: what a slower worker removes or leaves behind is never a successor's.
    """
    sort = f"{entry_sort(record['seq'])}{fence}#{id_of(record)}"
    found = {"video_id": id_of(record), "fence": fence, "text": text[:_MAX_INDEXED], "seq": record["seq"]}
    partitions = [title_partition(text), *map(gram_partition, grams(text, GRAM_LENGTH)[:_MAX_GRAMS])]
    return [{**key(partition, sort), **found} for partition in partitions]


def short(text: str) -> str:
    """Return the text, or its hash if it is too long for a key."""
    encoded = text.encode("utf-8", "replace")
    return text if len(encoded) <= _MAX_KEY else "sha256:" + hashlib.sha256(encoded).hexdigest()


def chunks(items: Sequence[str], size: int) -> list[Sequence[str]]:
    """Cut a list into parts of at most `size`."""
    return [items[start : start + size] for start in range(0, len(items), size)]
