"""Reading one queue: long polls, the messages in hand, and the heartbeat that keeps them invisible to others.

All subscriptions of a process to one queue share a reader. A long poll is never cancelled: SQS may have handed messages
to it that would stay invisible, with their delivery counted. When its subscriptions have left meanwhile, the reader
waits it out and puts what it brought back into the queue.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from common.broker.base import Message
from common.broker.sqs.batches import Batcher
from common.broker.sqs.connection import Clients, LeaseExpired, Missing, answered
from common.broker.sqs.envelope import Envelope, Received, decode, encode
from common.broker.sqs.names import queue_name_of
from common.broker.sqs.publisher import Publisher, failed_entries
from common.errors import BrokerError, BrokerUnavailable
from common.leases import RENEWED_AT, grown_lease
from common.messages.base import GUILD_ID
from common.observability.telemetry import get_logger
from common.tasks import time_limit

log = get_logger(__name__)

MAX_VISIBILITY_SECONDS = 12 * 3600
"""SQS' ceiling for one receive, all extensions included."""
MAX_DELAY_SECONDS = 900
"""SQS' ceiling for a message that is sent with a delay."""

_TICK = 1 / 2  # of the time until the first renewal
_SETTLE_LINGER_SECONDS = 0.01
_FIRST_PAUSE_SECONDS = 0.5
_LONGEST_PAUSE_SECONDS = 15.0
_SHORTEST_POLL_SECONDS = 0.2
_CLOSE_SLACK_SECONDS = 6.0


@dataclass(frozen=True, slots=True)
class Reading:
    """How a queue is read."""

    lease_seconds: float
    max_messages: int
    wait_seconds: int

    @property
    def visibility_seconds(self) -> int:
        """What the first lease of a message is for SQS."""
        return _visibility_of(self.lease_seconds)


@dataclass(eq=False, slots=True)
class Held:
    """A message in hand. `renew_at`, `deadline`: of its lease, by `time.monotonic`.

    `lost`: its lease expired, so settling it has no effect any more.
    """

    received: Received
    received_at: float
    renew_at: float = 0.0
    deadline: float = 0.0
    lost: bool = False

    def leased(self, since: float, seconds: float) -> None:
        """Note a lease."""
        self.renew_at, self.deadline = since + seconds * RENEWED_AT, since + seconds

    @property
    def message(self) -> Message:
        """The message as it was published."""
        return self.received.message


@dataclass(eq=False, slots=True)
class Inbox:
    """One subscription's share of a queue. `ready` is set when there is a message to take, or it failed or ended.

    `iterating`: iterators that wait. Without one it is not polled for: an open poll delays the end of a program.
    """

    topic: str
    prefetch: int
    ready: asyncio.Event = field(default_factory=asyncio.Event)
    waiting: deque[Held] = field(default_factory=deque[Held])
    held: set[Held] = field(default_factory=set[Held])
    failure: BaseException | None = None
    iterating: int = 0

    @property
    def room(self) -> int:
        """How many more messages it may hold."""
        return self.prefetch - len(self.held)

    @property
    def is_wanting(self) -> bool:
        """Whether an iterator waits for which there is no message yet."""
        return self.iterating > len(self.waiting)

    def take(self) -> Held | None:
        """Return the next message, None if there is none."""
        while self.waiting:
            held = self.waiting.popleft()
            if not held.lost:
                return held
            self.held.discard(held)
        self.ready.clear()
        return None


