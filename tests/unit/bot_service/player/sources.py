"""Where the tests of frames read from: a bot's own store, and a real audio service that has another one."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from audio_service.api.app import create_app
from audio_service.api.deps import ApiDeps
from bot_service.audio_api import AudioApi
from bot_service.player.voice.frames import FrameStore
from common.blobs.local.store import open_local
from tests.unit.audio_service.api.library import open_deps, served


@dataclass
class Sources:
    """Both, and what reads from both. `files` is the directory of the bot's own store."""

    files: Path
    service: ApiDeps
    store: FrameStore
    api: AudioApi


@asynccontextmanager
async def open_sources(directory: Path) -> AsyncGenerator[Sources]:
    """Open both, empty."""
    async with AsyncExitStack() as stack:
        blobs = await stack.enter_async_context(open_local(directory / "here"))
        service = await stack.enter_async_context(open_deps(directory / "there"))
        host, port = await stack.enter_async_context(served(create_app(service)))
        client = await stack.enter_async_context(httpx.AsyncClient(base_url=f"http://{host}:{port}"))
        api = AudioApi(client)
        yield Sources(directory / "here", service, FrameStore(blobs, api), api)
