"""A small library on the real embedded backends, and the API over it."""

from __future__ import annotations

import asyncio
import hashlib
import io
import socket
from collections.abc import AsyncGenerator, Generator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import httpx
import uvicorn
from fastapi import FastAPI
from prometheus_client import CollectorRegistry

from audio_service.api.app import create_app
from audio_service.api.deps import ApiDeps
from audio_service.media.model import Encoding, Media, audio_key, human_size
from audio_service.media.repository import open_repository
from audio_service.media.repository.base import Owned, StoredMedia, Waiter
from audio_service.settings import AudioSettings
from audio_service.sources.questions import open_questions
from audio_service.texts import DOWNLOADED
from common.blobs import open_blobs
from common.broker import open_broker
from common.dca import DcaMetadata, DcaWriter
from common.http.connections import HEAD_SECONDS, Connections
from common.http.protocol import Uploads, protocol_of
from common.messages.downloads import FileData, PlatformMetadata

LEASE = timedelta(minutes=1)


def settings_in(root: Path, **changes: object) -> AudioSettings:
    values: dict[str, object] = {
        "embedded_broker_path": root / "broker.db",
        "sqlite_path": root / "library.db",
        "local_storage_path": root / "storage",
        "temp_path": root / "tmp",
        "instance_id": "test",
        **changes,
    }
    return AudioSettings.model_validate(values)


@asynccontextmanager
async def open_deps(root: Path, **changes: object) -> AsyncGenerator[ApiDeps]:
    settings = settings_in(root, **changes)
    async with AsyncExitStack() as stack:
        yield ApiDeps(
            settings=settings,
            repository=await stack.enter_async_context(open_repository(settings)),
            blobs=await stack.enter_async_context(open_blobs(settings)),
            broker=await stack.enter_async_context(open_broker(settings)),
            questions=await stack.enter_async_context(open_questions(settings)),
            registry=CollectorRegistry(),
        )


@dataclass(frozen=True)
class Api:
    """The application, its dependencies, and a client that calls it without a socket."""

    app: FastAPI
    deps: ApiDeps
    client: httpx.AsyncClient
    root: Path


@asynccontextmanager
async def open_api(root: Path, **changes: object) -> AsyncGenerator[Api]:
    async with open_deps(root, **changes) as deps:
        app = create_app(deps)
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://api.test") as client:
            yield Api(app, deps, client, root)


class _Server(uvicorn.Server):
    @contextmanager
    def capture_signals(self) -> Generator[None]:
        yield


@asynccontextmanager
async def served(
    app: FastAPI,
    connections: Connections | None = None,
    *,
    head_seconds: float = HEAD_SECONDS,
    uploads: Uploads | None = None,
) -> AsyncGenerator[tuple[str, int]]:
    """Serve on a free port of the loopback, and yield the address."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        protocol = protocol_of(connections or Connections(), head_seconds=head_seconds, uploads=uploads)
        config = uvicorn.Config(app, http=protocol, log_config=None, access_log=False, lifespan="off")
        server = _Server(config)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(server.serve(sockets=[listener]))
            try:
                yield listener.getsockname()
            finally:
                server.should_exit = True


def dca(frames: int) -> bytes:
    """A DCA file whose frames contain their index."""
    out = io.BytesIO()
    writer = DcaWriter(out, DcaMetadata(title="Canción"))
    for number in range(frames):
        writer.write(b"\xfc" + number.to_bytes(4, "big") * 40)
    writer.flush()
    return out.getvalue()


def metadata(video_id: str, title: str) -> PlatformMetadata:
    return PlatformMetadata(
        title=title,
        duration_ms=225_000,
        url=f"https://youtube.com/watch?v={video_id}",
        thumbnail_url=f"https://i.ytimg.com/vi/{video_id}/default.jpg",
        platform="YouTube",
    )


async def claim(deps: ApiDeps, video_id: str, title: str) -> Owned:
    owned = await deps.repository.claim(
        video_id, Waiter(f"request-{video_id}", "123"), metadata(video_id, title), LEASE
    )
    assert isinstance(owned, Owned)
    return owned


async def add_song(deps: ApiDeps, video_id: str, title: str = "Canción", *, file: bytes | None = None) -> Media:
    """Add a finished song to the library and its file (100 frames by default) to the store."""
    content = dca(100) if file is None else file
    owned = await claim(deps, video_id, title)
    upload = deps.settings.local_storage_path.parent / f"{video_id}.part"
    await asyncio.to_thread(upload.write_bytes, content)
    await deps.blobs.put(audio_key(video_id), upload)
    made = StoredMedia(
        metadata=metadata(video_id, title),
        file=FileData(file_path=audio_key(video_id), file_size=human_size(len(content)), file_type="audio/dca"),
        size_bytes=len(content),
        encoding=Encoding("passthrough", "opus 20 ms", 100, hashlib.sha256(content).hexdigest()),
        message=DOWNLOADED.es,
    )
    media, _ = await deps.repository.mark_success(video_id, owned.fence, made)
    await deps.repository.settle(video_id, owned.fence, [f"request-{video_id}"], keep=LEASE)
    return media


async def add_failure(deps: ApiDeps, video_id: str, title: str = "Canción") -> Media:
    owned = await claim(deps, video_id, title)
    media, _ = await deps.repository.mark_error(
        video_id, owned.fence, error_code="media_private", message="Ese video es privado."
    )
    await deps.repository.settle(video_id, owned.fence, [f"request-{video_id}"], keep=LEASE)
    return media
