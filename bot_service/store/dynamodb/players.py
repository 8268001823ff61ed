"""Guilds in DynamoDB: saved players, their positions, settings.

A position is a small item beside its player: a write is paid by the item's size, and a player may have a long queue.
Both have the revision of the call that wrote them, and a position counts only above its player's revision. So the order
of calls is kept, however the writes arrive.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from bot_service.store.base import GuildSettings, SavedPlayer
from bot_service.store.documents import PLAYER, SETTINGS, readable
from bot_service.store.dynamodb.base import PLAYER_SHARDS, DynamoBase, read_all
from bot_service.store.dynamodb.packing import packed, paged, unpacked
from common.databases.dynamodb import (
    ConditionFailed,
    Delete,
    DynamoConnection,
    Item,
    Put,
    Table,
    key,
    key_of,
)

_READS = 5
"""Of a player whose pages are replaced while they are read."""
_ABANDONED_US = 3600 * 1_000_000
"""Age after which a page or a position that belongs to no player is removed. A crash leaves such items."""
_NOT_OVERTAKEN = "attribute_not_exists(#PK) OR #writer <> :writer OR #revision <= :revision"


class DynamoPlayers(DynamoBase):
    """Saved players and settings; the port's docstrings hold."""

    def __init__(self, connection: DynamoConnection) -> None:
        super().__init__(connection)
        self._positions = asyncio.Lock()

    async def save_player(self, saved: SavedPlayer) -> None:
        """Replace a guild's saved player: the pages first, if it needs some, and then the item that names them."""
        revision = self._next_revision()
        document = await asyncio.to_thread(lambda: packed(PLAYER.text(saved)))
        pages = paged(document)
        head: Item = {
            **_player_key(saved.guild_id),
            "guild_id": saved.guild_id,
            "writer": self._writer,
            "revision": revision,
            **({"page_set": f"{revision}-{self._writer}", "pages": len(pages)} if pages else {"document": document}),
        }

        async def step(table: Table) -> None:
            keys = _page_keys(head)
            await table.put_many(
                {**page, "guild_id": saved.guild_id, "revision": revision, "page": content}
                for page, content in zip(keys, pages, strict=True)
            )
            try:
                former = await table.write(Put(head, _NOT_OVERTAKEN, head))
            except ConditionFailed:
                await table.delete_many(keys)  # a later call of this store has written it
            else:
                if former.get("page_set") != head.get("page_set"):
                    await table.delete_many(_page_keys(former))

        await self._run(step)

    async def load_players(self) -> list[SavedPlayer]:
        """Return every player that can be read, and remove what a crash has left."""

        async def step(table: Table) -> list[SavedPlayer | None]:
            shards = await asyncio.gather(
                *(read_all(table, "#PK = :pk", {"pk": f"PLAYERS#{shard}"}) for shard in range(PLAYER_SHARDS))
            )
            guilds = _by_guild(item for shard in shards for item in shard)
            return [await self._assembled(table, items) for items in guilds.values()]

        players = readable(await self._run(step))
        return sorted(players, key=lambda player: player.guild_id)

    async def forget_player(self, guild_id: int) -> None:
        """Delete a guild's saved player, and then what belongs to it."""

        async def step(table: Table) -> None:
            former = await table.write(Delete(_player_key(guild_id)))
            await table.delete_many([_position_key(guild_id), *_page_keys(former)])

        await self._run(step)

    async def save_positions(self, positions: Mapping[int, int]) -> None:
        """Write the positions, 25 in each request; one call after the other."""
        if not positions:
            return
        revision, now = self._next_revision(), datetime.now(UTC).isoformat()
        items = [
            {
                **_position_key(guild_id),
                "guild_id": guild_id,
                "next_frame": frame,
                "saved_at": now,
                "revision": revision,
            }
            for guild_id, frame in positions.items()
        ]
        async with self._positions:
            await self._run(lambda table: table.put_many(items))

    async def settings(self, guild_id: int) -> GuildSettings:
        """Return the guild's settings or the defaults."""
        item = await self._run(lambda table: table.get(_settings_key(guild_id)))
        found = SETTINGS.read_text(unpacked(item.get("document")), guild_id) if item else None
        return found or GuildSettings()

    async def save_settings(self, guild_id: int, settings: GuildSettings) -> None:
        """Replace a guild's settings."""
        item = {**_settings_key(guild_id), "document": packed(SETTINGS.text(settings))}
        await self._run(lambda table: table.write(Put(item)))

    async def _assembled(self, table: Table, items: list[Item]) -> SavedPlayer | None:
        """Return a guild's player from its items; None without one, and for one that cannot be read."""
        guild_id: int = items[0]["guild_id"]
        head, position = _player_key(guild_id)["SK"], _position_key(guild_id)["SK"]
        found: dict[str, Item] = {item["SK"]: item for item in items}
        for _ in range(_READS - 1):
            if all(page["SK"] in found for page in _page_keys(found.get(head))):
                break
            found = {item["SK"]: item for item in await _items_of(table, guild_id)}
        player = found.get(head)
        await table.delete_many(_abandoned(player, found.values()))
        if player is None:
            return None
        # Revisions keep growing even if the clock was set back since these were written.
        self._last_revision = max(self._last_revision, *(_revision(item) for item in found.values()))
        pages = [found.get(page["SK"], {}).get("page", b"") for page in _page_keys(player)]
        document = b"".join(pages) if pages else player.get("document")
        newer = found.get(position)
        replaced: dict[str, Any] = {}
        if newer is not None and _revision(newer) > _revision(player):
            replaced = {name: newer[name] for name in ("next_frame", "saved_at") if name in newer}
        return await asyncio.to_thread(lambda: PLAYER.read_text(unpacked(document), guild_id, replaced))


