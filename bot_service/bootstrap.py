"""Opens the `Services` that the settings name, and closes them."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager

from prometheus_client import CollectorRegistry, PlatformCollector, ProcessCollector

from bot_service.audio_api import open_audio_api
from bot_service.metrics import BotMetrics
from bot_service.player.voice.frames import FrameStore
from bot_service.requests.pending import Pending
from bot_service.requests.songs import Songs
from bot_service.services import Services
from bot_service.settings import BotSettings
from bot_service.store import open_store
from common.blobs import open_blobs
from common.broker import open_broker


@asynccontextmanager
async def open_services(settings: BotSettings) -> AsyncGenerator[Services]:
    """Open everything that the bot uses except Discord; leaving the block closes it.

    Raises:
        AppError: a backend cannot be opened; the detail names its setting.
    """
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    PlatformCollector(registry=registry)
    async with AsyncExitStack() as stack:
        broker = await stack.enter_async_context(open_broker(settings))
        store = await stack.enter_async_context(open_store(settings))
        blobs = await stack.enter_async_context(open_blobs(settings, for_writing=False))
        api = await stack.enter_async_context(
            open_audio_api(settings.audio_processor_url, settings.audio_processor_api_key.get_secret_value())
        )
        pending = Pending(store, broker, settings, api.withdraw)
        yield Services(
            settings=settings,
            broker=broker,
            store=store,
            blobs=blobs,
            api=api,
            frames=FrameStore(blobs, api),
            pending=pending,
            songs=Songs(api, pending, store),
            registry=registry,
            metrics=BotMetrics.on(registry),
        )
