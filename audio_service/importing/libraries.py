"""Where the original system keeps its records: a collection of MongoDB, or a table of DynamoDB. Read as a whole."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from audio_service.settings import AudioSettings
from common.errors import InvalidInput

_MONGODB = re.compile(
    r"(?P<server>mongodb(?:\+srv)?://[^/?]+)/(?P<database>[^/?]+)/(?P<collection>[^/?]+)(?P<query>\?.*)?"
)
_DYNAMODB = re.compile(r"dynamodb:(?P<table>[A-Za-z0-9_.-]{3,255})")


class OriginalLibrary(Protocol):
    """Its records as mappings."""

    async def count(self) -> int:
        """Return about how many records there are."""
        ...

    def records(self) -> AsyncIterator[Mapping[str, Any]]:
        """Yield them. Raises DatabaseUnavailable."""
        ...


def library_at(address: str, settings: AudioSettings) -> OriginalLibrary:
    """Return the library at `mongodb://[USER:PASSWORD@]HOST/DATABASE/COLLECTION` or `dynamodb:TABLE`.

    Raises:
        InvalidInput: the address is neither.
    """
    if found := _MONGODB.fullmatch(address):
        # Users stand in "admin" unless the address says otherwise, as the original's do.
        server = f"{found['server']}/{found['query'] or ''}"
        return _MongoLibrary(server, found["database"], found["collection"])
    if found := _DYNAMODB.fullmatch(address):
        return _DynamoLibrary(found["table"], settings)
    raise InvalidInput("--from: mongodb://HOST/DATABASE/COLLECTION or dynamodb:TABLE is expected")


@dataclass(frozen=True, slots=True)
class _MongoLibrary:
    server: str
    database: str
    collection: str

    async def count(self) -> int:
        from common.databases.mongodb import open_collection  # noqa: PLC0415 - its driver costs memory

        async with open_collection(self.server, self.database, self.collection) as found:
            return await found.estimated_document_count()

    async def records(self) -> AsyncIterator[Mapping[str, Any]]:
        from common.databases.mongodb import open_collection  # noqa: PLC0415 - as above

        async with open_collection(self.server, self.database, self.collection) as found:
            async for document in found.find({}, sort=[("_id", 1)]):
                yield document


@dataclass(frozen=True, slots=True)
class _DynamoLibrary:
    table: str
    settings: AudioSettings

    async def count(self) -> int:
        from common.databases.dynamodb.scan import count_items  # noqa: PLC0415 - the SDK costs memory

        return await count_items(self.settings, self.table)

    async def records(self) -> AsyncIterator[Mapping[str, Any]]:
        from common.databases.dynamodb.scan import scan_items  # noqa: PLC0415 - as above

        async for item in scan_items(self.settings, self.table):
            if item.get("SK", "METADATA") == "METADATA" and str(item.get("PK", "")).startswith("VIDEO#"):
                yield item
