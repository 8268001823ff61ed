"""Requests one song through the broker and waits for its status, as any client of the system does.

Status and progress are subscribed to before the request is published, in consumer groups of this request alone, so that
no event is missed and none is taken from another consumer.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress

from audio_service.settings import AudioSettings
from common.broker.base import Broker, Delivery
from common.errors import BrokerUnavailable, InvalidMessage
from common.messages.base import parse
from common.messages.downloads import DownloadRequest, ProgressEvent, StatusEvent, message_key
from common.observability.telemetry import correlation, outgoing_headers
from common.tasks import running_alongside

_PREFETCH = 64


async def request_song(
    broker: Broker,
    settings: AudioSettings,
    request: DownloadRequest,
    on_progress: Callable[[ProgressEvent], None],
) -> StatusEvent:
    """Publish a request and return its status event, without a time-out. Cancelling leaves the request queued.

    Raises:
        BrokerError: the request was not accepted, or the broker stopped answering.
    """
    group = f"butakero.request.{request.request_id}"
    async with AsyncExitStack() as joined:
        statuses = await _join(joined, broker, settings.topic_download_status, group)
        progress = await _join(joined, broker, settings.topic_download_progress, group)
        with correlation(request.request_id):
            await broker.publish(
                settings.topic_download_requests, message_key(request.song), request.to_bytes(), outgoing_headers()
            )
        await joined.enter_async_context(running_alongside(_report(progress, request.request_id, on_progress)))
        return await _answer(statuses, request.request_id)


async def _join(stack: AsyncExitStack, broker: Broker, topic: str, group: str) -> AsyncIterator[Delivery]:
    """Subscribe in a group that is deleted when `stack` is left."""
    await stack.enter_async_context(_temporary_group(broker, topic, group))
    return await stack.enter_async_context(broker.consume(topic, group, prefetch=_PREFETCH, start="latest"))


@asynccontextmanager
async def _temporary_group(broker: Broker, topic: str, group: str) -> AsyncGenerator[None]:
    try:
        yield
    finally:
        with suppress(BrokerUnavailable):  # then the broker's retention deletes the group
            await broker.forget(topic, group)


async def _answer(statuses: AsyncIterator[Delivery], request_id: str) -> StatusEvent:
    async for delivery in statuses:
        await delivery.ack()
        try:
            status = parse(StatusEvent, delivery.message.value)
        except InvalidMessage:
            continue  # a damaged status names no request, so it is not ours to report
        if status.request_id == request_id:
            return status
    raise AssertionError("a subscription ends only when it is left")


async def _report(
    progress: AsyncIterator[Delivery], request_id: str, on_progress: Callable[[ProgressEvent], None]
) -> None:
    """Pass on this request's events, and once its record is known, those of any request for the same record."""
    video_id = ""
    async for delivery in progress:
        await delivery.ack()
        try:
            event = parse(ProgressEvent, delivery.message.value)
        except InvalidMessage:
            continue
        if event.request_id == request_id:
            video_id = event.video_id or video_id
        elif not video_id or event.video_id != video_id:
            continue
        on_progress(event)
