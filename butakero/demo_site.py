"""A web site on loopback with one song, on a page that describes its media (JSON-LD).

The song is sent slowly enough for a person to see the progress. The port is stored, because the address identifies the
song: a second run finds the first one's song in the library.
"""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections.abc import Generator
from dataclasses import dataclass
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from butakero.demo_song import SECONDS, TITLE, write_song

DEMO_PATH = Path("data/demo")
_HOST = "127.0.0.1"
_PAGE = "/milonga"
_MEDIA = "/milonga.webm"
_COVER = "/milonga.svg"
_CHUNKS = 12
_PACE_SECONDS = 0.15
_COVER_IMAGE = (
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 160 90"><rect width="160" height="90" fill="#5b8def"/>'
    '<circle cx="80" cy="45" r="26" fill="#fff"/><circle cx="80" cy="45" r="7" fill="#5b8def"/></svg>'
)


@dataclass(frozen=True, slots=True)
class DemoSite:
    """`url` is the page to request, `address` the host and port that the network guard must allow."""

    url: str
    address: str


@contextlib.contextmanager
def open_demo_site(directory: Path = DEMO_PATH) -> Generator[DemoSite]:
    """Write the song unless it exists, and serve it until the context is left.

    Raises:
        OSError: the directory cannot be written, or no port is free.
    """
    song = directory / "milonga.webm"
    write_song(song)
    server = _listen(directory / "port", song.read_bytes())
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.1}, daemon=True)
    thread.start()
    address = f"{_HOST}:{server.server_port}"
    try:
        yield DemoSite(f"http://{address}{_PAGE}", address)
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    # Closing does not wait for clients that read slowly.
    block_on_close = False

    def __init__(self, port: int, song: bytes) -> None:
        super().__init__((_HOST, port), _Handler)
        self.song = song


class _Handler(BaseHTTPRequestHandler):
    server: _Server  # pyright: ignore[reportIncompatibleVariableOverride] - the base class names any server

    def do_GET(self) -> None:
        """Answer the page, the song or its cover."""
        with contextlib.suppress(ConnectionError):
            self._answer(with_body=True)

    def do_HEAD(self) -> None:
        """Answer the headers alone."""
        with contextlib.suppress(ConnectionError):
            self._answer(with_body=False)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
        """No-op: the terminal shows the command's output alone."""

    def _answer(self, *, with_body: bool) -> None:
        bodies = {
            _PAGE: ("text/html; charset=utf-8", _page(self.server.server_port).encode()),
            _MEDIA: ("video/webm", self.server.song),
            _COVER: ("image/svg+xml", _COVER_IMAGE.encode()),
        }
        if self.path not in bodies:
            self.send_error(HTTPStatus.NOT_FOUND)
            return
        content_type, body = bodies[self.path]
        self.send_response(HTTPStatus.OK)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if with_body and self.path == _MEDIA:
            self._send_slowly(body)
        elif with_body:
            self.wfile.write(body)

    def _send_slowly(self, body: bytes) -> None:
        size = -(-len(body) // _CHUNKS)
        for start in range(0, len(body), size):
            self.wfile.write(body[start : start + size])
            time.sleep(_PACE_SECONDS)


def _listen(port_file: Path, song: bytes) -> _Server:
    """Listen on the port of the last run if it is free, else on another one, and store that."""
    try:
        port = int(port_file.read_text())
        return _Server(port, song)
    except (OSError, ValueError, OverflowError):
        server = _Server(0, song)
        port_file.write_text(f"{server.server_port}\n")
        return server


def _page(port: int) -> str:
    base = f"http://{_HOST}:{port}"
    described = json.dumps(
        {
            "@context": "https://schema.org",
            "@type": "VideoObject",
            "name": TITLE,
            "description": "A short song for a first run.",
            "contentUrl": base + _MEDIA,
            "thumbnailUrl": base + _COVER,
            "duration": f"PT{SECONDS}S",
        },
        ensure_ascii=False,
    )
    return (
        f'<!doctype html><html lang="es"><head><meta charset="utf-8"><title>{TITLE}</title>'
        f'<script type="application/ld+json">{described}</script></head>'
        f"<body><h1>{TITLE}</h1></body></html>"
    )
