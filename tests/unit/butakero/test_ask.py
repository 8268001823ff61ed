"""A request over a real broker: no status is missed, none of other requests is taken, and no group remains."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator

import pytest

from butakero.ask import request_song
from common.broker import open_broker
from common.broker.base import Broker
from common.messages.base import parse
from common.messages.downloads import DownloadRequest, ProgressEvent, StatusEvent
from tests.unit.butakero.conftest import CapturedShell
from tests.waiting import until


@pytest.fixture
async def broker(captured: CapturedShell) -> AsyncGenerator[Broker]:
    async with open_broker(captured.shell.settings) as opened:
        yield opened


def answer(request_id: str) -> StatusEvent:
    return StatusEvent(request_id=request_id, user_id="u", video_id="v", message="ok", success=True, status="success")


async def work(
    broker: Broker, captured: CapturedShell, *events: ProgressEvent | StatusEvent | bytes
) -> DownloadRequest:
    """Answer one request as the audio service does: publish `events`, then the status."""
    settings = captured.shell.settings
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


async def asked(broker: Broker, captured: CapturedShell, *events: ProgressEvent | StatusEvent | bytes) -> StatusEvent:
    async with asyncio.TaskGroup() as tasks:
        worker = tasks.create_task(work(broker, captured, *events))
        request = DownloadRequest.new("  A   Song ", user_id="u")
        status = await request_song(broker, captured.shell.settings, request, lambda _: None)
    assert worker.result() == request
    return status


async def test_the_status_arrives_among_others_and_damaged_ones(broker: Broker, captured: CapturedShell) -> None:
    status = await asked(broker, captured, answer("somebody-else"), b"not a status")
    assert status.success
    assert status.request_id != "somebody-else"


async def test_progress_of_the_record_is_followed_for_any_request(broker: Broker, captured: CapturedShell) -> None:
    settings = captured.shell.settings
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
        asking = tasks.create_task(request_song(broker, settings, request, on_progress))
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


async def test_no_group_remains(broker: Broker, captured: CapturedShell) -> None:
    settings = captured.shell.settings
    request = DownloadRequest.new("x", user_id="u")
    asking = asyncio.ensure_future(request_song(broker, settings, request, lambda _: None))

    async def asked() -> bool:
        return await broker.lag(settings.topic_download_requests, "audio-workers") == 1

    await until(asked)
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    await broker.publish(settings.topic_download_status, "v", answer("x").to_bytes(), {})
    # A group that remained would resume where it joined, and receive this message.
    async with broker.consume(settings.topic_download_status, f"butakero.request.{request.request_id}", start="latest"):
        group = f"butakero.request.{request.request_id}"
        assert await broker.lag(settings.topic_download_status, group) == 0
    assert await broker.lag(settings.topic_download_requests, "audio-workers") == 1
