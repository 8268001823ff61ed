"""The headers of every response, HEAD, metrics, and hostile input, for every route."""

from __future__ import annotations

import re
import uuid

import httpx
import pytest
from fastapi.routing import iter_route_contexts
from structlog.testing import capture_logs

from tests.unit.audio_service.api.library import Api, add_song, served

ROUTES = [
    "/api/v1/media/?video_id=song",
    "/api/v1/media/?video_id=none",
    "/api/v1/media/?video_id=",
    "/api/v1/media/search?title=abc",
    "/api/v1/media/song/audio",
    "/api/v1/media/song/audio.ogg",
    "/api/v1/health",
    "/livez",
    "/readyz",
    "/metrics",
    "/",
    "/web/library.js",
    "/web/nothing.js",
    "/docs",
    "/docs/swagger-ui.css",
    "/openapi.json",
    "/nowhere",
]


@pytest.mark.parametrize("route", ROUTES)
async def test_every_response_has_a_request_id_and_restrictive_headers(api: Api, route: str) -> None:
    await add_song(api.deps, "song")
    answer = await api.client.get(route, headers={"origin": "http://elsewhere.test"})
    assert uuid.UUID(answer.headers["x-request-id"]).version == 4
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]
    assert "cache-control" in answer.headers
    assert not [name for name in answer.headers if name.startswith("access-control-")]


# Headers of the exchange, not of the resource.
PER_EXCHANGE = {"x-request-id", "date"}
PARAMETERS = {"{video_id}": "song", "{name}": "library.js", "{asset}": "swagger-ui.css", "{chat_id}": "demo"}
QUERIES = {"/api/v1/media/": "video_id=song", "/api/v1/media": "video_id=song", "/api/v1/media/search": "title=canci"}


def headers_of(answer: httpx.Response) -> dict[str, str]:
    return {name: value for name, value in answer.headers.items() if name not in PER_EXCHANGE}


@pytest.mark.parametrize("route", [route for route in ROUTES if route != "/metrics"])
async def test_head_has_the_headers_of_get_and_no_body(api: Api, route: str) -> None:
    await add_song(api.deps, "song")
    await api.client.get(route)  # creates the metrics of this route
    head = await api.client.head(route)
    got = await api.client.get(route)
    assert (head.status_code, head.content) == (got.status_code, b"")
    of_head, of_get = headers_of(head), headers_of(got)
    if route == "/api/v1/health":  # measured anew for each answer: the numbers differ in length
        assert of_head.pop("content-length")
        assert of_get.pop("content-length")
    assert of_head == of_get


async def test_every_route_answers_head(api: Api) -> None:
    await add_song(api.deps, "song")
    paths = {context.path for context in iter_route_contexts(api.app.routes) if "GET" in (context.methods or ())}
    assert {"/api/v1/media", "/api/v1/media/{video_id}/audio.ogg", "/readyz", "/docs", "/openapi.json"} <= paths
    for template in paths:
        assert template is not None
        path = template
        for parameter, value in PARAMETERS.items():
            path = path.replace(parameter, value)
        path = f"{path}?{QUERIES.get(path, 'limit=0')}"
        head, got = await api.client.head(path), await api.client.get(path)
        assert got.status_code in {200, 400}, path
        assert (head.status_code, head.content) == (got.status_code, b"")
        assert set(headers_of(head)) == set(headers_of(got))


async def test_a_server_sends_head_without_a_body(api: Api) -> None:
    """Over a socket: the next response on the same connection begins where the head of the first ends."""
    await add_song(api.deps, "song")
    async with served(api.app) as (host, port), httpx.AsyncClient(base_url=f"http://{host}:{port}") as client:
        for route in (
            "/livez",
            "/api/v1/media/?video_id=song",
            "/api/v1/media/song/audio",
            "/api/v1/media/song/audio.ogg",
        ):
            head, got = await client.head(route), await client.get(route)
            assert (head.status_code, head.content) == (got.status_code, b"")
            hop_by_hop = {"transfer-encoding"}
            assert set(headers_of(head)) == set(headers_of(got)) - hop_by_hop


