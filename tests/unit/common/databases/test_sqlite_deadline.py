"""A write with a deadline waits for earlier writes and for the lock together, and is not run once it was refused."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from common.databases.sqlite import Transaction, opened
from common.errors import DatabaseUnavailable

SECONDS = 0.4
TABLE = (("CREATE TABLE numbers (number INTEGER)",),)


async def test_writes_that_wait_for_each_other_are_refused_together(tmp_path: Path) -> None:
    path = tmp_path / "some.db"

    def insert(tx: Transaction) -> None:
        tx.db.execute("INSERT INTO numbers VALUES (1)")

    # One after the other they would wait for the busy timeout, longer than a test may take.
    async with opened(path, 1000.0, TABLE, key="KEY") as file:
        file.writer.write_seconds = SECONDS
        with closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            results = await asyncio.gather(*(file.writer.write(insert) for _ in range(4)), return_exceptions=True)
            other.execute("ROLLBACK")
        assert [type(result) for result in results] == [DatabaseUnavailable] * 4
        await file.writer.write(insert)
        assert await file.reader.read(lambda tx: tx.db.execute("SELECT count(*) FROM numbers").fetchone()) == (1,)


@pytest.mark.parametrize("seconds", [None, 1.0])
async def test_without_a_lock_every_write_is_made(tmp_path: Path, seconds: float | None) -> None:
    async with opened(tmp_path / "some.db", 5.0, TABLE, key="KEY") as file:
        file.writer.write_seconds = seconds
        writes = (file.writer.write(lambda tx: tx.db.execute("INSERT INTO numbers VALUES (1)").rowcount) for _ in "abc")
        assert await asyncio.gather(*writes) == [1, 1, 1]
