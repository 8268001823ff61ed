"""Searches and playlists at the sources over HTTP: bodies, limits, errors."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from pathlib import Path

import httpx
import pytest
from pydantic import SecretStr

from audio_service.api.schemas import ErrorBody, ListingBody
from tests.servers.youtube_api import FakeYouTubeApi, fake_youtube_api
from tests.unit.audio_service.api.library import open_api

SEARCH, PLAYLIST = "/api/v1/sources/search", "/api/v1/sources/playlist"
LIST = "https://www.youtube.com/playlist?list=PLabc"


@pytest.fixture
async def youtube() -> AsyncGenerator[FakeYouTubeApi]:
    async with fake_youtube_api() as server:
        yield server


@pytest.fixture
async def client(tmp_path: Path, youtube: FakeYouTubeApi) -> AsyncGenerator[httpx.AsyncClient]:
    key = SecretStr(youtube.key)
    async with open_api(tmp_path, youtube_api_url=youtube.url, youtube_api_key=key) as api:
        yield api.client


async def test_a_search(client: httpx.AsyncClient, youtube: FakeYouTubeApi) -> None:
    youtube.add_video("k2qgadSvNyU", title="New Rules", duration="PT3M45S")
    answer = await client.get(SEARCH, params={"query": "new rules"})
    assert answer.status_code == 200
    ListingBody.model_validate(answer.json())
    assert answer.json() == {
        "data": [
            {
                "title": "New Rules",
                "duration_ms": 225_000,
                "url": "https://www.youtube.com/watch?v=k2qgadSvNyU",
                "thumbnail_url": "https://i.ytimg.com/vi/k2qgadSvNyU/maxresdefault.jpg",
                "platform": "YouTube",
            }
        ],
        "title": "",
        "total": 1,
        "success": True,
    }
    assert youtube.calls[0].parameters["maxResults"] == "10"


async def test_nothing_found_is_an_empty_list(client: httpx.AsyncClient) -> None:
    answer = (await client.get(SEARCH, params={"query": "nothing"})).json()
    assert answer == {"data": [], "title": "", "total": 0, "success": True}


async def test_a_playlist(client: httpx.AsyncClient, youtube: FakeYouTubeApi) -> None:
    youtube.add_video("k2qgadSvNyU", title="New Rules")
    youtube.add_playlist("PLabc", "k2qgadSvNyU", "gone-gone-g", title="Two")
    answer = (await client.get(PLAYLIST, params={"url": LIST, "limit": 2})).json()
    ListingBody.model_validate(answer)
    assert (answer["title"], answer["total"], len(answer["data"])) == ("Two", 2, 1)


@pytest.mark.parametrize(
    ("path", "parameters", "refusal"),
    [
        (SEARCH, {}, (400, "invalid_input", "query")),
        (SEARCH, {"query": ""}, (400, "invalid_input", "query")),
        (SEARCH, {"query": "x" * 501}, (400, "invalid_input", "query")),
        (SEARCH, {"query": "words", "limit": "0"}, (400, "invalid_input", "limit")),
        (SEARCH, {"query": "words", "limit": "26"}, (400, "invalid_input", "limit")),
        (SEARCH, {"query": "https://example.org"}, (400, "invalid_input", None)),
        (PLAYLIST, {}, (400, "invalid_input", "url")),
        (PLAYLIST, {"url": "words"}, (400, "invalid_input", None)),
        (PLAYLIST, {"url": "file:///etc/passwd"}, (400, "url_not_allowed", None)),
        (PLAYLIST, {"url": LIST, "limit": "501"}, (400, "invalid_input", "limit")),
        (PLAYLIST, {"url": LIST}, (404, "media_not_found", None)),
    ],
)
async def test_refusals(
    client: httpx.AsyncClient, path: str, parameters: dict[str, str], refusal: tuple[int, str, str | None]
) -> None:
    answer = await client.get(path, params=parameters)
    ErrorBody.model_validate(answer.json())
    error = answer.json()["error"]
    assert (answer.status_code, error["code"], error.get("field")) == refusal


async def test_a_refused_key_is_503_and_is_not_shown(client: httpx.AsyncClient, youtube: FakeYouTubeApi) -> None:
    key, youtube.key = youtube.key, "another"
    answer = await client.get(SEARCH, params={"query": "words"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "youtube_api_error")
    assert key not in answer.text
