"""Open requests in MongoDB, one document each. `findAndModify` gives a request to exactly one caller."""

from __future__ import annotations

from collections.abc import Sequence

from pymongo import ReplaceOne

from bot_service.store.base import PendingRequest
from bot_service.store.documents import REQUEST, readable
from bot_service.store.mongodb.base import BotCollections, MongoBase
from common.databases.mongodb import Document, Session


class MongoRequests(MongoBase):
    """Open requests; the port's docstrings hold."""

    async def add_requests(self, requests: Sequence[PendingRequest]) -> None:
        """Insert or replace requests; several in one transaction, so that a playlist is stored whole or not at all."""
        writes = [
            ReplaceOne(
                {"_id": asked.request_id}, {"asked_at": asked.asked_at, "request": REQUEST.document(asked)}, upsert=True
            )
            for asked in requests
        ]

        async def step(db: BotCollections) -> None:
            async def write(session: Session | None) -> None:
                await db.requests.bulk_write(writes, session=session)  # pyright: ignore[reportUnknownMemberType] - its stub has a bare Mapping

            if len(writes) > 1:
                await db.database.in_transaction(write)
            elif writes:
                await write(None)

        await self._run(step)

    async def request(self, request_id: str) -> PendingRequest | None:
        """Return an open request."""
        return _decoded(await self._run(lambda db: db.requests.find_one({"_id": request_id})))

    async def finish_request(self, request_id: str) -> PendingRequest | None:
        """Delete a request and return it; an unreadable one is deleted too, as it cannot be answered."""
        return _decoded(await self._run(lambda db: db.requests.find_one_and_delete({"_id": request_id})))

    async def open_requests(self) -> list[PendingRequest]:
        """Return the open requests, oldest first."""
        order = [("asked_at", 1), ("_id", 1)]
        documents: list[Document] = await self._run(lambda db: db.requests.find().sort(order).to_list(None))
        return readable(_decoded(document) for document in documents)


def _decoded(document: Document | None) -> PendingRequest | None:
    return REQUEST.read(document.get("request"), document["_id"]) if document else None
