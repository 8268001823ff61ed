"""Records: one by its id, search by a part of the title, the list of all.

A finished record holds the grams of its `search_text`: all runs of three, five and seven characters, each an entry of
one index whose order is also the page's. A search counts the entries of the query's own grams, as far as a bound, walks
those of the rarest, newest first, and the server compares the whole text of each: no pattern, and no walk through the
collection. A query of three, five or seven characters is a gram itself. What it holds is letters, digits, marks and
single spaces by then, and reaches the server as a value.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

from pymongo import DESCENDING

from audio_service.media.model import MIN_SEARCH_CHARACTERS, Media, search_text
from audio_service.media.repository.base import Page
from audio_service.media.repository.cursors import decode_cursor, encode_cursor, page_size
from audio_service.media.repository.decision import grams, spread
from audio_service.media.repository.mongodb.collections import BY_GRAM, BY_TEXT, BY_UPDATE, Collections
from audio_service.media.repository.mongodb.decision import insert_update
from audio_service.media.repository.mongodb.documents import (
    FIELDS,
    GRAM_LENGTHS,
    OURS,
    all_grams,
    document_of,
    literal,
    readable,
)
from common.databases.mongodb import Document
from common.messages.base import utc_now

_SEARCH = "s"
_LIST = "l"
_EXACT, _PART = 0, 1
_MAX_SEQ = 2**63 - 1
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_FAR = 253_402_300_799_999  # ms: the end of the year 9999, the last that a datetime holds
# How many grams are compared for rareness, and how many index entries are counted for that, in all: the fewer grams
# there are, the further each is counted.
_SAMPLED_GRAMS = 16
_COUNTED = 4_000
_PAGE_FIELDS = dict.fromkeys((*FIELDS, "seq"), 1)


async def find(db: Collections, media_id: str) -> Media | None:
    """Return a record."""
    document = await db.songs.find_one({"_id": media_id}, dict.fromkeys(FIELDS, 1))
    return None if document is None else readable(document)


async def insert(db: Collections, media: Media) -> bool:
    """Insert a finished record, also in the place of another program's."""
    text = search_text(media.metadata.title)
    document = document_of(media) | {"search_text": text, "grams": all_grams(text), "used_at": utc_now()}
    done = await db.songs.update_one({"_id": media.video_id}, insert_update(document), upsert=True)
    return bool(done.upserted_id or done.modified_count)


async def search(db: Collections, text: str, *, limit: int = 10, cursor: str | None = None) -> Page:
    """Exact titles, newest first; then titles that contain the text, newest first."""
    rank, before = (_EXACT, _MAX_SEQ) if cursor is None else decode_cursor(_SEARCH, cursor)
    needle = search_text(text)
    if len(needle) < MIN_SEARCH_CHARACTERS:
        return Page((), None)
    size = page_size(limit)
    rows: list[tuple[int, Document]] = []
    if rank == _EXACT:
        rows += [(_EXACT, found) for found in await _exact(db, needle, before, size + 1)]
        before = _MAX_SEQ
    if len(rows) <= size:
        rows += [(_PART, found) for found in await _part(db, needle, before, size + 1 - len(rows))]
    shown = rows[:size]
    following = encode_cursor(_SEARCH, shown[-1][0], shown[-1][1]["seq"]) if len(rows) > size else None
    return Page(_readable(found for _, found in shown), following)


async def list_all(db: Collections, *, limit: int = 50, cursor: str | None = None) -> Page:
    """Return records of any status, last updated first; one that is updated meanwhile moves to the first page."""
    updated_at, seq = (_FAR, _MAX_SEQ) if cursor is None else decode_cursor(_LIST, cursor)
    size = page_size(limit)
    moment = _EPOCH + timedelta(milliseconds=min(updated_at, _FAR))
    query = {"updated_at": {"$lte": moment}, "$or": [{"updated_at": {"$lt": moment}}, {"seq": {"$lt": seq}}], **OURS}
    found = db.songs.find(query, _PAGE_FIELDS, hint=BY_UPDATE, limit=size + 1)
    rows = await found.sort([("updated_at", DESCENDING), ("seq", DESCENDING)]).to_list(None)
    shown = rows[:size]
    following = encode_cursor(_LIST, _ms(shown[-1]["updated_at"]), shown[-1]["seq"]) if len(rows) > size else None
    return Page(_readable(shown), following)


