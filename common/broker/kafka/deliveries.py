"""The messages of one subscription between the partitions and the consumer's hands.

A message is read, staged, written into a commit as being in hand, and only then handed out; so whoever owns the
partition next knows what a dead consumer held. Each ending changes the partition's progress, and the next commit tells
Kafka. A message that is put off waits here, and its partition goes on.

Refuses to talk to Kafka: `kafka_member` feeds it, and carries its commits out.
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
from common.broker.kafka.cluster import Committed
from common.broker.kafka.library import Record
from common.broker.kafka.progress import Marks, PartitionProgress

_BUFFERED_RECORDS = 100
_BUFFERED_BYTES = 32 * 1024 * 1024


@dataclass(eq=False, slots=True)
class Partition:
    """A partition of ours. `lost`: it was another's in the meantime, so what is in hand counts no more."""

    number: int
    progress: PartitionProgress
    lost: bool = False
    dirty: bool = True
    buffered: int = 0


@dataclass(eq=False, slots=True)
class Item:
    """A message that was read and is not finished."""

    partition: Partition
    offset: int
    message: Message
    attempt: int

    @property
    def size(self) -> int:
        """Bytes, roughly."""
        return len(self.message.value) + 200


@dataclass(slots=True)
class Commit:
    """What goes to Kafka in one request, and who waits for it."""

    offsets: dict[int, tuple[int, str]]
    partitions: list[Partition]
    staged: list[Item] = field(default_factory=list[Item])
    waiting: list[Waiter] = field(default_factory=list["Waiter"])


Waiter = tuple[Partition, asyncio.Future[None]]
"""Somebody who waits until Kafka knows of an ending, or the partition is lost."""


