"""Any order of orders: the adapters give the same answers. SQLite decides in plain Python, MongoDB in a
pipeline, DynamoDB by conditions."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, fields
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from audio_service.media.model import Encoding, IllegalMoveError, Media
from audio_service.media.repository import open_repository
from audio_service.media.repository.base import (
    Eviction,
    Finished,
    Joined,
    LeaseHeld,
    MediaRepository,
    Owned,
    Page,
    StoredMedia,
    Unannounced,
    Waiter,
)
from audio_service.settings import AudioSettings
from common.errors import LeaseLost
from common.messages.downloads import FileData, PlatformMetadata
from tests.servers.emulators import Emulator, library_on
from tests.servers.mongo import Mongo, fresh_database

NEVER = datetime(1970, 1, 1, tzinfo=UTC)
KEEP = timedelta(days=1)
MADE = StoredMedia(
    PlatformMetadata(title="Found"), FileData(file_path="x"), 7, Encoding("passthrough", "x", 1, "00"), "ok"
)


@dataclass(frozen=True)
class Back:
    """A song's newest fence, or the one so many before it: each adapter knows its own."""

    song: str
    steps: int


@dataclass(frozen=True)
class Order:
    """A method of the port, and what it is called with."""

    method: str
    arguments: tuple[Any, ...]
    named: dict[str, Any]


def order(method: str, *arguments: st.SearchStrategy[Any], **named: st.SearchStrategy[Any]) -> st.SearchStrategy[Order]:
    return st.builds(Order, st.just(method), st.tuples(*arguments), st.fixed_dictionaries(named))


def fenced(
    method: str, *arguments: st.SearchStrategy[Any], **named: st.SearchStrategy[Any]
) -> st.SearchStrategy[Order]:
    """An order about a song under one of its fences."""

    def about(back: Back) -> st.SearchStrategy[Order]:
        return order(method, st.just(back.song), st.just(back), *arguments, **named)

    return st.builds(Back, songs, st.sampled_from([0, 0, 0, 0, 1, 2])).flatmap(about)


# What makes a story is drawn more often: one song, the newest fence, a lease that runs. A lease either runs until the
# test is over, or has run out when the next order comes.
songs = st.sampled_from(["one", "one", "one", "one", "one", "two"])
requests = st.sampled_from(["ann", "bob", "cat"])
leases = st.sampled_from([timedelta(minutes=10), timedelta(minutes=10), timedelta(0)])
waiters = requests.map(lambda name: Waiter(name, f"user {name}"))
metadata = requests.map(lambda name: PlatformMetadata(title=f"Asked by {name}"))
orders = st.one_of(
    order("claim", songs, waiters, metadata, leases),
    order("claim", songs, waiters, metadata, leases),
    fenced("renew", leases),
    fenced("yield_claim"),
    fenced("mark_success", st.just(MADE)),
    fenced("mark_success", st.just(MADE)),
    fenced("mark_error", error_code=st.just("media_private"), message=st.just("m")),
    fenced("settle", st.lists(requests, max_size=3), keep=st.just(KEEP)),
    fenced("settle", st.just(["ann", "bob", "cat"]), keep=st.just(KEEP)),
    order("reopen", songs),
    order("count_play", songs),
    order("begin_eviction", idle=st.just(timedelta(0)), lease=leases),
    fenced("finish_eviction"),
    order("begin_eviction", idle=st.just(timedelta(0)), lease=leases),
    order("mark_answered", requests, keep=st.just(KEEP)),
)


class Follower:
    """Obeys orders with one adapter, and keeps the fences that it gave out."""

    def __init__(self, repository: MediaRepository) -> None:
        self.repository = repository
        self.fences: dict[str, int] = {}

    async def obey(self, given_order: Order) -> object:
        """Return the answer without its times, or the kind of error."""
        arguments: list[Any] = [self.fence(a) if isinstance(a, Back) else a for a in given_order.arguments]
        try:
            answer = await getattr(self.repository, given_order.method)(*arguments, **given_order.named)
        except (LeaseLost, IllegalMoveError) as exc:
            return type(exc)
        match answer:
            case Owned(fence) | Unannounced(fence):
                self.fences[arguments[0]] = fence
            case Eviction(song, fence):
                self.fences[song] = fence
            case _:
                pass
        return plain(answer)

    def fence(self, back: Back) -> int:
        return self.fences.get(back.song, 0) - back.steps


def plain(answer: Any) -> Any:  # noqa: ANN401 - whatever the port returns
    """Leave out the times, which no two adapters share."""
    match answer:
        case datetime():
            answer = NEVER
        case timedelta():
            answer = answer > timedelta(0)
        case Page(items, _):
            answer = {media.video_id: plain(media) for media in items}
        case tuple() | list():
            answer = tuple(plain(part) for part in cast("list[Any]", answer))
        case Media() | Owned() | Joined() | Finished() | Unannounced() | LeaseHeld():
            answer = (type(answer), *(plain(getattr(answer, each.name)) for each in fields(answer)))
        case _:
            pass
    return answer


async def seen(repository: MediaRepository) -> list[Any]:
    """Return everything that can be asked for."""
    asked: list[Any] = [await repository.get(song) for song in ("one", "two")]
    asked += [await repository.is_answered(request) for request in ("ann", "bob", "cat")]
    asked += [await repository.list(), await repository.search("found"), await repository.search("asked by")]
    asked.append(await repository.stored_bytes())
    return [plain(answer) for answer in asked]


@asynccontextmanager
async def both(server: Mongo | Emulator, path: Path) -> AsyncGenerator[list[MediaRepository]]:
    async with AsyncExitStack() as stack:
        if isinstance(server, Mongo):
            other = server.settings(await stack.enter_async_context(fresh_database(server)))
        else:
            other = library_on(server)
        sqlite = AudioSettings(database_backend="sqlite", sqlite_path=path)
        yield [await stack.enter_async_context(open_repository(each)) for each in (sqlite, other)]


def agree(server: Mongo | Emulator, tmp_path_factory: pytest.TempPathFactory, examples: int) -> None:
    # Each example is a new database: a shorter one would take longer to find than this one to read.
    @settings(max_examples=examples, phases=[Phase.explicit, Phase.reuse, Phase.generate])
    @given(st.lists(orders, min_size=20, max_size=60))
    def compared(given_orders: list[Order]) -> None:
        async def run() -> None:
            async with both(server, tmp_path_factory.mktemp("sqlite") / "library.db") as repositories:
                followers = [Follower(repository) for repository in repositories]
                for given_order in given_orders:
                    # Which of two files was used first is to be the same question for both: their clocks must tick.
                    await asyncio.sleep(0.001)
                    first, second = [await follower.obey(given_order) for follower in followers]
                    assert first == second, given_order
                assert await seen(repositories[0]) == await seen(repositories[1])

        asyncio.run(run())

    compared()


def test_mongodb_agrees_with_sqlite(mongo: Mongo, tmp_path_factory: pytest.TempPathFactory) -> None:
    agree(mongo, tmp_path_factory, 40)


def test_dynamodb_agrees_with_sqlite(ministack: Emulator, tmp_path_factory: pytest.TempPathFactory) -> None:
    agree(ministack, tmp_path_factory, 5)
