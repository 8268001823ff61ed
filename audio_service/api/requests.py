"""Withdrawing requests. They are made through the queue alone."""

from __future__ import annotations

from typing import Annotated

from fastapi import Path, Request, Response

from audio_service import texts
from audio_service.api.deps import deps_of
from audio_service.api.errors import InvalidParameter
from audio_service.api.responses import FAILED, REFUSED, Responses, error_examples, with_headers
from audio_service.api.routing import API, Router
from audio_service.worker.announcer import ANSWERED_KEEP
from common.messages.base import MAX_ID

RequestIdPath = Annotated[
    str,
    Path(max_length=MAX_ID, description="The request's id.", examples=["0b5e6a2e-5f0c-4c53-9a1f-0d2b8a6a5a10"]),
]
_WITHDRAWN: Responses = {
    204: {"description": "It gets no status, unless its outcome is recorded already."},
    400: error_examples(InvalidParameter("request_id", texts.PARAMETER_TOO_LONG), description="The id is too long."),
    **REFUSED,
    **FAILED,
}

router = Router(prefix=f"{API}/requests", tags=["requests"])


@router.delete("/{request_id}", summary="Withdraw a request", status_code=204, responses=with_headers(_WITHDRAWN))
async def withdraw(request: Request, request_id: RequestIdPath) -> Response:
    """Say that no one waits for a request any more. Its download is cancelled, unless other requests wait for it."""
    await deps_of(request).repository.withdraw(request_id, keep=ANSWERED_KEEP)
    return Response(status_code=204)
