"""Pages for people: `/`, which searches the library and plays songs, and `/docs`, the API's description.

The page at `/` is static and uses the public API alone. `/docs` is Swagger UI where its files can be fetched from a
public CDN, and the same operations as plain HTML where they cannot: Swagger's script replaces the element with the
plain list, so a browser without it keeps the list.
"""

from __future__ import annotations

import base64
import hashlib
from functools import cache
from html import escape
from importlib.resources import files
from typing import Any

from fastapi import Request, Response
from starlette.exceptions import HTTPException

from audio_service.api.routing import Router

_TYPES = {"index.html": "text/html", "library.js": "text/javascript", "library.css": "text/css"}
_HEADERS = {
    "Cache-Control": "no-cache",
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "media-src 'self'; form-action 'none'; base-uri 'none'; frame-ancestors 'none'",
}

_CDN = "https://cdn.jsdelivr.net"
_SWAGGER = f"{_CDN}/npm/swagger-ui-dist@5"
_START = (
    'if (window.SwaggerUIBundle) SwaggerUIBundle({url: "/openapi.json", dom_id: "#operations", deepLinking: true});'
)
_START_HASH = base64.b64encode(hashlib.sha256(_START.encode()).digest()).decode()
_POLICY = (
    f"default-src 'none'; script-src {_CDN} 'sha256-{_START_HASH}'; style-src {_CDN} 'unsafe-inline'; "
    "img-src data:; connect-src 'self'; frame-ancestors 'none'"
)
_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>{title}</title>
<link rel="stylesheet" href="{swagger}/swagger-ui.css">
<style>body {{ font-family: sans-serif; margin: 0 auto; max-width: 60rem; padding: 1rem }}</style>
</head>
<body>
<div id="operations">
<h1>{title}</h1>
<p>{description}</p>
<p>The whole description: <a href="/openapi.json">openapi.json</a>. This plain list stands here as long as Swagger UI,
which is fetched from the network, has not loaded.</p>
{operations}
</div>
<script src="{swagger}/swagger-ui-bundle.js"></script>
<script>{start}</script>
</body>
</html>
"""

router = Router(include_in_schema=False)


@router.get("/")
async def index() -> Response:
    """Return the page."""
    return _file("index.html")


@router.get("/web/{name}")
async def asset(name: str) -> Response:
    """Return one of the page's files."""
    if name not in _TYPES:
        raise HTTPException(404)
    return _file(name)


@router.get("/docs")
async def docs_page(request: Request) -> Response:
    """Return the page."""
    document: dict[str, Any] = request.app.openapi()
    page = _PAGE.format(
        title=escape(document["info"]["title"]),
        description=escape(document["info"]["description"]),
        swagger=_SWAGGER,
        operations="\n".join(
            _operation(method, path, operation)
            for path, methods in document["paths"].items()
            for method, operation in methods.items()
        ),
        start=_START,
    )
    return Response(page, media_type="text/html", headers={"Content-Security-Policy": _POLICY})


def _operation(method: str, path: str, operation: dict[str, Any]) -> str:
    parameters = "".join(_parameter(parameter) for parameter in operation.get("parameters", ()))
    answers = "".join(
        f"<li><code>{escape(status)}</code> {escape(answer['description'])}</li>"
        for status, answer in operation["responses"].items()
    )
    return (
        f"<h2><code>{escape(method.upper())} {escape(path)}</code></h2>"
        f"<p>{escape(operation['summary'])}. {escape(operation.get('description', ''))}</p>"
        f"<ul>{parameters}</ul><p>Answers:</p><ul>{answers}</ul>"
    )


def _parameter(parameter: dict[str, Any]) -> str:
    need = "required" if parameter["required"] else "optional"
    about = escape(parameter.get("description", ""))
    return f"<li><code>{escape(parameter['name'])}</code> ({escape(parameter['in'])}, {need}): {about}</li>"


def _file(name: str) -> Response:
    return Response(_read(name), media_type=_TYPES[name], headers=_HEADERS)


@cache
def _read(name: str) -> bytes:
    """Read a file of the installed package, once per process: it does not change while the process runs."""
    return files("audio_service.web").joinpath(name).read_bytes()
