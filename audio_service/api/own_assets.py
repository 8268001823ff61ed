"""Lists of uploaded files, by chat and of the caller, and their removal by whom they belong to."""

from __future__ import annotations

from typing import Annotated, Any

import orjson
from fastapi import Path, Request, Response

from audio_service import texts
from audio_service.api.asset_schemas import CHAT_ID, NO_ASSET, AssetPageBody
from audio_service.api.assets import EXAMPLE, record
from audio_service.api.deps import deps_of
from audio_service.api.errors import InvalidParameter
from audio_service.api.media import CursorQuery, LimitQuery
from audio_service.api.responses import FAILED, REFUSED, Responses, error_examples, json_example, with_headers
from audio_service.api.routing import API, Router, caller_of
from audio_service.api.uploads import ANONYMOUS, AssetIdPath, base_of, intake_of
from audio_service.assets.model import check_asset_id
from audio_service.assets.removal import remove, remove_all_of
from audio_service.assets.repository.base import AssetPage
from audio_service.assets.views import DEFAULT_BARS
from common.errors import AssetNotFound

_PAGE: Responses = {
    200: json_example(AssetPageBody, {"data": [EXAMPLE], "success": True}, "A page, newest first."),
    400: error_examples(
        InvalidParameter("limit", texts.PARAMETER_TOO_LARGE, 100),
        description="`limit` is out of range, or `cursor` is not ours.",
    ),
    **REFUSED,
    **FAILED,
}
_REMOVED: Responses = {
    204: {"description": "Nothing of it is there any more."},
    404: NO_ASSET,
    **REFUSED,
    **FAILED,
}
_FORGOTTEN: Responses = {204: {"description": "Nothing of the caller's is there any more."}, **REFUSED, **FAILED}

router = Router(tags=["assets"])
owned = Router(tags=["uploads"])


@router.get("/chats/{chat_id}/assets/", summary="A chat's uploaded files", responses=with_headers(_PAGE))
@router.get("/chats/{chat_id}/assets", include_in_schema=False)
async def of_chat(
    request: Request,
    chat_id: Annotated[str, Path(pattern=CHAT_ID, description="The chat.")],
    limit: LimitQuery = 50,
    cursor: CursorQuery = None,
) -> Response:
    """Return assets of any state, newest first."""
    page = await intake_of(deps_of(request)).assets.by_chat(chat_id, limit=limit, cursor=cursor)
    return _page(request, page)


@owned.get(f"{API}/uploads/mine", summary="The caller's uploaded files", responses=with_headers(_PAGE))
async def of_caller(request: Request, limit: LimitQuery = 50, cursor: CursorQuery = None) -> Response:
    """Return assets of any state that the key, or the token's subject, has sent, newest first."""
    page = await intake_of(deps_of(request)).assets.by_owner(_owner_of(request), limit=limit, cursor=cursor)
    return _page(request, page)


@owned.delete(
    f"{API}/uploads/mine", summary="Remove all of the caller's", status_code=204, responses=with_headers(_FORGOTTEN)
)
async def forget_caller(request: Request) -> Response:
    """Remove every file that the caller has sent, what was made of it, and the records, whatever their state."""
    intake = intake_of(deps_of(request))
    await remove_all_of(intake.assets, intake.blobs, _owner_of(request))
    return Response(status_code=204)


@owned.delete("/chats/assets/{asset_id}", summary="Remove one", status_code=204, responses=with_headers(_REMOVED))
async def forget(request: Request, asset_id: AssetIdPath) -> Response:
    """Remove a file of the caller's, what was made of it, and its record, whatever its state."""
    intake = intake_of(deps_of(request))
    asset = await intake.find(check_asset_id(asset_id))
    if asset.owner_id != _owner_of(request):
        raise AssetNotFound(f"{asset_id}: another owner's")
    await remove(intake.assets, intake.blobs, asset_id)
    return Response(status_code=204)


def _owner_of(request: Request) -> str:
    return caller_of(request) or ANONYMOUS


def _page(request: Request, page: AssetPage) -> Response:
    base = base_of(request, deps_of(request).settings)
    body: dict[str, Any] = {"data": [record(asset, base, DEFAULT_BARS) for asset in page.items], "success": True}
    if page.cursor is not None:
        body["next_cursor"] = page.cursor
    return Response(orjson.dumps(body), media_type="application/json")
