"""Sending to queues and SNS topics, in batches."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from common.aws import AwsFailure
from common.broker.base import MAX_MESSAGE_BYTES
from common.broker.sqs.batches import Batcher
from common.broker.sqs.connection import Clients, answered, unavailable
from common.broker.sqs.envelope import Wire
from common.broker.sqs.names import queue_name_of
from common.errors import BrokerError, BrokerUnavailable, MessageTooLarge
from common.observability.telemetry import get_logger

log = get_logger(__name__)

MAX_FAN_OUT_BYTES = 256 * 1024
"""SNS' own limit."""
LINGER_SECONDS = 0.005

_GROUP = re.compile(r"[A-Za-z0-9!-/:-@\[-`{-~]{1,128}")
_NO_FAIR_QUEUES = "MessageGroupId"


@dataclass(frozen=True, slots=True)
class _Send:
    wire: Wire
    delay_seconds: int
    group: str


class Publisher:
    """Sends until `close`."""

    def __init__(self, clients: Clients) -> None:
        self._clients = clients
        self._queues: dict[str, Batcher[_Send]] = {}
        self._topics: dict[str, Batcher[Wire]] = {}
        self._fair = True

    async def send(self, url: str, wire: Wire, *, group: str, delay_seconds: int = 0) -> None:
        """Send to a queue. `group`: whom it is for; SQS lets none wait behind the many of another.

        Raises:
            MessageTooLarge: over what SQS takes.
            BrokerUnavailable: it may or may not have been accepted.
        """
        _check_size(wire, MAX_MESSAGE_BYTES)
        batcher = self._queues.get(url)
        if batcher is None:
            batcher = self._queues[url] = Batcher(
                lambda items: self._send_batch(url, items), linger_seconds=LINGER_SECONDS, max_bytes=MAX_MESSAGE_BYTES
            )
        await batcher.submit(_Send(wire, delay_seconds, group if _GROUP.fullmatch(group) else ""), wire.size)

    async def publish(self, topic_arn: str, wire: Wire) -> None:
        """Publish to an SNS topic. Raises as `send` does."""
        _check_size(wire, MAX_FAN_OUT_BYTES)
        batcher = self._topics.get(topic_arn)
        if batcher is None:
            batcher = self._topics[topic_arn] = Batcher(
                lambda items: self._publish_batch(topic_arn, items),
                linger_seconds=LINGER_SECONDS,
                max_bytes=MAX_FAN_OUT_BYTES,
            )
        await batcher.submit(wire, wire.size)

    async def close(self) -> None:
        """Send what was submitted."""
        for batcher in (*self._queues.values(), *self._topics.values()):
            await batcher.close()

    async def _send_batch(self, url: str, items: Sequence[_Send]) -> Mapping[int, BrokerError]:
        what = f"sending to queue {queue_name_of(url)}"
        try:
            failed = await self._try_send(url, items, what)
        except BrokerUnavailable as exc:
            if not self._refuses_groups([exc]):
                raise
        else:
            if not self._refuses_groups(failed.values()):
                return failed
        log.warning("broker.no_fair_queues", queue=queue_name_of(url))
        self._fair = False
        return await self._try_send(url, items, what)

    def _refuses_groups(self, failures: Iterable[BrokerError]) -> bool:
        return self._fair and any(_NO_FAIR_QUEUES in failure.detail for failure in failures)

    async def _try_send(self, url: str, items: Sequence[_Send], what: str) -> Mapping[int, BrokerError]:
        entries = [self._entry(index, item) for index, item in enumerate(items)]
        return await failed_entries(
            what,
            lambda: self._clients.sqs.send_message_batch(QueueUrl=url, Entries=entries),  # pyright: ignore[reportArgumentType] - as built
        )

    def _entry(self, index: int, item: _Send) -> dict[str, Any]:
        entry: dict[str, Any] = {
            "Id": str(index),
            "MessageBody": item.wire.body,
            "MessageAttributes": item.wire.attributes,
        }
        if item.delay_seconds:
            entry["DelaySeconds"] = item.delay_seconds
        if item.group and self._fair:
            entry["MessageGroupId"] = item.group
        return entry

    async def _publish_batch(self, topic_arn: str, items: Sequence[Wire]) -> Mapping[int, BrokerError]:
        entries = [
            {"Id": str(index), "Message": wire.body, "MessageAttributes": wire.attributes}
            for index, wire in enumerate(items)
        ]
        return await failed_entries(
            f"publishing to {topic_arn}",
            lambda: self._clients.sns.publish_batch(TopicArn=topic_arn, PublishBatchRequestEntries=entries),  # pyright: ignore[reportArgumentType] - as built
        )


async def failed_entries(what: str, call: Callable[[], Awaitable[Any]]) -> dict[int, BrokerError]:
    """Make a batch call; return the entries that failed, by index.

    Raises:
        BrokerUnavailable: the whole request failed.
    """
    async with answered(what):
        result = await call()
    return {int(entry["Id"]): unavailable(what, _entry_failure(entry)) for entry in result.get("Failed", [])}


def _entry_failure(entry: Mapping[str, Any]) -> AwsFailure:
    code = str(entry.get("Code", ""))
    return AwsFailure(code, f"{code}: {entry.get('Message', '')}", needs_operator=bool(entry.get("SenderFault")))


def _check_size(wire: Wire, limit: int) -> None:
    if wire.size > limit:
        raise MessageTooLarge(f"{wire.size} bytes with its headers, at most {limit}")
