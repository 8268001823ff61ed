"""The messages of one subscription, from the time they are read until their end is committed.

A message is read, staged, written into an offset commit as delivered, and only then handed out, so that the
partition's next owner knows which messages a dead consumer held. Each settlement changes the partition's progress, and
the next commit sends it to Kafka. A deferred message waits here in memory while its partition is read on.

Refuses to talk to Kafka: `member` feeds in records and carries out the commits.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
import uuid
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from common.broker.base import Message
from common.broker.kafka.library import KafkaRecord
from common.broker.kafka.progress import CommitMetadata, CommittedOffset, PartitionProgress

_BUFFERED_RECORDS = 100
_BUFFERED_BYTES = 32 * 1024 * 1024
_OVERHEAD_BYTES = 200


@dataclass(eq=False, slots=True)
class AssignedPartition:
    """A partition assigned to this member. `lost`: it was reassigned since, so settlements have no effect any more.

    `dirty`: its progress differs from what is committed. `buffered`: records read and not staged yet.
    """

    number: int
    progress: PartitionProgress
    lost: bool = False
    dirty: bool = True
    buffered: int = 0


@dataclass(eq=False, slots=True)
class UnsettledMessage:
    """A message that was read and is not settled. `attempt` is that of its next or current delivery."""

    partition: AssignedPartition
    offset: int
    message: Message
    attempt: int

    @property
    def size(self) -> int:
        """Bytes in memory, estimated."""
        return len(self.message.value) + _OVERHEAD_BYTES


@dataclass(slots=True)
class OffsetCommit:
    """One commit request: offset and metadata by partition, the messages it hands out, and the waiters it resolves."""

    offsets: dict[int, tuple[int, str]]
    partitions: list[AssignedPartition]
    staged: list[UnsettledMessage] = field(default_factory=list[UnsettledMessage])
    waiters: list[CommitWaiter] = field(default_factory=list["CommitWaiter"])


CommitWaiter = tuple[AssignedPartition, asyncio.Future[None]]
"""A future that is resolved when the partition's settlements are committed, or the partition is lost."""


