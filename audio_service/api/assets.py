"""Uploaded files over HTTP: their state, and the files that were made of them."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import orjson
from fastapi import Query, Request, Response

from audio_service import texts
from audio_service.api.asset_schemas import ASSET_ID_EXAMPLE, NO_ASSET, AssetBody
from audio_service.api.deps import deps_of
from audio_service.api.errors import InvalidParameter
from audio_service.api.files import send_file
from audio_service.api.responses import (
    FAILED,
    REFUSED,
    Responses,
    error_examples,
    file_response,
    json_example,
    protocol_error_example,
    with_headers,
)
from audio_service.api.routing import API, Router
from audio_service.api.uploads import AssetIdPath, base_of, intake_of
from audio_service.assets.model import Asset, AssetState, check_asset_id, output_key
from audio_service.assets.views import DEFAULT_BARS, FILES, bars_of, outputs_of, path_of
from common.messages.base import wire_time

FileName = Literal["audio.m4a", "audio.dca", "waveform.json"]
_TYPES: dict[str, str] = {
    "audio.m4a": "audio/mp4",
    "audio.dca": "audio/dca",
    "waveform.json": "application/json",
}
# The files of an asset never change.
_CACHE = "private, max-age=3600"
EXAMPLE: dict[str, Any] = {
    "asset_id": ASSET_ID_EXAMPLE,
    "kind": "audio_message",
    "processing_status": "done",
    "name": "nota.m4a",
    "size": 123456,
    "chat_id": "c1",
    "variants": {
        "url": f"https://audio.example{path_of(ASSET_ID_EXAMPLE, FILES['audio'])}",
        "waveform": [0, 15, 40, 90, 30],
        "duration": 12.34,
    },
    "outputs": [
        {
            "name": "audio",
            "content_type": "audio/mp4",
            "size": 98765,
            "url": f"https://audio.example{path_of(ASSET_ID_EXAMPLE, FILES['audio'])}",
        }
    ],
    "error_code": None,
    "message": texts.PROCESSED.es,
    "created_at": "2026-05-16T23:06:17.533Z",
    "updated_at": "2026-05-16T23:06:19.001Z",
}
_BARS = error_examples(InvalidParameter("bars", texts.PARAMETER_TOO_LARGE, 1000), description="`bars` is out of range.")
_READ: Responses = {
    200: json_example(AssetBody, {"data": EXAMPLE, "success": True}, "The asset, whatever its state."),
    400: _BARS,
    404: NO_ASSET,
    **REFUSED,
    **FAILED,
}
_FILE: Responses = {
    200: file_response("audio/mp4", "The whole file.", "ETag", "Accept-Ranges", "Cache-Control"),
    206: file_response("audio/mp4", "The requested range.", "ETag", "Content-Range"),
    304: {"description": "The client's copy is current."},
    400: error_examples(InvalidParameter("file", texts.PARAMETER_INVALID), description="There is no such file."),
    404: NO_ASSET,
    416: protocol_error_example(
        "range_not_satisfiable", texts.RANGE_NOT_SATISFIABLE.es, "The range begins after the end of the file."
    ),
    **REFUSED,
    **FAILED,
}

router = Router(tags=["assets"])


@router.get("/chats/assets/{asset_id}", summary="An uploaded file's state", responses=with_headers(_READ))
@router.get("/chats/assets/{asset_id}/", include_in_schema=False)
async def read(
    request: Request,
    asset_id: AssetIdPath,
    bars: Annotated[int, Query(ge=10, le=1000, description="Bars of the waveform.")] = DEFAULT_BARS,
) -> Response:
    """Return an asset, whatever its state."""
    deps = deps_of(request)
    asset = await intake_of(deps).find(check_asset_id(asset_id))
    found = record(asset, base_of(request, deps.settings), bars)
    body = {"data": found, "success": asset.state is not AssetState.FAILED}
    return Response(orjson.dumps(body), media_type="application/json")


@router.get("/chats/assets/{asset_id}/waveform.json", summary="Its waveform", responses=with_headers(_FILE))
async def waveform(request: Request, asset_id: AssetIdPath) -> Response:
    """Return audiowaveform's JSON, version 2, for pages that zoom."""
    return await file(request, asset_id, "waveform.json")


@router.get(f"{API}/assets/{{asset_id}}/{{file}}", summary="A file that was made", responses=with_headers(_FILE))
async def file(request: Request, asset_id: AssetIdPath, file: FileName) -> Response:
    """Return a file, or the requested range of it."""
    deps = deps_of(request)
    await intake_of(deps).find(check_asset_id(asset_id))
    stat = await deps.blobs.stat(output_key(asset_id, file))
    headers = {
        "Cache-Control": _CACHE,
        "Content-Type": _TYPES[file],
        "Content-Disposition": f'inline; filename="{asset_id}.{file.rpartition(".")[2]}"',
    }
    return await send_file(request, deps.blobs, stat, headers)


def record(asset: Asset, base: str, bars: int) -> dict[str, Any]:
    """Return an asset in the wire's form."""
    made = asset.made
    outputs = outputs_of(asset, base)
    variants = None
    if outputs:
        variants = {
            "url": outputs[0].url,
            "waveform": bars_of(made.waveform, bars),
            "duration": round(made.duration_ms / 1000, 2),
        }
    return {
        "asset_id": asset.asset_id,
        "kind": asset.kind,
        "processing_status": asset.state,
        "name": asset.upload.name,
        "size": asset.upload.size,
        "chat_id": asset.chat_id,
        "variants": variants,
        "outputs": [output.model_dump() for output in outputs],
        "error_code": asset.error_code,
        "message": asset.message,
        "created_at": wire_time(asset.created_at),
        "updated_at": wire_time(asset.updated_at),
    }
