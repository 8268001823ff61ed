"""The one composition root: settings in, opened `Services` out. Leaving the context closes everything."""

from __future__ import annotations

import os
import uuid
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager

from prometheus_client import CollectorRegistry, PlatformCollector, ProcessCollector

from audio_service.assets.repository import open_assets
from audio_service.children.pool import ChildPool, open_children
from audio_service.media.repository import open_repository
from audio_service.metrics import WorkerMetrics
from audio_service.services import Services
from audio_service.settings import AudioSettings
from audio_service.sources.base import MediaSource
from audio_service.sources.client import open_ytdlp
from audio_service.sources.questions import open_questions
from audio_service.sources.stored_cookies import KEY as COOKIES_KEY
from audio_service.sources.stored_cookies import keeping_stored_cookies
from audio_service.sources.youtube.api import open_youtube_api
from audio_service.sources.youtube.source import YouTubeSource
from audio_service.workspace import open_workspace
from common.blobs import open_blobs
from common.broker import open_broker


@asynccontextmanager
async def open_services(settings: AudioSettings) -> AsyncGenerator[Services]:
    """Open everything the audio service uses.

    Raises:
        AppError: a backend cannot be opened; the detail names the setting to look at.
    """
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    PlatformCollector(registry=registry)
    async with AsyncExitStack() as stack:
        workspace = stack.enter_context(open_workspace(settings.temp_path))
        stored_cookies = workspace.root / COOKIES_KEY
        if copies_cookies := settings.storage_backend == "s3" and settings.cookies_youtube is None:
            settings = settings.model_copy(update={"cookies_youtube": stored_cookies})
        # First what takes longest to get ready, beside all the rest.
        children = await stack.enter_async_context(open_children(settings))
        broker = await stack.enter_async_context(open_broker(settings))
        repository = await stack.enter_async_context(open_repository(settings))
        blobs = await stack.enter_async_context(open_blobs(settings))
        if copies_cookies:
            await stack.enter_async_context(keeping_stored_cookies(blobs, stored_cookies))
        yield Services(
            settings=settings,
            owner=f"{settings.instance_id}/{os.getpid()}/{uuid.uuid4().hex[:8]}",
            broker=broker,
            repository=repository,
            blobs=blobs,
            source=await _open_source(stack, settings, children),
            children=children,
            questions=await stack.enter_async_context(open_questions(settings)),
            workspace=workspace,
            registry=registry,
            metrics=WorkerMetrics.on(registry),
            assets=await stack.enter_async_context(open_assets(settings)),
        )


async def _open_source(stack: AsyncExitStack, settings: AudioSettings, children: ChildPool) -> MediaSource:
    """The Data API stands in front of yt-dlp when there is a key for it."""
    ytdlp = open_ytdlp(settings, children)
    if not settings.youtube_api_key.get_secret_value():
        return ytdlp
    api = await stack.enter_async_context(open_youtube_api(settings))
    return YouTubeSource(api, ytdlp, settings.youtube_watch_url, settings.max_duration_seconds * 1000)
