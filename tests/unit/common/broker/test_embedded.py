"""The embedded broker beyond the contract: bounds, retention, and errors of its file."""

from __future__ import annotations

import asyncio
import os
import signal
import sqlite3
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Callable, Generator
from datetime import timedelta
from pathlib import Path

import pytest

from common.broker import open_broker
from common.broker.base import Delivery
from common.broker.embedded import broker as embedded
from common.broker.embedded.broker import open_embedded
from common.broker.embedded.file import open_file, transaction
from common.broker.embedded.retention import ABSENT_SECONDS, MAX_AGE_SECONDS, BacklogLimits, sweep
from common.broker.embedded.store import EmbeddedStore, LeasedMessage
from common.errors import BrokerUnavailable, QueueFull
from common.settings import SharedSettings
from tests.servers.reaper import child_environment
from tests.waiting import patience

REPOSITORY = Path(__file__).parents[3]
LEASE = 10.0
WIDE = BacklogLimits(max_messages=1000, max_bytes=1_000_000)
KILLS = 6


class Clock:
    """A wall clock that tests set."""

    def __init__(self) -> None:
        self.time = 1_000_000_000.0

    def __call__(self) -> float:
        return self.time


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "made" / "on the way" / "broker.db"


Opener = Callable[..., EmbeddedStore]


@pytest.fixture
def opened(path: Path, clock: Clock) -> Generator[Opener]:
    """Open stores on the same file, each with a connection of its own, as processes have."""
    stores: list[EmbeddedStore] = []

    def open_store(limits: BacklogLimits = WIDE) -> EmbeddedStore:
        stores.append(EmbeddedStore(open_file(path, busy_seconds=0.05), limits, lease_seconds=LEASE, now=clock))
        return stores[-1]

    yield open_store
    for store in stores:
        store.connection.close()


def put(store: EmbeddedStore, *values: str, topic: str = "t") -> None:
    for value in values:
        store.publish(topic, "k", value.encode(), {})


def claim(store: EmbeddedStore, group: str = "g", owner: str = "owner", topic: str = "t") -> LeasedMessage:
    found = store.claim(topic, group, "earliest", owner).message
    assert found is not None
    return found


def finish_all(store: EmbeddedStore, group: str) -> list[str]:
    values: list[str] = []
    while (found := store.claim("t", group, "earliest", "owner").message) is not None:
        values.append(found.message.value.decode())
        assert store.finish(found)
    return values


def retained(store: EmbeddedStore, topic: str = "t") -> list[str]:
    return [message.value.decode() for message in store.peek(topic, 1000)]


def test_a_full_backlog_refuses_until_something_is_finished(opened: Opener) -> None:
    store = opened(BacklogLimits(max_messages=3, max_bytes=1_000_000))
    store.join("t", "g", "earliest")
    put(store, "a", "b", "c")
    held = claim(store)
    with pytest.raises(QueueFull):
        put(store, "d")
    store.finish(held)
    put(store, "d")
    assert finish_all(store, "g") == ["b", "c", "d"]


def test_a_topic_without_groups_is_bounded_and_keeps_accepted_messages(opened: Opener) -> None:
    store = opened(BacklogLimits(max_messages=3, max_bytes=1_000_000))
    put(store, "a", "b", "c")
    with pytest.raises(QueueFull):
        put(store, "d")
    assert finish_all(store, "g") == ["a", "b", "c"]


def test_bytes_are_bounded_as_messages_are(opened: Opener) -> None:
    store = opened(BacklogLimits(max_messages=1000, max_bytes=1000))
    store.join("t", "g", "earliest")
    put(store, "a" * 400, "b" * 400)
    with pytest.raises(QueueFull):
        put(store, "c" * 400)
    put(store, "d", topic="another")
    store.finish(claim(store))
    put(store, "c" * 400)


