"""The messages' bytes. Members come in the contract's order; readers must not depend on it, but logs and diffs do."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest

from common.messages.assets import AssetOutput, AssetRequest, AssetStatusEvent
from common.messages.base import WireModel, parse
from common.messages.downloads import DownloadRequest, FileData, PlatformMetadata, ProgressEvent, StatusEvent
from tests.wire.golden_files import golden

REQUEST_ID = "0b5e6a2e-5f0c-4c53-9a1f-0d2b8a6a5a10"

REQUEST = DownloadRequest(
    request_id=REQUEST_ID,
    user_id="123",
    song="dua lipa new rules ñandú",
    provider_type="youtube",
    timestamp=datetime(2025, 5, 16, 23, 6, 17, 533_000, UTC),
    guild_id="456",
)
SUCCESS = StatusEvent(
    request_id=REQUEST_ID,
    user_id="123",
    video_id="k2qgadSvNyU",
    file_data=FileData(file_path="audio/k2qgadSvNyU.dca", file_size="2.70MB", file_type="audio/dca"),
    platform_metadata=PlatformMetadata(
        title="Dua Lipa - New Rules (Official Music Video)",
        duration_ms=225_000,
        url="https://youtube.com/watch?v=k2qgadSvNyU",
        thumbnail_url="https://i.ytimg.com/vi/k2qgadSvNyU/default.jpg",
        platform="YouTube",
    ),
    message="Descarga completa",
    success=True,
    status="success",
)
ERROR = StatusEvent(
    request_id=REQUEST_ID,
    user_id="123",
    video_id="",
    message="Ese video es privado.",
    success=False,
    status="error",
    error_code="media_private",
)
PROGRESS = ProgressEvent(
    request_id=REQUEST_ID,
    video_id="k2qgadSvNyU",
    stage="downloading",
    percent=42.5,
    eta_seconds=3.0,
    speed_bytes_per_second=2_000_000.0,
)
UNKNOWN_PROGRESS = ProgressEvent(request_id=REQUEST_ID, video_id="k2qgadSvNyU", stage="resolving")
PLAYABLE_PROGRESS = PROGRESS.model_copy(
    update={
        "playable": True,
        "platform_metadata": SUCCESS.platform_metadata,
        "file_data": SUCCESS.file_data.model_copy(update={"file_size": ""}),
    }
)

ASSET_ID = "2f1b4f86-3d3e-4a53-9d5c-9d9b5d7f2c10"
ASSET_REQUEST = AssetRequest(
    request_id=ASSET_ID,
    asset_id=ASSET_ID,
    kind="audio_message",
    owner_id="123",
    timestamp=datetime(2025, 5, 16, 23, 6, 17, 533_000, UTC),
)
ASSET_FAILED = AssetStatusEvent(
    request_id=ASSET_ID,
    asset_id=ASSET_ID,
    kind="audio_message",
    owner_id="123",
    chat_id="c1",
    status="failed",
    success=False,
    message="Archivo dañado",
    error_code="file_corrupt",
)
ASSET_DONE = ASSET_FAILED.model_copy(
    update={
        "status": "done",
        "success": True,
        "message": "Listo",
        "error_code": None,
        "outputs": [
            AssetOutput(name="audio", content_type="audio/mp4", size=98_765, url=f"/chats/assets/{ASSET_ID}/audio.m4a")
        ],
        "waveform": [0, 15, 40, 90, 30],
        "duration_ms": 12_340,
    }
)

MESSAGES: dict[str, WireModel] = {
    "message_request": REQUEST,
    "message_status_success": SUCCESS,
    "message_status_error": ERROR,
    "message_progress": PROGRESS,
    "message_progress_unknown": UNKNOWN_PROGRESS,
    "message_progress_playable": PLAYABLE_PROGRESS,
    "message_asset_request": ASSET_REQUEST,
    "message_asset_done": ASSET_DONE,
    "message_asset_failed": ASSET_FAILED,
}


@pytest.mark.parametrize("name", MESSAGES)
def test_a_message_has_its_golden_bytes(name: str) -> None:
    assert MESSAGES[name].to_bytes().decode() + "\n" == golden(name)


@pytest.mark.parametrize("name", MESSAGES)
def test_golden_bytes_are_read_back_as_the_same_message(name: str) -> None:
    message = MESSAGES[name]
    assert parse(type(message), golden(name).encode()) == message


def test_an_error_status_has_empty_data_and_never_none() -> None:
    body = json.loads(golden("message_status_error"))
    assert body["file_data"] == {"file_path": "", "file_size": "", "file_type": ""}
    assert body["platform_metadata"] == {
        "title": "",
        "duration_ms": 0,
        "url": "",
        "thumbnail_url": "",
        "platform": "",
    }


def test_a_request_of_a_client_without_guilds_is_read() -> None:
    body = json.loads(golden("message_request"))
    del body["guild_id"]
    assert parse(DownloadRequest, json.dumps(body).encode()).guild_id is None
