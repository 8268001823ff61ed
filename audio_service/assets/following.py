"""Follows the topic of asset statuses in a group of this process's own, and passes what changed to the hub.

A status only says which asset changed: its state is read from the records, so one that arrives twice or late does no
harm.
"""

from __future__ import annotations

import asyncio
from contextlib import aclosing, suppress
from datetime import timedelta

from audio_service.assets.hub import Hub
from audio_service.assets.repository.base import AssetRepository
from audio_service.settings import AudioSettings
from common.broker.base import Broker
from common.broker.reading import until
from common.errors import BrokerError, DatabaseUnavailable, InvalidMessage
from common.messages.assets import AssetStatusEvent
from common.messages.base import parse
from common.observability.telemetry import get_logger
from common.tasks import pause

log = get_logger(__name__)

SHOWN = 50
"""How many of a chat's assets are shown, the newest."""
_PREFETCH = 100
_RETRY_DELAY = timedelta(seconds=1)


def group_of(settings: AudioSettings) -> str:
    """Return the group of this process. The port tells processes of one machine apart."""
    return f"asset-events-{settings.instance_id}-{settings.http_port}"


async def follow_statuses(
    settings: AudioSettings, broker: Broker, assets: AssetRepository, hub: Hub, stop: asyncio.Event
) -> None:
    """Follow until `stop`, then end all listeners. Tries again while the broker is unavailable."""
    topic, group = settings.topic_asset_status, group_of(settings)
    try:
        while not stop.is_set():
            try:
                async with (
                    broker.consume(topic, group, prefetch=_PREFETCH, start="latest") as deliveries,
                    aclosing(until(stop, deliveries)) as upcoming,
                ):
                    await _show_all(assets, hub)
                    async for delivery in upcoming:
                        await _pass_on(delivery.message.value, assets, hub)
                        await delivery.ack()
            except (BrokerError, DatabaseUnavailable) as exc:
                log.warning("asset_events.away", code=exc.code, detail=exc.detail)
                await pause(stop, _RETRY_DELAY)
    finally:
        hub.close()
        # Without retained messages the group is a queue of its own, which the next start takes again: SQS refuses the
        # name of a deleted queue for 60 s.
        if broker.guarantees(topic).retained:
            with suppress(BrokerError):  # the broker then expires the group by age
                await broker.forget(topic, group)


async def _show_all(assets: AssetRepository, hub: Hub) -> None:
    """Show what changed before the topic was followed."""
    for chat_id in hub.chats:
        for asset in reversed((await assets.by_chat(chat_id, limit=SHOWN)).items):
            if asset.completed_at is not None:
                hub.publish(asset)


async def _pass_on(body: bytes, assets: AssetRepository, hub: Hub) -> None:
    try:
        event = parse(AssetStatusEvent, body)
    except InvalidMessage:
        return  # names no asset
    if not hub.is_listened(event.chat_id):
        return
    asset = await assets.get(event.asset_id)
    if asset is not None:
        hub.publish(asset)
