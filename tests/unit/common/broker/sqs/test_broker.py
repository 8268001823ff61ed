"""The SQS broker beyond the port's contract: what it sends, what it costs, and what AWS may answer."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import AsyncGenerator, AsyncIterator
from datetime import timedelta
from typing import Any

import pytest

from common.aws import open_sns, open_sqs
from common.broker import open_broker
from common.broker.base import Delivery
from common.broker.sqs import reader
from common.errors import BrokerUnavailable
from common.settings import SharedSettings
from tests.servers.aws_proxy import Answer, AwsProxy, open_aws_proxy
from tests.servers.emulators import Emulator
from tests.waiting import patience, until

WAIT_SECONDS = 1
LEASE_SECONDS = 30.0
"""A process that stands still for longer loses what it holds."""


@pytest.fixture
async def proxy(ministack: Emulator) -> AsyncGenerator[AwsProxy]:
    async with open_aws_proxy(ministack.url) as opened:
        yield opened


@pytest.fixture
def topics() -> dict[str, str]:
    name = uuid.uuid4().hex
    kinds = ("requests", "status", "progress")
    return {f"topic_download_{kind}": f"{name}.{kind}" for kind in kinds}


@pytest.fixture
def settings(proxy: AwsProxy, topics: dict[str, str]) -> SharedSettings:
    return of(proxy.url, topics)


def of(url: str, topics: dict[str, str], **more: object) -> SharedSettings:
    values = {"messaging_backend": "sqs", "aws_endpoint_url": url, "sqs_wait_time_seconds": WAIT_SECONDS}
    return SharedSettings.model_validate({**values, "broker_lease_seconds": LEASE_SECONDS, **topics, **more})


async def take(deliveries: AsyncIterator[Delivery]) -> Delivery:
    async with asyncio.timeout(patience()):
        return await anext(deliveries)


async def drain(deliveries: AsyncIterator[Delivery]) -> None:
    async for delivery in deliveries:
        await delivery.ack()


async def test_nothing_is_polled_for_while_no_iterator_waits(settings: SharedSettings, proxy: AwsProxy) -> None:
    topic = settings.topic_download_requests
    async with open_broker(settings) as broker, broker.consume(topic, "g", prefetch=2) as deliveries:
        await broker.publish(topic, "k", b"v", {})
        await (await take(deliveries)).ack()
    assert proxy.calls["ReceiveMessage"] == 1


async def test_closing_does_not_wait_for_the_poll_of_a_group_that_is_forgotten(
    proxy: AwsProxy, topics: dict[str, str]
) -> None:
    settings = of(proxy.url, topics, sqs_wait_time_seconds=20)
    topic = settings.topic_download_progress
    async with open_broker(settings) as broker:
        async with asyncio.TaskGroup() as tasks, broker.consume(topic, "g") as deliveries:
            tasks.create_task(drain(deliveries))
            await until(lambda: proxy.calls["ReceiveMessage"] == 1)
        await broker.forget(topic, "g")
    assert not proxy.answered["ReceiveMessage"], "the poll lasts 20 s"
    assert proxy.calls["Unsubscribe"] == proxy.calls["DeleteQueue"] == 1


async def test_progress_is_kept_for_minutes_and_statuses_for_days(settings: SharedSettings, proxy: AwsProxy) -> None:
    async with open_broker(settings) as broker:
        for topic in (settings.topic_download_progress, settings.topic_download_status):
            async with broker.consume(topic, "g"):
                pass
    kept = {
        sent["QueueName"].partition("--")[0].rpartition("-")[2]: sent["Attributes"]["MessageRetentionPeriod"]
        for sent in proxy.sent("CreateQueue")
        if "--" in sent["QueueName"]
    }
    assert kept == {"progress": "300", "status": "604800"}


async def test_a_request_carries_its_id_and_is_grouped_by_its_guild(settings: SharedSettings, proxy: AwsProxy) -> None:
    topic = settings.topic_download_requests
    async with open_broker(settings) as broker:
        await broker.publish(topic, "song", b"{}", {"correlation_id": "r1", "guild_id": "42"})
        await broker.publish(topic, "a song", b"{}", {})
    first, second = (sent["Entries"][0] for sent in proxy.sent("SendMessageBatch"))
    assert first["MessageAttributes"]["RequestID"] == {"DataType": "String", "StringValue": "r1"}
    assert first["MessageGroupId"] == "42"
    assert "MessageGroupId" not in second, "a key with a space is no group of SQS"


async def test_messages_go_without_a_group_where_groups_are_refused(settings: SharedSettings, proxy: AwsProxy) -> None:
    refusal = "The request include parameter MessageGroupId that is not valid for this queue type."
    proxy.answers["SendMessageBatch"] = Answer(400, "InvalidParameterValue", refusal, times=1)
    async with open_broker(settings) as broker:
        for _ in range(2):
            await broker.publish(settings.topic_download_requests, "k", b"v", {})
    groups = [sent["Entries"][0].get("MessageGroupId") for sent in proxy.sent("SendMessageBatch")]
    assert groups == ["k", None, None]


async def test_a_message_of_an_existing_client_is_read(settings: SharedSettings) -> None:
    topic = settings.topic_download_requests
    async with open_broker(settings) as broker, open_sqs(settings) as client:
        url = (await client.get_queue_url(QueueName=topic.replace(".", "-")))["QueueUrl"]
        attributes: Any = {"RequestID": {"DataType": "String", "StringValue": "r1"}}
        await client.send_message(QueueUrl=url, MessageBody='{"song": "x"}', MessageAttributes=attributes)
        async with broker.consume(topic, "g") as deliveries:
            delivery = await take(deliveries)
            assert dict(delivery.message.headers) == {"correlation_id": "r1"}
            assert (delivery.message.value, delivery.attempt) == (b'{"song": "x"}', 1)
            await delivery.reject("invalid_message", "no JSON")
        (letter,) = await broker.peek(f"{topic}.dlq")
        assert (letter.value, letter.headers["error_code"]) == (b'{"song": "x"}', "invalid_message")


async def test_an_idle_consumer_makes_long_polls_alone(settings: SharedSettings, proxy: AwsProxy) -> None:
    async with (
        open_broker(settings) as broker,
        asyncio.TaskGroup() as tasks,
        broker.consume(settings.topic_download_requests, "g") as deliveries,
    ):
        tasks.create_task(drain(deliveries))
        await until(lambda: proxy.calls["ReceiveMessage"] >= 1)
        before, began = proxy.calls.copy(), time.monotonic()
        await until(lambda: proxy.calls["ReceiveMessage"] >= before["ReceiveMessage"] + 3)
        polls = proxy.calls["ReceiveMessage"] - before["ReceiveMessage"]
        assert time.monotonic() - began > (polls - 1) * WAIT_SECONDS * 0.8, "each waits"
        assert set(proxy.calls - before) == {"ReceiveMessage"}
    asked = proxy.sent("ReceiveMessage")[-1]
    assert (asked["WaitTimeSeconds"], asked["MaxNumberOfMessages"]) == (WAIT_SECONDS, 1)
    print(f"a queue costs {86_400 // 20} requests a day at 20 s a poll")  # noqa: T201 - it is money


async def test_what_is_throttled_is_sent_again(settings: SharedSettings, proxy: AwsProxy) -> None:
    topic = settings.topic_download_requests
    async with open_broker(settings) as broker:
        proxy.answers["SendMessageBatch"] = Answer(400, "RequestThrottled", "Rate exceeded", times=2)
        await broker.publish(topic, "k", b"v", {})
        failed = {"Successful": [], "Failed": [{"Id": "0", "SenderFault": False, "Code": "InternalError"}]}
        proxy.answers["SendMessageBatch"] = Answer(200, body=failed, times=1)
        await broker.publish(topic, "k", b"w", {})
        assert await broker.lag(topic, "g") == 2
    assert proxy.calls["SendMessageBatch"] == 5


DENIED = Answer(403, "AccessDeniedException", "User is not authorized to perform: sqs:CreateQueue")
AT_THE_START = {
    "no right to make the queue": ("CreateQueue", DENIED, ["TOPIC_DOWNLOAD_REQUESTS", "not authorized"]),
    "a clock that is wrong": (
        "GetQueueUrl",
        Answer(403, "InvalidSignatureException", "Signature expired: 20260101T000000Z is now earlier"),
        ["TOPIC_DOWNLOAD_REQUESTS", "clock"],
    ),
    "an expired token": ("GetQueueUrl", Answer(403, "ExpiredTokenException", "token expired"), ["token expired"]),
}


@pytest.mark.parametrize("case", AT_THE_START)
async def test_a_refusal_at_the_start_is_one_line(case: str, settings: SharedSettings, proxy: AwsProxy) -> None:
    action, answer, expected = AT_THE_START[case]
    proxy.answers[action] = Answer(answer.status, answer.code, answer.message)
    with pytest.raises(BrokerUnavailable) as caught:
        async with open_broker(settings):
            pass
    assert caught.value.needs_operator
    assert "\n" not in caught.value.detail
    assert all(part in caught.value.detail for part in expected), caught.value.detail


async def test_a_queue_that_a_setting_names_must_exist(proxy: AwsProxy, topics: dict[str, str]) -> None:
    settings = of(proxy.url, topics, sqs_bot_download_requests_url=f"{proxy.url}/000000000000/nowhere")
    with pytest.raises(BrokerUnavailable, match=r"SQS_BOT_DOWNLOAD_REQUESTS_URL.*nowhere") as caught:
        async with open_broker(settings):
            pass
    assert caught.value.needs_operator
    assert not proxy.calls["CreateQueue"]


async def test_aws_that_does_not_answer_is_asked_again_later(topics: dict[str, str], aws_credentials: None) -> None:  # noqa: ARG001 - a client needs them
    async with open_broker(of("http://127.0.0.1:9", topics)) as broker:
        health = await broker.health()
        assert (health.name, health.ok) == ("sqs", False)
        with pytest.raises(BrokerUnavailable) as caught:
            await broker.publish(topics["topic_download_requests"], "k", b"v", {})
        assert not caught.value.needs_operator


async def test_what_is_held_for_long_is_renewed_for_longer(
    settings: SharedSettings, proxy: AwsProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reader, "RENEWED_AT", 0.01)
    held_for: list[float] = []

    def grown(first_seconds: float, held_seconds: float) -> float:
        held_for.append(held_seconds)
        return first_seconds * 3

    monkeypatch.setattr(reader, "grown_lease", grown)
    topic = settings.topic_download_requests
    async with open_broker(settings) as broker, broker.consume(topic, "g") as deliveries:
        await broker.publish(topic, "k", b"v", {})
        delivery = await take(deliveries)
        await until(lambda: proxy.calls["ChangeMessageVisibilityBatch"])
        await delivery.ack()
    assert held_for[0] >= LEASE_SECONDS * 0.01
    assert proxy.sent("ReceiveMessage")[0]["VisibilityTimeout"] == LEASE_SECONDS + 1
    assert proxy.sent("ChangeMessageVisibilityBatch")[0]["Entries"][0]["VisibilityTimeout"] == LEASE_SECONDS * 3 + 1


async def test_a_lease_that_cannot_be_renewed_is_lost(
    proxy: AwsProxy, ministack: Emulator, topics: dict[str, str]
) -> None:
    settings = of(proxy.url, topics, broker_lease_seconds=1.0)
    topic = settings.topic_download_requests
    async with (
        open_broker(settings) as broker,
        open_broker(of(ministack.url, topics)) as other,
        broker.consume(topic, "g") as ours,
    ):
        await broker.publish(topic, "k", b"v", {})
        stale = await take(ours)
        proxy.answers["ChangeMessageVisibilityBatch"] = Answer(503, "ServiceUnavailable", "")
        async with other.consume(topic, "g") as theirs:
            rival = await take(theirs)
            assert rival.attempt == 2
            await stale.ack()
            assert not proxy.calls["DeleteMessageBatch"]
            assert await other.lag(topic, "g") == 1
            await rival.ack()
        assert await other.lag(topic, "g") == 0


async def test_a_message_whose_queue_is_gone_is_lost(settings: SharedSettings) -> None:
    topic = settings.topic_download_requests
    async with open_broker(settings) as broker, open_sqs(settings) as client:
        async with broker.consume(topic, "g") as deliveries:
            await broker.publish(topic, "k", b"v", {})
            delivery = await take(deliveries)
            url = (await client.get_queue_url(QueueName=topic.replace(".", "-")))["QueueUrl"]
            await client.delete_queue(QueueUrl=url)
            await delivery.ack()
            with pytest.raises(BrokerUnavailable):
                await take(deliveries)
        await broker.ensure_topic(topic)
        async with broker.consume(topic, "g") as deliveries:
            await broker.publish(topic, "k", b"w", {})
            assert (await take(deliveries)).message.value == b"w"


async def test_a_release_beyond_the_longest_delay_waits_in_steps(
    settings: SharedSettings, proxy: AwsProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reader, "MAX_DELAY_SECONDS", 1)
    topic = settings.topic_download_requests
    async with open_broker(settings) as broker, broker.consume(topic, "g") as deliveries:
        await broker.publish(topic, "k", b"v", {})
        first = await take(deliveries)
        released_at = time.time()
        await first.release(timedelta(seconds=2))
        again = await take(deliveries)
        assert time.time() - released_at >= 2
        assert (again.attempt, again.message.position) == (1, first.message.position)
        await again.ack()
    assert proxy.sent("SendMessageBatch")[1]["Entries"][0]["DelaySeconds"] == 1, "the first step"


async def test_a_retry_beyond_the_longest_visibility_is_sent_again(
    settings: SharedSettings, proxy: AwsProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    topic = settings.topic_download_requests
    async with open_broker(settings) as broker, broker.consume(topic, "g") as deliveries:
        await broker.publish(topic, "k", b"v", {})
        first = await take(deliveries)
        monkeypatch.setattr(reader, "MAX_VISIBILITY_SECONDS", 0)
        await first.retry(timedelta(seconds=1))
        monkeypatch.undo()
        again = await take(deliveries)
        assert again.attempt == 2
        await again.ack()
    assert proxy.sent("SendMessageBatch")[-1]["Entries"][0]["DelaySeconds"] == 1


async def test_what_a_poll_brings_after_its_subscription_has_left_is_given_back_uncounted(
    proxy: AwsProxy, ministack: Emulator, topics: dict[str, str]
) -> None:
    slow = of(proxy.url, topics, sqs_wait_time_seconds=20)
    topic = slow.topic_download_requests
    async with open_broker(slow) as broker, open_broker(of(ministack.url, topics)) as other:
        async with asyncio.TaskGroup() as tasks, broker.consume(topic, "g") as deliveries:
            tasks.create_task(drain(deliveries))
            await until(lambda: proxy.calls["ReceiveMessage"] == 1)
        await other.publish(topic, "k", b"v", {})
        await until(lambda: proxy.calls["DeleteMessageBatch"] == 1)
        async with other.consume(topic, "g") as deliveries:
            delivery = await take(deliveries)
            assert (delivery.message.value, delivery.attempt) == (b"v", 1)
            await delivery.ack()
        assert await other.lag(topic, "g") == 0
    assert proxy.calls["ReceiveMessage"] == 1


async def test_a_frozen_server_is_waited_for(
    ministack: Emulator,
    topics: dict[str, str],
    aws_credentials: None,  # noqa: ARG001 - a client needs them
) -> None:
    settings = of(ministack.url, topics)
    topic = settings.topic_download_requests
    async with open_broker(settings) as broker, broker.consume(topic, "g") as deliveries, asyncio.TaskGroup() as tasks:
        with ministack.frozen():
            publishing = tasks.create_task(broker.publish(topic, "k", b"v", {}))
            assert not (await broker.health()).ok
            assert not publishing.done()
        await publishing
        delivery = await take(deliveries)
        assert (delivery.message.value, delivery.attempt) == (b"v", 1)
        await delivery.ack()
        assert (await broker.health()).ok


async def test_a_status_queue_alone_is_used_as_it_stands(proxy: AwsProxy, topics: dict[str, str]) -> None:
    async with open_sqs(of(proxy.url, topics)) as client:
        url = (await client.create_queue(QueueName=f"{uuid.uuid4().hex}-status"))["QueueUrl"]
    settings = of(proxy.url, topics, sqs_bot_download_status_url=url)
    topic = settings.topic_download_status
    async with open_broker(settings) as broker:
        await broker.ensure_topic(topic)
        await broker.publish(topic, "k", b"v", {})
        async with broker.consume(topic, "bot-a") as deliveries:
            await (await take(deliveries)).ack()
    assert not proxy.calls["Subscribe"]


async def test_a_bot_without_rights_reads_the_status_queue_that_is_subscribed(
    proxy: AwsProxy, ministack: Emulator, topics: dict[str, str]
) -> None:
    plain = of(ministack.url, topics)
    async with open_sqs(plain) as client, open_sns(plain) as sns:
        url = (await client.create_queue(QueueName=f"{uuid.uuid4().hex}-status"))["QueueUrl"]
        arn = (await sns.create_topic(Name=f"{uuid.uuid4().hex}-status"))["TopicArn"]
    names = {"sqs_bot_download_status_url": url, "sns_bot_download_status_arn": arn}
    topic = plain.topic_download_status
    async with open_broker(of(ministack.url, topics, **names)) as service:
        await service.ensure_topic(topic)
        async with open_broker(of(proxy.url, topics, **names)) as bot:
            proxy.answers["CreateQueue"] = DENIED
            async with (
                bot.consume(topic, "bot-a") as statuses,
                service.consume(topic, "bot-b") as others,
            ):
                await service.publish(topic, "k", b"v", {})
                for deliveries in (statuses, others):
                    delivery = await take(deliveries)
                    assert delivery.message.value == b"v"
                    await delivery.ack()


async def test_progress_without_rights_does_not_keep_the_worker_from_starting(
    settings: SharedSettings, proxy: AwsProxy
) -> None:
    proxy.answers["CreateTopic"] = Answer(403, "AuthorizationError", "not authorized to perform: SNS:CreateTopic")
    async with open_broker(settings) as broker:
        await broker.ensure_topic(settings.topic_download_progress)
        for _ in range(3):
            with pytest.raises(BrokerUnavailable, match="not authorized"):
                await broker.publish(settings.topic_download_progress, "k", b"v", {})
        with pytest.raises(BrokerUnavailable, match="not authorized"):
            await broker.ensure_topic(settings.topic_download_status)
    assert proxy.calls["CreateTopic"] == 2, "a refusal is remembered"
