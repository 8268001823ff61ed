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
from tests.unit.butakero.conftest import CapturedShell

LEASE = timedelta(seconds=30)


async def _add(captured: CapturedShell, titles: list[str]) -> None:
    async with open_repository(captured.shell.settings) as repository:
        for number, title in enumerate(titles):
            metadata = PlatformMetadata(title=title, duration_ms=225_000)
            claim = await repository.claim(f"id{number}", Waiter(f"r{number}", "u"), metadata, LEASE)
            assert isinstance(claim, Owned)
            encoding = Encoding("passthrough", "x", 1, "00")
            await repository.mark_success(
                f"id{number}", claim.fence, StoredMedia(metadata, FileData(), 2_831_155, encoding, "ok")
            )


def add(captured: CapturedShell, *titles: str) -> None:
    asyncio.run(_add(captured, list(titles)))


def test_an_empty_library_says_what_to_do(captured: CapturedShell) -> None:
    assert library.run_list(captured.shell, limit=50) == 0
    assert "butakero request" in captured.out()


def test_a_row_has_every_column(captured: CapturedShell) -> None:
    add(captured, "Dua Lipa - \x1b[31mNew\nRules\u202e")
    library.run_list(captured.shell, limit=50)
    row = captured.out().splitlines()[1].split("\t")
    assert row[:6] == ["Dua Lipa - [31mNew Rules", "id0", "3:45", "2.70MB", "success", "0"]


def test_the_list_ends_at_its_limit_and_says_that_there_is_more(captured: CapturedShell) -> None:
    add(captured, *(f"song {number}" for number in range(5)))
    library.run_list(captured.shell, limit=3)
    assert len(captured.out().splitlines()) == 1 + 3
    assert "There are more" in captured.err()


@pytest.mark.parametrize("limit", [None, 103])
def test_all_of_them_over_several_pages(captured: CapturedShell, limit: int | None) -> None:
    add(captured, *(f"song {number}" for number in range(103)))
    library.run_list(captured.shell, limit=limit)
    assert len({line.split("\t")[1] for line in captured.out().splitlines()[1:]}) == 103
    assert captured.err() == ""


def test_search_finds_a_part_of_the_title_and_takes_it_as_text(captured: CapturedShell) -> None:
    add(captured, "New Rules", "Old 100% Rules", "Other")
    library.run_search(captured.shell, "RULES", limit=10)
    assert sorted(line.split("\t")[1] for line in captured.out().splitlines()[1:]) == ["id0", "id1"]


def test_search_that_finds_nothing_says_so(captured: CapturedShell) -> None:
    add(captured, "New Rules")
    assert library.run_search(captured.shell, "{nope}%", limit=10) == 0
    assert captured.out() == 'Nothing matches "{nope}%".\n'


def test_a_short_search_is_wrong_usage(captured: CapturedShell) -> None:
    assert library.run_search(captured.shell, "a!!", limit=10) == 2
    assert "at least 3" in captured.err()


def test_failed_requests_are_listed_on_demand_alone(captured: CapturedShell) -> None:
    add(captured, *(f"song {number}" for number in range(3)))
    asyncio.run(_fail(captured))
    library.run_list(captured.shell, limit=3)
    assert [line.split("\t")[1] for line in captured.out().splitlines()[1:]] == ["id2", "id1", "id0"]
    assert captured.err() == ""
    library.run_list(captured.shell, limit=None, failed=True)
    assert "media_private" in captured.out()


async def _fail(captured: CapturedShell) -> None:
    async with open_repository(captured.shell.settings) as repository:
        claim = await repository.claim("failed", Waiter("r", "u"), PlatformMetadata(title="gone"), LEASE)
        assert isinstance(claim, Owned)
        await repository.mark_error("failed", claim.fence, error_code="media_private", message="no")
