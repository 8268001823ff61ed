"""How a file is uploaded: prepare, PUT, complete. The work is queued, never done here."""

from __future__ import annotations

from typing import Annotated, Any

import orjson
from fastapi import Path, Query, Request, Response
from starlette.requests import ClientDisconnect

from audio_service import texts
from audio_service.api.asset_schemas import (
    ASSET_ID_EXAMPLE,
    NO_ASSET,
    CompleteBody,
    CompletedBody,
    PrepareBody,
    PreparedBody,
)
from audio_service.api.deps import ApiDeps, deps_of
from audio_service.api.errors import InvalidParameter
from audio_service.api.responses import (
    FAILED,
    REFUSED,
    Responses,
    error_example,
    error_examples,
    json_example,
    with_headers,
)
from audio_service.api.routing import API, Router, caller_of
from audio_service.assets import signatures
from audio_service.assets.intake import Announced, Intake
from audio_service.assets.model import Asset, check_asset_id, quarantine_key
from audio_service.settings import AudioSettings
from common.blobs.presigned import PresignedPut, PresignedUrls
from common.errors import (
    InvalidInput,
    Misconfigured,
    QueueUnavailable,
    QuotaExceeded,
    StorageFull,
    StorageUnavailable,
    UploadMismatch,
    UploadMissing,
    UploadRefused,
    UploadTooLarge,
)
from common.http.protocol import Uploads
from common.messages.base import wire_time

UPLOADS_PATH = f"{API}/uploads/"
ANONYMOUS = "anonymous"
"""The owner of everything where access is not controlled."""

_UPLOAD = {
    "method": "PUT",
    "url": f"https://audio.example{UPLOADS_PATH}{ASSET_ID_EXAMPLE}?expires=1747437753&signature=5f0c",
    "headers": {"Content-Type": "audio/mp4", "Content-Length": "123456"},
    "expires_at": "2026-05-16T23:21:17.000Z",
}
_INVALID = error_examples(
    InvalidParameter("size", texts.PARAMETER_MISSING), description="A field is missing or malformed; it is named."
)
_PREPARE: Responses = {
    201: json_example(
        PreparedBody,
        {"asset_id": ASSET_ID_EXAMPLE, "processing_status": "queued", "upload": _UPLOAD, "success": True},
        "Send the file to `url`, with exactly these headers.",
    ),
    400: _INVALID,
    **REFUSED,
    **FAILED,
    413: error_example(UploadTooLarge(), "Over UPLOAD_MAX_BYTES, or the request itself is too large."),
    429: error_examples(
        QuotaExceeded(), description="The owner has too many uploads, or the client sends too many requests."
    ),
}
_COMPLETE: Responses = {
    202: json_example(
        CompletedBody,
        {"asset_id": ASSET_ID_EXAMPLE, "processing_status": "queued", "success": True},
        "Its processing is queued. Called again: the present state.",
    ),
    400: _INVALID,
    404: NO_ASSET,
    409: error_examples(UploadMissing(), UploadMismatch(), description="The file is not there, or not as announced."),
    503: error_examples(
        QueueUnavailable(), StorageUnavailable(), description="It is not queued: complete it again in a while."
    ),
    **REFUSED,
    **FAILED,
}
_PUT: Responses = {
    201: {"description": "The whole file is stored."},
    400: error_examples(InvalidInput(), description="Another length or type than announced, or a part of the file."),
    403: error_example(UploadRefused(), "The signature is wrong, has expired, or was used."),
    404: NO_ASSET,
    503: error_examples(StorageUnavailable(), description="The store does not answer; the file may be sent again."),
    507: error_example(StorageFull(), "The disk is full."),
    **FAILED,
}

AssetIdPath = Annotated[
    str, Path(min_length=1, max_length=100, description="The asset's id.", examples=[ASSET_ID_EXAMPLE])
]

router = Router(prefix="/chats/upload", tags=["uploads"])
signed = Router(prefix=f"{API}/uploads", tags=["uploads"])