def test_what_every_group_has_finished_is_dropped_at_once(opened: Opener) -> None:
    store = opened()
    for group in ("one", "two"):
        store.join("t", group, "earliest")
    put(store, "a", "b")
    finish_all(store, "one")
    assert retained(store) == ["a", "b"]
    store.finish(claim(store, "two"))
    assert retained(store) == ["b"]


def test_a_group_that_never_comes_back_does_not_stop_the_others(opened: Opener, clock: Clock) -> None:
    store = opened(BacklogLimits(max_messages=10, max_bytes=1_000_000))
    for group in ("gone", "alive"):
        store.join("t", group, "earliest")
    put(store, "held")
    claim(store, "gone")
    clock.time += ABSENT_SECONDS + 1
    seen: list[str] = []
    for number in range(100):
        store.touch([("t", "alive")])
        put(store, str(number))
        seen += finish_all(store, "alive")
    assert seen == ["held", *map(str, range(100))]
    assert len(retained(store)) <= 10
    late = finish_all(store, "gone")
    assert late == list(map(str, range(100)))[-len(late) :]


def test_a_group_that_is_only_slow_makes_publishers_wait(opened: Opener) -> None:
    store = opened(BacklogLimits(max_messages=3, max_bytes=1_000_000))
    for group in ("slow", "quick"):
        store.join("t", group, "earliest")
    put(store, "a", "b", "c")
    finish_all(store, "quick")
    with pytest.raises(QueueFull):
        put(store, "d")
    assert finish_all(store, "slow") == ["a", "b", "c"]


def test_what_no_group_has_finished_is_kept_however_long_the_group_is_away(opened: Opener, clock: Clock) -> None:
    store = opened(BacklogLimits(max_messages=3, max_bytes=1_000_000))
    store.join("t", "g", "earliest")
    put(store, "a", "b", "c")
    claim(store)
    clock.time += ABSENT_SECONDS + 1
    with pytest.raises(QueueFull):
        put(store, "d")
    assert sorted(finish_all(store, "g")) == ["a", "b", "c"]


def test_the_oldest_dead_letters_make_room_for_new_ones(opened: Opener) -> None:
    store = opened(BacklogLimits(max_messages=3, max_bytes=1_000_000))
    store.join("t", "g", "earliest")
    for value in "abcde":
        put(store, value)
        assert store.reject(claim(store), "invalid_message", "")
    assert retained(store, "t.dlq") == ["c", "d", "e"]


def test_the_oldest_age_is_counted_from_the_publishing_whatever_was_done_since(opened: Opener, clock: Clock) -> None:
    store = opened()
    put(store, "first")
    clock.time += 100
    put(store, "second")
    assert store.oldest_age("t", "g") == 100
    leased = claim(store)
    clock.time += LEASE + 1
    assert store.oldest_age("t", "g") == 100 + LEASE + 1
    leased = claim(store)
    assert store.defer(leased, delay=1000, attempt=3)
    assert store.finish(claim(store))
    assert store.oldest_age("t", "g") == 100 + LEASE + 1
    clock.time += 1000
    assert store.finish(claim(store))
    assert store.oldest_age("t", "g") == 0


def test_the_oldest_age_is_never_below_zero(opened: Opener, clock: Clock) -> None:
    store = opened()
    put(store, "published before the clock was set back")
    clock.time -= 3600
    assert store.oldest_age("t", "g") == 0


def test_the_lag_counts_no_messages_that_were_dropped_for_room(opened: Opener, path: Path, clock: Clock) -> None:
    store = opened(BacklogLimits(max_messages=10, max_bytes=1_000_000))
    for group in ("gone", "alive"):
        store.join("t", group, "earliest")
    clock.time += ABSENT_SECONDS + 1
    for number in range(25):
        store.touch([("t", "alive")])
        put(store, str(number))
        finish_all(store, "alive")
    left = len(retained(store))
    assert store.lag("t", "gone") == store.describe(path)["topics"]["t"]["lag"] == left < 25


