"""Which queues and SNS topics stand for the port's topics and groups. Makes what is missing, where it has the rights.

A topic is a work queue, one SQS queue that all groups share (requests, dead letters), or a fan-out: an SNS topic, to
which each group subscribes a queue of its own (statuses, progress, and any other topic). What settings name is used as
it stands.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections import defaultdict
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

from common.broker.base import dead_letter_topic
from common.broker.sqs.connection import Clients, Missing, Refused, answered
from common.broker.sqs.names import (
    DEAD_LETTERS,
    dead_letter_queue_name,
    group_queue_name,
    queue_name_of,
    topic_name,
)
from common.errors import BrokerUnavailable
from common.observability.telemetry import get_logger
from common.settings import SharedSettings

log = get_logger(__name__)

REQUESTS = ".requests"
"""The end of the names of topics that are work queues, whatever settings say."""

_DAY_SECONDS = 86_400
_RETENTION_DAYS = 7
_DEAD_LETTER_DAYS = 14
_PROGRESS_SECONDS = 300
"""Progress that was published while its bot was down is of no use for longer."""
_REFUSAL_SECONDS = 60.0
_MAX_RECEIVES = 100
"""Of one copy, before SQS itself makes it a dead letter: a net below the worker's own limit of attempts."""


@dataclass(frozen=True, slots=True)
class Names:
    """The topics that settings name, and what stands for them by settings; "" where it is derived."""

    requests: str
    status: str
    progress: str
    requests_url: str
    status_url: str
    status_arn: str

    @classmethod
    def of(cls, settings: SharedSettings) -> Names:
        """Read them from the settings."""
        return cls(
            settings.topic_download_requests,
            settings.topic_download_status,
            settings.topic_download_progress,
            settings.sqs_bot_download_requests_url,
            settings.sqs_bot_download_status_url,
            settings.sns_bot_download_status_arn,
        )

    def is_fan_out(self, topic: str) -> bool:
        """Whether each group has a queue of its own."""
        if topic == self.status and self.status_url:
            return bool(self.status_arn)
        return topic != self.requests and not topic.endswith((REQUESTS, DEAD_LETTERS))

    def url(self, topic: str) -> str:
        """Return the URL that settings give for a work queue."""
        return {self.requests: self.requests_url, self.status: self.status_url}.get(topic, "")

    def queue(self, topic: str) -> str:
        """Return the name of a work queue."""
        if topic.endswith(DEAD_LETTERS):
            return dead_letter_queue_name(self.queue(topic.removesuffix(DEAD_LETTERS)))
        url = self.url(topic)
        return queue_name_of(url) if url else topic_name(topic)


