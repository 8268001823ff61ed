"""A web site on loopback that serves media, with faults on request: what the sources are tested against.

`async with open_media_site(directory) as site:` serves the files of `directory` below `/files/`; `site.file(name, …)`
and its neighbours give URLs, and query parameters choose faults (see `_Behaviour`). `site.gate(name)`
lets a test hold a body at a byte and release it; `site.repaired = True` ends all faults. `site.gets[path]` counts
GETs that got a body, `site.bytes_sent[path]` its bytes.

`python -m tests.servers.media_site DIRECTORY` runs it as a program, which prints its URL, answers the counters at
`/counters` and opens gates at `/release/NAME`.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import gzip
import html
import json
import socket
import struct
import sys
from collections import Counter, defaultdict
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from urllib.parse import quote, urlencode

import psutil
from aiohttp import web

from tests.servers.media_files import CONTENT_TYPES

_BLOCK = 16 * 1024
_BOMB_BYTES = 256 * 1024 * 1024
# 48 kHz, 16 bits, stereo; the sizes say "not known".
_WAV_FORMAT = struct.pack("<IHHIIHH", 16, 1, 2, 48_000, 192_000, 4, 16)
_WAV_HEADER = b"RIFF\xff\xff\xff\xffWAVEfmt " + _WAV_FORMAT + b"data\xff\xff\xff\xff"
_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass(slots=True)
class Gate:
    """A byte position at which bodies wait: `reached` is set when one is there, `release` lets them continue."""

    reached: asyncio.Event = field(default_factory=asyncio.Event)
    released: asyncio.Event = field(default_factory=asyncio.Event)

    def release(self) -> None:
        """Let the bodies that wait here continue, and later ones pass."""
        self.released.set()

    async def wait(self) -> None:
        """Set `reached`, and wait for the release."""
        self.reached.set()
        await self.released.wait()


@dataclass(frozen=True, slots=True)
class _Behaviour:
    """How a body is sent, read from the query.

    Attributes:
        hold: stop at this byte until the gate (`gate=NAME`, default "gate") is released.
        stall: stop at this byte without an end.
        cut: close the connection at this byte.
        drop: close each connection after so many bytes.
        rate: bytes per second.
        claim: the Content-Length to announce instead of the true one.
        delay: milliseconds between the headers and the body.
        kill: the process that reads the body is killed (SIGKILL) at this byte.
        times: number of GETs of the URL that get the fault (stall, cut, kill, fail); later ones get the file.
        fail: answer this status instead.
        then: answer this status to every GET of the URL but the first.
        ranges: False ignores Range headers.
        etag: another ETag than the file's own ("changing": a new one at each GET).
        type: another Content-Type.
        silent: never answer at all.
        unasked: answer only so many bytes, as a part (206), though no Range was asked for.
        radio: the headers of a radio stream, which have no length.
        unstated: do not say how long the body is.
        damage: the bytes after the first KB are XORed with 0x5A.
    """

    gate: str = "gate"
    hold: int | None = None
    stall: int | None = None
    cut: int | None = None
    drop: int | None = None
    rate: int | None = None
    delay: int = 0
    kill: int | None = None
    claim: int | None = None
    times: int | None = None
    fail: int | None = None
    ranges: bool = True
    etag: str = ""
    type: str = ""
    silent: bool = False
    damage: bool = False
    unasked: int | None = None
    radio: bool = False
    unstated: bool = False

    def add_headers(self, response: web.StreamResponse) -> None:
        """Add the headers that do not depend on the range."""
        if self.radio or self.unstated:
            response.content_length = None
        if self.radio:
            response.headers["icy-name"] = "Radio"
        if self.ranges:
            response.headers["Accept-Ranges"] = "bytes"
        if self.etag:
            response.headers["ETag"] = self.etag

    def from_byte(self, position: int) -> _Behaviour:
        """Return the behaviour of a body that begins at this byte of the file."""
        return self if self.drop is None else replace(self, cut=position + self.drop)

    @classmethod
    def of(cls, request: web.Request, seen: int, *, repaired: bool) -> _Behaviour:
        query = request.query
        if repaired:
            return cls()

        def number(name: str) -> int | None:
            return int(query[name]) if name in query else None

        times = number("times")
        bad = times is None or seen < times
        fail = number("fail") if bad else None
        return cls(
            gate=query.get("gate", "gate"),
            hold=number("hold"),
            stall=number("stall") if bad else None,
            cut=number("cut") if bad else None,
            drop=number("drop"),
            rate=number("rate"),
            delay=number("delay") or 0,
            kill=number("kill") if bad else None,
            claim=number("claim"),
            times=times,
            fail=number("then") if seen and "then" in query else fail,
            ranges=query.get("ranges") != "no",
            etag=f'"{seen}"' if query.get("etag") == "changing" else query.get("etag", '"file"'),
            type=query.get("type", ""),
            silent="silent" in query,
            damage="damage" in query,
            unasked=number("unasked"),
            radio="radio" in query,
            unstated="unstated" in query,
        )


class MediaSite:
    """The running site: its address, what it sent, and URLs for each behaviour."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.port = 0
        self.gets: Counter[str] = Counter()
        self.bytes_sent: Counter[str] = Counter()
        self.requests: list[str] = []
        self.repaired = False
        self._seen: Counter[str] = Counter()
        self._gates: defaultdict[str, Gate] = defaultdict(Gate)

    @property
    def url(self) -> str:
        """Where it is, without a slash at the end."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def address(self) -> str:
        """What NETWORK_ALLOW must hold for the site to be reachable."""
        return f"127.0.0.1:{self.port}"

    def gate(self, name: str = "gate") -> Gate:
        """Return the gate of that name, closed until released."""
        return self._gates[name]

    def to(self, path: str, **query: str | int) -> str:
        """Return the URL of a path of the site."""
        return f"{self.url}{path}{'?' + urlencode(query) if query else ''}"

    def file(self, path: Path | str, **query: str | int) -> str:
        """Return the URL of a file of the directory; `query` is how it misbehaves."""
        return self.to(self.file_path(path), **query)

    def file_path(self, path: Path | str) -> str:
        """Return the key of a file in the counters."""
        relative = path.relative_to(self.directory).as_posix() if isinstance(path, Path) else path
        return f"/files/{quote(relative)}"

    def page(self, source: str, *, title: str = "A page", tag: str = "audio") -> str:
        """Return the URL of an HTML page with `<audio>` or `<video><source>` that leads to the URL `source`."""
        return self.to("/page", source=source, title=title, tag=tag)

    def jsonld(self, source: str, *, title: str = "A video", seconds: int = 0) -> str:
        """Return the URL of a page whose JSON-LD VideoObject leads to `source`; `seconds` 0 says no duration."""
        return self.to("/jsonld", source=source, title=title, seconds=seconds)

    def album(self, *sources: str, title: str = "An album") -> str:
        """Return the URL of an HTML page with an `<audio>` for each of the URLs `sources`."""
        return self.to("/album", sources="|".join(sources), title=title)

    def feed(self, *sources: str, title: str = "A feed") -> str:
        """Return the URL of an RSS feed with an item for each of the URLs `sources`."""
        return self.to("/feed", sources="|".join(sources), title=title)

    def redirect(self, target: str, *, code: int = 302, hops: int = 1) -> str:
        """Return a URL that leads to `target` over `hops` redirects."""
        return self.to("/redirect", target=target, code=code, hops=hops)

    def playlist(self, segment: str, *, live: bool = False, count: int = 1) -> str:
        """Return the URL of an HLS playlist with `count` segments at the URL `segment`."""
        return self.to("/playlist.m3u8", segment=segment, live=int(live), count=count)

    def live(self, path: Path) -> str:
        """Return an HLS playlist of the directory as if it were still growing."""
        return self.to(f"/live/{quote(path.relative_to(self.directory).as_posix())}")

    def app(self) -> web.Application:
        """Return the application; `open_media_site` serves it."""
        app = web.Application()
        routes: dict[str, _Handler] = {
            "/files/{name:.+}": self._file,
            "/live/{name:.+}": self._live,
            "/page": self._page,
            "/jsonld": self._jsonld,
            "/album": self._album,
            "/feed": self._feed,
            "/redirect": self._redirect,
            "/playlist.m3u8": self._playlist,
            "/status/{code}": self._status,
            "/body": self._body,
            "/endless.wav": self._endless,
            "/gzip-page": self._gzip_page,
            "/gzip-media.mp3": self._gzip_media,
            "/counters": self._counters,
            "/release/{name}": self._release,
        }
        for path, handler in routes.items():
            app.router.add_get(path, handler)
        app.middlewares.append(self._record)
        return app

    @web.middleware
    async def _record(self, request: web.Request, handler: _Handler) -> web.StreamResponse:
        self.requests.append(f"{request.method} {request.path_qs}")
        try:
            return await handler(request)
        except ConnectionResetError:  # the client has seen enough
            return web.Response()

    async def _file(self, request: web.Request) -> web.StreamResponse:
        path = self.directory / request.match_info["name"]
        if not path.is_file():
            raise web.HTTPNotFound
        kind = CONTENT_TYPES.get(path.suffix.lstrip("."), "application/octet-stream")
        return await self._send(request, path.read_bytes(), kind)

    async def _body(self, request: web.Request) -> web.StreamResponse:
        """Answer `text` of the query, or `zeros` zero bytes, or a pattern of `junk` bytes that is no format at all."""
        query = request.query
        junk = bytes((i * 89 + i // 7) % 251 for i in range(int(query.get("junk", "0"))))
        data = query.get("text", "").encode() or bytes(int(query.get("zeros", "0"))) or junk
        return await self._send(request, data, "text/plain")

    async def _send(self, request: web.Request, data: bytes, kind: str) -> web.StreamResponse:
        key = quote(request.path)
        behaviour = _Behaviour.of(request, self._seen[request.path_qs], repaired=self.repaired)
        if request.method == "GET":
            self.gets[key] += 1
            self._seen[request.path_qs] += 1
        if behaviour.silent:
            await asyncio.Event().wait()
        if behaviour.damage:
            data = data[:1024] + bytes(byte ^ 0x5A for byte in data[1024:])
        if behaviour.fail is not None:
            return web.Response(status=behaviour.fail)
        start, end = _range(request, len(data)) if behaviour.ranges else (0, len(data))
        if start >= len(data) > 0:
            return web.Response(status=416, headers={"Content-Range": f"bytes */{len(data)}"})
        partial = behaviour.ranges and "Range" in request.headers
        if behaviour.unasked is not None and not partial:
            partial, end = True, behaviour.unasked
        response = web.StreamResponse(status=206 if partial else 200)
        response.content_type = behaviour.type or kind
        response.content_length = behaviour.claim if behaviour.claim is not None else end - start
        behaviour.add_headers(response)
        if partial:
            response.headers["Content-Range"] = f"bytes {start}-{end - 1}/{len(data)}"
        await response.prepare(request)
        if request.method == "GET":
            await self._send_body(request, response, data[:end], start, behaviour)
        return response

    async def _send_body(
        self, request: web.Request, response: web.StreamResponse, data: bytes, position: int, behaviour: _Behaviour
    ) -> None:
        behaviour = behaviour.from_byte(position)
        await asyncio.sleep(behaviour.delay / 1000)  # not a wait for anything: the delay is the behaviour
        while True:
            stop = position + _BLOCK
            if position == behaviour.cut and request.transport is not None:
                request.transport.close()
                return
            if position == behaviour.stall:
                await asyncio.Event().wait()
            if position == behaviour.hold:
                await self.gate(behaviour.gate).wait()
            if position == behaviour.kill:
                await asyncio.to_thread(_kill_reader, request)
                return
            for edge in (behaviour.cut, behaviour.stall, behaviour.hold, behaviour.kill):
                if edge is not None and position < edge:
                    stop = min(stop, edge)
            block = data[position:stop]
            if not block:
                return
            await response.write(block)
            self.bytes_sent[quote(request.path)] += len(block)
            position += len(block)
            if behaviour.rate:
                await asyncio.sleep(len(block) / behaviour.rate)  # as above: the rate is the behaviour

    async def _live(self, request: web.Request) -> web.StreamResponse:
        folder = Path(request.match_info["name"]).parent.as_posix()
        lines = (self.directory / request.match_info["name"]).read_text().splitlines()
        kept = [line if line.startswith("#") else f"/files/{folder}/{line}" for line in lines if "ENDLIST" not in line]
        return web.Response(text="\n".join(kept), content_type="application/vnd.apple.mpegurl")

    async def _playlist(self, request: web.Request) -> web.StreamResponse:
        segment = request.query["segment"]
        segments = [f"#EXTINF:2.0,\n{segment}" for _ in range(int(request.query["count"]))]
        end = [] if request.query["live"] == "1" else ["#EXT-X-ENDLIST"]
        head = ["#EXTM3U", "#EXT-X-VERSION:3", "#EXT-X-TARGETDURATION:2", "#EXT-X-MEDIA-SEQUENCE:0"]
        return web.Response(text="\n".join([*head, *segments, *end]), content_type="application/vnd.apple.mpegurl")

    async def _page(self, request: web.Request) -> web.StreamResponse:
        source, title = html.escape(request.query["source"]), html.escape(request.query["title"])
        media = (
            f'<audio controls src="{source}"></audio>'
            if request.query["tag"] == "audio"
            else f'<video controls><source src="{source}" type="video/mp4"></video>'
        )
        text = f"<!doctype html><html><head><title>{title}</title></head><body>{media}</body></html>"
        return web.Response(text=text, content_type="text/html")

    async def _jsonld(self, request: web.Request) -> web.StreamResponse:
        title, seconds = request.query["title"], int(request.query["seconds"])
        thing = {
            "@context": "https://schema.org",
            "@type": "VideoObject",
            "name": title,
            "contentUrl": request.query["source"],
            "thumbnailUrl": f"{self.url}/files/cover.jpg",
            **({"duration": f"PT{seconds}S"} if seconds else {}),
        }
        script = json.dumps(thing).replace("<", "\\u003c")
        text = (
            f"<!doctype html><html><head><title>{html.escape(title)}</title>"
            f'<script type="application/ld+json">{script}</script></head><body></body></html>'
        )
        return web.Response(text=text, content_type="text/html")

    async def _album(self, request: web.Request) -> web.StreamResponse:
        title = html.escape(request.query["title"])
        media = "".join(f'<audio src="{html.escape(url)}"></audio>' for url in request.query["sources"].split("|"))
        text = f"<!doctype html><html><head><title>{title}</title></head><body>{media}</body></html>"
        return web.Response(text=text, content_type="text/html")

    async def _feed(self, request: web.Request) -> web.StreamResponse:
        items = [
            f"<item><title>Part {number}</title><link>{html.escape(url)}</link></item>"
            for number, url in enumerate(request.query["sources"].split("|"), 1)
        ]
        channel = f"<title>{html.escape(request.query['title'])}</title><description/>{''.join(items)}"
        text = f'<?xml version="1.0" encoding="UTF-8"?><rss version="2.0"><channel>{channel}</channel></rss>'
        return web.Response(text=text, content_type="application/rss+xml")

    async def _redirect(self, request: web.Request) -> web.StreamResponse:
        query = request.query
        hops, code = int(query["hops"]), int(query["code"])
        target = query["target"] if hops <= 1 else self.redirect(query["target"], code=code, hops=hops - 1)
        return web.Response(status=code, headers={"Location": target})

    async def _status(self, request: web.Request) -> web.StreamResponse:
        return web.Response(status=int(request.match_info["code"]), text="as asked")

    async def _endless(self, request: web.Request) -> web.StreamResponse:
        """Answer a WAV of unknown length whose silence never ends."""
        response = web.StreamResponse(headers={"Content-Type": "audio/wav"})
        await response.prepare(request)
        await response.write(_WAV_HEADER)
        while True:
            await response.write(bytes(_BLOCK))
            self.bytes_sent[request.path] += _BLOCK

    async def _gzip_page(self, request: web.Request) -> web.StreamResponse:
        return await self._gzipped(request, b"<html><head><title>Bomb</title></head><body>", "text/html")

    async def _gzip_media(self, request: web.Request) -> web.StreamResponse:
        return await self._gzipped(request, b"", "audio/mpeg")

    async def _gzipped(self, request: web.Request, head: bytes, kind: str) -> web.StreamResponse:
        """Answer a body that grows to 256 MB when it is decompressed."""
        headers = {"Content-Type": kind, "Content-Encoding": "gzip"}
        packed = gzip.compress(head) + gzip.compress(bytes(_BOMB_BYTES // 256), 1) * 256
        response = web.Response(body=packed, headers=headers)
        self.gets[request.path] += 1
        return response

    async def _counters(self, _: web.Request) -> web.StreamResponse:
        return web.json_response({"gets": self.gets, "bytes_sent": self.bytes_sent, "requests": self.requests})

    async def _release(self, request: web.Request) -> web.StreamResponse:
        self.gate(request.match_info["name"]).release()
        return web.Response()


def _kill_reader(request: web.Request) -> None:
    """`kill -9` the process at the other end of a connection: on loopback it is one of ours."""
    assert request.transport is not None
    address = tuple(request.transport.get_extra_info("peername")[:2])
    for connection in psutil.net_connections("tcp4"):
        if connection.pid is not None and tuple(connection.laddr) == address:
            psutil.Process(connection.pid).kill()


def _range(request: web.Request, size: int) -> tuple[int, int]:
    """Return the asked range as start and end (exclusive), the whole for none."""
    wanted = request.http_range
    start = wanted.start or 0
    return (size + start if start < 0 else start), min(wanted.stop or size, size)


@asynccontextmanager
async def open_media_site(directory: Path, *, port: int = 0) -> AsyncGenerator[MediaSite]:
    """Serve `directory` on a free port of 127.0.0.1 until the block ends."""
    site = MediaSite(directory)
    runner = web.AppRunner(site.app(), handler_cancellation=True, shutdown_timeout=0.1, access_log=None)
    await runner.setup()
    try:
        listener = socket.create_server(("127.0.0.1", port))
        site.port = listener.getsockname()[1]
        await web.SockSite(runner, listener).start()
        yield site
    finally:
        await runner.cleanup()


async def _serve(directory: Path, port: int) -> None:
    async with open_media_site(directory, port=port) as site:
        sys.stdout.write(f"{site.url}\n")
        sys.stdout.flush()
        await asyncio.Event().wait()


def main() -> None:
    """Serve a directory until interrupted."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("directory", type=Path)
    parser.add_argument("--port", type=int, default=0)
    arguments = parser.parse_args()
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(_serve(arguments.directory, arguments.port))


if __name__ == "__main__":
    main()