def uploads_of(settings: AudioSettings) -> Uploads | None:
    """Return which requests may have large bodies."""
    return Uploads(UPLOADS_PATH, settings.upload_max_bytes) if settings.uploads else None


def intake_of(deps: ApiDeps) -> Intake:
    """Return what uploads come in by. Raises Misconfigured where UPLOADS is off."""
    if deps.assets is None:
        raise Misconfigured("UPLOADS is off")
    return Intake(deps.settings, deps.assets, deps.blobs, deps.broker)


def base_of(request: Request, settings: AudioSettings) -> str:
    """Return what addresses begin with: PUBLIC_URL, else the address that this client used."""
    return settings.public_url or str(request.base_url).rstrip("/")


@router.post("/prepare/", summary="Prepare an upload", status_code=201, responses=with_headers(_PREPARE))
@router.post("/prepare", include_in_schema=False)
async def prepare(request: Request, body: PrepareBody) -> Response:
    """Record what will be sent, and return where to: one PUT, allowed for a while."""
    deps = deps_of(request)
    announced = Announced(body.name, body.size, body.type, body.chat_id)
    asset = await intake_of(deps).prepare(announced, caller_of(request) or ANONYMOUS)
    permission = await _permission(request, deps, asset)
    upload: dict[str, Any] = {
        "method": "PUT",
        "url": permission.url,
        "headers": dict(permission.headers),
        "expires_at": wire_time(permission.expires_at),
    }
    return _json(201, {"asset_id": asset.asset_id, "processing_status": asset.state, "upload": upload, "success": True})


@router.post("/complete/", summary="Say that the file was sent", status_code=202, responses=with_headers(_COMPLETE))
@router.post("/complete", include_in_schema=False)
async def complete(request: Request, body: CompleteBody) -> Response:
    """Check that the file is there as announced, and queue its processing. Idempotent."""
    asset = await intake_of(deps_of(request)).complete(check_asset_id(body.asset_id))
    return _json(202, {"asset_id": asset.asset_id, "processing_status": asset.state, "success": True})


@signed.put("/{asset_id}", summary="Send the file", status_code=201, responses=with_headers(_PUT))
async def put(
    request: Request,
    asset_id: AssetIdPath,
    expires: Annotated[str, Query(max_length=20, description="As in the prepared URL.")],
    signature: Annotated[str, Query(max_length=64, description="As in the prepared URL.")],
) -> Response:
    """Store the body in quarantine, atomically, if it is what was announced."""
    intake = intake_of(deps_of(request))
    asset = await intake.find(check_asset_id(asset_id))
    signatures.check(asset, expires, signature)
    length = request.headers.get("content-length", "")
    try:
        await intake.receive(
            asset,
            int(length) if length.isdecimal() else None,
            request.headers.get("content-type", ""),
            request.stream(),
        )
    except UploadMismatch as exc:
        raise InvalidInput(exc.detail) from exc
    except ClientDisconnect as exc:
        raise InvalidInput("the client disconnected") from exc
    return Response(status_code=201)


async def _permission(request: Request, deps: ApiDeps, asset: Asset) -> PresignedPut:
    upload = asset.upload
    if isinstance(deps.blobs, PresignedUrls):
        return await deps.blobs.presign_put(
            quarantine_key(asset.asset_id),
            upload.content_type,
            upload.size,
            seconds=deps.settings.upload_url_seconds,
        )
    signature = signatures.sign(asset.asset_id, upload)
    query = f"expires={int(upload.expires_at.timestamp())}&signature={signature}"
    url = f"{base_of(request, deps.settings)}{UPLOADS_PATH}{asset.asset_id}?{query}"
    headers = {"Content-Type": upload.content_type, "Content-Length": str(upload.size)}
    return PresignedPut(url, headers, upload.expires_at)


def _json(status: int, body: dict[str, Any]) -> Response:
    return Response(orjson.dumps(body), status_code=status, media_type="application/json")