class Deliveries:
    """See the module. `changed` is set when there is something to commit, `ready` when there is something to take."""

    def __init__(self, topic: str, prefetch: int) -> None:
        self.owner = uuid.uuid4().hex[:12]
        self.changed = asyncio.Event()
        self.ready = asyncio.Event()
        self.on_room: Callable[[], None] = lambda: None
        self._topic = topic
        self._prefetch = prefetch
        self._partitions: dict[int, Partition] = {}
        self._fresh: deque[Item] = deque()
        self._put_off: list[tuple[float, int, Item]] = []
        self._staged: list[Item] = []
        self._committed: deque[Item] = deque()
        self._held: set[Item] = set()
        self._waiting: list[Waiter] = []
        self._bytes = 0
        self._order = itertools.count()
        self._timer: asyncio.TimerHandle | None = None

    def take(self) -> Item | None:
        """Return a message for the consumer, if one is ready."""
        while self._committed:
            item = self._committed.popleft()
            if not self._committed:
                self.ready.clear()
            if not item.partition.lost:
                return item
        return None

    def adopt(self, committed: Mapping[int, Committed]) -> dict[int, int]:
        """Own these partitions, as they were committed, and no others; return where to read on in each.

        A partition that nobody else has written about since our last commit is still ours, with all that is in hand.
        """
        for number in list(self._partitions):
            if number not in committed or Marks.parse(committed[number].metadata).owner != self.owner:
                self._partitions.pop(number).lost = True
        for number, at in committed.items():
            if number not in self._partitions:
                progress = PartitionProgress(at.offset, Marks.parse(at.metadata).marks)
                self._partitions[number] = Partition(number, progress)
        for item in self._held:
            self._note(item, item.attempt + 1)
        for partition in self._partitions.values():
            partition.dirty = True
        self._drop_lost()
        self._stage()
        self.changed.set()
        return {number: partition.progress.next_offset for number, partition in self._partitions.items()}

    def feed(self, number: int, records: Iterable[Record]) -> None:
        """Take in what was read from a partition, in the order of its offsets."""
        for record in records:
            partition = self._partitions[number]
            if record.offset < partition.progress.floor:
                # Offsets began anew: the topic was deleted and made again.
                partition.lost = True
                self._drop_lost()
                partition = self._partitions[number] = Partition(number, PartitionProgress(record.offset))
            attempt = partition.progress.read(record.offset)
            if attempt:
                item = Item(partition, record.offset, to_message(self._topic, record), attempt)
                partition.buffered += 1
                self._bytes += item.size
                self._fresh.append(item)
        self._stage()

    def wants(self) -> dict[int, bool]:
        """Return for each partition whether it should be read on now."""
        room = self._bytes < _BUFFERED_BYTES
        return {
            number: room and partition.buffered < _BUFFERED_RECORDS and not partition.progress.is_full
            for number, partition in self._partitions.items()
        }

    def finish(self, item: Item) -> asyncio.Future[None]:
        """Never deliver it again; the result is there when Kafka knows, or when the partition is lost."""
        self._end(item, 0)
        done = asyncio.get_running_loop().create_future()
        self._waiting.append((item.partition, done))
        self._settle_lost()
        return done

    def resume(self, item: Item) -> None:
        """Take `finish` back, which Kafka could not be told: it is in the consumer's hands again."""
        if item.partition.lost:
            return
        self._held.add(item)
        self._bytes += item.size
        self._note(item, item.attempt + 1)
        if len(self._held) > self._prefetch and self._staged:
            surplus = self._staged.pop()
            self._held.discard(surplus)
            self._note(surplus, surplus.attempt)
            surplus.partition.buffered += 1
            self._fresh.appendleft(surplus)

    def put_off(self, item: Item, seconds: float, attempt: int) -> None:
        """Deliver it again in so many seconds, as this attempt."""
        if not item.partition.lost:
            due = asyncio.get_running_loop().time() + max(seconds, 0.0)
            again = Item(item.partition, item.offset, item.message, attempt)
            heapq.heappush(self._put_off, (due, next(self._order), again))
            self._bytes += again.size
        self._end(item, attempt)

    def suspend(self) -> None:
        """Hand nothing out until `adopt`: the partitions may go elsewhere, with what is in hand as if untouched."""
        self._staged.extend(self._committed)
        self._committed.clear()
        self.ready.clear()
        for item in self._held:
            self._note(item, item.attempt)
        for partition in self._partitions.values():
            partition.dirty = True

    def lose_all(self) -> None:
        """Give every partition up."""
        if self._timer is not None:
            self._timer.cancel()
        for partition in self._partitions.values():
            partition.lost = True
        self._partitions.clear()
        self._drop_lost()

    def begin_commit(self, *, hands_out: bool = True) -> Commit:
        """Return what Kafka does not know yet. `confirm` or `withdraw` must follow."""
        dirty = [partition for partition in self._partitions.values() if partition.dirty]
        commit = Commit({}, dirty)
        for partition in dirty:
            partition.dirty = False
            text = str(Marks(self.owner, partition.progress.marks()))
            commit.offsets[partition.number] = (partition.progress.position, text)
        if hands_out:
            commit.staged, self._staged = self._staged, []
        commit.waiting, self._waiting = self._waiting, []
        return commit

    def confirm(self, commit: Commit) -> None:
        """Kafka knows: hand out what was staged, let those go who wait."""
        for partition in commit.partitions:
            partition.progress.forget_finished(commit.offsets[partition.number][0])
        self._committed.extend(item for item in commit.staged if not item.partition.lost)
        if self._committed:
            self.ready.set()
        self._settle(commit.waiting)
        self.on_room()

    def withdraw(self, commit: Commit) -> None:
        """Kafka may not know: the next commit says it again."""
        for partition in commit.partitions:
            partition.dirty = True
        self._staged[:0] = [item for item in commit.staged if not item.partition.lost]
        self._waiting[:0] = commit.waiting
        self._settle_lost()
        self.changed.set()

    def _end(self, item: Item, next_attempt: int) -> None:
        self._held.discard(item)
        self._bytes -= item.size
        self._note(item, next_attempt)
        self._stage()
        self.on_room()

    def _note(self, item: Item, next_attempt: int) -> None:
        if not item.partition.lost:
            item.partition.progress.set_next_attempt(item.offset, next_attempt)
            item.partition.dirty = True
            self.changed.set()

    def _stage(self) -> None:
        """Bring messages on their way to the consumer while fewer than `prefetch` are."""
        while len(self._held) < self._prefetch:
            item = self._next()
            if item is None:
                break
            self._held.add(item)
            self._staged.append(item)
            self._note(item, item.attempt + 1)
        self._watch_the_clock()

    def _next(self) -> Item | None:
        if self._put_off and self._put_off[0][0] <= asyncio.get_running_loop().time():
            return heapq.heappop(self._put_off)[2]
        if self._fresh:
            item = self._fresh.popleft()
            item.partition.buffered -= 1
            return item
        return None

    def _watch_the_clock(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._put_off and len(self._held) < self._prefetch:
            self._timer = asyncio.get_running_loop().call_at(self._put_off[0][0], self._stage)

    def _drop_lost(self) -> None:
        """Forget what is not in the consumer's hands; what is, stays counted until its void ending."""
        staged = {item for item in (*self._staged, *self._committed) if item.partition.lost}
        self._held -= staged
        self._staged = [item for item in self._staged if not item.partition.lost]
        self._committed = deque(item for item in self._committed if not item.partition.lost)
        self._fresh = deque(item for item in self._fresh if not item.partition.lost)
        self._put_off = [entry for entry in self._put_off if not entry[2].partition.lost]
        heapq.heapify(self._put_off)
        waiting = itertools.chain(self._fresh, self._held, (entry[2] for entry in self._put_off))
        self._bytes = sum(item.size for item in waiting)
        self._settle_lost()

    def _settle_lost(self) -> None:
        self._settle([waiter for waiter in self._waiting if waiter[0].lost])
        self._waiting = [waiter for waiter in self._waiting if not waiter[0].lost]

    @staticmethod
    def _settle(waiting: list[Waiter]) -> None:
        for _, future in waiting:
            if not future.done():
                future.set_result(None)


def to_message(topic: str, record: Record) -> Message:
    """Return a record as the port has it. Bytes that are not UTF-8 where text is expected are replaced."""
    headers = {name: (value or b"").decode(errors="replace") for name, value in record.headers}
    key = (record.key or b"").decode(errors="replace")
    return Message(topic, key, record.value or b"", headers, f"{record.partition}:{record.offset}")
