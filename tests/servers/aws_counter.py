"""A server between programs and those that stand in for AWS: it counts requests by service and operation, answers some
of them as AWS would (`Fault`), and is away when told to.
"""

from __future__ import annotations

import urllib.parse
from collections import Counter
from collections.abc import AsyncGenerator, Generator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field

import aiohttp
from aiohttp import web
from yarl import URL

_MOST_BYTES = 64 * 1024 * 1024
_JSON_TYPES = {"dynamodb": "com.amazonaws.dynamodb.v20120810", "sqs": "com.amazonaws.sqs"}
_XML = {
    "s3": "<?xml version='1.0'?><Error><Code>{}</Code><Message>{}</Message><RequestId>1</RequestId></Error>",
    "sns": "<ErrorResponse xmlns='http://sns.amazonaws.com/doc/2010-03-31/'><Error><Type>Sender</Type><Code>{}</Code>"
    "<Message>{}</Message></Error><RequestId>1</RequestId></ErrorResponse>",
}
_NOT_PASSED_ON = frozenset(
    {"connection", "content-encoding", "content-length", "expect", "keep-alive", "transfer-encoding"}
)
_ALWAYS = 1_000_000


@dataclass(slots=True)
class Fault:
    """An error of AWS in place of the target's answer, for as many requests as `times` says."""

    status: int
    code: str
    message: str
    times: int = _ALWAYS

    def to(self, operation: str, method: str) -> web.Response:
        """Return it as the service of `operation` writes it."""
        service = operation.partition(" ")[0]
        if service in _JSON_TYPES:
            body = {"__type": f"{_JSON_TYPES[service]}#{self.code}", "message": self.message}
            return web.json_response(body, status=self.status, content_type="application/x-amz-json-1.0")
        text = _XML[service].format(self.code, self.message)
        # The answer to HEAD has no body.
        return web.Response(status=self.status, text="" if method == "HEAD" else text, content_type="text/xml")


@dataclass(slots=True)
class AwsCounter:
    """`requests` by "service operation" ("dynamodb GetItem", "s3 PutObject"), attempts of the SDK counted each.

    `faults`: by operation, or by service for all of its operations. `dropped`: requests that were cut off meanwhile.
    """

    target: str
    session: aiohttp.ClientSession
    url: str = ""
    requests: Counter[str] = field(default_factory=Counter[str])
    faults: dict[str, Fault] = field(default_factory=dict[str, Fault])
    dropped: Counter[str] = field(default_factory=Counter[str])
    _away: bool = False
    _waiting: dict[int, tuple[web.Request, str]] = field(default_factory=dict[int, tuple[web.Request, str]])

    @contextmanager
    def away(self) -> Generator[None]:
        """Cut off the requests under way, and each new one."""
        self._away = True
        for request, operation in self._waiting.values():
            self._drop(request, operation)
        try:
            yield
        finally:
            self._away = False

    async def handle(self, request: web.Request) -> web.Response:
        """Count a request, and answer what the target answers."""
        body = await request.read()
        operation = operation_of(request.method, request.path_qs, request.headers, body)
        self.requests[operation] += 1
        if self._away:
            self._drop(request, operation)
            return web.Response()
        fault = self.faults.get(operation) or self.faults.get(operation.partition(" ")[0])
        if fault is not None and fault.times:
            fault.times -= 1
            return fault.to(operation, request.method)
        self._waiting[id(request)] = request, operation
        try:
            return await self._passed_on(request, body)
        finally:
            del self._waiting[id(request)]

    def _drop(self, request: web.Request, operation: str) -> None:
        self.dropped[operation] += 1
        if request.transport is not None:
            request.transport.abort()

    async def _passed_on(self, request: web.Request, body: bytes) -> web.Response:
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
