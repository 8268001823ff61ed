"""Tickets: permission for one connection of a page, which can send no headers of its own (WebSocket, EventSource).

A ticket is a random text, good once for TICKET_SECONDS at every process: two named leases of the repository remember
that it was issued, and that it was used. Neither holds the ticket itself.
"""

from __future__ import annotations

import hashlib
import secrets
from datetime import timedelta
from typing import Literal

import orjson
from fastapi import Request, Response
from pydantic import BaseModel, ConfigDict

from audio_service.api.deps import deps_of
from audio_service.api.responses import FAILED, REFUSED, Responses, json_example, with_headers
from audio_service.api.routing import API, Router
from audio_service.media.repository.base import MediaRepository
from common.errors import Unauthorized
from common.messages.base import utc_now, wire_time

TICKET_SECONDS = 30
MAX_TICKET = 100
_BYTES = 32
_LIFE = timedelta(seconds=TICKET_SECONDS)


class TicketBody(BaseModel):
    """A ticket, and until when it may be used, once."""

    model_config = ConfigDict(extra="forbid")

    ticket: str
    expires_at: str
    success: Literal[True]


_ISSUED: Responses = {
    201: json_example(
        TicketBody,
        {
            "ticket": "QyDr3v0s8pYyJmS7vK1cF3m2wq0bXj6nT5hLZk9aEeU",
            "expires_at": "2026-05-16T23:06:47.533Z",
            "success": True,
        },
        "Good once, as `?ticket=` of a WebSocket or of server-sent events.",
    ),
    **REFUSED,
    **FAILED,
}

router = Router(prefix=f"{API}/tickets", tags=["assets"])


@router.post("", summary="A ticket for a chat's events", status_code=201, responses=with_headers(_ISSUED))
@router.post("/", include_in_schema=False)
async def issue(request: Request) -> Response:
    """Return a ticket for one connection to a chat's events."""
    expires_at = utc_now() + _LIFE
    ticket = await new_ticket(deps_of(request).repository)
    body = {"ticket": ticket, "expires_at": wire_time(expires_at), "success": True}
    return Response(orjson.dumps(body), status_code=201, media_type="application/json")


async def new_ticket(repository: MediaRepository, life: timedelta = _LIFE) -> str:
    """Issue a ticket."""
    ticket = secrets.token_urlsafe(_BYTES)
    await repository.acquire(_name("issued", ticket), "tickets", life)
    return ticket


async def redeem(repository: MediaRepository, ticket: str) -> None:
    """Use a ticket up. Raises Unauthorized: it was never issued, was used, or has expired."""
    issued = _name("issued", ticket)
    if await repository.acquire(issued, "checks", timedelta(milliseconds=1)) is None:
        raise Unauthorized("ticket: unknown or expired")
    # It outlives the ticket, which cannot be used a second time in between.
    if await repository.acquire(_name("used", ticket), secrets.token_hex(8), 2 * _LIFE) is not None:
        raise Unauthorized("ticket: used")


def _name(state: str, ticket: str) -> str:
    return f"ticket-{state}:{hashlib.sha256(ticket.encode()).hexdigest()}"
