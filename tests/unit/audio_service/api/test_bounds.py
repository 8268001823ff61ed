"""Size limits, origins, and the security headers of every response."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path

import pytest

from audio_service.api.middleware import MAX_HEADER_BYTES, MAX_QUERY_BYTES
from audio_service.settings import AudioSettings
from common.http.protocol import MAX_BODY_BYTES
from common.settings import load
from common.settings_errors import SettingsError
from tests.unit.audio_service.api.library import Api, open_api, served

PAGE = "https://page.example"


@pytest.mark.parametrize("path", ["/api/v1/media/", "/api/v1/media/search", "/livez", "/nowhere"])
async def test_a_query_that_is_too_long_is_refused(api: Api, path: str) -> None:
    answer = await api.client.get(f"{path}?title={'a' * MAX_QUERY_BYTES}")
    assert (answer.status_code, answer.json()["error"]["code"]) == (414, "query_too_long")
    assert answer.headers["connection"] == "close"
    assert answer.headers["x-request-id"]


@pytest.mark.parametrize(
    "header",
    ["Range", "If-None-Match", "If-Range", "Accept-Language", "Authorization", "X-Request-ID", "Origin", "X-Any"],
)
async def test_a_header_that_is_too_long_is_refused(api: Api, header: str) -> None:
    for path in ("/api/v1/media/?video_id=song", "/api/v1/media/song/audio", "/livez", "/nowhere"):
        answer = await api.client.get(path, headers={header: "a" * (MAX_HEADER_BYTES + 1)})
        assert (answer.status_code, answer.json()["error"]["code"]) == (431, "header_too_long")
        assert answer.headers["connection"] == "close"
        assert answer.headers["x-request-id"]
    longest = await api.client.get("/livez", headers={header: "a" * MAX_HEADER_BYTES})
    assert longest.status_code == 200


async def test_a_refusal_for_size_is_in_the_clients_language(api: Api) -> None:
    headers = {"accept-language": "en", "range": " " * (MAX_HEADER_BYTES + 1)}
    answer = await api.client.get("/livez", headers=headers)
    assert answer.json()["error"]["message"] == "A header of the request is too long."


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_a_body_that_is_announced_too_large_is_refused(api: Api, method: str) -> None:
    answer = await api.client.request(method, "/livez", content=b"x" * (MAX_BODY_BYTES + 1))
    assert (answer.status_code, answer.json()["error"]["code"]) == (413, "body_too_large")
    assert answer.headers["connection"] == "close"


async def test_a_small_body_is_ignored(api: Api) -> None:
    assert (await api.client.request("GET", "/livez", content=b"x" * MAX_BODY_BYTES)).status_code == 200


async def test_a_body_without_end_is_cut_off(api: Api) -> None:
    async with served(api.app) as (host, port):
        reader, writer = await asyncio.open_connection(host, port)
        writer.write(b"GET /livez HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
        chunk = b"2000\r\n" + b"x" * 8192 + b"\r\n"
        sent = 0
        with contextlib.suppress(ConnectionError):
            while sent < 100 * MAX_BODY_BYTES:
                writer.write(chunk)
                sent += len(chunk)
                await writer.drain()
        writer.close()
        assert sent < 100 * MAX_BODY_BYTES
        del reader


@pytest.mark.parametrize("length", [b"99999999999999999999999999", b"65537"])
async def test_a_large_body_is_refused_before_it_is_received(api: Api, length: bytes) -> None:
    async with served(api.app) as (host, port):
        reader, writer = await asyncio.open_connection(host, port)
        writer.write(b"GET /livez HTTP/1.1\r\nHost: x\r\nContent-Length: " + length + b"\r\n\r\n")
        assert (await reader.readline()).split()[1] in {b"413", b"400"}
        await reader.read()  # to the end: the connection is closed
        writer.close()


async def test_every_response_has_the_security_headers(api: Api) -> None:
    for route in ("/livez", "/", "/docs", "/nowhere", "/api/v1/media/"):
        headers = (await api.client.get(route)).headers
        assert headers["x-frame-options"] == "DENY"
        assert headers["referrer-policy"] == "no-referrer"
        assert headers["cross-origin-resource-policy"] == "same-origin"
        assert headers["x-content-type-options"] == "nosniff"
        assert "frame-ancestors 'none'" in headers["content-security-policy"]


class TestOrigins:
    async def test_no_origin_is_allowed_by_default(self, api: Api) -> None:
        asked = {"origin": PAGE, "access-control-request-method": "GET"}
        for answer in (
            await api.client.get("/livez", headers=asked),
            await api.client.options("/livez", headers=asked),
        ):
            assert not [name for name in answer.headers if name.startswith("access-control-")]

    async def test_a_configured_origin_may_read_and_send_credentials(self, tmp_path: Path) -> None:
        async with open_api(tmp_path, cors_origins=f"https://other.example, {PAGE}") as api:
            read = await api.client.get("/livez", headers={"origin": PAGE})
            assert read.headers["access-control-allow-origin"] == PAGE
            assert "Origin" in read.headers["vary"]
            assert "access-control-allow-credentials" not in read.headers
            asked = {
                "origin": PAGE,
                "access-control-request-method": "GET",
                "access-control-request-headers": "authorization,x-api-key,range",
            }
            answer = await api.client.options("/api/v1/media/", headers=asked)
            assert (answer.status_code, answer.headers["access-control-allow-origin"]) == (200, PAGE)

    @pytest.mark.parametrize(
        "asked",
        [
            {"origin": "https://page.example.evil.test", "access-control-request-method": "GET"},
            {"origin": "null", "access-control-request-method": "GET"},
            {"origin": "http://page.example", "access-control-request-method": "GET"},
            {"origin": PAGE, "access-control-request-method": "DELETE"},
        ],
    )
    async def test_another_origin_is_refused_in_the_shape_of_every_error(
        self, tmp_path: Path, asked: dict[str, str]
    ) -> None:
        async with open_api(tmp_path, cors_origins=PAGE) as api:
            answer = await api.client.options("/api/v1/media/", headers=asked)
            assert (answer.status_code, answer.json()["error"]["code"]) == (403, "origin_not_allowed")
            assert "access-control-allow-origin" not in answer.headers

    @pytest.mark.parametrize("text", ["*", "page.example", "https://page.example/", "https://a b", "null"])
    def test_an_invalid_origin_stops_the_program(self, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
        monkeypatch.setenv("CORS_ORIGINS", text)
        with pytest.raises(SettingsError, match=r"^CORS_ORIGINS: "):
            load(AudioSettings)
