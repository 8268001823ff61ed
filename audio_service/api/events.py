"""A chat's changes as they happen: the same messages over a WebSocket and as server-sent events.

A connection begins with the present state of the chat's newest assets, so one that was lost needs no memory of what it
had: Last-Event-ID is not read. One that reads too slowly is cut, and begins anew.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import Annotated, Any
from urllib.parse import urlsplit

from fastapi import Path, Query, Request, Response, WebSocket
from starlette.requests import HTTPConnection
from starlette.routing import WebSocketRoute
from starlette.types import Message, Receive, Scope, Send
from starlette.websockets import WebSocketState

from audio_service.access.gate import Gate
from audio_service.api.asset_schemas import CHAT_ID
from audio_service.api.deps import ApiDeps
from audio_service.api.errors import app_error_response, preferred_locale
from audio_service.api.responses import FAILED, REFUSED, Responses, with_headers
from audio_service.api.routing import API, Router
from audio_service.api.tickets import MAX_TICKET, redeem
from audio_service.assets.following import SHOWN
from audio_service.assets.hub import Hub, Listener, Update
from audio_service.settings import AudioSettings
from common.errors import AppError, Forbidden, InvalidInput, Misconfigured
from common.http.protocol import CONNECTION, KeptSocket
from common.observability.telemetry import get_logger
from common.tasks import running_alongside, time_limit

log = get_logger(__name__)

PING_SECONDS = 20.0
_CLOSE_SECONDS = 1.0
_RETRY_MS = 2000
_GOING_AWAY = 1012  # service restart: come again
_FAILED = 1011
_HTTP_SCHEMES = {"ws": "http", "wss": "https"}
_EVENTS: Responses = {
    200: {
        "description": "`chat_message_update` events: first the newest 50 assets as they are, then every change.",
        "content": {"text/event-stream": {"schema": {"type": "string"}}},
    },
    **REFUSED,
    **FAILED,
}

router = Router(prefix=f"{API}/chats", tags=["assets"])


@router.get("/{chat_id}/events", summary="A chat's changes", responses=with_headers(_EVENTS))
async def events(
    request: Request,
    chat_id: Annotated[str, Path(pattern=CHAT_ID, description="The chat.")],
    ticket: Annotated[
        str, Query(max_length=MAX_TICKET, description="In place of a key, where access is controlled.")
    ] = "",
) -> Response:
    """Follow a chat as server-sent events. Lost connections are made again by the browser, with the whole state."""
    await _admit(request, ticket)
    return EventStream(Chat.of(request, chat_id))


async def chat(websocket: WebSocket) -> None:
    """Follow a chat over a WebSocket. What the client sends is ignored."""
    deps: ApiDeps = websocket.app.state.deps
    try:
        _check_origin(websocket, deps.settings)
        await _count(websocket)
        await _admit(websocket, websocket.query_params.get("ticket", "")[:MAX_TICKET])
        joined = Chat.of(websocket, _chat_id_of(websocket))
        with joined.hub.listen(joined.chat_id) as listener:
            await websocket.accept()
            updates = [*await joined.present(listener), *listener.drain()]
        # Nothing is awaited from here on, so nothing is missed.
        pushes = Pushes(websocket.scope[CONNECTION], joined.base)
        for update in updates:
            pushes.add(update)
        joined.hub.join(joined.chat_id, pushes)
        pushes.connection.keep(partial(joined.hub.leave, joined.chat_id, pushes))
    except AppError as exc:
        locale = preferred_locale(websocket.headers.get("accept-language", ""), deps.settings.locale)
        if websocket.application_state is WebSocketState.CONNECTING:
            await websocket.send_denial_response(app_error_response(exc, locale))
        else:
            log.warning("events.failed", code=exc.code, detail=exc.detail)
            await websocket.close(_FAILED)


sockets = [WebSocketRoute("/ws/chats/{chat_id}", chat)]


class Pushes:
    """The listener of a WebSocket, which has no task: updates are sent as they come."""

    __slots__ = ("_base", "connection")

    def __init__(self, connection: KeptSocket, base: str) -> None:
        self.connection = connection
        self._base = base

    def add(self, update: Update) -> None:
        """Send an update."""
        self.connection.push(update.text(self._base))

    def end(self) -> None:
        """Close the connection: the process stops."""
        self.connection.hang_up(_GOING_AWAY)


class Chat:
    """What a connection listens to, and what its addresses begin with."""

    __slots__ = ("base", "chat_id", "deps", "hub")

    def __init__(self, deps: ApiDeps, hub: Hub, chat_id: str, base: str) -> None:
        self.deps = deps
        self.hub = hub
        self.chat_id = chat_id
        self.base = base

    @classmethod
    def of(cls, connection: HTTPConnection, chat_id: str) -> Chat:
        """Return what a connection asks for."""
        state = connection.app.state
        base = state.deps.settings.public_url or _base_of(connection)
        return cls(state.deps, state.hub, chat_id, base)

    async def present(self, listener: Listener) -> list[Update]:
        """Return the present state, oldest first, and drop what the listener has waiting of before."""
        assets = self.deps.assets
        if assets is None:
            raise Misconfigured("UPLOADS is off")
        page = await assets.by_chat(self.chat_id, limit=SHOWN)
        shown = [asset for asset in reversed(page.items) if asset.completed_at is not None]
        listener.drop_older({asset.asset_id: asset.updated_at for asset in shown})
        return [Update(asset) for asset in shown]


class EventStream(Response):
    """Sends a chat's changes until the client is gone, or the process stops."""

    def __init__(self, joined: Chat) -> None:
        self._joined = joined
        self.status_code = 200
        self.background = None
        # A proxy in front must not keep events back (nginx), and there is no second request on this connection.
        self.init_headers(
            {
                "Content-Type": "text/event-stream",
                "X-Accel-Buffering": "no",
                "Connection": "close",
                "Cache-Control": "no-store",
            }
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the present state and every change, until the listener ends."""
        joined, connection = self._joined, scope.get(CONNECTION)
        with joined.hub.listen(joined.chat_id) as listener:
            if connection is not None:
                connection.lend()
            updates = await joined.present(listener)
            await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
            async with _until_ended(listener, _until_gone(receive, listener)):
                await send(_chunk(f"retry: {_RETRY_MS}\n\n"))
                while not listener.ended:
                    events = "".join(f"data: {update.text(joined.base)}\n\n" for update in updates)
                    await send(_chunk(events or ": ping\n\n"))
                    updates = await _next(listener)
            await _finish(
                scope, listener, lambda: send({"type": "http.response.body", "body": b"", "more_body": False})
            )


async def _next(listener: Listener) -> list[Update]:
    """Wait for updates; none after PING_SECONDS, or when it has ended."""
    try:
        async with time_limit(PING_SECONDS):
            return await listener.take()
    except TimeoutError:
        return []


@asynccontextmanager
async def _until_ended(listener: Listener, companion: Coroutine[Any, Any, None]) -> AsyncGenerator[None]:
    """Run the body until it or the listener ends, whatever it waits for: a client that does not read, say."""
    with suppress(TimeoutError):
        async with time_limit(None) as limit, running_alongside(companion):
            listener.on_end = partial(_expire, limit)
            if listener.ended:
                _expire(limit)
            try:
                yield
            finally:
                listener.on_end = None


def _expire(limit: asyncio.Timeout) -> None:
    if not limit.expired():
        limit.reschedule(asyncio.get_running_loop().time())


async def _until_gone(receive: Receive, listener: Listener) -> None:
    """Read until the client is gone, then end the listener."""
    while not (await receive())["type"].endswith(".disconnect"):
        pass
    listener.gone = True
    listener.end()


async def _finish(scope: Scope, listener: Listener, closing: Callable[[], Awaitable[None]]) -> None:
    """Close properly when the process stops; one that does not read is not waited for."""
    if not (listener.slow or listener.gone):
        with suppress(TimeoutError):
            async with time_limit(_CLOSE_SECONDS):
                await closing()
                return
    if (connection := scope.get(CONNECTION)) is not None:
        connection.close()


def _chunk(text: str) -> Message:
    return {"type": "http.response.body", "body": text.encode(), "more_body": True}


async def _admit(connection: HTTPConnection, ticket: str) -> None:
    """Admit by a ticket or by headers, where access is controlled.

    Raises:
        AccessError: neither is valid.
    """
    gate: Gate = connection.app.state.gate
    if not gate.closed:
        return
    if ticket:
        await redeem(connection.app.state.deps.repository, ticket)
        return
    headers = connection.headers
    await gate.admit(
        headers.get("authorization", ""), headers.get("x-api-key", ""), _address(connection), "assets:read"
    )


async def _count(connection: HTTPConnection) -> None:
    """Count a connection of an address. Raises RateLimited."""
    gate: Gate = connection.app.state.gate
    if gate.needed:
        await gate.admit("", "", _address(connection), None)


def _address(connection: HTTPConnection) -> str:
    return connection.client.host if connection.client else ""


def _check_origin(websocket: WebSocket, settings: AudioSettings) -> None:
    """Refuse pages of other origins: browsers let any page open a WebSocket to any host.

    Programs send no Origin. Raises Forbidden.
    """
    origin = websocket.headers.get("origin")
    if origin is None or origin in settings.origins:
        return
    ours = {websocket.headers.get("host", "").lower(), urlsplit(settings.public_url).netloc.lower()}
    if urlsplit(origin).netloc.lower() not in ours - {""}:
        raise Forbidden("a page of another origin")


def _chat_id_of(websocket: WebSocket) -> str:
    chat_id: str = websocket.path_params["chat_id"]
    if not re.fullmatch(CHAT_ID, chat_id):
        raise InvalidInput("chat_id")
    return chat_id


def _base_of(connection: HTTPConnection) -> str:
    """Return the address that this client used, as `base_of` does for requests."""
    base = str(connection.base_url).rstrip("/")
    scheme, _, rest = base.partition("://")
    return f"{_HTTP_SCHEMES.get(scheme, scheme)}://{rest}"