def test_a_publish_is_synced_to_the_disk_and_a_settlement_is_not(opened: Opener) -> None:
    def synchronous(store: EmbeddedStore) -> int:
        """Of the last transaction: 2 is FULL, 1 is NORMAL."""
        (level,) = store.connection.execute("PRAGMA synchronous").fetchone()
        assert isinstance(level, int)
        return level

    store = opened()
    put(store, "a")
    assert synchronous(store) == 2
    assert store.finish(claim(store))
    assert synchronous(store) == 1


def test_a_group_unseen_for_the_whole_age_is_forgotten_with_what_it_alone_held(opened: Opener, clock: Clock) -> None:
    store = opened()
    for group in ("gone", "alive"):
        store.join("t", group, "earliest")
    put(store, "a", "b", "c")
    claim(store, "gone")
    store.finish(claim(store, "alive"))
    clock.time += MAX_AGE_SECONDS + 1
    store.touch([("t", "alive")])
    sweep(store.connection, WIDE, now=clock())
    assert retained(store) == ["b", "c"]
    assert finish_all(store, "alive") == ["b", "c"]
    assert retained(store) == []


def test_messages_without_a_group_go_when_they_are_old(opened: Opener, clock: Clock) -> None:
    store = opened()
    put(store, "old")
    clock.time += MAX_AGE_SECONDS - 10
    put(store, "young")
    store.join("t", "late", "latest")
    sweep(store.connection, WIDE, now=clock())
    assert retained(store) == ["old", "young"]
    clock.time += 20
    store.touch([("t", "late")])
    sweep(store.connection, WIDE, now=clock())
    assert retained(store) == ["young"]


def test_an_expired_lease_goes_to_another_owner_and_its_token_is_stale(opened: Opener, clock: Clock) -> None:
    one, two = opened(), opened()
    put(one, "a")
    stale = claim(one, owner="one")
    clock.time += LEASE - 1
    waiting = two.claim("t", "g", "earliest", "two")
    assert waiting.message is None
    assert waiting.due_at == clock.time + 1
    clock.time += 2
    fresh = claim(two, owner="two")
    assert (fresh.attempt, fresh.message.position) == (2, stale.message.position)
    assert not one.finish(stale)
    assert not one.defer(stale, 0, 9)
    assert not one.reject(stale, "invalid_message", "")
    assert retained(one, "t.dlq") == []
    assert two.finish(fresh)


def test_a_renewed_lease_does_not_run_out(opened: Opener, clock: Clock) -> None:
    store = opened()
    put(store, "a")
    held = claim(store, owner="one")
    clock.time += LEASE - 1
    store.renew(["one"])
    clock.time += LEASE - 1
    assert store.claim("t", "g", "earliest", "two").message is None
    assert store.finish(held)


def test_a_clock_that_was_set_back_does_not_freeze_leases_and_delays(opened: Opener, clock: Clock) -> None:
    store = opened()
    put(store, "of the dead", "put off")
    claim(store, owner="dead")
    store.defer(claim(store), 5.0, 2)
    clock.time -= 24 * 3600
    assert store.claim("t", "g", "earliest", "two").message is None
    store.touch([])
    clock.time += LEASE + 1
    assert {claim(store).attempt, claim(store).attempt} == {2}


def test_a_locked_file_is_unavailable_and_not_damaged(opened: Opener) -> None:
    one, two = opened(), opened()
    with transaction(one.connection):
        with pytest.raises(BrokerUnavailable, match="locked"):
            put(two, "refused")
        with pytest.raises(BrokerUnavailable, match="locked"):
            two.describe(Path("broker.db"))
    put(two, "a")
    assert retained(one) == ["a"]


def test_a_full_disk_is_unavailable_and_accepted_messages_stay(opened: Opener) -> None:
    store = opened(BacklogLimits(max_messages=1000, max_bytes=100_000_000))
    put(store, "first")
    pages: tuple[int] = store.connection.execute("PRAGMA page_count").fetchone()
    store.connection.execute(f"PRAGMA max_page_count = {pages[0] + 10}")
    accepted = ["first"]

    def fill() -> None:
        while True:
            put(store, value := str(len(accepted)) * 3000)
            accepted.append(value)

    with pytest.raises(BrokerUnavailable, match="no room"):
        fill()
    assert not store.connection.in_transaction
    assert finish_all(store, "g") == accepted
    put(store, "there is room again")


