"""A server between programs and those that stand in for AWS: it counts requests by service and operation."""

from __future__ import annotations

import urllib.parse
from collections import Counter
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import aiohttp
from aiohttp import web
from yarl import URL

_MOST_BYTES = 64 * 1024 * 1024
_NOT_PASSED_ON = frozenset(
    {"connection", "content-encoding", "content-length", "expect", "keep-alive", "transfer-encoding"}
)


@dataclass(slots=True)
class AwsCounter:
    """`requests` by "service operation" ("dynamodb GetItem", "s3 PutObject"), attempts of the SDK counted each."""

    target: str
    session: aiohttp.ClientSession
    url: str = ""
    requests: Counter[str] = field(default_factory=Counter[str])

    async def handle(self, request: web.Request) -> web.Response:
        """Count a request, and answer what the target answers."""
        body = await request.read()
        self.requests[operation_of(request.method, request.path_qs, request.headers, body)] += 1
        # The signature is made over the Host that the program sees.
        headers = {name: text for name, text in request.headers.items() if name.lower() not in _NOT_PASSED_ON}
        url = URL(f"{self.target}{request.raw_path}", encoded=True)
        async with self.session.request(request.method, url, data=body, headers=headers) as response:
            kept = {name: text for name, text in response.headers.items() if name.lower() not in _NOT_PASSED_ON}
            if request.method == "HEAD":
                kept["Content-Length"] = response.headers.get("Content-Length", "0")
            return web.Response(status=response.status, body=await response.read() or None, headers=kept)


def operation_of(method: str, path: str, headers: Mapping[str, str], body: bytes) -> str:
    """Return the service and the operation of a request."""
    if target := headers.get("X-Amz-Target"):
        service, _, action = target.rpartition(".")
        return f"{'dynamodb' if service.startswith('DynamoDB') else 'sqs'} {action}"
    if headers.get("Content-Type", "").startswith("application/x-www-form-urlencoded"):
        return f"sns {dict(urllib.parse.parse_qsl(body.decode()))['Action']}"
    return f"s3 {_s3_operation(method, path)}"


def _s3_operation(method: str, path: str) -> str:
    address = urllib.parse.urlsplit(path)
    asked = dict(urllib.parse.parse_qsl(address.query, keep_blank_values=True))
    kind = "Object" if address.path.strip("/").count("/") else "Bucket"
    if method == "POST":
        if "delete" in asked:
            return "DeleteObjects"
        return "CreateMultipartUpload" if "uploads" in asked else "CompleteMultipartUpload"
    if "uploadId" in asked:
        return "UploadPart" if method == "PUT" else "AbortMultipartUpload"
    if method == "GET" and kind == "Bucket":
        return "ListMultipartUploads" if "uploads" in asked else "ListObjectsV2"
    return f"{method.capitalize()}{kind}"


@asynccontextmanager
async def open_aws_counter(target: str) -> AsyncGenerator[AwsCounter]:
    """Serve on a free port."""
    # ministack closes connections that rest.
    connector = aiohttp.TCPConnector(limit=0, force_close=True)
    async with aiohttp.ClientSession(connector=connector, auto_decompress=False) as session:
        counter = AwsCounter(target, session)
        app = web.Application(client_max_size=_MOST_BYTES)
        app.router.add_route("*", "/{path:.*}", counter.handle)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        counter.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        try:
            yield counter
        finally:
            await runner.cleanup()
