"""An S3 server that answers as it is told: for what the real one does only when it is overloaded or has a grudge."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from aiohttp import web

from common.settings import SharedSettings

_ERROR = "<?xml version='1.0'?><Error><Code>{}</Code><Message>{}</Message></Error>"


@dataclass(slots=True)
class S3Stub:
    """`answers` are given in this order, then every request succeeds. `requests` are the methods and paths seen."""

    answers: list[tuple[int, str, str]]
    requests: list[tuple[str, str]] = field(default_factory=list[tuple[str, str]])
    settings: SharedSettings = field(default_factory=SharedSettings)

    async def answer(self, request: web.Request) -> web.Response:
        await request.read()
        self.requests.append((request.method, request.path_qs))
        if self.answers:
            status, code, message = self.answers.pop(0)
            return web.Response(status=status, text=_ERROR.format(code, message), content_type="application/xml")
        return web.Response(headers={"ETag": '"0"'})


@asynccontextmanager
async def open_s3_stub(answers: Sequence[tuple[int, str, str]]) -> AsyncGenerator[S3Stub]:
    """Serve on a free port; every answer is a status, a code and a message."""
    stub = S3Stub(list(answers))
    app = web.Application(client_max_size=64 * 1024 * 1024)
    app.router.add_route("*", "/{path:.*}", stub.answer)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        port = runner.addresses[0][1]
        stub.settings = SharedSettings(
            storage_backend="s3", s3_bucket_name="songs", aws_endpoint_url_s3=f"http://127.0.0.1:{port}"
        )
        yield stub
    finally:
        await runner.cleanup()