def test_free_pages_are_given_back(opened: Opener, path: Path, clock: Clock) -> None:
    store = opened()
    put(store, *("x" * 5000 for _ in range(100)))
    finish_all(store, "g")
    before: tuple[int] = store.connection.execute("PRAGMA page_count").fetchone()
    sweep(store.connection, WIDE, now=clock())
    after: tuple[int] = store.connection.execute("PRAGMA page_count").fetchone()
    assert after[0] < before[0] / 4
    assert store.describe(path)["topics"]["t"]["retained"] == 0


# Schema version 1 as its first release wrote it, with one message leased by a dead consumer and one not delivered yet.
_FIRST_RELEASE = """
PRAGMA auto_vacuum = INCREMENTAL;
PRAGMA journal_mode = WAL;
CREATE TABLE topics (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, next_offset INTEGER NOT NULL DEFAULT 0,
    retained INTEGER NOT NULL DEFAULT 0, bytes INTEGER NOT NULL DEFAULT 0);
CREATE TABLE messages (id INTEGER PRIMARY KEY, topic_id INTEGER NOT NULL, log_offset INTEGER NOT NULL,
    published_at REAL NOT NULL, key TEXT NOT NULL, headers TEXT NOT NULL, size INTEGER NOT NULL, value BLOB NOT NULL,
    UNIQUE (topic_id, log_offset));
CREATE TRIGGER message_added AFTER INSERT ON messages BEGIN
    UPDATE topics SET retained = retained + 1, bytes = bytes + new.size, next_offset = new.log_offset + 1
        WHERE id = new.topic_id;
END;
CREATE TRIGGER message_dropped AFTER DELETE ON messages BEGIN
    UPDATE topics SET retained = retained - 1, bytes = bytes - old.size WHERE id = old.topic_id;
END;
CREATE TABLE consumer_groups (id INTEGER PRIMARY KEY, topic_id INTEGER NOT NULL, name TEXT NOT NULL,
    started INTEGER NOT NULL, cursor INTEGER NOT NULL, seen_at REAL NOT NULL, UNIQUE (topic_id, name));
CREATE INDEX groups_by_cursor ON consumer_groups (topic_id, cursor);
CREATE TABLE deliveries (message_id INTEGER NOT NULL, group_id INTEGER NOT NULL, attempt INTEGER NOT NULL, token TEXT,
    owner TEXT, since REAL NOT NULL, due_at REAL NOT NULL, PRIMARY KEY (message_id, group_id)) WITHOUT ROWID;
CREATE INDEX deliveries_by_due ON deliveries (group_id, due_at);
CREATE INDEX deliveries_by_owner ON deliveries (owner) WHERE owner IS NOT NULL;
INSERT INTO topics (id, name) VALUES (1, 't');
INSERT INTO messages VALUES (1, 1, 0, 999999000.0, 'k', '{"h": "x"}', 11, CAST('leased' AS BLOB));
INSERT INTO messages VALUES (2, 1, 1, 999999000.0, 'k', '{}', 6, CAST('new' AS BLOB));
INSERT INTO consumer_groups VALUES (1, 1, 'g', 0, 1, 999999000.0);
INSERT INTO deliveries VALUES (1, 1, 1, 'token', 'owner', 999999000.0, 999999010.0);
PRAGMA user_version = 1;
"""


def test_a_file_of_the_first_release_is_read_on(opened: Opener, path: Path) -> None:
    path.parent.mkdir(parents=True)
    old = sqlite3.connect(path, isolation_level=None)
    old.executescript(_FIRST_RELEASE)
    old.close()
    store = opened()
    assert store.describe(path)["topics"]["t"] == {"retained": 2, "bytes": 17, "groups": 1, "lag": 2}
    leased = claim(store)
    assert (leased.message.value, leased.message.headers, leased.attempt) == (b"leased", {"h": "x"}, 2)
    assert store.finish(leased)
    put(store, "newest")
    assert finish_all(store, "g") == ["new", "newest"]
    assert retained(store) == []


