from __future__ import annotations

import json
from contextlib import suppress

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.errors import InvalidMessage
from common.messages.base import parse, salvage
from common.messages.downloads import (
    MAX_REQUEST_BYTES,
    DownloadRequest,
    FileData,
    PlatformMetadata,
    StatusEvent,
    message_key,
)

REQUEST = {
    "request_id": "0b5e6a2e-5f0c-4c53-9a1f-0d2b8a6a5a10",
    "user_id": "123",
    "song": "dua lipa new rules",
    "provider_type": "youtube",
    "timestamp": "2025-05-16T23:06:17.533Z",
    "guild_id": "456",
}


def test_a_request_survives_the_wire() -> None:
    body = json.dumps(REQUEST).encode()
    assert json.loads(parse(DownloadRequest, body).to_bytes()) == REQUEST


def test_fields_of_a_newer_writer_are_ignored() -> None:
    body = json.dumps({**REQUEST, "priority": 9}).encode()
    assert parse(DownloadRequest, body).song == REQUEST["song"]


@pytest.mark.parametrize("missing", ["request_id", "user_id", "song", "provider_type", "timestamp"])
def test_each_required_field_is_missed_by_name(missing: str) -> None:
    body = json.dumps({key: value for key, value in REQUEST.items() if key != missing}).encode()
    with pytest.raises(InvalidMessage, match=missing):
        parse(DownloadRequest, body)


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"null", b'"x"', b"\xff\xfe", b'{"request_id": 1}'])
def test_what_is_no_request_is_an_invalid_message(body: bytes) -> None:
    with pytest.raises(InvalidMessage):
        parse(DownloadRequest, body)


def test_an_oversized_request_is_refused_without_being_parsed() -> None:
    body = json.dumps({**REQUEST, "song": "x" * MAX_REQUEST_BYTES}).encode()
    with pytest.raises(InvalidMessage, match="bytes"):
        parse(DownloadRequest, body)


def test_the_error_never_quotes_the_body() -> None:
    body = json.dumps({**REQUEST, "timestamp": "planted-secret"}).encode()
    with pytest.raises(InvalidMessage) as caught:
        parse(DownloadRequest, body)
    assert "planted-secret" not in caught.value.detail


@given(st.binary(max_size=300))
def test_no_bytes_escape_as_another_error(body: bytes) -> None:
    with suppress(InvalidMessage):
        parse(DownloadRequest, body)
    salvage(DownloadRequest, body, {})


@pytest.mark.parametrize(
    ("body", "correlation_id", "request_id", "user_id"),
    [
        (b'{"request_id": "r-1", "user_id": "u-1"}', "other", "r-1", "u-1"),
        (b"{", "r-2", "r-2", ""),
        (b"{", "", "", ""),
        (b'{"request_id": {"$ne": 1}, "user_id": []}', "", "", ""),
        (b'{"request_id": "%s"}' % (b"x" * 101), "", "", ""),
        (b'{"request_id": 7, "user_id": "u-1"}', "r-5", "r-5", "u-1"),
        (b'{"request_id": "%s", "user_id": "u-1"}' % (b"x" * 101), "r-6", "r-6", "u-1"),
        (b'{"request_id": "r-3", "song": "%s"}' % (b"x" * MAX_REQUEST_BYTES), "r-4", "r-4", ""),
    ],
    ids=[
        "body",
        "headers",
        "nowhere",
        "no ids",
        "too long",
        "a number, headers",
        "too long, headers",
        "over the limit",
    ],
)
def test_the_sender_of_a_damaged_request_is_found_in_the_body_or_the_headers(
    body: bytes, correlation_id: str, request_id: str, user_id: str
) -> None:
    salvaged = salvage(DownloadRequest, body, {"correlation_id": correlation_id})
    assert (salvaged.request_id, salvaged.id_of("user_id")) == (request_id, user_id)


def test_an_error_status_carries_empty_data_and_never_misses_it() -> None:
    event = StatusEvent(
        request_id="r", user_id="u", video_id="v", message="m", success=False, status="error", error_code="media_live"
    )
    assert json.loads(event.to_bytes()) == {
        "request_id": "r",
        "user_id": "u",
        "video_id": "v",
        "file_data": {"file_path": "", "file_size": "", "file_type": ""},
        "platform_metadata": {"title": "", "duration_ms": 0, "url": "", "thumbnail_url": "", "platform": ""},
        "message": "m",
        "success": False,
        "status": "error",
        "error_code": "media_live",
    }


def test_equal_words_have_equal_keys() -> None:
    assert message_key("  Dua\tLIPA ") == message_key("dua lipa")


def test_null_is_a_default_where_there_is_one_and_an_error_elsewhere() -> None:
    body: dict[str, object] = {
        "request_id": "r",
        "user_id": "u",
        "video_id": "v",
        "file_data": None,
        "platform_metadata": {"title": None, "duration_ms": None, "url": "http://song"},
        "message": "",
        "success": False,
        "status": "error",
        "error_code": None,
    }
    status = parse(StatusEvent, orjson.dumps(body))
    assert status.file_data == FileData()
    assert status.platform_metadata == PlatformMetadata(url="http://song")
    with pytest.raises(InvalidMessage, match="video_id"):
        parse(StatusEvent, orjson.dumps(body | {"video_id": None}))
