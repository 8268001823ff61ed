"""The API's answers, from real backends, as golden files."""

from __future__ import annotations

import asyncio
import re
import shutil
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

from tests.unit.audio_service.api.library import Api, add_failure, add_song, claim, open_api
from tests.wire.golden_files import golden, pretty

TITLE = "Dua Lipa - New Rules (Official Music Video)"
ID = "k2qgadSvNyU"
FILE = bytes(2_831_155)


@pytest.fixture
async def api(tmp_path: Path) -> AsyncGenerator[Api]:
    async with open_api(tmp_path) as opened:
        yield opened


async def test_look_up(api: Api) -> None:
    await add_song(api.deps, ID, TITLE, file=FILE)
    answer = await api.client.get(f"/api/v1/media/?video_id={ID}")
    assert pretty(answer.content) == golden("api_look_up")


async def test_look_up_of_a_record_in_progress(api: Api) -> None:
    await claim(api.deps, ID, TITLE)
    answer = await api.client.get(f"/api/v1/media/?video_id={ID}")
    assert pretty(answer.content) == golden("api_look_up_processing")


async def test_look_up_of_a_failed_record(api: Api) -> None:
    await add_failure(api.deps, ID, TITLE)
    answer = await api.client.get(f"/api/v1/media/?video_id={ID}")
    assert pretty(answer.content) == golden("api_look_up_error")


async def test_search(api: Api) -> None:
    await add_song(api.deps, ID, TITLE, file=FILE)
    answer = await api.client.get("/api/v1/media/search?title=new%20rules")
    assert pretty(answer.content) == golden("api_search")


async def test_search_with_a_next_page(api: Api) -> None:
    await add_song(api.deps, ID, TITLE, file=FILE)
    await add_song(api.deps, "other", TITLE)
    answer = await api.client.get("/api/v1/media/search?title=new%20rules&limit=1")
    cursor = answer.json()["next_cursor"]
    assert answer.content.endswith(f'],"success":true,"next_cursor":"{cursor}"}}'.encode())


async def test_search_without_a_find(api: Api) -> None:
    answer = await api.client.get("/api/v1/media/search?title=nothing")
    assert pretty(answer.content) == golden("api_search_empty")


@pytest.mark.parametrize(
    ("name", "url"),
    [
        ("media_not_found", "/api/v1/media/?video_id=k2qgadSvNyU"),
        ("invalid_input", "/api/v1/media/"),
        ("invalid_video_id", "/api/v1/media/?video_id=a%20b"),
        ("route_not_found", "/nowhere"),
    ],
)
async def test_errors(api: Api, name: str, url: str) -> None:
    assert pretty((await api.client.get(url)).content) == golden(f"api_error_{name}")


async def test_health(api: Api) -> None:
    answer = await api.client.get("/api/v1/health")
    assert without_measurements(pretty(answer.content)) == golden("api_health")


async def test_health_with_a_dependency_down(api: Api) -> None:
    await asyncio.to_thread(shutil.rmtree, api.deps.settings.local_storage_path)
    answer = await api.client.get("/api/v1/health")
    assert without_measurements(pretty(answer.content)) == golden("api_health_down")


async def test_probes(api: Api) -> None:
    assert pretty((await api.client.get("/livez")).content) == golden("api_livez")
    assert pretty((await api.client.get("/readyz")).content) == golden("api_readyz")


def without_measurements(text: str) -> str:
    """What differs from machine to machine, made equal: numbers and the database's version."""
    text = re.sub(r": [0-9][0-9.e+-]*", ": 0", text)
    return re.sub(r'"version": "[0-9.]+"', '"version": "3"', text)
