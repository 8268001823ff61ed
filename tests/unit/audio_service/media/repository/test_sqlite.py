"""What only the SQLite adapter can get wrong: files, locks, cancelled callers, a full disk, old and strange schemas."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import AsyncGenerator, Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, closing, contextmanager
from datetime import timedelta
from pathlib import Path

import pytest

from audio_service.media.model import Encoding
from audio_service.media.repository.base import TOUCH_EVERY, Finished, Joined, Owned, StoredMedia, Waiter
from audio_service.media.repository.decision import LONGEST_LEASE_MS
from audio_service.media.repository.sqlite import claims as sqlite_claims
from audio_service.media.repository.sqlite import expiring as sqlite_expiring
from audio_service.media.repository.sqlite import records as sqlite_records
from audio_service.media.repository.sqlite import retention as sqlite_retention
from audio_service.media.repository.sqlite.expiring import PURGE_BATCH
from audio_service.media.repository.sqlite.repository import SqliteRepository, open_sqlite
from audio_service.media.repository.sqlite.schema import KEY, MIGRATIONS, migrate
from audio_service.settings import AudioSettings
from common.databases.sqlite import SqliteFile, StepConnection, Transaction, configure_writer, connected, point_reader
from common.errors import DatabaseUnavailable
from common.health import file_identity
from common.messages.downloads import FileData, PlatformMetadata

LONG = timedelta(minutes=5)
NONE = timedelta(0)
ANN, BOB = Waiter("request-ann", "ann"), Waiter("request-bob", "bob")
SONG = PlatformMetadata(title="New Rules")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "library.db"


@contextmanager
def locked(path: Path) -> Generator[None, None, None]:
    """Hold the write lock as another process would."""
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield
        other.execute("ROLLBACK")


@asynccontextmanager
async def over_own_writer(path: Path) -> AsyncGenerator[tuple[SqliteRepository, StepConnection], None]:
    """A repository, and the connection that it writes through."""
    async with open_sqlite(path):
        pass
    async with connected(path, 5, key=KEY) as writer, connected(path, 5, key=KEY) as reader:
        with point_reader(path, key=KEY) as points:
            yield SqliteRepository(SqliteFile(path, file_identity(path), writer, reader), points), writer


def count(path: Path, table: str) -> int:
    with closing(sqlite3.connect(path)) as other:
        (rows,) = other.execute(f"SELECT count(*) FROM {table}").fetchone()  # noqa: S608 - names come from the tests
        assert isinstance(rows, int)
        return rows


async def test_a_look_up_by_id_waits_for_a_file_that_is_locked_to_readers_too(path: Path) -> None:
    async with open_sqlite(path) as repository:
        await repository.claim("one", ANN, SONG, LONG)
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("PRAGMA journal_mode = DELETE")
    async with over_own_writer(path) as (repository, _):
        with closing(sqlite3.connect(path, isolation_level=None, check_same_thread=False)) as other:
            other.execute("PRAGMA journal_mode = DELETE")
            other.execute("BEGIN EXCLUSIVE")
            asyncio.get_running_loop().call_later(0.1, other.rollback)
            assert await repository.get("one") is not None


async def test_look_ups_do_not_wait_for_writers_and_writers_wait_only_so_long(path: Path) -> None:
    async with open_sqlite(path, busy_seconds=0.05) as repository:
        await repository.claim("one", ANN, SONG, LONG)
        with locked(path):
            assert await repository.get("one") is not None
            assert (await repository.list()).items
            with pytest.raises(DatabaseUnavailable, match="locked") as caught:
                await repository.claim("two", ANN, SONG, LONG)
            assert isinstance(caught.value.__cause__, sqlite3.OperationalError)
            health = await repository.health()
            assert not health.ok
            assert "locked" in health.error
        assert isinstance(await repository.claim("two", ANN, SONG, LONG), Owned)
        assert (await repository.health()).ok


async def test_a_writer_waits_for_a_lock_that_is_given_back(path: Path) -> None:
    async with open_sqlite(path) as repository:
        with locked(path):
            waiting = asyncio.ensure_future(repository.claim("one", ANN, SONG, LONG))
            assert not (await repository.list()).items
            assert not waiting.done()
        assert isinstance(await waiting, Owned)


async def test_a_cancelled_caller_leaves_no_transaction_open(path: Path) -> None:
    async with open_sqlite(path) as repository:
        with locked(path):
            callers = [asyncio.ensure_future(repository.claim(f"song-{n}", ANN, SONG, LONG)) for n in range(20)]
            assert not (await repository.list()).items, "they are under way, and readers wait for nobody"
            for caller in callers:
                caller.cancel()
            ended = await asyncio.gather(*callers, return_exceptions=True)
            assert all(isinstance(end, asyncio.CancelledError) for end in ended)
        assert isinstance(await repository.claim("after", BOB, SONG, LONG), Owned)
        async with open_sqlite(path, busy_seconds=0.05) as other:
            assert isinstance(await other.claim("after", ANN, SONG, LONG), Joined)
            # What was queued was done whole: each record has its waiter.
            assert count(path, "media") == 21
            assert count(path, "waiters") == 22


async def test_a_step_that_fails_is_rolled_back_whole(path: Path) -> None:
    def half(tx: Transaction) -> None:
        tx.db.execute("DELETE FROM waiters")
        raise ZeroDivisionError

    async with over_own_writer(path) as (repository, writer):
        await repository.claim("one", ANN, SONG, LONG)
        with pytest.raises(ZeroDivisionError):
            await writer.write(half)
        assert count(path, "waiters") == 1
        assert isinstance(await repository.claim("two", ANN, SONG, LONG), Owned)


async def test_a_full_disk_is_said_and_survived(path: Path) -> None:
    def no_room(db: sqlite3.Connection) -> None:
        db.execute("PRAGMA max_page_count = 1")

    def room(db: sqlite3.Connection) -> None:
        db.execute("PRAGMA max_page_count = 1000000")

    async with over_own_writer(path) as (repository, writer):
        await repository.claim("one", ANN, SONG, LONG)
        await writer.configure(no_room)
        big = PlatformMetadata(title="x" * 100_000)
        with pytest.raises(DatabaseUnavailable, match=r"full.*SQLITE_FULL"):
            await repository.claim("two", ANN, big, LONG)
        assert await repository.get("two") is None
        assert await repository.get("one") is not None
        await writer.configure(room)
        assert isinstance(await repository.claim("two", ANN, big, LONG), Owned)


async def test_what_cannot_be_opened_names_the_setting(tmp_path: Path) -> None:
    directory = tmp_path / "directory"
    directory.mkdir()
    text = tmp_path / "text"
    text.write_text("This is not a database, however long one looks at it. " * 50)
    for path in (directory, text, text / "library.db"):
        with pytest.raises(DatabaseUnavailable, match="SQLITE_PATH"):
            async with open_sqlite(path):
                pass
    assert text.read_text().startswith("This is not")


async def test_a_newer_programs_database_is_refused_and_left_alone(path: Path) -> None:
    async with open_sqlite(path) as repository:
        await repository.claim("one", ANN, SONG, LONG)
    with closing(sqlite3.connect(path)) as other:
        other.execute("PRAGMA user_version = 99")
    with pytest.raises(DatabaseUnavailable, match=r"SQLITE_PATH.*99"):
        async with open_sqlite(path):
            pass
    with closing(sqlite3.connect(path)) as other:
        assert other.execute("PRAGMA user_version").fetchone() == (99,)


async def test_many_may_open_a_new_library_together(path: Path) -> None:
    async def open_and_claim(number: int) -> bool:
        async with open_sqlite(path) as repository:
            return isinstance(await repository.claim("one", Waiter(f"r{number}", "u"), SONG, LONG), Owned)

    owned = await asyncio.gather(*(open_and_claim(number) for number in range(8)))
    assert sum(owned) == 1


def test_changing_the_journal_together_fails_for_nobody(tmp_path: Path) -> None:
    # SQLite answers "locked" at once here, whatever the time-out; about one round in five shows it.
    openers = 6

    def configure(path: Path, barrier: threading.Barrier) -> str:
        with closing(sqlite3.connect(path, timeout=5, isolation_level=None)) as db:
            barrier.wait()
            configure_writer(db)
            (mode,) = db.execute("PRAGMA journal_mode").fetchone()
            assert isinstance(mode, str)
            return mode

    with ThreadPoolExecutor(openers) as pool:
        for number in range(25):
            barrier = threading.Barrier(openers)
            opened = [pool.submit(configure, tmp_path / f"{number}.db", barrier) for _ in range(openers)]
            assert {opening.result() for opening in opened} == {"wal"}


async def test_a_closed_repository_says_so(path: Path) -> None:
    async with open_sqlite(path) as repository:
        pass
    with pytest.raises(DatabaseUnavailable, match="closed"):
        await repository.get("one")
    assert not (await repository.health()).ok


async def test_a_library_whose_file_was_deleted_is_ill(path: Path) -> None:
    async with open_sqlite(path) as repository:
        path.unlink()
        health = await repository.health()
        assert not health.ok
        assert "gone" in health.error


async def test_a_library_of_the_first_version_is_brought_to_this_one(path: Path) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as old:
        for statement in MIGRATIONS[0]:
            assert isinstance(statement, str)
            old.execute(statement)
        old.execute("PRAGMA user_version = 1")
        values = "'one', 'success', '{}', '{}', 7, NULL, '', NULL, 1, 1, 2000, 1, 0, 3, 'new rules', 1, 0, ''"
        columns = ", ".join(row[1] for row in old.execute("PRAGMA table_info(media)") if row[1] != "seq")
        old.execute(f"INSERT INTO media ({columns}) VALUES ({values})")  # noqa: S608 - both from here
    async with open_sqlite(path) as repository:
        media = await repository.get("one")
        assert media is not None
        assert (media.play_count, media.last_played_at) == (3, None)
        assert await repository.stored_bytes() == 7
        eviction = await repository.begin_eviction(idle=LONG, lease=LONG)
        assert eviction is not None
        assert eviction.media_id == "one", "it counts as used when it was changed last"


async def test_titles_of_an_earlier_version_are_found_without_their_accents(path: Path) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as old:
        for statement in (*MIGRATIONS[0], *MIGRATIONS[1]):
            assert isinstance(statement, str)
            old.execute(statement)
        old.execute("PRAGMA user_version = 2")
        values = "'one', 'success', '{}', '{}', 7, NULL, '', NULL, 1, 1, 2000, 1, 0, 3, 'corazón ñandú', 1, 0, '', 1, 1"
        columns = ", ".join(row[1] for row in old.execute("PRAGMA table_info(media)") if row[1] != "seq")
        old.execute(f"INSERT INTO media ({columns}) VALUES ({values})")  # noqa: S608 - both from here
    async with open_sqlite(path) as repository:
        for text in ("corazon", "nandu", "CORAZÓN ñandú", "zon nan"):
            assert [media.video_id for media in (await repository.search(text)).items] == ["one"], text


def test_what_is_answered_from_is_noted_as_used_but_not_each_time() -> None:
    def used_at(db: sqlite3.Connection) -> int:
        (moment,) = db.execute("SELECT used_at FROM media").fetchone()
        assert isinstance(moment, int)
        return moment

    done = StoredMedia(SONG, FileData(), 1, Encoding("passthrough", "x", 1, "00"), "ok")
    every = TOUCH_EVERY // timedelta(milliseconds=1)
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as db:
        migrate(Transaction(db, 0))
        sqlite_claims.claim(Transaction(db, 1_000), "one", ANN, SONG, LONG)
        sqlite_claims.mark_success(Transaction(db, 2_000), "one", 1, done)
        sqlite_claims.settle(Transaction(db, 2_000), "one", 1, [ANN.request_id], keep=LONG)
        for now, expected in ((2_000 + every, 2_000), (2_001 + every, 2_001 + every)):
            assert isinstance(sqlite_claims.claim(Transaction(db, now), "one", BOB, SONG, LONG), Finished)
            assert used_at(db) == expected


async def test_health_counts_the_records_of_each_status(path: Path) -> None:
    async with open_sqlite(path) as repository:
        await repository.claim("one", ANN, SONG, LONG)
        await repository.claim("two", BOB, SONG, LONG)
        await repository.mark_error("two", 1, error_code="media_private", message="x")
        about = (await repository.health()).metadata["sqlite"]
        assert about["records"] == {"processing": 1, "error": 1}
        assert about["latency_ms"] > 0


async def test_what_has_run_out_is_removed_in_small_batches(path: Path) -> None:
    async with over_own_writer(path) as (repository, writer):
        await writer.write(_long_expired)
        for table, write in (
            ("answered", lambda: repository.mark_answered("alive", keep=LONG)),
            ("leases", lambda: repository.acquire("alive", "a", LONG)),
            ("resolutions", lambda: repository.remember("alive", "m", SONG, LONG)),
        ):
            sizes: list[int] = []
            for _ in range(3):
                await write()
                sizes.append(count(path, table))
            assert sizes == [PURGE_BATCH + 1, 1, 1], table
        assert await repository.is_answered("alive")


def _long_expired(tx: Transaction) -> None:
    for number in range(PURGE_BATCH * 2):
        tx.db.execute("INSERT INTO answered VALUES (?, 1)", (f"old-{number}",))
        tx.db.execute("INSERT INTO leases VALUES (?, 'a', 1)", (f"old-{number}",))
        tx.db.execute("INSERT INTO resolutions VALUES (?, 'm', '{}', 1)", (f"old-{number}",))


def test_every_statement_finds_its_rows_by_an_index() -> None:
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as db:
        tx = Transaction(db, 1)
        migrate(tx)
        statements: list[str] = []
        db.set_trace_callback(statements.append)
        sqlite_claims.claim(tx, "one", ANN, SONG, LONG)
        sqlite_claims.claim(tx, "one", BOB, SONG, LONG)
        sqlite_claims.renew(tx, "one", 1, LONG)
        sqlite_claims.mark_error(tx, "one", 1, error_code="media_private", message="x")
        sqlite_claims.settle(tx, "one", 1, [ANN.request_id], keep=LONG)
        sqlite_claims.reopen(tx, "one")
        sqlite_expiring.acquire(tx, "one", "a", LONG)
        sqlite_expiring.surrender(tx, "one", "a")
        sqlite_expiring.remember(tx, "q", "one", SONG, LONG)
        sqlite_expiring.recall(tx, "q")
        sqlite_records.search(tx, "new rules")
        sqlite_records.list_all(tx)
        sqlite_retention.count_play(tx, "one")
        sqlite_retention.begin_eviction(tx, idle=LONG, lease=LONG)
        sqlite_retention.finish_eviction(tx, "one", 1)
        db.set_trace_callback(None)
        # Lines of a trigger's own work begin with "--".
        plans = {
            sql: "; ".join(str(row[3]) for row in db.execute(f"EXPLAIN QUERY PLAN {sql}"))
            for sql in statements
            if not sql.startswith("--")
        }
    assert len(plans) > 12
    for sql, plan in plans.items():
        assert "SCAN media " not in f"{plan} ".replace(";", " ; "), sql
        assert all(f"SCAN {table}" not in plan for table in ("waiters", "answered", "leases", "resolutions")), sql
    assert not any("media_by_status" in plan for plan in plans.values())
    searched = next(plan for sql, plan in plans.items() if "MATCH" in sql)
    assert "media_by_text" in searched
    assert "SCAN media_trigrams VIRTUAL TABLE" in searched
    listed = next(plan for sql, plan in plans.items() if "(updated_at, seq) <" in sql)
    assert "media_by_update" in listed
    assert "TEMP B-TREE" not in listed


DAY_MS = 86_400_000


@pytest.fixture
def library() -> Generator[sqlite3.Connection]:
    """An empty library for single steps, at times of the test's choosing."""
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as db:
        migrate(Transaction(db, 0))
        yield db


