"""Favourites and history in DynamoDB, an item each, bounded by the transaction that writes them."""

from __future__ import annotations

import asyncio
import hashlib
from datetime import datetime
from weakref import WeakValueDictionary

from bot_service.store.base import MAX_FAVOURITES, MAX_HISTORY, FavouritesFull, Played, Track
from bot_service.store.documents import PLAYED, TRACK, readable
from bot_service.store.dynamodb.base import DynamoBase, read_all
from bot_service.store.dynamodb.packing import packed, unpacked
from common.databases.dynamodb import ConditionFailed, Delete, DynamoConnection, Item, Put, Table, Update, key

_MAX_ID_BYTES = 900
"""Of a sort key's 1024."""


class DynamoTracks(DynamoBase):
    """Users' favourites and guilds' history; the port's docstrings hold."""

    def __init__(self, connection: DynamoConnection) -> None:
        super().__init__(connection)
        self._users: WeakValueDictionary[int, asyncio.Lock] = WeakValueDictionary()

    async def add_favourite(self, user_id: int, track: Track) -> bool:
        """Insert a favourite and count it, in one transaction; False if it is one already. Raises FavouritesFull."""
        favourite = {**_favourite_key(user_id, track.video_id), "document": packed(TRACK.text(track))}

        async def step(table: Table) -> bool:
            favourite["position"] = self._next_revision()
            insert = Put(favourite, "attribute_not_exists(#PK)")
            count = Update(
                _count_key(user_id),
                "ADD #number :one",
                "attribute_not_exists(#number) OR #number < :most",
                {"one": 1, "most": MAX_FAVOURITES},
            )
            try:
                await table.transact([insert, count])
            except ConditionFailed as exc:
                if 0 in exc.items:
                    return False
                raise FavouritesFull from None
            return True

        # Transactions on one counter conflict: those of this process take turns.
        async with self._users.setdefault(user_id, asyncio.Lock()):
            return await self._run(step)

    async def favourites(self, user_id: int) -> list[Track]:
        """Return a user's favourites, newest first."""
        values = {"pk": f"USER#{user_id}", "sk": "FAVOURITE#"}
        items = await self._run(lambda table: read_all(table, "#PK = :pk AND begins_with(#SK, :sk)", values))
        items.sort(key=lambda item: item["position"], reverse=True)
        return readable(TRACK.read_text(unpacked(item.get("document")), user_id) for item in items)

    async def remove_favourite(self, user_id: int, video_id: str) -> bool:
        """Remove a favourite and count it; False if it was not one."""

        async def step(table: Table) -> bool:
            remove = Delete(_favourite_key(user_id, video_id), "attribute_exists(#PK)")
            count = Update(_count_key(user_id), "ADD #number :one", values={"one": -1})
            try:
                await table.transact([remove, count])
            except ConditionFailed:
                return False
            return True

        async with self._users.setdefault(user_id, asyncio.Lock()):
            return await self._run(step)

    async def add_history(self, guild_id: int, track: Track, user_id: int, when: datetime) -> None:
        """Number the line, and insert it together with the removal of the one that is MAX_HISTORY before it."""
        document = packed(PLAYED.text(Played(track, user_id, when)))
        number = await self._run(
            lambda table: table.write(Update(key(f"GUILD#{guild_id}", "HISTORY"), "ADD #last :one", values={"one": 1}))
        )
        line = {**_line_key(guild_id, number["last"]), "document": document}
        writes = [Put(line), Delete(_line_key(guild_id, number["last"] - MAX_HISTORY))]
        await self._run(lambda table: table.transact(writes))

    async def history(self, guild_id: int, limit: int = 20) -> list[Played]:
        """Return lines, newest first."""
        left = min(limit, MAX_HISTORY)
        items: list[Item] = []

        async def step(table: Table) -> None:
            condition, values = "#PK = :pk AND begins_with(#SK, :sk)", {"pk": f"GUILD#{guild_id}", "sk": "HISTORY#"}
            items.clear()
            following: Item | None = None
            while len(items) < left:
                more = left - len(items)
                found = await table.query(condition, values, newest_first=True, limit=more, after=following)
                items.extend(found.items)
                following = found.following
                if following is None:
                    break

        await self._run(step)
        return readable(PLAYED.read_text(unpacked(item.get("document")), guild_id) for item in items)


def _favourite_key(user_id: int, video_id: str) -> Item:
    plain = video_id.encode("utf-8", "replace")
    name = video_id if len(plain) <= _MAX_ID_BYTES else f"#{hashlib.sha256(plain).hexdigest()}"
    return key(f"USER#{user_id}", f"FAVOURITE#{name}")


def _count_key(user_id: int) -> Item:
    return key(f"USER#{user_id}", "FAVOURITES")


def _line_key(guild_id: int, number: int) -> Item:
    return key(f"GUILD#{guild_id}", f"HISTORY#{number:015}")
