"""What an owner has, in one document: the uploads that are open, and how many were begun in each quarter of an hour.

One command counts and takes, on the server. Its document is as large as the quota of open uploads, and the server
removes it when nothing in it counts any more.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from pymongo import ReturnDocument
from pymongo.errors import DuplicateKeyError

from audio_service.assets.model import Asset
from audio_service.assets.repository.base import Quota
from audio_service.assets.repository.mongodb.collections import Collections
from audio_service.assets.repository.mongodb.documents import after, literal
from audio_service.media.repository.decision import milliseconds
from common.databases.mongodb import Document
from common.errors import QuotaExceeded

_DAY = timedelta(hours=24)
_PART = timedelta(minutes=15)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_UPSERT_TRIES = 5


async def take(db: Collections, asset: Asset, quota: Quota) -> None:
    """Count an upload to its owner. Raises QuotaExceeded."""
    update = _update(asset, quota)
    for _ in range(_UPSERT_TRIES - 1):
        try:
            owner = await _take(db, asset.owner_id, update)
            break
        except DuplicateKeyError:
            # A concurrent upsert created it; the next try finds it.
            continue
    else:
        owner = await _take(db, asset.owner_id, update)
    if not any(one["asset_id"] == asset.asset_id for one in owner["open"]):
        today = sum(part["count"] for part in owner["parts"])
        raise QuotaExceeded(f"{len(owner['open'])} open uploads, {today} uploads in 24 hours")


async def give_back(db: Collections, owner_id: str, asset_id: str) -> None:
    """Count an upload as open no more."""
    await db.owners.update_one({"_id": owner_id}, {"$pull": {"open": {"asset_id": asset_id}}})


async def _take(db: Collections, owner_id: str, update: list[Document]) -> Document:
    return await db.owners.find_one_and_update(
        {"_id": owner_id}, update, upsert=True, return_document=ReturnDocument.AFTER
    )


def _update(asset: Asset, quota: Quota) -> list[Document]:
    ends_at = _EPOCH + ((asset.created_at - _EPOCH) // _PART + 1) * _PART
    this_part: Document = {"$eq": ["$$this.ends_at", ends_at]}
    one_more: Document = {
        "$cond": [
            {"$in": [ends_at, "$parts.ends_at"]},
            {
                "$map": {
                    "input": "$parts",
                    "in": {
                        "ends_at": "$$this.ends_at",
                        "count": {"$add": ["$$this.count", {"$cond": [this_part, 1, 0]}]},
                    },
                }
            },
            {"$concatArrays": ["$parts", [{"ends_at": ends_at, "count": 1}]]},
        ]
    }
    opened = {"asset_id": literal(asset.asset_id), "until": asset.upload.expires_at}
    expires: Document = {"$max": ["$until", after(_DAY + _PART), asset.upload.expires_at]}
    return [
        {
            "$set": {
                "open": _those_after("$open", "until", timedelta(0)),
                "parts": _those_after("$parts", "ends_at", _DAY),
            }
        },
        {
            "$set": {
                "free": {
                    "$and": [
                        {"$lt": [{"$size": "$open"}, quota.open_uploads]},
                        {"$lt": [{"$sum": "$parts.count"}, quota.per_day]},
                    ]
                }
            }
        },
        {
            "$set": {
                "open": {"$cond": ["$free", {"$concatArrays": ["$open", [opened]]}, "$open"]},
                "parts": {"$cond": ["$free", one_more, "$parts"]},
                "until": {"$cond": ["$free", expires, "$until"]},
            }
        },
        {"$unset": "free"},
    ]


def _those_after(field: str, time: str, ago: timedelta) -> Document:
    since: Document = {"$subtract": ["$$NOW", milliseconds(ago)]}
    return {"$filter": {"input": {"$ifNull": [field, []]}, "cond": {"$gt": [f"$$this.{time}", since]}}}
