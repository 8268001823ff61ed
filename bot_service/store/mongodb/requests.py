"""Open requests in MongoDB, one document each. Taking one is `findAndModify`: one of all who try gets it."""

from __future__ import annotations

from collections.abc import Sequence

from pymongo import ReplaceOne

from bot_service.store.base import PendingRequest
from bot_service.store.mongodb.collections import BotCollections
from bot_service.store.records import REQUEST
from common.databases.mongodb import Document, Session


async def add(db: BotCollections, requests: Sequence[PendingRequest]) -> None:
    """Remember requests; several in one transaction, so that no playlist is remembered by half."""
    writes = [
        ReplaceOne(
            {"_id": asked.request_id}, {"asked_at": asked.asked_at, "request": REQUEST.document(asked)}, upsert=True
        )
        for asked in requests
    ]

    async def write(session: Session | None) -> None:
        await db.requests.bulk_write(writes, session=session)  # pyright: ignore[reportUnknownMemberType] - its stub has a bare Mapping

    if len(writes) > 1:
        await db.database.in_transaction(write)
    elif writes:
        await write(None)


async def find(db: BotCollections, request_id: str) -> PendingRequest | None:
    """Return an open request."""
    return _read(await db.requests.find_one({"_id": request_id}))


async def take(db: BotCollections, request_id: str) -> PendingRequest | None:
    """Remove an open request and return it. One that cannot be read is removed, too: nobody could answer it."""
    return _read(await db.requests.find_one_and_delete({"_id": request_id}))


async def load(db: BotCollections) -> list[PendingRequest]:
    """Return the open requests, the oldest first."""
    documents: list[Document] = await db.requests.find().sort([("asked_at", 1), ("_id", 1)]).to_list(None)
    found = (_read(document) for document in documents)
    return [request for request in found if request is not None]


def _read(document: Document | None) -> PendingRequest | None:
    return REQUEST.read(document.get("request"), document["_id"]) if document else None
