"""Changes what a store holds behind its back: as a newer program, or a damaged disk, would have left it."""

from __future__ import annotations

import json
import re
import sqlite3
import zlib
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any, Literal, cast

from bot_service.settings import BotSettings
from common.aws import open_dynamodb
from tests.servers.mongo import Mongo

Kind = Literal["players", "settings", "requests", "favourites", "history"]
Edit = Callable[[Any], Any]
FIELDS: dict[Kind, str] = {
    "players": "player",
    "settings": "settings",
    "requests": "request",
    "favourites": "tracks",
    "history": "played",
}

SORT_KEYS: dict[Kind, re.Pattern[str]] = {
    "players": re.compile(r"GUILD#\d+"),
    "settings": re.compile("SETTINGS"),
    "requests": re.compile("REQUEST#.*"),
    "favourites": re.compile("FAVOURITE#.*"),
    "history": re.compile("HISTORY#.*"),
}


def edit_sqlite(path: Path, kind: Kind, edit: Edit) -> None:
    key = {"players": "guild_id", "settings": "guild_id", "requests": "request_id"}.get(kind, "position")
    with closing(sqlite3.connect(path)) as db, db:
        for row_key, text in db.execute(f"SELECT {key}, document FROM {kind}").fetchall():  # noqa: S608 - names of ours
            db.execute(
                f"UPDATE {kind} SET document = ? WHERE {key} = ?",  # noqa: S608 - as above
                (json.dumps(edit(json.loads(text))), row_key),
            )


async def edit_mongodb(mongo: Mongo, database: str, kind: Kind, edit: Edit) -> None:
    field = FIELDS[kind]
    async with mongo.admin() as admin:
        collection = admin[database][f"bot_{kind}"]
        for document in await collection.find().to_list(None):
            value: Any = document[field]
            changed = [edit(item) for item in cast("list[Any]", value)] if isinstance(value, list) else edit(value)
            await collection.update_one({"_id": document["_id"]}, {"$set": {field: changed}})


async def edit_dynamodb(settings: BotSettings, kind: Kind, edit: Edit) -> None:
    async with raw_items(settings) as (client, items):
        for item in items:
            if not SORT_KEYS[kind].fullmatch(item["SK"]["S"]) or "document" not in item:
                continue
            document = item["document"]
            text = zlib.decompress(document["B"]).decode() if "B" in document else document["S"]
            item["document"] = {"S": json.dumps(edit(json.loads(text)))}
            await client.put_item(TableName=settings.dynamodb_table_bot, Item=item)


@asynccontextmanager
async def raw_items(settings: BotSettings) -> AsyncGenerator[tuple[Any, list[Any]]]:
    """A client, and all items of the bot's table."""
    async with open_dynamodb(settings) as opened:
        client: Any = opened
        asked: dict[str, Any] = {"TableName": settings.dynamodb_table_bot, "ConsistentRead": True}
        answer = await client.scan(**asked)
        items: list[Any] = answer["Items"]
        while "LastEvaluatedKey" in answer:
            answer = await client.scan(**asked, ExclusiveStartKey=answer["LastEvaluatedKey"])
            items += answer["Items"]
        yield client, items


def from_the_future(value: Any) -> Any:  # noqa: ANN401 - any JSON
    """Add fields that nobody here knows, at every level."""
    if isinstance(value, dict):
        known = {key: from_the_future(inner) for key, inner in cast("dict[str, Any]", value).items()}
        return {**known, "from_the_future": {"x": [1, None]}}
    if isinstance(value, list):
        return [from_the_future(inner) for inner in cast("list[Any]", value)]
    return value
