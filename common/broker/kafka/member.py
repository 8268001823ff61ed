"""A member of a consumer group: joins, reads, commits, and goes along when the partitions are dealt out anew.

Reading never stops while jobs run, so that however long a job takes, the brokers do not take its consumer for stuck. A
rebalance first commits what is finished; partitions that come back go on where they were, with the work in hand.

Refuses to end by itself: whatever Kafka says, it tries again until it is cancelled.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from dataclasses import dataclass
from typing import Any

from common.broker.kafka.cluster import Cluster, Committed
from common.broker.kafka.deliveries import Deliveries
from common.broker.kafka.failures import said
from common.broker.kafka.library import (
    Consumer,
    ConsumerRebalanceListener,
    TopicPartition,
    drop,
    is_member,
    kafka_errors,
    new_consumer,
    stop,
)
from common.errors import BrokerUnavailable
from common.observability.telemetry import get_logger
from common.tasks import running_alongside

log = get_logger(__name__)

# Records wake the reading task; what only this wakes it for is the end of a rebalance, which takes longer anyway.
_POLL_MS = 250
_RECORDS = 500
_PAUSE_SECONDS = 0.1
_LONGEST_PAUSE_SECONDS = 5.0
_LAST_COMMIT_SECONDS = 2.0
# aiokafka tries a commit again for ever, and after a restart of the brokers now and then without hope.
_STUCK_COMMIT_SECONDS = 20.0
_LEAVE_SECONDS = 3.0


@dataclass(frozen=True, slots=True)
class Membership:
    """What a member joins, and how long it may be silent."""

    topic: str
    group: str
    session_seconds: float
    poll_interval_seconds: float

    def options(self) -> dict[str, Any]:
        """Return the consumer's options."""
        session_ms = int(self.session_seconds * 1000)
        return {
            "session_timeout_ms": session_ms,
            # Members learn of a rebalance from a heartbeat's answer, so this is also how long others wait to join.
            "heartbeat_interval_ms": min(1000, session_ms // 4),
            "max_poll_interval_ms": int(self.poll_interval_seconds * 1000),
        }


class Member(ConsumerRebalanceListener):
    """See the module. `joined` is set once partitions were dealt out, be they none."""

    def __init__(self, membership: Membership, cluster: Cluster, deliveries: Deliveries) -> None:
        self.joined = asyncio.Event()
        self.trouble = ""
        self._membership = membership
        self._cluster = cluster
        self._deliveries = deliveries
        self._consumer: Consumer | None = None
        self._settled = asyncio.Event()
        self._dealt: set[TopicPartition] | None = None
        self._epoch = 0
        self._commit_scope: asyncio.Timeout | None = None
        self._paused: set[int] = set()

    async def run(self) -> None:
        """Be a member until cancelled; then hand back what is unfinished, and leave."""
        pause = _PAUSE_SECONDS
        self._deliveries.on_room = self._regulate
        try:
            while True:
                began = time.monotonic()
                try:
                    await self._attend()
                except (kafka_errors.KafkaError, OSError, TimeoutError) as exc:
                    self.trouble = said(exc)
                    log.warning("broker.member_failed", topic=self._membership.topic, error=self.trouble)
                lasted = time.monotonic() - began
                pause = _PAUSE_SECONDS if lasted > _LONGEST_PAUSE_SECONDS else min(pause * 2, _LONGEST_PAUSE_SECONDS)
                await asyncio.sleep(pause)
        finally:
            self._deliveries.lose_all()

    async def on_partitions_revoked(  # pyright: ignore[reportIncompatibleMethodOverride] - may be a coroutine, it says
        self, revoked: set[TopicPartition]
    ) -> None:
        """Commit what is finished, and what is in hand as if untouched: it may be another's next."""
        self._suspend()
        if revoked:
            await self._commit_last()

    async def on_partitions_assigned(  # pyright: ignore[reportIncompatibleMethodOverride] - may be a coroutine, it says
        self, assigned: set[TopicPartition]
    ) -> None:
        """Leave the rest to the reading task: heartbeats wait for this to return."""
        self._epoch += 1
        self._dealt = set(assigned)

    async def _attend(self) -> None:
        consumer = new_consumer(self._cluster.options, self._membership.group, **self._membership.options())
        self._consumer = consumer
        try:
            await consumer.start()
            consumer.subscribe([self._membership.topic], listener=self)
            async with running_alongside(self._commit_changes(consumer)):
                await self._read(consumer)
        finally:
            await self._leave(consumer)

    async def _read(self, consumer: Consumer) -> None:
        while True:
            if self._dealt is not None:
                await self._take_over(consumer, self._dealt)
            self._regulate()
            epoch = self._epoch
            settled = self._settled.is_set()
            # Without partitions this waits for them, and says when there is no hope.
            read = await consumer.getmany(timeout_ms=_POLL_MS if settled else 0, max_records=_RECORDS)
            if not settled:
                await asyncio.sleep(_PAUSE_SECONDS / 10)
            elif epoch == self._epoch and self._settled.is_set():
                for place, records in read.items():
                    self._deliveries.feed(place.partition, records)

    async def _take_over(self, consumer: Consumer, dealt: set[TopicPartition]) -> None:
        """Go on where the partitions' last owners were, unless they are dealt out anew meanwhile."""
        epoch = self._epoch
        try:
            committed = await self._positions({place.partition for place in dealt})
        except BrokerUnavailable as exc:
            log.warning("broker.positions_unknown", topic=self._membership.topic, detail=exc.detail)
            return
        if epoch != self._epoch:
            return
        self._dealt = None
        for number, offset in self._deliveries.adopt(committed).items():
            consumer.seek(TopicPartition(self._membership.topic, number), offset)
        self._paused.clear()
        self._settled.set()
        self.joined.set()

    async def _positions(self, partitions: set[int]) -> dict[int, Committed]:
        if not partitions:
            return {}
        topic = self._membership.topic
        committed = await self._cluster.committed(self._membership.group, topic, partitions)
        # A partition that was added later: its group is known, so nothing in it may be missed.
        new = {number for number in partitions if number not in committed or committed[number].offset < 0}
        begins = await self._cluster.offsets(topic, new, latest=False) if new else {}
        return committed | {number: Committed(offset, "") for number, offset in begins.items()}

    def _regulate(self) -> None:
        """Read on only where there is room."""
        if self._consumer is None or not self._settled.is_set():
            return
        for number, wanted in self._deliveries.wants().items():
            place = TopicPartition(self._membership.topic, number)
            with contextlib.suppress(kafka_errors.IllegalStateError):  # a rebalance begins at this moment
                if wanted and number in self._paused:
                    self._consumer.resume(place)
                    self._paused.discard(number)
                elif not wanted and number not in self._paused:
                    self._consumer.pause(place)
                    self._paused.add(number)

    async def _commit_changes(self, consumer: Consumer) -> None:
        while True:
            await self._deliveries.changed.wait()
            await self._settled.wait()
            self._deliveries.changed.clear()
            try:
                if not is_member(consumer):
                    raise kafka_errors.CommitFailedError
                async with asyncio.timeout(_STUCK_COMMIT_SECONDS) as self._commit_scope:
                    await self._commit(consumer, hands_out=True)
            except (kafka_errors.KafkaError, TimeoutError) as exc:
                if isinstance(exc, TimeoutError) and self._settled.is_set():
                    raise  # no rebalance has cut it short: only another consumer will help
                log.info("broker.commit_failed", topic=self._membership.topic, error=said(exc))
                self._deliveries.changed.set()
                await asyncio.sleep(_PAUSE_SECONDS)
            finally:
                self._commit_scope = None

    async def _commit(self, consumer: Consumer, *, hands_out: bool) -> None:
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
            async with asyncio.timeout(min(_LAST_COMMIT_SECONDS, self._membership.session_seconds / 2)):
                await self._commit(consumer, hands_out=False)
        except (kafka_errors.KafkaError, TimeoutError) as exc:
            log.info("broker.commit_failed", topic=self._membership.topic, error=said(exc))

    def _suspend(self) -> None:
        self._settled.clear()
        self._epoch += 1
        self._dealt = None
        if self._commit_scope is not None:
            # A commit that is on its way would be sent again after the rebalance, as if nothing had changed.
            self._commit_scope.reschedule(asyncio.get_running_loop().time())
        self._deliveries.suspend()

    async def _leave(self, consumer: Consumer) -> None:
        """Say what is finished, and leave the group, so that others need not wait for our session to end."""
        had_partitions = self._settled.is_set()
        self._suspend()
        if had_partitions:
            await self._commit_last()
        try:
            async with asyncio.timeout(_LEAVE_SECONDS):
                await stop(consumer)
        except (kafka_errors.KafkaError, OSError, TimeoutError) as exc:
            log.info("broker.leave_failed", topic=self._membership.topic, error=said(exc))
        finally:
            self._consumer = None
            await drop(consumer)
