"""The library's tables, from a real repository."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from audio_service.media.model import Encoding
from audio_service.media.repository import open_repository
from audio_service.media.repository.base import Owned, StoredMedia, Waiter
from butakero import library
from common.messages.downloads import FileData, PlatformMetadata
from tests.unit.butakero.conftest import Heard

LEASE = timedelta(seconds=30)


async def _add(heard: Heard, titles: list[str]) -> None:
    async with open_repository(heard.shell.settings) as repository:
        for number, title in enumerate(titles):
            metadata = PlatformMetadata(title=title, duration_ms=225_000)
            claim = await repository.claim(f"id{number}", Waiter(f"r{number}", "u"), metadata, LEASE)
            assert isinstance(claim, Owned)
            encoding = Encoding("passthrough", "x", 1, "00")
            await repository.mark_success(
                f"id{number}", claim.fence, StoredMedia(metadata, FileData(), 2_831_155, encoding, "ok")
            )


def add(heard: Heard, *titles: str) -> None:
    asyncio.run(_add(heard, list(titles)))


def test_an_empty_library_says_what_to_do(heard: Heard) -> None:
    assert library.run_list(heard.shell, limit=50) == 0
    assert "butakero request" in heard.out()


def test_a_row_tells_all(heard: Heard) -> None:
    add(heard, "Dua Lipa - \x1b[31mNew\nRules\u202e")
    library.run_list(heard.shell, limit=50)
    row = heard.out().splitlines()[1].split("\t")
    assert row[:6] == ["Dua Lipa - [31mNew Rules", "id0", "3:45", "2.70MB", "success", "0"]


def test_the_list_ends_at_its_limit_and_says_that_there_is_more(heard: Heard) -> None:
    add(heard, *(f"song {number}" for number in range(5)))
    library.run_list(heard.shell, limit=3)
    assert len(heard.out().splitlines()) == 1 + 3
    assert "There are more" in heard.err()


@pytest.mark.parametrize("limit", [None, 103])
def test_all_of_them_over_several_pages(heard: Heard, limit: int | None) -> None:
    add(heard, *(f"song {number}" for number in range(103)))
    library.run_list(heard.shell, limit=limit)
    assert len({line.split("\t")[1] for line in heard.out().splitlines()[1:]}) == 103
    assert heard.err() == ""


def test_search_finds_a_part_of_the_title_and_takes_it_as_text(heard: Heard) -> None:
    add(heard, "New Rules", "Old 100% Rules", "Other")
    library.run_search(heard.shell, "RULES", limit=10)
    assert sorted(line.split("\t")[1] for line in heard.out().splitlines()[1:]) == ["id0", "id1"]


def test_search_that_finds_nothing_says_so(heard: Heard) -> None:
    add(heard, "New Rules")
    assert library.run_search(heard.shell, "{nope}%", limit=10) == 0
    assert heard.out() == 'Nothing matches "{nope}%".\n'


def test_a_short_search_is_wrong_usage(heard: Heard) -> None:
    assert library.run_search(heard.shell, "a!!", limit=10) == 2
    assert "at least 3" in heard.err()
