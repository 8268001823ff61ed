"""How an asset is shown, over HTTP and in statuses: addresses of files, bars, sentences."""

from __future__ import annotations

from collections.abc import Sequence

import orjson

from audio_service.assets.model import Asset, AssetState
from common.messages.assets import AssetOutput, AssetStatusEvent
from common.messages.base import wire_time

FILES = {"audio": "audio.m4a", "dca": "audio.dca", "waveform": "waveform.json"}
"""The names of outputs, and of their files."""
DEFAULT_BARS = 100


def path_of(asset_id: str, file: str) -> str:
    """Return where a file of an asset is served."""
    return f"/api/v1/assets/{asset_id}/{file}"


def outputs_of(asset: Asset, base: str) -> list[AssetOutput]:
    """Return the outputs with their addresses, which begin with `base`."""
    return [
        AssetOutput(
            name=output.name,
            content_type=output.content_type,
            size=output.size,
            url=base + path_of(asset.asset_id, FILES[output.name]),
        )
        for output in asset.made.outputs
    ]


def bars_of(waveform: Sequence[int], count: int = DEFAULT_BARS) -> list[int]:
    """Return `count` bars, each the largest of those that it covers."""
    length = len(waveform)
    if not length:
        return []
    return [
        max(waveform[at * length // count : max(at * length // count + 1, -(-(at + 1) * length // count))])
        for at in range(count)
    ]


def status_event(asset: Asset, base: str) -> AssetStatusEvent:
    """Return the status message of an asset's present state."""
    return AssetStatusEvent(
        request_id=asset.asset_id,
        asset_id=asset.asset_id,
        kind=asset.kind,
        owner_id=asset.owner_id,
        chat_id=asset.chat_id,
        status=asset.state.value,
        success=asset.state is not AssetState.FAILED,
        message=asset.message,
        error_code=asset.error_code,
        outputs=outputs_of(asset, base),
        waveform=bars_of(asset.made.waveform),
        duration_ms=asset.made.duration_ms,
    )


def update_text(asset: Asset, base: str) -> str:
    """Return the message for a chat's listeners (JSON). A complete upload that waits counts as processed already."""
    sound = next((output for output in outputs_of(asset, base) if output.name == "audio"), None)
    waiting = asset.state is AssetState.QUEUED
    update = {
        "type": "chat_message_update",
        "asset_id": asset.asset_id,
        "name": asset.upload.name,
        "status": AssetState.PROCESSING if waiting else asset.state,
        "url": sound.url if sound else None,
        "waveform": bars_of(asset.made.waveform),
        "duration": asset.made.duration_ms / 1000 if sound else None,
        "error_code": asset.error_code,
        "message": asset.message,
        "created_at": wire_time(asset.created_at),
    }
    return orjson.dumps(update).decode()
