"""A member of a consumer group: joins, reads, commits, and takes part in rebalances.

It polls while jobs run, so a job may take longer than max.poll.interval.ms. Before a rebalance, finished offsets are
committed; partitions that stay assigned continue where they were, with their messages in flight.

Refuses to end by itself: after any failure of Kafka it joins again, until it is cancelled.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from common.broker.kafka.cluster import Cluster
from common.broker.kafka.connection import describe_failure
from common.broker.kafka.deliveries import Deliveries
from common.broker.kafka.library import (
    ConsumerRebalanceListener,
    KafkaConsumer,
    TopicPartition,
    connect,
    force_close,
    is_member,
    kafka_errors,
    new_consumer,
    stop_consumer,
)
from common.broker.kafka.progress import CommittedOffset
from common.errors import BrokerUnavailable
from common.observability.telemetry import get_logger
from common.tasks import RevocableTimeLimit, running_alongside, time_limit

log = get_logger(__name__)

# Records wake the reading task; only the end of a rebalance waits for this interval, and a rebalance takes longer.
_POLL_MS = 250
_RECORDS = 500
_BACKOFF_SECONDS = 0.1
_REBALANCE_POLL_SECONDS = 0.01
_MAX_BACKOFF_SECONDS = 5.0
_LAST_COMMIT_SECONDS = 2.0
# aiokafka retries a commit without end; after a restart of the brokers, sometimes without ever succeeding.
_STUCK_COMMIT_SECONDS = 20.0
_LEAVE_SECONDS = 3.0


@dataclass(frozen=True, slots=True)
class GroupMembership:
    """The topic and group of a member, its session timeout and its max.poll.interval."""

    topic: str
    group: str
    session_seconds: float
    poll_interval_seconds: float

    def options(self) -> dict[str, Any]:
        """Return the consumer's options."""
        session_ms = int(self.session_seconds * 1000)
        return {
            "session_timeout_ms": session_ms,
            # Members learn of a rebalance from a heartbeat's response, so joining members wait for this long.
            "heartbeat_interval_ms": min(1000, session_ms // 4),
            "max_poll_interval_ms": int(self.poll_interval_seconds * 1000),
        }


def next_backoff(previous: float, *, session_seconds: float) -> float:
    """Return the seconds to wait before joining again: doubled up to 5 s, reset after a session longer than that."""
    return _BACKOFF_SECONDS if session_seconds > _MAX_BACKOFF_SECONDS else min(previous * 2, _MAX_BACKOFF_SECONDS)


def without_commit(partitions: Iterable[int], committed: Mapping[int, CommittedOffset]) -> set[int]:
    """Return the partitions that the group has not committed. It existed before they were added: read all of them."""
    return {number for number in partitions if number not in committed or committed[number].offset < 0}


class GroupMember(ConsumerRebalanceListener):
    """See the module. `joined` is set after the first assignment, which may be empty; `trouble` is the last failure."""

    def __init__(self, membership: GroupMembership, cluster: Cluster, deliveries: Deliveries) -> None:
        self.joined = asyncio.Event()
        self.trouble = ""
        self._membership = membership
        self._cluster = cluster
        self._deliveries = deliveries
        self._consumer: KafkaConsumer | None = None
        self._assigned = asyncio.Event()
        self._pending_assignment: set[TopicPartition] | None = None
        self._rebalances = 0
        self._commit_limit = RevocableTimeLimit(_STUCK_COMMIT_SECONDS)
        self._paused: set[int] = set()

    async def run(self) -> None:
        """Be a member until cancelled; then release unsettled messages and leave the group."""
        backoff = _BACKOFF_SECONDS
        self._deliveries.on_capacity = self._apply_backpressure
        try:
            while True:
                began = time.monotonic()
                try:
                    await self._run_session()
                except (kafka_errors.KafkaError, OSError, TimeoutError) as exc:
                    self.trouble = describe_failure(exc)
                    log.warning("broker.member_failed", topic=self._membership.topic, error=self.trouble)
                backoff = next_backoff(backoff, session_seconds=time.monotonic() - began)
                await asyncio.sleep(backoff)
        finally:
            self._deliveries.lose_all()

    async def on_partitions_revoked(  # pyright: ignore[reportIncompatibleMethodOverride] - the library accepts coroutines here
        self, revoked: set[TopicPartition]
    ) -> None:
        """Commit finished offsets, and messages in flight as undelivered: another member may own them next."""
        self._suspend()
        if revoked:
            await self._commit_last()

    async def on_partitions_assigned(  # pyright: ignore[reportIncompatibleMethodOverride] - the library accepts coroutines here
        self, assigned: set[TopicPartition]
    ) -> None:
        """Record the assignment for the reading task; heartbeats wait for this to return."""
        self._rebalances += 1
        self._pending_assignment = set(assigned)

    async def _run_session(self) -> None:
        consumer = new_consumer(self._cluster.options, self._membership.group, **self._membership.options())
        self._consumer = consumer
        try:
            await connect(consumer.start())
            consumer.subscribe([self._membership.topic], listener=self)
            async with running_alongside(self._commit_changes(consumer)):
                await self._read(consumer)
        finally:
            await self._leave(consumer)

    async def _read(self, consumer: KafkaConsumer) -> None:
        while True:
            if self._pending_assignment is not None:
                await self._adopt_assignment(consumer, self._pending_assignment)
            self._apply_backpressure()
            rebalances = self._rebalances
            assigned = self._assigned.is_set()
            # Before an assignment this waits for one, and raises when the group cannot be joined.
            read = await consumer.getmany(timeout_ms=_POLL_MS if assigned else 0, max_records=_RECORDS)
            if not assigned:
                await asyncio.sleep(_REBALANCE_POLL_SECONDS)
            elif rebalances == self._rebalances and self._assigned.is_set():
                for place, records in read.items():
                    self._deliveries.feed(place.partition, records)

    async def _adopt_assignment(self, consumer: KafkaConsumer, assignment: set[TopicPartition]) -> None:
        """Continue from the partitions' committed offsets, unless another rebalance begins meanwhile."""
        rebalances = self._rebalances
        try:
            committed = await self._positions({place.partition for place in assignment})
        except BrokerUnavailable as exc:
            log.warning("broker.positions_unknown", topic=self._membership.topic, detail=exc.detail)
            return
        if rebalances != self._rebalances:
            return
        self._pending_assignment = None
        for number, offset in self._deliveries.assign(committed).items():
            consumer.seek(TopicPartition(self._membership.topic, number), offset)
        self._paused.clear()
        self._assigned.set()
        self.joined.set()

    async def _positions(self, partitions: set[int]) -> dict[int, CommittedOffset]:
        if not partitions:
            return {}
        topic = self._membership.topic
        committed = await self._cluster.committed(self._membership.group, topic, partitions)
        new = without_commit(partitions, committed)
        begins = await self._cluster.offsets(topic, new, latest=False) if new else {}
        return committed | {number: CommittedOffset(offset, "") for number, offset in begins.items()}

    def _apply_backpressure(self) -> None:
        """Pause and resume fetching of partitions by the room in the buffers."""
        if self._consumer is None or not self._assigned.is_set():
            return
        for number, wanted in self._deliveries.wanted().items():
            place = TopicPartition(self._membership.topic, number)
            with contextlib.suppress(kafka_errors.IllegalStateError):  # a rebalance has just begun
                if wanted and number in self._paused:
                    self._consumer.resume(place)
                    self._paused.discard(number)
                elif not wanted and number not in self._paused:
                    self._consumer.pause(place)
                    self._paused.add(number)

    async def _commit_changes(self, consumer: KafkaConsumer) -> None:
        while True:
            await self._deliveries.changed.wait()
            await self._assigned.wait()
            self._deliveries.changed.clear()
            try:
                if not is_member(consumer):
                    raise kafka_errors.CommitFailedError
                async with self._commit_limit.running():
                    await self._commit(consumer, hands_out=True)
            except (kafka_errors.KafkaError, TimeoutError) as exc:
                if isinstance(exc, TimeoutError) and self._assigned.is_set():
                    raise  # not cut short by a rebalance: only a new consumer will help
                log.info("broker.commit_failed", topic=self._membership.topic, error=describe_failure(exc))
                self._deliveries.changed.set()
                await asyncio.sleep(_BACKOFF_SECONDS)

    async def _commit(self, consumer: KafkaConsumer, *, hands_out: bool) -> None:
        commit = self._deliveries.begin_commit(hands_out=hands_out)
        try:
            if commit.offsets:
                topic = self._membership.topic
                await consumer.commit({TopicPartition(topic, number): at for number, at in commit.offsets.items()})
        except BaseException:
            self._deliveries.withdraw(commit)
            raise
        self._deliveries.confirm(commit)

    async def _commit_last(self) -> None:
        consumer = self._consumer
        if consumer is None or not is_member(consumer):
            return
        try:
            async with time_limit(min(_LAST_COMMIT_SECONDS, self._membership.session_seconds / 2)):
                await self._commit(consumer, hands_out=False)
        except (kafka_errors.KafkaError, TimeoutError) as exc:
            log.info("broker.commit_failed", topic=self._membership.topic, error=describe_failure(exc))

    def _suspend(self) -> None:
        self._assigned.clear()
        self._rebalances += 1
        self._pending_assignment = None
        # aiokafka would repeat a commit under way after the rebalance, when its offsets may be another member's.
        self._commit_limit.expire()
        self._deliveries.suspend()

    async def _leave(self, consumer: KafkaConsumer) -> None:
        """Commit finished offsets and leave the group, so that others need not wait for our session to expire."""
        had_partitions = self._assigned.is_set()
        self._suspend()
        if had_partitions:
            await self._commit_last()
        try:
            async with time_limit(_LEAVE_SECONDS):
                await stop_consumer(consumer)
        except (kafka_errors.KafkaError, OSError, TimeoutError) as exc:
            log.info("broker.leave_failed", topic=self._membership.topic, error=describe_failure(exc))
        finally:
            self._consumer = None
            await force_close(consumer)