async def count_foreign(db: Collections) -> int:
    """Return how many documents this program has not written, from the index's keys."""
    return await db.songs.count_documents({"seq": None}, hint=BY_UPDATE)


def _readable(documents: Iterable[Document]) -> tuple[Media, ...]:
    return tuple(media for document in documents if (media := readable(document)) is not None)


async def fold_search_texts(db: Collections) -> None:
    """Compute `search_text` and grams anew where an earlier version left accents in them. Idempotent.

    Every text outside of ASCII is read at each start, from the index alone; only those that differ are written.
    """
    beyond_ascii = {"search_text": {"$regex": "[^\\x00-\\x7f]"}, **OURS}
    async for document in db.songs.find(beyond_ascii, {"search_text": 1, "status": 1}):
        old = str(document["search_text"])
        text = search_text(old)
        if text == old:
            continue
        found_by = {"grams": all_grams(text)} if document.get("status") == "success" else {}
        await db.songs.update_one(
            {"_id": document["_id"], "search_text": old}, {"$set": {"search_text": text, **found_by}}
        )


def _exact_query(needle: str, before: int) -> Document:
    """Return the query for titles that are the text."""
    return {"search_text": needle, "seq": {"$lt": before}, "status": "success"}


def _part_query(needle: str, gram: str, before: int) -> Document:
    """Return the query for titles that contain the text and are more than it, by one of its grams."""
    contains = {"$gte": [{"$indexOfCP": ["$search_text", literal(needle)]}, 0]}
    return {"grams": gram, "seq": {"$lt": before}, "search_text": {"$ne": needle}, "$expr": contains}


async def _exact(db: Collections, needle: str, before: int, count: int) -> list[Document]:
    found = db.songs.find(_exact_query(needle, before), _PAGE_FIELDS, hint=BY_TEXT, limit=count)
    return await found.sort("seq", DESCENDING).to_list(None)


async def _part(db: Collections, needle: str, before: int, count: int) -> list[Document]:
    gram = await _rarest(db, needle)
    if gram is None:
        return []
    found = db.songs.find(_part_query(needle, gram, before), _PAGE_FIELDS, hint=BY_GRAM, limit=count)
    return await found.sort("seq", DESCENDING).to_list(None)


async def _rarest(db: Collections, needle: str) -> str | None:
    """Return the gram of the text that the fewest titles have; None when one is in no title at all."""
    longest = max(length for length in GRAM_LENGTHS if length <= len(needle))
    candidates = spread(grams(needle, longest), _SAMPLED_GRAMS)
    if len(candidates) == 1:
        return candidates[0]
    first, *others = [_counting(gram, _COUNTED // len(candidates)) for gram in candidates]
    union = [{"$unionWith": {"coll": db.songs.name, "pipeline": steps}} for steps in others]
    counts: dict[str, int] = {row["gram"]: row["n"] async for row in db.songs.aggregate([*first, *union])}
    return min(candidates, key=counts.__getitem__) if len(counts) == len(candidates) else None


def _counting(gram: str, most: int) -> list[Document]:
    """Return a pipeline that counts a gram's records, up to the bound, in the index alone."""
    return [
        {"$match": {"grams": gram}},
        {"$limit": most},
        {"$group": {"_id": None, "n": {"$sum": 1}}},
        {"$project": {"_id": 0, "n": 1, "gram": literal(gram)}},
    ]


def _ms(moment: datetime) -> int:
    return (moment - _EPOCH) // timedelta(milliseconds=1)