def _revision(item: Item) -> int:
    return int(item.get("revision", 0))


def _abandoned(player: Item | None, items: Iterable[Item]) -> list[Item]:
    """Return the keys of pages that the player does not name, and of what is left where there is no player."""
    kept = {page["SK"] for page in _page_keys(player)}
    before = time.time_ns() // 1000 - _ABANDONED_US
    extra = (item for item in items if item["SK"] not in kept and ("page" in item or player is None))
    return [key_of(item) for item in extra if _revision(item) < before]


def _by_guild(items: Iterable[Item]) -> dict[int, list[Item]]:
    guilds: dict[int, list[Item]] = {}
    for item in items:
        guilds.setdefault(item["guild_id"], []).append(item)
    return guilds


async def _items_of(table: Table, guild_id: int) -> list[Item]:
    values = {"pk": _shard(guild_id), "sk": _player_key(guild_id)["SK"]}
    items = await read_all(table, "#PK = :pk AND begins_with(#SK, :sk)", values)
    return [item for item in items if item["guild_id"] == guild_id]  # 12 also begins 123


def _shard(guild_id: int) -> str:
    # The low bits of a snowflake are a counter that is zero nearly always; those of its time (>> 22) are not.
    return f"PLAYERS#{(guild_id >> 22) % PLAYER_SHARDS}"


def _player_key(guild_id: int) -> Item:
    return key(_shard(guild_id), f"GUILD#{guild_id}")


def _position_key(guild_id: int) -> Item:
    return key(_shard(guild_id), f"GUILD#{guild_id}#POSITION")


def _page_keys(player: Item | None) -> list[Item]:
    """Return the keys of a player's pages, in order."""
    if not player or "page_set" not in player:
        return []
    return [key(player["PK"], f"{player['SK']}#PAGE#{player['page_set']}#{page:03}") for page in range(player["pages"])]


def _settings_key(guild_id: int) -> Item:
    return key(f"GUILD#{guild_id}", "SETTINGS")
