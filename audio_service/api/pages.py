"""The page for people at `/`: search the library and listen. It is static and talks only to the public API."""

from __future__ import annotations

from functools import cache
from importlib.resources import files

from fastapi import Response
from starlette.exceptions import HTTPException

_TYPES = {"index.html": "text/html", "library.js": "text/javascript", "library.css": "text/css"}
_HEADERS = {
    "Cache-Control": "no-cache",
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "media-src 'self'; form-action 'none'; base-uri 'none'; frame-ancestors 'none'",
}


async def index() -> Response:
    """Return the page."""
    return _file("index.html")


async def asset(name: str) -> Response:
    """Return one of its files; there are no others."""
    if name not in _TYPES:
        raise HTTPException(404)
    return _file(name)


def _file(name: str) -> Response:
    return Response(_read(name), media_type=_TYPES[name], headers=_HEADERS)


@cache
def _read(name: str) -> bytes:
    """Read a file of the installed package, once: it does not change while the process runs."""
    return files("audio_service.web").joinpath(name).read_bytes()
