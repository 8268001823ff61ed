"""The server of the `api` suite: `python -m bench.api_server DESCRIPTOR`, with settings from the environment.

It holds our application, on the backends that the settings name, and beside it a FastAPI application that has nothing
but an empty route, without our middleware: under one uvicorn, so that whatever both pay for is the same.
"""

from __future__ import annotations

import asyncio
import socket
import sys
from contextlib import AsyncExitStack
from datetime import timedelta

from fastapi import FastAPI
from prometheus_client import CollectorRegistry
from starlette.types import ASGIApp, Receive, Scope, Send

from audio_service.api.app import create_app
from audio_service.api.deps import ApiDeps
from audio_service.media.repository import open_repository
from audio_service.settings import AudioSettings
from audio_service.sources.questions import open_questions
from common.blobs import open_blobs
from common.broker import open_broker
from common.http.server import serve
from common.observability.telemetry import configure_logging
from common.runtime import run

EMPTY = "/empty"


async def _serve(descriptor: int, stop: asyncio.Event) -> None:
    settings = AudioSettings()
    async with AsyncExitStack() as stack:
        deps = ApiDeps(
            settings=settings,
            repository=await stack.enter_async_context(open_repository(settings)),
            blobs=await stack.enter_async_context(open_blobs(settings)),
            broker=await stack.enter_async_context(open_broker(settings)),
            questions=await stack.enter_async_context(open_questions(settings)),
            registry=CollectorRegistry(),
        )
        app = _both(create_app(deps))
        with socket.socket(fileno=descriptor) as listener:
            await serve(app, listener, stop)


def _both(ours: ASGIApp) -> ASGIApp:
    empty = FastAPI(openapi_url=None)

    async def nothing() -> dict[str, bool]:
        return {"success": True}

    empty.add_api_route(EMPTY, nothing)

    async def dispatch(scope: Scope, receive: Receive, send: Send) -> None:
        await (empty if scope["path"] == EMPTY else ours)(scope, receive, send)

    return dispatch


def _main() -> int:
    configure_logging("warning", "json")
    descriptor = int(sys.argv[1])
    # The service's own way to run: its loop and what else it sets for the process are part of what is measured.
    return run(lambda stop: _serve(descriptor, stop), drain=timedelta(seconds=5))


if __name__ == "__main__":
    sys.exit(_main())