class Topology:
    """Looks up and makes queues and topics; remembers what it found."""

    def __init__(self, clients: Clients, names: Names) -> None:
        self.names = names
        self._clients = clients
        self._urls: dict[str, str] = {}
        self._arns: dict[str, str] = {}
        self._subscriptions: dict[str, str] = {}
        self._refusals: dict[str, tuple[str, float]] = {}
        self._locks: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def ensure(self, topic: str) -> None:
        """Make a topic unless it is there. Progress, which is not needed, may lack the rights to be made."""
        if self.names.is_fan_out(topic):
            try:
                await self.topic_arn(topic)
            except Refused as exc:
                if topic != self.names.progress:
                    raise
                log.warning("broker.no_progress", detail=exc.detail)
        else:
            await self.queue(topic)

    async def queue(self, topic: str) -> str:
        """Return the URL of a work queue; make it, and the queue of its dead letters, unless it is there.

        Raises:
            Refused: it is not there and our credentials may not make it.
        """
        url = self.names.url(topic)
        if url:
            return url
        name = self.names.queue(topic)
        async with self._locks[name]:
            return await self._find(name) or await self._make(name, await self._attributes(topic))

    async def consumed_queue(self, topic: str, group: str) -> str:
        """Return the URL of the queue that a group consumes; a fan-out's is made and subscribed unless it is there."""
        if not self.names.is_fan_out(topic):
            return await self.queue(topic)
        try:
            return await self._subscribed_queue(topic, group)
        except Refused as exc:
            if topic != self.names.status or not self.names.status_url:
                raise
            log.warning("broker.shared_status_queue", setting="SQS_BOT_DOWNLOAD_STATUS_URL", detail=exc.detail)
            return self.names.status_url

    async def topic_arn(self, topic: str) -> str:
        """Return the ARN of a fan-out's SNS topic; make it unless it is there."""
        if topic == self.names.status and self.names.status_arn:
            await self._subscribe_existing()
            return self.names.status_arn
        async with self._locks[f"sns {topic}"]:
            if topic not in self._arns:
                self._raise_remembered(topic)
                async with (
                    self._remembering_refusals(topic),
                    answered(f"SNS topic {topic_name(topic)} (of topic {topic})"),
                ):
                    made = await self._clients.sns.create_topic(Name=topic_name(topic))
                self._arns[topic] = made["TopicArn"]
            return self._arns[topic]

    async def find(self, topic: str, group: str) -> str | None:
        """Return the URL of the queue that a group consumes, None if there is none."""
        if self.names.is_fan_out(topic):
            return await self._find(group_queue_name(topic, group))
        return self.names.url(topic) or await self._find(self.names.queue(topic))

    async def forget(self, topic: str, group: str) -> None:
        """Delete a group's own queue and its subscription. A queue that all groups share stays."""
        if not self.names.is_fan_out(topic):
            return
        name = group_queue_name(topic, group)
        async with self._locks[name]:
            url = await self._find(name)
            if url is None:
                return
            subscription = self._subscriptions.pop(name, None) or await self._find_subscription(topic, url)
            if subscription:
                with suppress(Missing):
                    async with answered(f"unsubscribing queue {name}"):
                        await self._clients.sns.unsubscribe(SubscriptionArn=subscription)
            with suppress(Missing):
                async with answered(f"deleting queue {name}"):
                    await self._clients.sqs.delete_queue(QueueUrl=url)
            self._urls.pop(name, None)

    def invalidate(self, place: str) -> None:
        """Look a queue or SNS topic (its URL or ARN) up again when it is next needed: it was not found."""
        for name in [name for name, known in self._urls.items() if known == place]:
            del self._urls[name]
            self._subscriptions.pop(name, None)
        for topic in [topic for topic, known in self._arns.items() if known == place]:
            del self._arns[topic]

    async def queue_arn(self, url: str) -> str:
        """Return the ARN of a queue."""
        async with answered(f"queue {queue_name_of(url)}"):
            found = await self._clients.sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])
        return found.get("Attributes", {})["QueueArn"]

    async def _subscribed_queue(self, topic: str, group: str) -> str:
        name = group_queue_name(topic, group)
        topic_arn = await self.topic_arn(topic)
        dead_letters = await self.queue(dead_letter_topic(topic))
        async with self._locks[name]:
            url = await self._find(name) or await self._make(name, await self._group_attributes(topic, dead_letters))
            if name not in self._subscriptions:
                self._subscriptions[name] = await self._subscribe(url, topic_arn)
            return url

    @asynccontextmanager
    async def _remembering_refusals(self, name: str) -> AsyncGenerator[None]:
        try:
            yield
        except Refused as exc:
            self._refusals[name] = exc.detail, time.monotonic()
            raise

    def _raise_remembered(self, name: str) -> None:
        """Raise the refusal of the last minutes again: consumers try every two seconds, and a request costs."""
        detail, refused_at = self._refusals.get(name, ("", -_REFUSAL_SECONDS))
        if time.monotonic() - refused_at < _REFUSAL_SECONDS:
            raise Refused(detail)

    async def _subscribe_existing(self) -> None:
        """Subscribe the status queue of an existing deployment, so that a bot that knows it alone has statuses."""
        url = self.names.status_url
        if not url or url in self._subscriptions:
            return
        try:
            self._subscriptions[url] = await self._subscribe(url, self.names.status_arn)
        except Refused as exc:
            self._subscriptions[url] = ""
            log.warning("broker.status_queue_not_subscribed", setting="SQS_BOT_DOWNLOAD_STATUS_URL", detail=exc.detail)

    async def _subscribe(self, url: str, topic_arn: str) -> str:
        """Let the SNS topic send to the queue, then subscribe it; no-op where it is subscribed."""
        arn = await self.queue_arn(url)
        async with answered(f"subscribing queue {queue_name_of(url)} to {topic_arn}"):
            await self._clients.sqs.set_queue_attributes(QueueUrl=url, Attributes={"Policy": _policy(arn, topic_arn)})
            subscribed = await self._clients.sns.subscribe(
                TopicArn=topic_arn,
                Protocol="sqs",
                Endpoint=arn,
                Attributes={"RawMessageDelivery": "true"},
                ReturnSubscriptionArn=True,
            )
        return subscribed["SubscriptionArn"]

    async def _find_subscription(self, topic: str, url: str) -> str | None:
        arn = await self.queue_arn(url)
        topic_arn = await self.topic_arn(topic)
        token = ""
        with suppress(Missing):
            while True:
                async with answered(f"subscriptions of {topic_arn}"):
                    page = await self._clients.sns.list_subscriptions_by_topic(TopicArn=topic_arn, NextToken=token)
                for subscription in page.get("Subscriptions", []):
                    if subscription.get("Endpoint") == arn:
                        return subscription.get("SubscriptionArn")
                token = page.get("NextToken", "")
                if not token:
                    break
        return None

    async def _find(self, name: str) -> str | None:
        if name not in self._urls:
            try:
                async with answered(f"queue {name}"):
                    found = await self._clients.sqs.get_queue_url(QueueName=name)
            except Missing:
                return None
            self._urls[name] = found["QueueUrl"]
        return self._urls[name]

    async def _make(self, name: str, attributes: Mapping[str, str]) -> str:
        self._raise_remembered(name)
        try:
            async with self._remembering_refusals(name), answered(f"making queue {name}"):
                made = await self._clients.sqs.create_queue(QueueName=name, Attributes=dict(attributes))  # pyright: ignore[reportArgumentType] - keys are literals
        except BrokerUnavailable as exc:
            if "QueueDeletedRecently" in exc.detail:
                raise BrokerUnavailable(f"{exc.detail} (a name is free again after 60 s)") from exc
            raise
        log.info("broker.queue_made", queue=name)
        self._urls[name] = made["QueueUrl"]
        return made["QueueUrl"]

    async def _attributes(self, topic: str) -> dict[str, str]:
        if topic.endswith(DEAD_LETTERS):
            return _retention(_DEAD_LETTER_DAYS * _DAY_SECONDS)
        return await self._redrive_to(await self.queue(dead_letter_topic(topic)))

    async def _redrive_to(self, dead_letters: str) -> dict[str, str]:
        policy = {"deadLetterTargetArn": await self.queue_arn(dead_letters), "maxReceiveCount": _MAX_RECEIVES}
        return {**_retention(_RETENTION_DAYS * _DAY_SECONDS), "RedrivePolicy": json.dumps(policy)}

    async def _group_attributes(self, topic: str, dead_letters: str) -> dict[str, str]:
        attributes = await self._redrive_to(dead_letters)
        return {**attributes, **_retention(_PROGRESS_SECONDS)} if topic == self.names.progress else attributes


def _retention(seconds: int) -> dict[str, str]:
    return {"MessageRetentionPeriod": str(seconds), "SqsManagedSseEnabled": "true"}


def _policy(queue_arn: str, topic_arn: str) -> str:
    statement = {
        "Effect": "Allow",
        "Principal": {"Service": "sns.amazonaws.com"},
        "Action": "sqs:SendMessage",
        "Resource": queue_arn,
        "Condition": {"ArnEquals": {"aws:SourceArn": topic_arn}},
    }
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})
