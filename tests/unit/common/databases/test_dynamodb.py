from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncGenerator

import pytest

from common.databases.dynamodb import (
    Check,
    ConditionFailed,
    Conflict,
    Delete,
    DynamoConnection,
    MisconfiguredDatabase,
    Put,
    Schema,
    Table,
    Update,
    connected,
    from_wire,
    key,
    to_wire,
)
from common.errors import DatabaseUnavailable
from common.settings import SharedSettings
from tests.servers.emulators import REGION, Emulator

ONE, TWO = key("song", "one"), key("song", "two")


def schema() -> Schema:
    return Schema(f"test-{secrets.token_hex(6)}", "DYNAMODB_TABLE_SONGS", ("GSI1",))


def settings_of(ministack: Emulator) -> SharedSettings:
    return SharedSettings(aws_region=REGION, aws_endpoint_url=ministack.url)


@pytest.fixture
async def connection(ministack: Emulator) -> AsyncGenerator[DynamoConnection]:
    async with connected(settings_of(ministack), schema()) as opened:
        yield opened


@pytest.fixture
async def table(connection: DynamoConnection) -> Table:
    await connection.prepare()
    return connection.table


def test_values_keep_their_types() -> None:
    item = {"text": "ñ", "empty": "", "whole": 2**62, "part": 0.5, "yes": True, "no": False, "nothing": None}
    nested = {"bytes": b"\0", "list": [1, "a", [None]], "map": {"a": {"b": 1}}, "set": {"x", "y"}}
    assert from_wire(to_wire(item | nested)) == item | nested


async def test_what_was_written_is_read_back(table: Table) -> None:
    await table.write(Put({**ONE, "status": "new", "size": 7}))
    assert await table.get(ONE) == {**ONE, "status": "new", "size": 7}
    changed = await table.write(Update(ONE, "SET #status = :done ADD #size :one", values={"done": "done", "one": 1}))
    assert changed == {**ONE, "status": "done", "size": 8}
    assert await table.get_many([TWO, ONE, TWO]) == [None, changed, None]
    assert await table.write(Delete(ONE)) == changed
    assert await table.get(ONE) is None


async def test_a_condition_that_fails_shows_what_is_there(connection: DynamoConnection) -> None:
    async def step(table: Table) -> None:
        await table.write(Put({**ONE, "owner": "me"}))
        await table.write(Put({**ONE, "owner": "you"}, "attribute_not_exists(PK) OR #owner = :you", {"you": "you"}))

    with pytest.raises(DatabaseUnavailable, match=r"^DYNAMODB_TABLE_SONGS: .*conditions failed: \[0\]"):
        await connection.run(step, seconds=3)  # a server that stands still for so long fails otherwise

    async def caught(table: Table) -> object:
        try:
            await step(table)
        except ConditionFailed as exc:
            return exc.item
        return None

    assert await connection.run(caught) == {**ONE, "owner": "me"}


async def test_a_transaction_writes_all_or_nothing(connection: DynamoConnection) -> None:
    async def step(table: Table) -> object:
        await table.write(Put({**ONE, "rev": 1}))
        try:
            await table.transact([Put({**TWO}), Update(ONE, "ADD #rev :one", "#rev = :two", {"one": 1, "two": 2})])
        except ConditionFailed as exc:
            return exc.items
        return None

    assert await connection.run(step) == {1: {**ONE, "rev": 1}}
    assert await connection.table.get(TWO) is None


async def test_a_transaction_is_done_once_for_a_token(table: Table) -> None:
    for _ in range(2):
        await table.transact([Update(ONE, "ADD #plays :one", values={"one": 1})], token="t" * 32)
    assert await table.get(ONE) == {**ONE, "plays": 1}


async def test_a_check_guards_a_transaction(connection: DynamoConnection) -> None:
    async def step(table: Table) -> None:
        await table.transact([Put({**TWO}), Check(ONE, "attribute_exists(PK)")])

    with pytest.raises(DatabaseUnavailable):
        await connection.run(step, seconds=0.5)
    assert await connection.table.get(TWO) is None


async def test_queries_go_through_a_partition_by_pages(table: Table) -> None:
    await table.put_many({**key("p", f"{number:03}"), "GSI1PK": "g", "GSI1SK": f"{number:03}"} for number in range(60))
    first = await table.query("#PK = :p AND #SK < :end", {"p": "p", "end": "050"}, newest_first=True, limit=2)
    assert [item["SK"] for item in first.items] == ["049", "048"]
    second = await table.query(
        "#PK = :p AND #SK < :end", {"p": "p", "end": "050"}, newest_first=True, limit=2, after=first.following
    )
    assert [item["SK"] for item in second.items] == ["047", "046"]
    by_index = await table.query("#GSI1PK = :g", {"g": "g", "last": "057"}, index="GSI1", filtered="#SK > :last")
    assert [item["SK"] for item in by_index.items] == ["058", "059"]
    await table.delete_many(key("p", f"{number:03}") for number in range(60))
    assert (await table.query("#PK = :p", {"p": "p"})).items == []


async def test_a_step_that_loses_is_run_again(connection: DynamoConnection) -> None:
    """Twenty writers that read, add one and write: none is lost."""

    async def add(table: Table) -> None:
        found = await table.get(ONE)
        seen = found["n"] if found else 0
        await table.write(Put({**ONE, "n": seen + 1}, "attribute_not_exists(PK) OR #n = :seen", {"seen": seen}))

    await asyncio.gather(*(connection.run(add, seconds=60) for _ in range(20)))
    found = await connection.table.get(ONE)
    assert found is not None
    assert found["n"] == 20


async def test_a_step_may_raise_conflict_itself(connection: DynamoConnection) -> None:
    tries: list[int] = []

    async def step(_table: Table) -> int:
        tries.append(1)
        if len(tries) < 3:
            raise Conflict("not yet")
        return len(tries)

    assert await connection.run(step) == 3


async def test_a_table_with_other_keys_is_refused(ministack: Emulator) -> None:
    plain = Schema(schema().name, "DYNAMODB_TABLE_SONGS")
    async with connected(settings_of(ministack), plain):
        pass
    with pytest.raises(
        MisconfiguredDatabase, match=r"DYNAMODB_TABLE_SONGS: .*the index GSI1 must be GSI1PK and GSI1SK"
    ):
        async with connected(settings_of(ministack), Schema(plain.name, plain.setting, ("GSI1",))):
            pass


async def test_two_openers_make_one_table(ministack: Emulator) -> None:
    wanted = schema()

    async def opened() -> None:
        async with connected(settings_of(ministack), wanted) as connection:
            await connection.run(lambda table: table.write(Put({**ONE})))

    await asyncio.gather(*(opened() for _ in range(4)))


async def test_a_frozen_server_is_unavailable_within_the_limit(
    connection: DynamoConnection, ministack: Emulator
) -> None:
    async def read(table: Table) -> object:
        return await table.get(ONE)

    with ministack.frozen(), pytest.raises(DatabaseUnavailable, match=r"DYNAMODB_TABLE_SONGS: .*no answer"):
        await connection.run(read, seconds=0.3)
    assert await connection.run(read) is None
