"""Pages for people: `/`, the library, `/chats/{chat_id}`, its audio messages, and `/docs`, the API's description.

They load nothing from another host. `/docs` is a plain list of the operations, which Swagger UI's script, served from
here too, replaces once it runs (docs/adr/0024-api-docs-page.md): a browser without scripts keeps the list.
"""

from __future__ import annotations

import re
from functools import cache
from html import escape
from importlib.metadata import distribution, version
from importlib.resources import files
from pathlib import Path
from typing import Any

from fastapi import Request, Response
from starlette.exceptions import HTTPException

from audio_service.api.asset_schemas import CHAT_ID
from audio_service.api.deps import deps_of
from audio_service.api.routing import Router
from audio_service.settings import AudioSettings

_TYPES = {"html": "text/html", "js": "text/javascript", "css": "text/css", "svg": "image/svg+xml"}
_SCRIPTS = ("chat", "docs", "dom", "events", "library", "player", "recorder", "upload", "words")
_WEB = (*(f"{name}.js" for name in _SCRIPTS), "chat.css", "docs.css", "library.css", "style.css", "icon.svg")
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'{upload}; "
    "media-src 'self'; form-action 'none'; base-uri 'none'; frame-ancestors 'none'"
)
_HEADERS = {"Cache-Control": "no-cache", "Content-Security-Policy": _POLICY.format(upload="")}

_SWAGGER = ("swagger-ui.css", "swagger-ui-bundle.js")
_SWAGGER_PACKAGE = "fastapi-swagger"
_SWAGGER_HEADERS = {**_HEADERS, "Cache-Control": "public, max-age=86400"}
_DOCS_HEADERS = {
    **_HEADERS,
    # Swagger UI writes style attributes and draws its icons from data: addresses.
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data:; connect-src 'self'; form-action 'none'; base-uri 'none'; frame-ancestors 'none'",
}
_DOCS = """<!doctype html>
<html lang="en" class="light">
<head>
<meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>{title}</title>
<link rel="icon" href="/web/icon.svg">
<link rel="stylesheet" href="/docs/swagger-ui.css?v={version}">
<link rel="stylesheet" href="/web/style.css">
<link rel="stylesheet" href="/web/docs.css">
</head>
<body>
<header class="top">
<a class="brand" href="/">Butakero</a>
<nav aria-label="Pages">
<a href="/">Library</a>
<a href="/chats/demo">Chat</a>
<a href="/docs" aria-current="page">API</a>
</nav>
</header>
<div id="operations">
<h1>{title}</h1>
<p>{description}</p>
<p>The whole description: <a href="/openapi.json">openapi.json</a>.</p>
{operations}
</div>
<script src="/docs/swagger-ui-bundle.js?v={version}"></script>
<script src="/web/docs.js"></script>
</body>
</html>
"""

router = Router(include_in_schema=False)


@router.get("/")
async def index() -> Response:
    """Return the page."""
    return _file("index.html")


@router.get("/chats/{chat_id}")
async def chat(request: Request, chat_id: str) -> Response:
    """Return the page of a chat, which is told whether it can be used."""
    if not re.fullmatch(CHAT_ID, chat_id):
        raise HTTPException(404)
    settings = deps_of(request).settings
    page = _read("chat.html")
    if not settings.uploads:
        page = page.replace(b'data-uploads="on"', b'data-uploads="off"')
    if settings.access_controlled:
        page = page.replace(b'data-access="open"', b'data-access="closed"')
    headers = {**_HEADERS, "Content-Security-Policy": _POLICY.format(upload=_bucket_of(settings))}
    return Response(page, media_type="text/html", headers=headers)


@router.get("/web/{name}")
async def asset(name: str) -> Response:
    """Return one of the pages' files."""
    if name not in _WEB:
        raise HTTPException(404)
    return _file(name)


@router.get("/docs")
async def docs_page(request: Request) -> Response:
    """Return the page."""
    document: dict[str, Any] = request.app.openapi()
    page = _DOCS.format(
        title=escape(document["info"]["title"]),
        description=escape(document["info"]["description"]),
        version=version(_SWAGGER_PACKAGE),
        operations="\n".join(
            _operation(method, path, operation)
            for path, methods in document["paths"].items()
            for method, operation in methods.items()
        ),
    )
    return Response(page, media_type="text/html", headers=_DOCS_HEADERS)


@router.get("/docs/{asset}")
async def swagger_asset(asset: str) -> Response:
    """Return one of Swagger UI's files. Its address has the package's version, so a copy is never of another one."""
    if asset not in _SWAGGER:
        raise HTTPException(404)
    return Response(_read_swagger(asset), media_type=_type(asset), headers=_SWAGGER_HEADERS)


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


def _bucket_of(settings: AudioSettings) -> str:
    """Return where else than here the page may send files: to the bucket, whose URLs are presigned."""
    if settings.storage_backend != "s3":
        return ""
    endpoint = settings.s3_public_url or settings.aws_endpoint_url_s3 or settings.aws_endpoint_url
    return f" {endpoint.rstrip('/')}" if endpoint else " https://*.amazonaws.com"


def _file(name: str) -> Response:
    return Response(_read(name), media_type=_type(name), headers=_HEADERS)


def _type(name: str) -> str:
    return _TYPES[name.rpartition(".")[2]]


@cache
def _read(name: str) -> bytes:
    """Read a file of the installed package, once per process: it does not change while the process runs."""
    return files("audio_service.web").joinpath(name).read_bytes()


@cache
def _read_swagger(name: str) -> bytes:
    """Read a file of the package that has them, without importing its code."""
    return Path(str(distribution(_SWAGGER_PACKAGE).locate_file(f"fastapi_swagger/resources/{name}"))).read_bytes()