def test_a_lease_of_before_the_clock_was_set_back_holds_nothing(library: sqlite3.Connection) -> None:
    before, after = Transaction(library, DAY_MS), Transaction(library, 1_000)
    sqlite_claims.claim(before, "one", ANN, SONG, LONG)
    assert sqlite_expiring.acquire(before, "name", "ann", LONG) is None
    assert isinstance(sqlite_claims.claim(after, "one", BOB, SONG, LONG), Owned)
    assert sqlite_expiring.acquire(after, "name", "bob", LONG) is None
    assert sqlite_expiring.acquire(after, "name", "ann", LONG) == LONG


def test_a_holder_that_is_alive_renews_its_lease_after_the_clock_was_set_back(library: sqlite3.Connection) -> None:
    owned = sqlite_claims.claim(Transaction(library, DAY_MS), "one", ANN, SONG, LONG)
    assert isinstance(owned, Owned)
    sqlite_claims.renew(Transaction(library, 1_000), "one", owned.fence, LONG)
    assert isinstance(sqlite_claims.claim(Transaction(library, 2_000), "one", BOB, SONG, LONG), Joined)


def test_an_eviction_of_before_the_clock_was_set_back_is_begun_again(library: sqlite3.Connection) -> None:
    made = StoredMedia(SONG, FileData(), 1, Encoding("passthrough", "x", 1, "00"), "ok")
    sqlite_claims.claim(Transaction(library, 1_000), "one", ANN, SONG, LONG)
    sqlite_claims.mark_success(Transaction(library, 1_000), "one", 1, made)
    sqlite_claims.settle(Transaction(library, 1_000), "one", 1, [ANN.request_id], keep=LONG)
    assert sqlite_retention.begin_eviction(Transaction(library, DAY_MS), idle=NONE, lease=LONG) is not None
    assert sqlite_retention.begin_eviction(Transaction(library, DAY_MS + 1), idle=NONE, lease=LONG) is None
    assert sqlite_retention.begin_eviction(Transaction(library, 2_000), idle=NONE, lease=LONG) is not None


def test_no_lease_may_be_longer_than_the_longest() -> None:
    [limit] = [one.le for one in AudioSettings.model_fields["lease_seconds"].metadata if hasattr(one, "le")]
    assert limit * 1000 == LONGEST_LEASE_MS
