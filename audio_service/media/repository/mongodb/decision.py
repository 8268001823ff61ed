"""What `claim` decides, as an update pipeline that the server runs on the record's one document.

The table is in Claims.claim. Text from people and sources is never read as an expression: it stands under `$literal`.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from bson import Int64

from audio_service.media.model import MediaStatus, search_text
from audio_service.media.repository.base import EVICTOR, TOUCH_EVERY, Waiter
from audio_service.media.repository.decision import SEQ_TAIL, milliseconds, seq_tail
from audio_service.media.repository.mongodb.documents import WITHOUT_FILE, after, literal
from common.databases.mongodb import Document
from common.messages.downloads import PlatformMetadata


def claim_update(claim_id: str, waiter: Waiter, metadata: PlatformMetadata, lease: timedelta) -> list[Document]:
    """The table of Claims.claim as a pipeline.

    `turn` is the decision: `own` and `settle` make this request the holder, `join` adds it to the waiters, `none`
    changes nothing (the server then writes nothing).
    """
    me = literal(waiter.request_id)
    mine = {"request_id": me, "user_id": literal(waiter.user_id)}
    holding = {"$in": ["$turn", ["own", "settle"]]}
    return [
        {"$replaceWith": {"$cond": [_is_ours_or_new(), "$$ROOT", {"_id": "$_id", "original": "$$ROOT"}]}},
        {"$set": {"waiters": {"$ifNull": ["$waiters", []]}, "settled": settled_lately()}},
        {"$set": {"turn": _turn(me)}},
        {"$set": _when({"$eq": ["$turn", "own"]}, _taken_over(metadata))},
        {
            "$set": {
                **_when(
                    holding,
                    {
                        "fence": {"$add": [{"$ifNull": ["$fence", Int64(0)]}, Int64(1)]},
                        "lease_until": after(lease),
                        "holder": me,
                        "claim_id": claim_id,
                    },
                ),
                "used_at": _touched(me),
                "waiters": {
                    "$cond": [
                        {"$or": [{"$eq": ["$turn", "none"]}, {"$in": [me, "$waiters.request_id"]}]},
                        "$waiters",
                        {"$concatArrays": ["$waiters", [mine]]},
                    ]
                },
            }
        },
        {"$unset": "turn"},
    ]


def insert_update(document: Document) -> list[Document]:
    """Put a whole document in the place of none, or of another program's, which stays under `original`. Ours stay."""
    whole: Document = {name: literal(value) for name, value in document.items()} | {"seq": _next_seq()}
    placed = {"$mergeObjects": [{"$cond": [_is_new(), {}, {"original": "$$ROOT"}]}, whole]}
    return [{"$replaceWith": {"$cond": [_is_ours(), "$$ROOT", placed]}}]


def _is_ours_or_new() -> Document:
    """Return whether this program has written the document, or it is being made now.

    The song of any other document is made like a new one; what the document held stays under `original`.
    """
    return {"$or": [_is_new(), _is_ours()]}


def _is_ours() -> Document:
    types = {
        **{name: ["object"] for name in ("metadata", "file")},
        **{name: ["date"] for name in ("created_at", "updated_at", "processing_date")},
        **{name: ["int", "long"] for name in ("fence", "seq")},
        "encoding": ["null", "object"],
        "waiters": ["array"],
    }
    ours = [{"$in": [{"$type": f"${name}"}, found]} for name, found in types.items()]
    known = {"$in": ["$status", [status.value for status in MediaStatus]]}
    return {"$and": [known, *ours]}


def _is_new() -> Document:
    return {"$eq": [{"$size": {"$objectToArray": "$$ROOT"}}, 1]}


def _next_seq() -> Document:
    return {"$add": [{"$multiply": [{"$toLong": "$$NOW"}, Int64(SEQ_TAIL)]}, Int64(seq_tail())]}


def _turn(me: Document) -> Document:
    held = {"$and": [{"$gt": ["$lease_until", "$$NOW"]}, {"$ne": ["$holder", me]}]}
    cases: list[tuple[Any, str]] = [
        ({"$in": [me, "$settled.request_id"]}, "none"),
        ({"$eq": [{"$type": "$status"}, "missing"]}, "own"),
        ({"$and": [held, {"$or": [{"$ne": ["$status", "processing"]}, {"$eq": ["$holder", EVICTOR]}]}]}, "none"),
        (held, "join"),
        ({"$ne": ["$status", "success"]}, "own"),
        ({"$eq": ["$waiters", []]}, "none"),
    ]
    return {"$switch": {"branches": [{"case": case, "then": then} for case, then in cases], "default": "settle"}}


def _taken_over(metadata: PlatformMetadata) -> Document:
    text = search_text(metadata.title)
    return {
        **{name: literal(value) for name, value in WITHOUT_FILE.items()},
        "metadata": literal(metadata.model_dump()),
        "search_text": literal(text),
        "error_code": None,
        "processing_date": "$$NOW",
        "updated_at": "$$NOW",
        "created_at": {"$ifNull": ["$created_at", "$$NOW"]},
        "attempts": {"$add": [{"$ifNull": ["$attempts", 0]}, 1]},
        "failures": {"$ifNull": ["$failures", 0]},
        "play_count": {"$ifNull": ["$play_count", 0]},
        "last_played_at": {"$ifNull": ["$last_played_at", None]},
        "seq": {"$ifNull": ["$seq", _next_seq()]},
    }


def _touched(me: Document) -> Document:
    """Return the time of last use: now, when this claim will be Finished and the last use is older than TOUCH_EVERY."""
    lately = {"$subtract": ["$$NOW", milliseconds(TOUCH_EVERY)]}
    finished = {
        "$and": [
            {"$eq": ["$turn", "none"]},
            {"$eq": ["$status", "success"]},
            {"$not": {"$in": [me, "$waiters.request_id"]}},
            {"$lt": ["$used_at", lately]},
        ]
    }
    return {"$cond": [finished, "$$NOW", "$used_at"]}


def _when(condition: Document, values: Document) -> Document:
    """Set `values` if the condition holds; otherwise leave each as it is, missing ones included."""
    return {name: {"$cond": [condition, value, f"${name}"]} for name, value in values.items()}


def settled_lately() -> Document:
    """Return the entries of `settled` that have not expired; the next write drops the others."""
    known: Document = {"$ifNull": ["$settled", []]}
    return {"$filter": {"input": known, "cond": {"$gt": ["$$this.until", "$$NOW"]}}}