class Deliveries:
    """See the module. `changed` is set when there is progress to commit, `ready` when a message can be taken.

    `on_capacity` is called when buffers have shrunk: paused partitions may be read on.
    """

    def __init__(self, topic: str, prefetch: int) -> None:
        self.owner = uuid.uuid4().hex[:12]
        self.changed = asyncio.Event()
        self.ready = asyncio.Event()
        self.on_capacity: Callable[[], None] = lambda: None
        self._topic = topic
        self._prefetch = prefetch
        self._partitions: dict[int, AssignedPartition] = {}
        self._buffer: deque[UnsettledMessage] = deque()
        self._deferred: list[tuple[float, int, UnsettledMessage]] = []
        self._staged: list[UnsettledMessage] = []
        self._committed: deque[UnsettledMessage] = deque()
        # Staged, committed, or with the consumer: what counts towards `prefetch`.
        self._in_flight: set[UnsettledMessage] = set()
        self._waiters: list[CommitWaiter] = []
        self._bytes = 0
        self._sequence = itertools.count()
        self._timer: asyncio.TimerHandle | None = None

    def take(self) -> UnsettledMessage | None:
        """Return a message for the consumer, or None if none is ready."""
        while self._committed:
            item = self._committed.popleft()
            if not self._committed:
                self.ready.clear()
            if not item.partition.lost:
                return item
        return None

    def assign(self, committed: Mapping[int, CommittedOffset]) -> dict[int, int]:
        """Own exactly these partitions, as committed; return for each the offset to read on at.

        A partition whose last commit is ours was not owned by another member in between: it stays, with its messages in
        flight. Any other partition that was ours is lost.
        """
        for number in list(self._partitions):
            if number not in committed or CommitMetadata.parse(committed[number].metadata).owner != self.owner:
                self._partitions.pop(number).lost = True
        for number, at in committed.items():
            if number not in self._partitions:
                progress = PartitionProgress(at.offset, CommitMetadata.parse(at.metadata).marks)
                self._partitions[number] = AssignedPartition(number, progress)
        for item in self._in_flight:
            self._set_next_attempt(item, item.attempt + 1)
        for partition in self._partitions.values():
            partition.dirty = True
        self._drop_lost()
        self._stage()
        self.changed.set()
        return {number: partition.progress.next_offset for number, partition in self._partitions.items()}

    def feed(self, number: int, records: Iterable[KafkaRecord]) -> None:
        """Take in records of a partition, in ascending order of their offsets."""
        for record in records:
            partition = self._partitions[number]
            if record.offset < partition.progress.floor:
                # Offsets began again: the topic was deleted and recreated.
                partition.lost = True
                self._drop_lost()
                partition = self._partitions[number] = AssignedPartition(number, PartitionProgress(record.offset))
            attempt = partition.progress.read(record.offset)
            if attempt:
                item = UnsettledMessage(partition, record.offset, to_message(self._topic, record), attempt)
                partition.buffered += 1
                self._bytes += item.size
                self._buffer.append(item)
        self._stage()

    def wanted(self) -> dict[int, bool]:
        """Return for each partition whether to read on: False pauses it until buffers have shrunk."""
        capacity = self._bytes < _BUFFERED_BYTES
        return {
            number: capacity and partition.buffered < _BUFFERED_RECORDS and not partition.progress.is_full
            for number, partition in self._partitions.items()
        }

    def finish(self, item: UnsettledMessage) -> asyncio.Future[None]:
        """Never deliver it again; the future is resolved when that is committed, or the partition is lost."""
        self._settle(item, 0)
        done = asyncio.get_running_loop().create_future()
        self._waiters.append((item.partition, done))
        self._resolve_lost()
        return done

    def undo_finish(self, item: UnsettledMessage) -> None:
        """Return a message to the consumer after its `finish` could not be committed in time."""
        if item.partition.lost:
            return
        self._in_flight.add(item)
        self._bytes += item.size
        self._set_next_attempt(item, item.attempt + 1)
        if len(self._in_flight) > self._prefetch and self._staged:
            surplus = self._staged.pop()
            self._in_flight.discard(surplus)
            self._set_next_attempt(surplus, surplus.attempt)
            surplus.partition.buffered += 1
            self._buffer.appendleft(surplus)

    def defer(self, item: UnsettledMessage, seconds: float, attempt: int) -> None:
        """Deliver it again after `seconds`, as this attempt."""
        if not item.partition.lost:
            due = asyncio.get_running_loop().time() + max(seconds, 0.0)
            again = UnsettledMessage(item.partition, item.offset, item.message, attempt)
            heapq.heappush(self._deferred, (due, next(self._sequence), again))
            self._bytes += again.size
        self._settle(item, attempt)

    def suspend(self) -> None:
        """Hand nothing out until `assign`: a rebalance may move the partitions, with messages in flight undelivered."""
        self._staged.extend(self._committed)
        self._committed.clear()
        self.ready.clear()
        for item in self._in_flight:
            self._set_next_attempt(item, item.attempt)
        for partition in self._partitions.values():
            partition.dirty = True

    def lose_all(self) -> None:
        """Mark every partition as lost."""
        if self._timer is not None:
            self._timer.cancel()
        for partition in self._partitions.values():
            partition.lost = True
        self._partitions.clear()
        self._drop_lost()

    def begin_commit(self, *, hands_out: bool = True) -> OffsetCommit:
        """Return the progress that is not committed yet; `confirm` or `withdraw` must follow.

        `hands_out` False: staged messages stay staged, because a rebalance follows.
        """
        dirty = [partition for partition in self._partitions.values() if partition.dirty]
        commit = OffsetCommit({}, dirty)
        for partition in dirty:
            partition.dirty = False
            metadata = str(CommitMetadata(self.owner, partition.progress.marks()))
            commit.offsets[partition.number] = (partition.progress.position, metadata)
        if hands_out:
            commit.staged, self._staged = self._staged, []
        commit.waiters, self._waiters = self._waiters, []
        return commit

    def confirm(self, commit: OffsetCommit) -> None:
        """The commit succeeded: hand out what was staged, resolve the waiters."""
        for partition in commit.partitions:
            partition.progress.forget_finished(commit.offsets[partition.number][0])
        self._committed.extend(item for item in commit.staged if not item.partition.lost)
        if self._committed:
            self.ready.set()
        self._resolve(commit.waiters)
        self.on_capacity()

    def withdraw(self, commit: OffsetCommit) -> None:
        """The commit failed, or its outcome is unknown: the next one repeats it."""
        for partition in commit.partitions:
            partition.dirty = True
        self._staged[:0] = [item for item in commit.staged if not item.partition.lost]
        self._waiters[:0] = commit.waiters
        self._resolve_lost()
        self.changed.set()

    def _settle(self, item: UnsettledMessage, next_attempt: int) -> None:
        self._in_flight.discard(item)
        self._bytes -= item.size
        self._set_next_attempt(item, next_attempt)
        self._stage()
        self.on_capacity()

    def _set_next_attempt(self, item: UnsettledMessage, attempt: int) -> None:
        if not item.partition.lost:
            item.partition.progress.set_next_attempt(item.offset, attempt)
            item.partition.dirty = True
            self.changed.set()

    def _stage(self) -> None:
        """Stage due and buffered messages while fewer than `prefetch` are in flight."""
        while len(self._in_flight) < self._prefetch:
            item = self._next()
            if item is None:
                break
            self._in_flight.add(item)
            self._staged.append(item)
            self._set_next_attempt(item, item.attempt + 1)
        self._arm_timer()

    def _next(self) -> UnsettledMessage | None:
        if self._deferred and self._deferred[0][0] <= asyncio.get_running_loop().time():
            return heapq.heappop(self._deferred)[2]
        if self._buffer:
            item = self._buffer.popleft()
            item.partition.buffered -= 1
            return item
        return None

    def _arm_timer(self) -> None:
        """Stage again when the first deferred message is due, unless `prefetch` is reached."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._deferred and len(self._in_flight) < self._prefetch:
            self._timer = asyncio.get_running_loop().call_at(self._deferred[0][0], self._stage)

    def _drop_lost(self) -> None:
        """Drop messages of lost partitions, except those with the consumer: they count until they are settled."""
        undelivered = {item for item in (*self._staged, *self._committed) if item.partition.lost}
        self._in_flight -= undelivered
        self._staged = [item for item in self._staged if not item.partition.lost]
        self._committed = deque(item for item in self._committed if not item.partition.lost)
        self._buffer = deque(item for item in self._buffer if not item.partition.lost)
        self._deferred = [entry for entry in self._deferred if not entry[2].partition.lost]
        heapq.heapify(self._deferred)
        kept = itertools.chain(self._buffer, self._in_flight, (entry[2] for entry in self._deferred))
        self._bytes = sum(item.size for item in kept)
        self._resolve_lost()

    def _resolve_lost(self) -> None:
        self._resolve([waiter for waiter in self._waiters if waiter[0].lost])
        self._waiters = [waiter for waiter in self._waiters if not waiter[0].lost]

    @staticmethod
    def _resolve(waiters: list[CommitWaiter]) -> None:
        for _, future in waiters:
            if not future.done():
                future.set_result(None)


def to_message(topic: str, record: KafkaRecord) -> Message:
    """Return a record as the port's message. Bytes that are not UTF-8 where text is expected are replaced."""
    headers = {name: (value or b"").decode(errors="replace") for name, value in record.headers}
    key = (record.key or b"").decode(errors="replace")
    return Message(topic, key, record.value or b"", headers, f"{record.partition}:{record.offset}")
