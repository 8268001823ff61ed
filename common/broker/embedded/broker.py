"""The embedded broker: a durable log in one SQLite file, shared by the processes of one machine.

One thread of each process owns the connection and runs whole transactions; cancelling a caller never interrupts a
transaction. Consumers of the same process are woken by its publishes; commits of other processes are noticed by polling
SQLite's change counter, up to 50 ms late when idle. See docs/adr/0002-embedded-broker.md.

WAL needs shared memory: the file must be on a local file system, not on a network share.
"""

from __future__ import annotations

import asyncio
import sqlite3
import time
import uuid
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager, asynccontextmanager, closing, suppress
from datetime import timedelta
from pathlib import Path
from typing import Any, Literal, TypeVar

from common.broker.base import Broker, Delivery, Guarantees, Message
from common.broker.embedded.file import BUSY_SECONDS, PATH_KEY, data_version, open_change_reader, open_file
from common.broker.embedded.retention import BacklogLimits, forget_group, sweep
from common.broker.embedded.store import EmbeddedStore
from common.broker.embedded.subscription import EmbeddedSubscription
from common.errors import BrokerUnavailable
from common.health import NO_ROOM, Health, file_identity, probe_disk
from common.observability.telemetry import get_logger
from common.tasks import running_alongside

log = get_logger(__name__)

T = TypeVar("T")

NAME = "embedded_broker"

_POLL_FASTEST_SECONDS = 0.01
_POLL_SLOWEST_SECONDS = 0.05
_POLL_GROWTH = 1.5
_PAUSE_AFTER_FAILURE_SECONDS = 1.0
_RENEW_AT = 1 / 3  # of the lease
_TOUCH_SECONDS = 60.0
_SWEEP_SECONDS = 3600.0
_CLOCK_STEP_SECONDS = 60.0
# All live groups have been touched by then, also after the wall clock jumped (a machine may boot with a wrong date).
_SWEEP_WARM_UP_SECONDS = 10 * _TOUCH_SECONDS


@asynccontextmanager
async def open_embedded(
    path: Path, limits: BacklogLimits, *, lease_seconds: float, busy_seconds: float = BUSY_SECONDS
) -> AsyncGenerator[Broker]:
    """Open the broker file at `path`, creating it and its directory; calls wait `busy_seconds` for its lock.

    Raises:
        BrokerUnavailable: the file cannot be used; the detail names EMBEDDED_BROKER_PATH and why.
    """
    executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix=NAME)
    loop = asyncio.get_running_loop()
    opened: list[EmbeddedStore] = []

    def open_store() -> EmbeddedStore:
        opened.append(EmbeddedStore(open_file(path, busy_seconds=busy_seconds), limits, lease_seconds=lease_seconds))
        return opened[0]

    def close_store() -> None:
        for store in opened:
            store.connection.close()

    try:
        store = await asyncio.shield(loop.run_in_executor(executor, open_store))
        with closing(open_change_reader(path)) as change_reader:
            broker = EmbeddedBroker(store, executor, path, change_reader)
            async with running_alongside(broker.run_maintenance()):
                try:
                    yield broker
                finally:
                    await broker.close()
    finally:
        # The thread runs calls in order, so this also closes a connection that a cancelled caller was opening.
        closed = loop.run_in_executor(executor, close_store)
        executor.shutdown(wait=False)
        await asyncio.shield(closed)


