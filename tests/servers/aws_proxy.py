"""A server between a client and ministack: it counts requests, keeps their bodies, and answers some as AWS would."""

from __future__ import annotations

import json
import urllib.parse
from collections import Counter, defaultdict
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import aiohttp
from aiohttp import web

_XML = "<ErrorResponse><Error><Type>Sender</Type><Code>{}</Code><Message>{}</Message></Error></ErrorResponse>"
_ALWAYS = 1_000_000
_PASSED_ON = ("Content-Type", "X-Amz-Target", "Authorization", "X-Amz-Date")


@dataclass(slots=True)
class Answer:
    """An answer in place of the server's, for as many requests as `times` says."""

    status: int
    code: str = ""
    message: str = ""
    times: int = _ALWAYS
    body: dict[str, Any] | None = None

    def to(self, *, is_json: bool) -> web.Response:
        """Return the response in the protocol of the request: SQS speaks JSON, SNS XML."""
        if self.body is not None:
            return web.json_response(self.body, status=self.status, content_type="application/x-amz-json-1.0")
        if is_json:
            error = {"__type": f"com.amazonaws.sqs#{self.code}", "message": self.message}
            return web.json_response(error, status=self.status, content_type="application/x-amz-json-1.0")
        return web.Response(text=_XML.format(self.code, self.message), status=self.status, content_type="text/xml")


@dataclass(slots=True)
class AwsProxy:
    """`answers` by action ("SendMessageBatch"); actions without one are ministack's to answer."""

    target: str
    url: str = ""
    answers: dict[str, Answer] = field(default_factory=dict[str, Answer])
    calls: Counter[str] = field(default_factory=Counter[str])
    answered: Counter[str] = field(default_factory=Counter[str])
    bodies: defaultdict[str, list[str]] = field(default_factory=lambda: defaultdict[str, list[str]](list))
    session: aiohttp.ClientSession | None = None

    async def handle(self, request: web.Request) -> web.Response:
        """Answer one request."""
        body = await request.read()
        target = request.headers.get("X-Amz-Target", "")
        action = target.rpartition(".")[2] or dict(urllib.parse.parse_qsl(body.decode())).get("Action", "")
        self.calls[action] += 1
        self.bodies[action].append(body.decode())
        answer = self.answers.get(action)
        if answer is not None and answer.times > 0:
            answer.times -= 1
            return answer.to(is_json=bool(target))
        assert self.session is not None
        headers = {name: request.headers[name] for name in _PASSED_ON if name in request.headers}
        url = f"{self.target}{request.path_qs}"
        async with self.session.request(request.method, url, data=body, headers=headers) as response:
            self.answered[action] += 1
            return web.Response(status=response.status, body=await response.read(), content_type=response.content_type)

    def sent(self, action: str) -> list[Any]:
        """Return the JSON bodies of an action's requests."""
        return [json.loads(body) for body in self.bodies[action]]


@asynccontextmanager
async def open_aws_proxy(target: str) -> AsyncGenerator[AwsProxy]:
    """Serve on a free port."""
    proxy = AwsProxy(target)
    app = web.Application(client_max_size=8 * 1024 * 1024)
    app.router.add_route("*", "/{path:.*}", proxy.handle)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    proxy.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    async with aiohttp.ClientSession() as proxy.session:
        try:
            yield proxy
        finally:
            await runner.cleanup()
