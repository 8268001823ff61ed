"""Changes what a store holds behind its back: as a newer program, or a damaged disk, would have left it."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any, Literal, cast

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


def from_the_future(value: Any) -> Any:  # noqa: ANN401 - any JSON
    """Add fields that nobody here knows, at every level."""
    if isinstance(value, dict):
        known = {key: from_the_future(inner) for key, inner in cast("dict[str, Any]", value).items()}
        return {**known, "from_the_future": {"x": [1, None]}}
    if isinstance(value, list):
        return [from_the_future(inner) for inner in cast("list[Any]", value)]
    return value
