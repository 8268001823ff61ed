"""The broker port: at-least-once delivery, unordered, to consumer groups. It promises only what Kafka, SQS and the
embedded broker can all keep, so consumers must be idempotent.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Literal, Protocol

from common.health import Health

MAX_MESSAGE_BYTES = 1024 * 1024

Settlement = Literal["ack", "retry", "release", "reject"]
"""The four ways to settle a delivery."""


def dead_letter_topic(topic: str) -> str:
    """Return the name of the topic that holds `topic`'s dead letters."""
    return f"{topic}.dlq"


def encodable(key: str, headers: Mapping[str, str]) -> tuple[str, dict[str, str]]:
    """Return a key and headers as they go on the wire: a lone surrogate, which UTF-8 has no form for, is "?"."""
    return _encodable(key), {name: _encodable(text) for name, text in headers.items()}


def _encodable(text: str) -> str:
    return text.encode(errors="replace").decode()


@dataclass(frozen=True, slots=True)
class Message:
    """One message. `position` is where it was read from ("partition:offset"), "" before it was published."""

    topic: str
    key: str
    value: bytes
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    position: str = ""


@dataclass(frozen=True, slots=True)
class Guarantees:
    """What a broker promises for one topic, where brokers differ.

    `separate_groups`: each group has every message; False: all groups share them, and forgetting one changes nothing.
    `retained`: messages are kept without a group, for `start="earliest"` and `peek`; False: a new group has what is
    published once it has joined, whatever `start` says. `ages_known`: `oldest_age` counts every message; False: those
    that this process holds. `max_message_bytes`: value and headers together.
    """

    separate_groups: bool = True
    retained: bool = True
    ages_known: bool = True
    max_message_bytes: int = MAX_MESSAGE_BYTES


class Delivery(Protocol):
    """One message leased to a consumer until it is settled: exactly one of ack, retry, release, reject is called.

    The broker renews the lease while the subscription is open. When a consumer dies the lease expires, and the message
    is delivered again with `attempt` one higher. Settling after the lease was lost is logged and has no effect.
    Settling twice is a defect of the consumer: RuntimeError. One that raised BrokerUnavailable may be tried again.
    """

    @property
    def message(self) -> Message:
        """The message as it was published."""
        ...

    @property
    def attempt(self) -> int:
        """1 for the first delivery; counts redeliveries after `retry` and after a lost lease, not after `release`."""
        ...

    async def ack(self) -> None:
        """Finished: never deliver it to this group again."""
        ...

    async def retry(self, delay: timedelta) -> None:
        """Failed for now: deliver it again after `delay`, with `attempt` one higher."""
        ...

    async def release(self, delay: timedelta = timedelta(0)) -> None:
        """Return it unprocessed: deliver it again after `delay`, to any consumer, with the same `attempt`."""
        ...

    async def reject(self, error_code: str, error_message: str) -> None:
        """Move it to the dead-letter topic, atomically or in the order publish, then ack.

        The dead letter keeps key, value and headers and adds `error_code`, `error_message`, `origin_topic`,
        `origin_partition`, `origin_offset` and `attempt`.
        """
        ...


class Broker(Protocol):
    """Publishes and consumes. Opened by `open_broker`, which also closes it."""

    def guarantees(self, topic: str) -> Guarantees:
        """Return what holds for this topic."""
        ...

    async def publish(self, topic: str, key: str, value: bytes, headers: Mapping[str, str]) -> None:
        """Return when the message is durable.

        Raises:
            MessageTooLarge: value and headers together are over the topic's limit (see Guarantees).
            QueueFull: the topic's unread backlog is at its limit (brokers with bounded topics only).
            BrokerUnavailable: it may or may not have been accepted; publishing again is safe.
        """
        ...

    def consume(
        self,
        topic: str,
        group: str,
        *,
        prefetch: int = 1,
        start: Literal["earliest", "latest"] = "earliest",
    ) -> AbstractAsyncContextManager[AsyncIterator[Delivery]]:
        """Join `group` and yield deliveries, at most `prefetch` of them unsettled at a time.

        `start` is where a new group begins, of a topic that retains messages (see Guarantees). The iterator waits for
        messages and ends only when the context is left; leaving it releases unsettled deliveries.
        """
        ...

    async def ensure_topic(self, topic: str) -> None:
        """Make the topic if it does not exist: a consumer of another program may look for it once, at its start.

        Raises:
            BrokerUnavailable: it may or may not have been made; ensuring again is safe.
        """
        ...

    async def peek(self, topic: str, *, limit: int = 100) -> list[Message]:
        """Return up to `limit` retained messages, oldest first, without joining a group (for dead letters)."""
        ...

    async def lag(self, topic: str, group: str) -> int:
        """Return how many messages the group has not finished."""
        ...

    async def oldest_age(self, topic: str, group: str) -> timedelta:
        """Return how long ago the oldest message that the group has not finished was published; zero without one.

        See Guarantees.ages_known.
        """
        ...

    async def forget(self, topic: str, group: str) -> None:
        """Remove a group that will not return, so that no messages are retained for it; no-op if there is none.

        Its subscriptions must have been left.

        Raises:
            BrokerUnavailable: it may or may not have been removed; forgetting again is safe.
        """
        ...

    async def health(self) -> Health:
        """Check the broker; never raises."""
        ...