async def unusable(path: Path) -> str:
    with pytest.raises(BrokerUnavailable) as caught:
        async with open_broker(SharedSettings(embedded_broker_path=path)):
            pass
    return caught.value.detail


async def test_a_path_that_cannot_be_used_is_refused_by_its_key(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a directory")
    (tmp_path / "garbage.db").write_bytes(b"\x07 not a database " * 1000)
    foreign = sqlite3.connect(tmp_path / "foreign.db")
    foreign.execute("CREATE TABLE songs (id)")
    foreign.close()
    newer = sqlite3.connect(tmp_path / "newer.db")
    newer.execute("PRAGMA user_version = 99")
    newer.close()
    assert "EMBEDDED_BROKER_PATH" in await unusable(tmp_path / "file" / "broker.db")
    assert "EMBEDDED_BROKER_PATH" in await unusable(tmp_path)
    for name, reason in {"garbage": "damaged", "foreign": "another program", "newer": "99 is newer"}.items():
        detail = await unusable(tmp_path / f"{name}.db")
        assert "EMBEDDED_BROKER_PATH" in detail
        assert reason in detail


async def take(deliveries: AsyncIterator[Delivery]) -> Delivery:
    return await anext(deliveries)


async def test_a_consumer_waits_through_a_time_without_the_file(path: Path) -> None:
    async with (
        asyncio.timeout(patience()),
        open_embedded(path, WIDE, lease_seconds=LEASE, busy_seconds=0.05) as broker,
        broker.consume("t", "g") as deliveries,
        asyncio.TaskGroup() as tasks,
    ):
        await broker.publish("t", "k", b"a", {})
        intruder = open_file(path)
        with transaction(intruder):
            waiting = tasks.create_task(take(deliveries))
            with pytest.raises(BrokerUnavailable):
                await broker.publish("t", "k", b"b", {})
            assert not (await broker.health()).ok
            assert not waiting.done()
        intruder.close()
        await (await waiting).ack()
        assert (await broker.health()).ok


async def test_nothing_is_accepted_into_a_file_that_was_deleted(path: Path) -> None:
    """The open file lives on without a name: what is written to it is lost with the process."""
    async with open_embedded(path, WIDE, lease_seconds=LEASE) as broker:
        await broker.publish("t", "k", b"a", {})
        path.unlink()
        with pytest.raises(BrokerUnavailable, match="is gone"):
            await broker.publish("t", "k", b"b", {})
        assert "is gone" in (await broker.health()).error
        async with open_embedded(path, WIDE, lease_seconds=LEASE):
            assert "was replaced" in (await broker.health()).error


async def test_others_are_heard_though_the_change_counter_cannot_be_read_without_waiting(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def open_useless(file: Path) -> sqlite3.Connection:
        connection = sqlite3.connect(file)
        connection.close()
        return connection

    monkeypatch.setattr(embedded, "open_change_reader", open_useless)
    async with (
        asyncio.timeout(20),  # far below the time after which a consumer looks without having been woken
        open_embedded(path, WIDE, lease_seconds=LEASE) as broker,
        open_embedded(path, WIDE, lease_seconds=LEASE) as other,
        broker.consume("t", "g") as deliveries,
        asyncio.TaskGroup() as tasks,
    ):
        waiting = tasks.create_task(take(deliveries))
        await asyncio.wait({waiting}, timeout=0.3)  # past the first look at other processes, which wakes everybody
        await other.publish("t", "k", b"a", {})
        await (await waiting).ack()


async def test_a_publish_wakes_the_consumers_of_its_own_process(path: Path) -> None:
    async with (
        asyncio.timeout(20),  # far below the time after which a consumer looks without having been woken
        open_embedded(path, WIDE, lease_seconds=LEASE) as broker,
        broker.consume("t", "g") as deliveries,
        asyncio.TaskGroup() as tasks,
    ):
        waiting = tasks.create_task(take(deliveries))
        await asyncio.wait({waiting}, timeout=0.3)  # past the first look at other processes, which wakes everybody
        await broker.publish("t", "k", b"a", {})
        await (await waiting).ack()

        gone = tasks.create_task(take(deliveries))
        await asyncio.sleep(0)  # it has begun to claim, and what it finds is older than the next message
        gone.cancel()
        await asyncio.wait({gone})
        await broker.publish("t", "k", b"b", {})
        await (await take(deliveries)).ack()


async def test_a_settlement_that_failed_can_be_tried_again(path: Path) -> None:
    async with (
        open_embedded(path, WIDE, lease_seconds=LEASE, busy_seconds=0.05) as broker,
        broker.consume("t", "g") as deliveries,
    ):
        await broker.publish("t", "k", b"a", {})
        delivery = await anext(deliveries)
        intruder = open_file(path)
        with transaction(intruder), pytest.raises(BrokerUnavailable):
            await delivery.ack()
        intruder.close()
        await delivery.ack()
        assert await broker.lag("t", "g") == 0


async def test_cancelled_calls_leave_no_transaction_open(path: Path) -> None:
    async with open_embedded(path, WIDE, lease_seconds=LEASE) as broker:
        tasks = [asyncio.ensure_future(broker.publish("t", "k", str(n).encode(), {})) for n in range(50)]
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        accepted = [n for n, task in enumerate(tasks) if not task.cancelled()]
        async with broker.consume("t", "g") as deliveries:
            await (await anext(deliveries)).retry(timedelta(0))
        held = {int(message.value) for message in await broker.peek("t")}
        assert held >= set(accepted)
    with sqlite3.connect(path) as connection:
        connection.execute("BEGIN EXCLUSIVE")
    connection.close()


async def start_publisher(path: Path, *arguments: str) -> Process:
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tests.contract.broker_process",
        "publish",
        "t",
        *arguments,
        cwd=REPOSITORY,
        env=child_environment({**os.environ, "EMBEDDED_BROKER_PATH": str(path)}),
        stdout=PIPE,
    )


async def test_a_publisher_killed_again_and_again_loses_nothing_it_was_promised(path: Path) -> None:
    promised: set[str] = set()
    for round_ in range(KILLS):
        publisher = await start_publisher(path, f"r{round_}")
        assert publisher.stdout is not None
        for _ in range(1 + 7 * round_):
            promised.add((await publisher.stdout.readline()).decode().strip())
        os.kill(publisher.pid, signal.SIGKILL)
        rest, _ = await publisher.communicate()
        promised.update(line for line in rest.decode().split("\n")[:-1] if line)
    async with open_embedded(path, WIDE, lease_seconds=LEASE) as broker:
        found = [message.value.decode() for message in await broker.peek("t", limit=100_000)]
    assert promised <= set(found)
    assert len(found) - len(promised) <= KILLS
    assert len(found) == len(set(found))


async def test_processes_that_make_the_same_new_file_at_once_all_work(path: Path) -> None:
    publishers = [await start_publisher(path, str(number), "1") for number in range(5)]
    for publisher in publishers:
        await publisher.communicate()
    assert [publisher.returncode for publisher in publishers] == [0] * 5
    async with open_embedded(path, WIDE, lease_seconds=LEASE) as broker:
        assert len(await broker.peek("t")) == 5


def test_health_shows_topics_groups_lag_and_size(opened: Opener, path: Path) -> None:
    store = opened()
    put(store, "a", "b")
    claim(store)
    metadata = store.describe(path)
    assert metadata["topics"]["t"] == {"retained": 2, "bytes": 8, "groups": 1, "lag": 2}
    assert metadata["file_bytes"] >= path.stat().st_size > 0
