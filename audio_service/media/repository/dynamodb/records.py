"""Records: one by its id, search by a part of the title, the list of all.

The list has an item per record, ordered by the last update within its shard; a page merges the shards. Records of the
original system, which has no such order, follow by their titles.

A finished record has an item per trigram of its `search_text`, which holds that text: a search reads a few items of
the query's own trigrams, then walks the sparsest of them, newest first, and compares the text. Nothing is scanned. An
entry counts if the record, which is read last, names its claim: entries of records that have lost their file, or that a
crash has left behind, do not.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing

from audio_service.media.model import MIN_SEARCH_CHARACTERS, Media, MediaStatus, search_text
from audio_service.media.repository.base import Page
from audio_service.media.repository.cursors import (
    decode_cursor,
    decode_text_cursor,
    encode_cursor,
    encode_text_cursor,
    page_size,
)
from audio_service.media.repository.decision import grams, spread
from audio_service.media.repository.dynamodb.items import (
    FOREIGN,
    GRAM_LENGTH,
    UPDATED,
    entry_sort,
    gram_partition,
    is_ours,
    partition_of,
    readable,
    record_key,
    shards,
    title_partition,
    updated_sort,
)
from common.databases.dynamodb import Found, Item, Table

_SEARCH, _LIST, _FOREIGN = "s", "l", "f"
_EXACT, _PART = 0, 1
_MAX_SEQ = 2**63 - 1
_FAR = 253_402_300_799_999  # ms: the end of the year 9999
_SAMPLED_GRAMS = 8
_SAMPLE = 25
"""Entries that are read of each sampled gram: one read unit holds about 16."""
_LONGEST_READ = 400
_INDEX = "GSI1"


async def find(table: Table, media_id: str) -> Media | None:
    """Return a record."""
    return readable(await table.get(record_key(media_id)))


async def search(table: Table, text: str, *, limit: int = 10, cursor: str | None = None) -> Page:
    """Exact titles, newest first; then titles that contain the text, newest first."""
    rank, before = (_EXACT, _MAX_SEQ) if cursor is None else decode_cursor(_SEARCH, cursor)
    needle = search_text(text)
    if len(needle) < MIN_SEARCH_CHARACTERS:
        return Page((), None)
    size = page_size(limit)
    rows: list[tuple[int, Item]] = []
    if rank == _EXACT:
        exact = await _valid(table, _walk(table, title_partition(needle), before), size + 1)
        rows += [(_EXACT, record) for record in exact if record["search_text"] == needle]
        before = _MAX_SEQ
    if len(rows) <= size and (partition := await _sparsest(table, needle, before)):
        found = await _valid(table, _containing(table, partition, needle, before), size + 1 - len(rows))
        rows += [(_PART, record) for record in found]
    shown = rows[:size]
    following = encode_cursor(_SEARCH, shown[-1][0], shown[-1][1]["seq"]) if len(rows) > size else None
    return Page(_readable([record for _, record in shown]), following)


async def list_all(table: Table, *, limit: int = 50, cursor: str | None = None) -> Page:
    """Return records of any status, last updated first; one that is updated meanwhile moves to the first page."""
    size = page_size(limit)
    if cursor is not None and (after := decode_text_cursor(_FOREIGN, cursor)) is not None:
        return await _list_foreign(table, (), size, after)
    updated, seq = (_FAR, _MAX_SEQ) if cursor is None else decode_cursor(_LIST, cursor)
    values = {"low": f"{UPDATED}#", "high": updated_sort(updated, seq - 1)}
    condition = "#PK = :partition AND #SK BETWEEN :low AND :high"
    pages = await asyncio.gather(
        *(
            table.query(condition, {**values, "partition": partition_of(shard)}, newest_first=True, limit=size + 1)
            for shard in shards()
        )
    )
    entries = sorted((entry for page in pages for entry in page.items), key=lambda entry: entry["SK"], reverse=True)
    shown = entries[:size]
    media = _readable(await table.get_many([record_key(entry["video_id"]) for entry in shown]))
    if len(entries) > size:
        _, last_updated, last_seq = shown[-1]["SK"].split("#")
        return Page(media, encode_cursor(_LIST, int(last_updated), int(last_seq)))
    return await _list_foreign(table, media, size - len(shown), "")


async def has_foreign(table: Table) -> bool:
    """Whether the table holds records that this program has not written."""
    found = await _foreign(table, 1, None)
    return bool(found.items)


async def _list_foreign(table: Table, media: tuple[Media, ...], size: int, after: str) -> Page:
    """Complete a page with records of the original system, from the one after `after` on."""
    place = await table.get(record_key(after)) if after else None
    if after and (place is None or place.get("GSI1PK") != FOREIGN):
        return Page(media, None)  # it was taken over meanwhile, and its place with it
    start = {name: place[name] for name in ("PK", "SK", "GSI1PK", "GSI1SK")} if place else None
    found = await _foreign(table, max(size, 1), start)
    shown = found.items[:size]
    records = [record for record in shown if not is_ours(record)]
    last = shown[-1]["PK"].removeprefix("VIDEO#") if shown else after
    more = found.following is not None or len(found.items) > size
    return Page(media + _readable(records), encode_text_cursor(_FOREIGN, last) if more else None)


async def _foreign(table: Table, limit: int, after: Item | None) -> Found:
    return await table.query("#GSI1PK = :song", {"song": FOREIGN}, index=_INDEX, limit=limit, after=after)


async def _valid(table: Table, entries: AsyncGenerator[Item], count: int) -> list[Item]:
    """Return the first `count` records of search entries that are valid."""
    found: list[Item] = []
    async with aclosing(entries):
        waiting: list[Item] = []
        async for entry in entries:
            waiting.append(entry)
            if len(found) + len(waiting) == count:
                found += await _records(table, waiting)
                waiting = []
            if len(found) == count:
                return found
        return found + await _records(table, waiting)


async def _records(table: Table, entries: Sequence[Item]) -> list[Item]:
    """Return the records of entries, but for those that do not name them."""
    records = await table.get_many([record_key(entry["video_id"]) for entry in entries])
    return [
        record
        for entry, record in zip(entries, records, strict=True)
        if record is not None
        and record.get("status") == MediaStatus.SUCCESS.value
        and record.get("indexed_fence") == entry["fence"]
    ]


async def _containing(table: Table, partition: str, needle: str, before: int) -> AsyncGenerator[Item]:
    """Yield the entries of titles that contain the text and are more than it."""
    async with aclosing(_walk(table, partition, before)) as entries:
        async for entry in entries:
            if needle in entry["text"] and needle != entry["text"]:
                yield entry


async def _walk(table: Table, partition: str, before: int) -> AsyncGenerator[Item]:
    """Yield the entries of a partition, newest first, reading more of them at a time the longer it takes."""
    after: Item | None = None
    limit = _SAMPLE
    while True:
        found = await _entries(table, partition, before, limit, after)
        for entry in found.items:
            yield entry
        after = found.following
        if after is None:
            return
        limit = min(limit * 2, _LONGEST_READ)


async def _entries(table: Table, partition: str, before: int, limit: int, after: Item | None = None) -> Found:
    values = {"partition": partition, "before": entry_sort(before)}
    return await table.query("#PK = :partition AND #SK < :before", values, newest_first=True, limit=limit, after=after)


async def _sparsest(table: Table, needle: str, before: int) -> str | None:
    """Return the partition of the text's gram that the fewest titles have; None when one is in no title at all.

    Of two grams with more entries than were read, the rarer is the one whose entries reach further back.
    """
    partitions = [gram_partition(gram) for gram in spread(grams(needle, GRAM_LENGTH), _SAMPLED_GRAMS)]
    if len(partitions) == 1:
        return partitions[0]
    samples = await asyncio.gather(*(_entries(table, partition, before, _SAMPLE) for partition in partitions))
    if not all(sample.items for sample in samples):
        return None
    reach = [
        (len(sample.items) if sample.following is None else _SAMPLE + 1, sample.items[-1]["seq"]) for sample in samples
    ]
    return partitions[reach.index(min(reach))]


def _readable(records: Sequence[Item | None]) -> tuple[Media, ...]:
    return tuple(media for record in records if (media := readable(record)) is not None)
