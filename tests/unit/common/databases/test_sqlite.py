"""The rules that every SQLite file of this project follows, whether the broker's or a database's."""

from __future__ import annotations

import errno
import os
import sqlite3
from collections.abc import Generator
from contextlib import closing
from pathlib import Path

import pytest

from common.databases import sqlite
from common.databases.sqlite import (
    Transaction,
    check_health,
    connected,
    migrate,
    opened,
    transaction,
    translated_errors,
)
from common.errors import AppError, BrokerUnavailable, DatabaseUnavailable

KEY = "SOME_PATH"
V1 = ("CREATE TABLE songs (id)",)
V2 = ("INSERT INTO songs VALUES (2)",)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "some.db"


@pytest.fixture
def db(path: Path) -> Generator[sqlite3.Connection]:
    with closing(sqlite.connect(path, 0.05)) as connection:
        yield connection


def version(db: sqlite3.Connection) -> int:
    (found,) = db.execute("PRAGMA user_version").fetchone()
    assert isinstance(found, int)
    return found


def count(db: sqlite3.Connection) -> int:
    (found,) = db.execute("SELECT count(*) FROM songs").fetchone()
    assert isinstance(found, int)
    return found


def insert_and_fail(db: sqlite3.Connection) -> None:
    with transaction(db):
        db.execute("INSERT INTO songs VALUES (1)")
        db.execute("DELETE FROM no_such_table")


def test_only_migrations_that_were_not_run_yet_are_run(db: sqlite3.Connection) -> None:
    tx = Transaction(db, 0)
    migrate(tx, [V1], key=KEY)
    assert (version(db), count(db)) == (1, 0)
    for _ in range(2):
        migrate(tx, [V1, V2], key=KEY)
        assert (version(db), count(db)) == (2, 1)


@pytest.mark.parametrize("unavailable", [DatabaseUnavailable, BrokerUnavailable])
def test_a_file_of_a_newer_version_or_another_program_is_refused(
    db: sqlite3.Connection, unavailable: type[AppError]
) -> None:
    db.execute("CREATE TABLE foreign_table (id)")
    with pytest.raises(unavailable, match=f"{KEY}.*another program"):
        migrate(Transaction(db, 0), [V1], key=KEY, unavailable=unavailable)
    db.execute("PRAGMA user_version = 99")
    with pytest.raises(unavailable, match=f"{KEY}.*99 is newer"):
        migrate(Transaction(db, 0), [V1], key=KEY, unavailable=unavailable)
    assert version(db) == 99
    assert db.execute("SELECT name FROM sqlite_master").fetchall() == [("foreign_table",)]


def test_a_transaction_that_raises_is_rolled_back(db: sqlite3.Connection) -> None:
    migrate(Transaction(db, 0), [V1], key=KEY)
    with pytest.raises(sqlite3.OperationalError, match="no such table"):
        insert_and_fail(db)
    assert not db.in_transaction
    with transaction(db):
        db.execute("INSERT INTO songs VALUES (1)")
    assert count(db) == 1


def test_a_locked_file_is_said_to_be_locked(db: sqlite3.Connection, path: Path) -> None:
    with closing(sqlite.connect(path, 0)) as other, transaction(other):
        with pytest.raises(BrokerUnavailable) as broker, translated_errors(KEY, BrokerUnavailable), transaction(db):
            pass
        with pytest.raises(DatabaseUnavailable) as database, translated_errors(KEY), transaction(db):
            pass
    assert broker.value.detail == database.value.detail
    assert broker.value.detail.startswith(f"{KEY}: the file stayed locked")
    assert "SQLITE_BUSY" in broker.value.detail


def test_the_journal_mode_waits_for_a_lock_but_not_for_ever(db: sqlite3.Connection, path: Path) -> None:
    with closing(sqlite.connect(path, 0)) as other:
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(sqlite3.OperationalError, match="locked"):
            sqlite.set_wal(db, 0.05)
    sqlite.set_wal(db, 0.05)
    assert db.execute("PRAGMA journal_mode").fetchone() == ("wal",)


def test_a_failure_that_is_no_lock_is_raised_at_once(path: Path) -> None:
    with closing(sqlite.connect(path, 0)) as made:
        migrate(Transaction(made, 0), [V1], key=KEY)
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as db:
        tries: list[str] = []
        db.set_trace_callback(tries.append)
        with pytest.raises(sqlite3.OperationalError, match="readonly"):
            sqlite.set_wal(db, 3600)
        assert len(tries) == 1


def test_a_reader_that_does_not_wait_sees_commits_and_cannot_write(db: sqlite3.Connection, path: Path) -> None:
    sqlite.configure_writer(db)
    migrate(Transaction(db, 0), [V1], key=KEY)
    with closing(sqlite.connect_without_waiting(path)) as reader:
        before = sqlite.data_version(reader)
        assert sqlite.data_version(reader) == before
        with transaction(db):
            db.execute("INSERT INTO songs VALUES (1)")
        assert sqlite.data_version(reader) != before
        with pytest.raises(sqlite3.OperationalError, match="readonly"):
            reader.execute("DELETE FROM songs")


async def test_health_fails_while_the_file_cannot_be_written_or_is_gone(path: Path) -> None:
    def records(tx: Transaction) -> dict[str, int]:
        return {"songs": count(tx.db)}

    async with opened(path, 0.05, [V1, V2], key=KEY) as file:
        health = await check_health(file, records, key=KEY)
        assert health.ok
        assert health.metadata["sqlite"]["records"] == {"songs": 1}
        with closing(sqlite.connect(path, 0)) as other, transaction(other):
            assert "locked" in (await check_health(file, records, key=KEY)).error
        path.unlink()
        assert (await check_health(file, records, key=KEY)).error == f"{KEY}: the file is gone"
        path.touch()
        assert (await check_health(file, records, key=KEY)).error == f"{KEY}: the file was replaced"


async def test_health_says_that_the_disk_is_full_or_read_only(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Taking the write lock succeeds on such a disk: nothing is written until a song is."""
    async with opened(path, 0.05, [V1], key=KEY) as file:
        for number, full in ((errno.ENOSPC, True), (errno.EROFS, False)):

            def fail(number: int = number, **_: object) -> None:
                raise OSError(number, os.strerror(number))

            monkeypatch.setattr("common.health.tempfile.TemporaryFile", fail)
            health = await check_health(file, lambda _: {}, key=KEY)
            assert (health.ok, health.disk_full) == (False, full)
            assert health.error == f"{KEY}: {os.strerror(number)}"
        monkeypatch.undo()
        monkeypatch.setattr("common.health.MIN_FREE_BYTES", 1 << 62)
        assert (await check_health(file, lambda _: {}, key=KEY)).disk_full


async def test_a_directory_that_cannot_be_made_names_the_setting(path: Path) -> None:
    path.write_text("a file")
    with pytest.raises(DatabaseUnavailable, match=f"{KEY}: .*cannot be made"):
        async with opened(path / "below" / "some.db", 0.05, [V1], key=KEY):
            pass
    with pytest.raises(DatabaseUnavailable, match=KEY):
        async with connected(path / "some.db", 0.05, key=KEY):
            pass
