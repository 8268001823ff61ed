"""DynamoDB that refuses, throttles or loses an answer: stands before ministack, which does none of it, and passes on
every other request.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import orjson
from aiohttp import ClientSession, web

LOST = "lost"
"""A fault: the request is carried out, and the connection ends before its answer."""
UNPROCESSED = "unprocessed"
"""A fault: a batch of which nothing is done, which is no error."""
THROTTLED = "ProvisionedThroughputExceededException"
DENIED = "AccessDeniedException"


@dataclass(slots=True)
class FaultyDynamo:
    """`url` is for AWS_ENDPOINT_URL. `faults`: by operation, the codes that its next requests get, in order.

    `always`: codes that an operation is always answered with. `before`: what another writer does just before an
    operation's next request is passed on. `asked`: how often each operation was asked for.
    """

    url: str
    faults: dict[str, list[str]] = field(default_factory=dict[str, list[str]])
    always: dict[str, str] = field(default_factory=dict[str, str])
    before: dict[str, Callable[[], Awaitable[object]]] = field(
        default_factory=dict[str, Callable[[], Awaitable[object]]]
    )
    asked: Counter[str] = field(default_factory=Counter[str])


@asynccontextmanager
async def open_faulty_dynamo(behind: str) -> AsyncGenerator[FaultyDynamo]:
    """Serve on a free port, before the server at the URL `behind`."""
    faulty = FaultyDynamo("")

    async def answer(request: web.Request) -> web.StreamResponse:
        operation = request.headers["X-Amz-Target"].partition(".")[2]
        faulty.asked[operation] += 1
        left = faulty.faults.get(operation, [])
        fault = left.pop(0) if left else faulty.always.get(operation)
        if fault == UNPROCESSED:
            left_over = "UnprocessedKeys" if operation == "BatchGetItem" else "UnprocessedItems"
            asked: dict[str, object] = orjson.loads(await request.read())
            nothing: dict[str, object] = {"Responses": {}, left_over: asked["RequestItems"]}
            return web.Response(body=orjson.dumps(nothing), content_type="application/x-amz-json-1.0")
        if fault not in {None, LOST}:
            body = {"__type": f"com.amazonaws.dynamodb.v20120810#{fault}", "message": "refused by the test"}
            return web.Response(body=orjson.dumps(body), status=400, content_type="application/x-amz-json-1.0")
        if other_writer := faulty.before.pop(operation, None):
            await other_writer()
        headers = {name: text for name, text in request.headers.items() if name.lower() != "host"}
        async with session.post(behind, data=await request.read(), headers=headers) as answered:
            body, status = await answered.read(), answered.status
        if fault == LOST and request.transport is not None:
            request.transport.abort()
        return web.Response(body=body, status=status, content_type="application/x-amz-json-1.0")

    app = web.Application()
    app.router.add_post("/", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        async with ClientSession() as session:
            site = web.TCPSite(runner, "127.0.0.1", 0)
            await site.start()
            host, port = runner.addresses[0][:2]
            faulty.url = f"http://{host}:{port}"
            yield faulty
    finally:
        await runner.cleanup()