@pytest.mark.parametrize("given", ["a", "A-b_c.9", "x" * 64])
async def test_a_request_id_is_kept(api: Api, given: str) -> None:
    assert (await api.client.get("/livez", headers={"x-request-id": given})).headers["x-request-id"] == given


@pytest.mark.parametrize("given", ["", "x" * 65, "a b", "a\tb", "ñ", "<script>", "a;b"])
async def test_a_malformed_request_id_is_replaced(api: Api, given: str) -> None:
    answer = await api.client.get("/livez", headers={b"x-request-id": given.encode("latin-1")})
    assert re.fullmatch(r"[0-9a-f-]{36}", answer.headers["x-request-id"])


async def test_metrics_count_by_route_template_method_and_status(api: Api) -> None:
    await add_song(api.deps, "song")
    await api.client.get("/api/v1/media/song/audio")
    await api.client.get("/api/v1/media/other/audio")
    await api.client.head("/api/v1/media/song/audio")
    await api.client.get("/secret/path/of/somebody")
    await api.client.request("BREW", "/livez")

    def count(route: str, method: str, status: str) -> float | None:
        labels = {"route": route, "method": method, "status": status}
        return api.deps.registry.get_sample_value("butakero_http_requests_total", labels)

    template = "/api/v1/media/{video_id}/audio"
    assert count(template, "GET", "200") == 1
    assert count(template, "GET", "404") == 1
    assert count(template, "HEAD", "200") == 1
    assert count("unmatched", "GET", "404") == 1
    assert count("/livez", "other", "405") == 1
    seconds = api.deps.registry.get_sample_value("butakero_http_request_seconds_count", {"route": template})
    assert seconds == 3


async def test_the_metrics_page_shows_the_registry_and_no_path_of_a_client(api: Api) -> None:
    await api.client.get("/secret/path?token=hidden")
    await api.client.get("/api/v1/media/somebodys-id/audio")
    answer = await api.client.get("/metrics")
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert 'butakero_http_requests_total{method="GET",route="unmatched",status="404"} 1.0' in answer.text
    for part in ("secret", "hidden", "somebodys-id"):
        assert part not in answer.text


HOSTILE = [
    "/api/v1/media/%2e%2e%2f%2e%2e%2fetc%2fpasswd/audio",
    "/api/v1/media/..%2f..%2fsong/audio",
    "/api/v1/media/a%00b/audio",
    "/api/v1/media/%ff%fe/audio",
    "/api/v1/media/%F0%9F%98%80/audio.ogg",
    f"/api/v1/media/{'a' * 5000}/audio",
    "/api/v1/media/ /audio",
    "/api/v1/media//audio",
    "/api/v1/media/.dca/audio",
    "/api/v1/media/?video_id=%00",
    "/api/v1/media/?video_id=%ff",
    "/api/v1/media/?video_id[$ne]=x",
    "/api/v1/media/?video_id=a&video_id=b",
    f"/api/v1/media/?{'&'.join(f'p{number}=1' for number in range(2000))}",
    f"/api/v1/media/?video_id={'%41' * 3000}",
    "/api/v1/media/search?title=%ff%ff%ff%ff",
    "/api/v1/media/search?title=%00%00%00%00",
    "/api/v1/media/search?title=abc&cursor=%00%ff",
    "/api/v1/media/search?title=abc&limit=1e3",
    "/api/v1/media/search?title=abc&limit=%D9%A3",
    "/api/v1/media/search/audio/../../x",
    "//api/v1/media",
    "/%00",
    f"/{'x' * 20000}",
]


@pytest.mark.parametrize("url", HOSTILE, ids=range(len(HOSTILE)))
async def test_hostile_input_is_refused_and_never_an_error_of_ours(api: Api, url: str) -> None:
    await add_song(api.deps, "song")
    with capture_logs() as logs:
        answer = await api.client.get(f"http://api.test{url}")
    assert answer.status_code in {200, 400, 404}
    if answer.status_code != 200:
        assert answer.json()["error"]["code"] in {
            "invalid_input",
            "invalid_video_id",
            "media_not_found",
            "route_not_found",
        }
    assert not logs