class QueueReader:
    """See the module. Runs while there are inboxes; `close` ends it."""

    def __init__(self, clients: Clients, publisher: Publisher, url: str, reading: Reading) -> None:
        self.url = url
        self._clients = clients
        self._publisher = publisher
        self._reading = reading
        self._inboxes: list[Inbox] = []
        self._changed = asyncio.Event()
        self._running: asyncio.Task[None] | None = None
        self._renewing: asyncio.Task[None] | None = None
        self._polling = False
        self._deletes = Batcher(self._delete_batch, linger_seconds=_SETTLE_LINGER_SECONDS)
        self._changes = Batcher(self._change_batch, linger_seconds=_SETTLE_LINGER_SECONDS)

    def join(self, inbox: Inbox) -> None:
        """Read for this subscription too."""
        self._inboxes.append(inbox)
        self._changed.set()
        if self._running is None:
            self._running = asyncio.create_task(self._run(), name=f"sqs reader {queue_name_of(self.url)}")
        if self._renewing is None:
            self._renewing = asyncio.create_task(self._renew(), name=f"sqs heartbeat {queue_name_of(self.url)}")

    async def leave(self, inbox: Inbox) -> None:
        """Give back what the subscription holds, uncounted, and read no more for it."""
        if inbox in self._inboxes:
            self._inboxes.remove(inbox)
        self._changed.set()
        unsettled = [held for held in inbox.held if not held.lost]
        await self._give_back(unsettled)
        for held in inbox.held:
            held.lost = True
        inbox.held.clear()
        inbox.waiting.clear()

    def wake(self) -> None:
        """Look again whether to poll: an iterator waits."""
        self._changed.set()

    async def close(self, *, patient: bool = True) -> None:
        """Wait an open poll out, give back what it brought, and end. Not patient: the queue is about to be deleted."""
        tasks = {task for task in (self._running, self._renewing) if task is not None}
        if patient and self._running is not None and self._polling:
            await asyncio.wait({self._running}, timeout=self._reading.wait_seconds + _CLOSE_SLACK_SECONDS)
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
        await self._deletes.close()
        await self._changes.close()

    def held(self) -> list[Held]:
        """Return the messages in hand whose lease holds."""
        return [held for inbox in self._inboxes for held in inbox.held if not held.lost]

    def dismiss(self, inbox: Inbox, held: Held) -> None:
        """Make room for the next message: this one is settled."""
        inbox.held.discard(held)
        held.lost = True
        self._changed.set()

    async def delete(self, held: Held) -> None:
        """Never deliver it again; marks it as lost where it is no longer ours. Raises BrokerUnavailable."""
        try:
            await self._deletes.submit(held)
        except (LeaseExpired, Missing):
            held.lost = True

    async def postpone(self, held: Held, seconds: float) -> None:
        """Deliver it again after `seconds`, as the next attempt; as for `delete`."""
        whole = math.ceil(max(seconds, 0.0))
        if time.monotonic() - held.received_at + whole < MAX_VISIBILITY_SECONDS:
            try:
                await self._changes.submit((held, whole))
            except (LeaseExpired, Missing):
                held.lost = True
        else:
            await self.send_again(held, seconds, attempts=held.received.attempt)

    async def send_again(self, held: Held, seconds: float, *, attempts: int) -> None:
        """Put a copy into the queue that is delivered after `seconds` as attempt `attempts` + 1, then delete it.

        A crash in between leaves both; a delete that fails is logged, because the copy is in the queue.

        Raises:
            BrokerError: the copy may not be there; nothing was deleted.
        """
        delay = math.ceil(max(seconds, 0.0))
        due_at = time.time() + seconds if delay > MAX_DELAY_SECONDS else 0.0
        envelope = replace(held.received.envelope, attempts=attempts, due_at=due_at)
        await self._publisher.send(
            self.url, encode(envelope), group=group_of(envelope), delay_seconds=min(delay, MAX_DELAY_SECONDS)
        )
        try:
            await self._deletes.submit(held)
        except BrokerUnavailable as exc:
            log.warning("broker.copy_left", position=held.message.position, detail=exc.detail)

    async def _run(self) -> None:
        pause = _FIRST_PAUSE_SECONDS
        try:
            while self._inboxes:
                room = sum(max(inbox.room, 0) for inbox in self._inboxes if inbox.is_wanting)
                if not room:
                    self._changed.clear()
                    await self._changed.wait()
                    continue
                began = time.monotonic()
                try:
                    found = await self._poll(min(room, self._reading.max_messages))
                except Missing as exc:
                    self._fail(BrokerUnavailable(exc.detail))
                    return
                except BrokerUnavailable as exc:
                    log.warning("broker.poll_failed", queue=queue_name_of(self.url), detail=exc.detail)
                    await asyncio.sleep(pause)
                    pause = min(pause * 2, _LONGEST_PAUSE_SECONDS)
                    continue
                pause = _FIRST_PAUSE_SECONDS
                await self._hand_out(found)
                if not found and time.monotonic() - began < _SHORTEST_POLL_SECONDS:
                    await asyncio.sleep(_SHORTEST_POLL_SECONDS)  # a server without long polls
        except Exception as exc:
            self._fail(exc)
            raise
        finally:
            self._running = None

    async def _poll(self, count: int) -> list[Any]:
        self._polling = True
        try:
            async with answered(f"queue {queue_name_of(self.url)}", seconds=None):
                answer = await self._clients.polls.receive_message(
                    QueueUrl=self.url,
                    MaxNumberOfMessages=count,
                    WaitTimeSeconds=self._reading.wait_seconds,
                    VisibilityTimeout=self._reading.visibility_seconds,
                    MessageAttributeNames=["All"],
                    MessageSystemAttributeNames=["ApproximateReceiveCount", "SentTimestamp"],
                )
            return list(answer.get("Messages", []))
        finally:
            self._polling = False

    async def _hand_out(self, found: Sequence[Any]) -> None:
        now = time.monotonic()
        surplus: list[Held] = []
        for raw in found:
            inbox = max(self._inboxes, key=lambda each: (each.room > 0, each.iterating > 0, each.room), default=None)
            topic = inbox.topic if inbox else ""
            held = Held(decode(topic, raw), now)
            held.leased(now, self._reading.lease_seconds)
            if inbox is None or inbox.room < 1 or held.received.envelope.due_at > time.time():
                surplus.append(held)
                continue
            inbox.held.add(held)
            inbox.waiting.append(held)
            inbox.ready.set()
        await self._give_back(surplus)

    async def _give_back(self, unsettled: Sequence[Held]) -> None:
        """Send messages again as the same attempt; where that fails, make them visible, which counts as one."""
        async with asyncio.TaskGroup() as tasks:
            for held in unsettled:
                tasks.create_task(self._give_one_back(held))

    async def _give_one_back(self, held: Held) -> None:
        seconds = max(0.0, held.received.envelope.due_at - time.time()) if held.received.envelope.due_at else 0.0
        try:
            await self.send_again(held, seconds, attempts=held.received.attempt - 1)
        except BrokerError as exc:
            log.warning("broker.release_failed", position=held.message.position, detail=exc.detail)
            try:
                await self._changes.submit((held, 0))
            except BrokerError as failure:
                # It is redelivered when its lease expires.
                log.warning("broker.release_failed", position=held.message.position, detail=failure.detail)

    async def _renew(self) -> None:
        """Extend the visibility of what is in hand, at a third of its lease."""
        tick = self._reading.lease_seconds * RENEWED_AT * _TICK
        while True:
            await asyncio.sleep(tick)
            now = time.monotonic()
            await asyncio.gather(*(self._renew_one(held) for held in self.held() if held.renew_at <= now))

    async def _renew_one(self, held: Held) -> None:
        began = time.monotonic()
        lease = grown_lease(self._reading.lease_seconds, began - held.received_at)
        if began - held.received_at + _visibility_of(lease) < MAX_VISIBILITY_SECONDS:
            try:
                async with time_limit(max(0.0, held.deadline - began)):
                    await self._changes.submit((held, _visibility_of(lease)))
            except (LeaseExpired, Missing):
                held.lost = True
            except (BrokerError, TimeoutError) as exc:
                log.warning("broker.heartbeat_missed", position=held.message.position, detail=str(exc))
            else:
                held.leased(began, lease)
        if time.monotonic() > held.deadline:
            held.lost = True

    def _fail(self, failure: BaseException) -> None:
        for inbox in self._inboxes:
            inbox.failure = failure
            inbox.ready.set()

    async def _delete_batch(self, items: Sequence[Held]) -> Mapping[int, BrokerError]:
        entries: Any = [{"Id": str(at), "ReceiptHandle": held.received.receipt} for at, held in enumerate(items)]
        return await failed_entries(
            f"deleting from queue {queue_name_of(self.url)}",
            lambda: self._clients.sqs.delete_message_batch(QueueUrl=self.url, Entries=entries),
        )

    async def _change_batch(self, items: Sequence[tuple[Held, int]]) -> Mapping[int, BrokerError]:
        entries: Any = [
            {"Id": str(at), "ReceiptHandle": held.received.receipt, "VisibilityTimeout": seconds}
            for at, (held, seconds) in enumerate(items)
        ]
        return await failed_entries(
            f"visibility in queue {queue_name_of(self.url)}",
            lambda: self._clients.sqs.change_message_visibility_batch(QueueUrl=self.url, Entries=entries),
        )


def _visibility_of(lease_seconds: float) -> int:
    """Return a lease in SQS' whole seconds, and one more for the answer's way."""
    return math.ceil(lease_seconds) + 1


def group_of(envelope: Envelope) -> str:
    """Return by what fair queues tell messages apart: the guild, else the key."""
    return envelope.headers.get(GUILD_ID, "") or envelope.key