class EmbeddedBroker:
    """See `common.broker.base.Broker`. Made by `open_embedded`, which also runs `run_maintenance` and calls `close`."""

    def __init__(
        self, store: EmbeddedStore, executor: ThreadPoolExecutor, path: Path, change_reader: sqlite3.Connection
    ) -> None:
        self._store = store
        self._change_reader = change_reader
        self._executor = executor
        self._path = path
        self._identity = file_identity(path)
        self._subscriptions: set[EmbeddedSubscription] = set()
        self._closed = False

    def guarantees(self, topic: str) -> Guarantees:
        """See `Broker.guarantees`."""
        del topic
        return Guarantees()

    async def publish(self, topic: str, key: str, value: bytes, headers: Mapping[str, str]) -> None:
        """See `Broker.publish`."""

        def publish() -> None:
            self._require_file()
            self._store.publish(topic, key, value, headers)

        await asyncio.shield(self._submit(publish, wakes=topic))

    def consume(
        self, topic: str, group: str, *, prefetch: int = 1, start: Literal["earliest", "latest"] = "earliest"
    ) -> AbstractAsyncContextManager[AsyncIterator[Delivery]]:
        """See `Broker.consume`."""
        if prefetch < 1:
            raise ValueError(f"prefetch is {prefetch}, at least 1 is needed")
        owner = uuid.uuid4().hex
        return self._join(
            EmbeddedSubscription(self._store, self._submit, topic, group, owner=owner, prefetch=prefetch, start=start)
        )

    async def ensure_topic(self, topic: str) -> None:
        """See `Broker.ensure_topic`. A topic that nothing was published to is empty here, not missing."""
        del topic
        await asyncio.shield(self._submit(self._require_file))

    async def peek(self, topic: str, *, limit: int = 100) -> list[Message]:
        """See `Broker.peek`."""
        return await asyncio.shield(self._submit(lambda: self._store.peek(topic, limit)))

    async def lag(self, topic: str, group: str) -> int:
        """See `Broker.lag`."""
        return await asyncio.shield(self._submit(lambda: self._store.lag(topic, group)))

    async def oldest_age(self, topic: str, group: str) -> timedelta:
        """See `Broker.oldest_age`."""
        return timedelta(seconds=await asyncio.shield(self._submit(lambda: self._store.oldest_age(topic, group))))

    async def forget(self, topic: str, group: str) -> None:
        """See `Broker.forget`."""
        await asyncio.shield(self._submit(lambda: forget_group(self._store.connection, topic, group)))

    async def health(self) -> Health:
        """See `Broker.health`. Not ok: closed, unreadable, deleted, full, or locked by another process for seconds."""

        def examine() -> dict[str, Any]:
            self._require_file()
            probe_disk(self._path.parent)
            return self._store.describe(self._path)

        try:
            metadata = await asyncio.shield(self._submit(examine))
        except BrokerUnavailable as exc:
            return Health(NAME, ok=False, error=exc.detail)
        except OSError as exc:
            return Health(NAME, ok=False, error=f"{PATH_KEY}: {exc.strerror}", disk_full=exc.errno in NO_ROOM)
        return Health(NAME, ok=True, metadata=metadata)

    def _require_file(self) -> None:
        """Raise BrokerUnavailable if the file is not the one that was opened: what is written to that one is lost."""
        if (found := file_identity(self._path)) != self._identity:
            raise BrokerUnavailable(f"{PATH_KEY}: the file {'was replaced' if found else 'is gone'}")

    async def run_maintenance(self) -> None:
        """Notice commits of other processes, renew leases and sweep, until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._watch_changes())
            group.create_task(self._renew_leases())
            group.create_task(self._touch_and_sweep())

    async def close(self) -> None:
        """Release the leases of open subscriptions and end them; later calls raise BrokerUnavailable."""
        try:
            while self._subscriptions:
                await self._release(next(iter(self._subscriptions)), "closed")
        finally:
            self._closed = True

    @asynccontextmanager
    async def _join(self, subscription: EmbeddedSubscription) -> AsyncGenerator[EmbeddedSubscription]:
        self._subscriptions.add(subscription)
        try:
            await asyncio.shield(self._submit(subscription.join))
            yield subscription
        finally:
            await self._release(subscription, "left")

    def _submit(self, work: Callable[[], T], *, wakes: str | None = None) -> asyncio.Future[T]:
        if self._closed:
            raise BrokerUnavailable("the broker was closed")
        running = asyncio.get_running_loop().run_in_executor(self._executor, work)
        if wakes is not None:
            running.add_done_callback(lambda _: self._wake(wakes))
        return running

    def _wake(self, topic: str | None = None) -> None:
        for subscription in self._subscriptions:
            if topic in {None, subscription.topic}:
                subscription.wake()

    async def _release(self, subscription: EmbeddedSubscription, how: Literal["left", "closed"]) -> None:
        self._subscriptions.discard(subscription)
        if not subscription.end(how):
            return
        try:
            await asyncio.shield(self._submit(subscription.release, wakes=subscription.topic))
        except BrokerUnavailable as exc:
            # The leases are no longer renewed, so the messages are redelivered when they expire.
            log.warning("broker.release_failed", topic=subscription.topic, detail=exc.detail)

    async def _watch_changes(self) -> None:
        last_read, last_version, pause = -1, -1, _POLL_FASTEST_SECONDS
        while True:
            await asyncio.sleep(pause)
            pause = min(pause * _POLL_GROWTH, _POLL_SLOWEST_SECONDS)
            if not any(subscription.waiting for subscription in self._subscriptions):
                continue
            current = self._read_change_counter()
            if current is not None and current == last_read:
                continue
            # There was a commit. The store's connection does not count its own, so it tells whether it was another's.
            version = await self._attempt(lambda: data_version(self._store.connection))
            if version is None:
                pause = _PAUSE_AFTER_FAILURE_SECONDS
                continue
            last_read = current
            if version != last_version:
                last_version, pause = version, _POLL_FASTEST_SECONDS
                self._wake()

    def _read_change_counter(self) -> int | None:
        """Read it in this thread: 5 µs, a fiftieth of a call in the store's. Return None if the file is locked."""
        with suppress(BrokerUnavailable):
            return data_version(self._change_reader)
        return None

    async def _renew_leases(self) -> None:
        while True:
            await asyncio.sleep(self._store.lease_seconds * _RENEW_AT)
            owners = [subscription.owner for subscription in self._subscriptions if subscription.has_leases]
            if owners:
                await self._attempt(lambda owners=owners: self._store.renew(owners))

    async def _touch_and_sweep(self) -> None:
        offset = time.time() - time.monotonic()
        sweep_at = time.monotonic() + _SWEEP_WARM_UP_SECONDS
        while True:
            await asyncio.sleep(_TOUCH_SECONDS)
            groups = [(subscription.topic, subscription.group) for subscription in self._subscriptions]
            await self._attempt(lambda groups=groups: self._store.touch(groups))
            before, offset = offset, time.time() - time.monotonic()
            if abs(offset - before) > _CLOCK_STEP_SECONDS:
                sweep_at = time.monotonic() + _SWEEP_WARM_UP_SECONDS
            elif time.monotonic() >= sweep_at:
                await self._attempt(lambda: sweep(self._store.connection, self._store.limits, now=time.time()))
                sweep_at = time.monotonic() + _SWEEP_SECONDS

    async def _attempt(self, work: Callable[[], T]) -> T | None:
        try:
            return await asyncio.shield(self._submit(work))
        except BrokerUnavailable as exc:
            log.warning("broker.upkeep_failed", detail=exc.detail)
            return None
