"""Asking over a real broker: the answer is never missed, others' are left alone, nothing of it stays behind."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator

import pytest

from butakero.ask import ask
from common.broker import open_broker
from common.broker.base import Broker
from common.messages.base import parse
from common.messages.downloads import DownloadRequest, ProgressEvent, StatusEvent
from tests.unit.butakero.conftest import Heard


@pytest.fixture
async def broker(heard: Heard) -> AsyncGenerator[Broker]:
    async with open_broker(heard.shell.settings) as opened:
        yield opened


def answer(request_id: str) -> StatusEvent:
    return StatusEvent(request_id=request_id, user_id="u", video_id="v", message="ok", success=True, status="success")


async def work(broker: Broker, heard: Heard, *events: ProgressEvent | StatusEvent | bytes) -> DownloadRequest:
    """Be the audio service for one request: publish `events`, then the answer."""
    settings = heard.shell.settings
    async with broker.consume(settings.topic_download_requests, "audio-workers") as deliveries:
        delivery = await anext(deliveries)
        request = parse(DownloadRequest, delivery.message.value)
        for event in (*events, answer(request.request_id)):
            body = event if isinstance(event, bytes) else event.to_bytes()
            topic = (
                settings.topic_download_progress if isinstance(event, ProgressEvent) else settings.topic_download_status
            )
            await broker.publish(topic, "v", body, {})
        await delivery.ack()
        assert delivery.message.key == "a song"
        assert delivery.message.headers["correlation_id"] == request.request_id
        return request


async def asked(broker: Broker, heard: Heard, *events: ProgressEvent | StatusEvent | bytes) -> StatusEvent:
    async with asyncio.TaskGroup() as tasks:
        worker = tasks.create_task(work(broker, heard, *events))
        request = DownloadRequest.new("  A   Song ", user_id="u")
        status = await ask(broker, heard.shell.settings, request, lambda _: None)
    assert worker.result() == request
    return status


async def test_the_answer_arrives_among_others_and_damaged_ones(broker: Broker, heard: Heard) -> None:
    status = await asked(broker, heard, answer("somebody-else"), b"not a status")
    assert status.success
    assert status.request_id != "somebody-else"


async def test_progress_of_the_record_is_followed_whoever_makes_it(broker: Broker, heard: Heard) -> None:
    settings = heard.shell.settings
    request = DownloadRequest.new("x", user_id="u")
    seen: list[tuple[str, float | None]] = []
    enough = asyncio.Event()

    def on_progress(event: ProgressEvent) -> None:
        seen.append((event.stage, event.percent))
        if event.percent == 60:
            enough.set()

    async def publish(request_id: str, video_id: str, percent: float | None) -> None:
        event = ProgressEvent(request_id=request_id, video_id=video_id, stage="downloading", percent=percent)
        await broker.publish(settings.topic_download_progress, video_id, event.to_bytes(), {})

    async with asyncio.TaskGroup() as tasks:
        asking = tasks.create_task(ask(broker, settings, request, on_progress))
        async with broker.consume(settings.topic_download_requests, "audio-workers") as deliveries:
            await anext(deliveries)
            await publish("other", "v", 10)
            await publish(request.request_id, "v", None)
            await publish("other", "w", 20)
            await broker.publish(settings.topic_download_progress, "v", b"{", {})
            await publish("other", "v", 60)
            await enough.wait()
            status = answer(request.request_id)
            await broker.publish(settings.topic_download_status, "v", status.to_bytes(), {})
        assert await asking == status
    assert seen == [("downloading", None), ("downloading", 60)]


async def test_no_group_stays_behind(broker: Broker, heard: Heard) -> None:
    settings = heard.shell.settings
    request = DownloadRequest.new("x", user_id="u")
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.2):
            await ask(broker, settings, request, lambda _: None)
    await broker.publish(settings.topic_download_status, "v", answer("x").to_bytes(), {})
    # A group that had stayed would begin where it joined, and have this message before it.
    async with broker.consume(settings.topic_download_status, f"butakero.request.{request.request_id}", start="latest"):
        group = f"butakero.request.{request.request_id}"
        assert await broker.lag(settings.topic_download_status, group) == 0
    assert await broker.lag(settings.topic_download_requests, "audio-workers") == 1
