"""A play is a response that begins with the file's first byte."""

from __future__ import annotations

import sqlite3
from contextlib import closing

import pytest

from tests.unit.audio_service.api.library import Api, add_song

URL = "/api/v1/media/song/audio"


async def plays(api: Api) -> int:
    answer = await api.client.get("/api/v1/media/?video_id=song")
    count = answer.json()["data"]["play_count"]
    assert isinstance(count, int)
    return count


@pytest.mark.parametrize(
    ("url", "headers"),
    [(URL, {}), (f"{URL}.ogg", {}), (URL, {"range": "bytes=0-"}), (URL, {"range": "bytes=0-1023"})],
)
async def test_the_whole_file_or_its_first_range_is_a_play(api: Api, url: str, headers: dict[str, str]) -> None:
    await add_song(api.deps, "song")
    for count in (1, 2):
        assert (await api.client.get(url, headers=headers)).is_success
        assert await plays(api) == count
    media = await api.deps.repository.get("song")
    assert media is not None
    assert media.last_played_at is not None


async def test_nothing_else_is(api: Api) -> None:
    await add_song(api.deps, "song")
    etag = (await api.client.head(URL)).headers["etag"]
    await api.client.get(URL, headers={"range": "bytes=100-"})
    await api.client.get(URL, headers={"range": "bytes=-10"})
    await api.client.get(URL, headers={"range": "bytes=99999999-"})
    await api.client.get(URL, headers={"if-none-match": etag})
    await api.client.head(f"{URL}.ogg")
    await api.client.get("/api/v1/media/nothing/audio")
    assert await plays(api) == 0


async def test_a_locked_library_still_sends_songs(api: Api) -> None:
    await add_song(api.deps, "song")
    with closing(sqlite3.connect(api.deps.settings.sqlite_path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        assert (await api.client.get(URL)).is_success
        other.execute("ROLLBACK")
