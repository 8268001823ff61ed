"""Requests in and statuses out through the real Broker port, beside the bare engine below it, in turns.

A worker answers each request with a status, as the audio service does for a song that it has; both ends live in this
process, each with a broker of its own. SQLite always; Apache Kafka with `full`, where Java and Maven are there.
"""

from __future__ import annotations

import asyncio
import os
import random
import statistics
import time
import uuid
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from bench.broker_lines import Ends, Line, make_topic, open_bare_kafka, open_bare_sqlite, open_port
from bench.table import Row, compared, figure
from common.messages.downloads import DownloadRequest
from tests.servers.kafka import open_shared_kafka
from tests.servers.missing import ProgramMissing
from tests.servers.system import settings_for

UNDER_WAY = 64
A_SECOND = 5
STATUS_BYTES = 640
"""What the status of a finished song takes, about."""

Opened = AbstractAsyncContextManager[Ends]


@dataclass(frozen=True, slots=True)
class Extent:
    """How much of it: repetitions, messages published and answered in each, messages at a modest rate in each."""

    rounds: int
    messages: int
    modest: int


QUICK, FULL = Extent(2, 300, 5), Extent(5, 2_000, 60)


@dataclass(slots=True)
class Measured:
    """One side: what each repetition gave. Latencies are those of single messages, of all repetitions."""

    published_per_second: list[float] = field(default_factory=list[float])
    answered_per_second: list[float] = field(default_factory=list[float])
    modest_ms: list[float] = field(default_factory=list[float])
    saturated_ms: list[float] = field(default_factory=list[float])


def rows(directory: Path, *, full: bool) -> Iterator[Row]:
    """Yield the rows."""
    extent = FULL if full else QUICK
    yield from _compared("embedded", "bare sqlite3", *asyncio.run(_embedded(directory, extent)))
    if full or "KAFKA_BROKERS" in os.environ:
        try:
            yield from _compared("Kafka", "bare aiokafka", *asyncio.run(_kafka(directory, extent)))
        except ProgramMissing as exc:
            yield Row("broker, Kafka", "", str(exc))


def _compared(name: str, bare: str, ours: Measured, other: Measured) -> Iterator[Row]:
    published, answered = ours.published_per_second, ours.answered_per_second
    what = f"broker, {name} / {bare}"
    yield compared(
        f"{what}: requests published, {UNDER_WAY} at a time",
        "messages/s",
        published,
        other.published_per_second,
        better="more",
    )
    yield compared(
        f"{what}: requests in and statuses out, {UNDER_WAY} under way",
        "requests/s",
        answered,
        other.answered_per_second,
        better="more",
    )
    yield _latency(f"{what}: published until delivered, {A_SECOND} a second, median", ours.modest_ms, other.modest_ms)
    yield _latency(
        f"{what}: published until delivered, {UNDER_WAY} under way, median", ours.saturated_ms, other.saturated_ms
    )


def _latency(name: str, ours: list[float], other: list[float]) -> Row:
    row = compared(name, "ms", ours, other, better="less")
    p99 = _p99(ours), _p99(other)
    return replace(
        row,
        ours=f"{row.ours}, p99 {figure(p99[0])} ms",
        other=f"{row.other}, p99 {figure(p99[1])} ms",
        ours_samples=[statistics.median(ours)],
        other_samples=[statistics.median(other)],
        details={"messages": len(ours), "ours_p99_ms": p99[0], "other_p99_ms": p99[1]},
    )


def _p99(milliseconds: list[float]) -> float:
    return sorted(milliseconds)[len(milliseconds) * 99 // 100]


async def _embedded(directory: Path, extent: Extent) -> tuple[Measured, Measured]:
    settings = settings_for(directory, broker_lease_seconds=15.0)
    sides = (lambda: open_port(settings), lambda: open_bare_sqlite(directory / "bare.db"))
    return await _in_turns(sides, extent, _nothing_to_make)


async def _kafka(directory: Path, extent: Extent) -> tuple[Measured, Measured]:
    async with open_shared_kafka() as kafka:
        settings = settings_for(
            directory, messaging_backend="kafka", kafka_brokers=kafka.bootstrap, broker_lease_seconds=15.0
        )
        sides = (lambda: open_port(settings), lambda: open_bare_kafka(settings))
        return await _in_turns(sides, extent, lambda topic: make_topic(settings, topic))


async def _nothing_to_make(_topic: str) -> None:
    """SQLite's topics are rows."""


async def _in_turns(
    sides: tuple[Callable[[], Opened], Callable[[], Opened]], extent: Extent, make: Callable[[str], Awaitable[None]]
) -> tuple[Measured, Measured]:
    """Measure both, one repetition each at a time; the first of each warms up and is not counted."""
    measured = Measured(), Measured()
    async with sides[0]() as ours, sides[1]() as other:
        for number in range(extent.rounds + 1):
            for ends, kept in zip((ours, other), measured, strict=True):
                counted = kept if number else Measured()
                await _one_round(ends, counted, extent if number else Extent(1, 50, 1), make)
    return measured


async def _one_round(ends: Ends, measured: Measured, extent: Extent, make: Callable[[str], Awaitable[None]]) -> None:
    names = [f"bench.{uuid.uuid4().hex[:8]}.{kind}" for kind in ("burst", "requests", "statuses")]
    for name in names:
        await make(name)
    burst, requests, statuses = names
    measured.published_per_second.append(await _publish(ends.bot, burst, extent.messages))
    async with _talking(ends, requests, statuses) as talk:
        began = time.perf_counter()
        await _all(extent.messages, talk.ask)
        measured.answered_per_second.append(extent.messages / (time.perf_counter() - began))
        measured.saturated_ms += talk.milliseconds
        talk.milliseconds.clear()
        await _now_and_then(extent.modest, talk.ask)
        measured.modest_ms += talk.milliseconds


async def _publish(line: Line, topic: str, count: int) -> float:
    """Publish with nobody listening; return messages a second."""
    began = time.perf_counter()
    await _all(count, lambda: line.send(topic, _request()))
    return count / (time.perf_counter() - began)


async def _all(count: int, work: Callable[[], Awaitable[None]]) -> None:
    """Do it so often, UNDER_WAY at a time."""
    numbers = iter(range(count))

    async def one_after_the_other() -> None:
        for _ in numbers:
            await work()

    async with asyncio.TaskGroup() as tasks:
        for _ in range(UNDER_WAY):
            tasks.create_task(one_after_the_other())


async def _now_and_then(count: int, work: Callable[[], Awaitable[None]]) -> None:
    """Do it so often, at moments that have no rhythm, A_SECOND on the average."""
    source = random.Random(3)  # noqa: S311 - not for secrets
    async with asyncio.TaskGroup() as tasks:
        for _ in range(count):
            await asyncio.sleep(source.uniform(0, 2 / A_SECOND))
            tasks.create_task(_awaited(work))


async def _awaited(work: Callable[[], Awaitable[None]]) -> None:
    await work()


@dataclass(slots=True)
class _Talk:
    """A bot that asks and waits for the answer. `milliseconds`: publishing until delivered, of both ways."""

    ends: Ends
    requests: str
    statuses: str
    sent: dict[bytes, float] = field(default_factory=dict[bytes, float])
    waiting: dict[bytes, asyncio.Future[None]] = field(default_factory=dict[bytes, "asyncio.Future[None]"])
    milliseconds: list[float] = field(default_factory=list[float])

    async def ask(self) -> None:
        """Ask, and wait for the answer."""
        body = _request()
        answered = self.waiting[body[:8]] = asyncio.get_running_loop().create_future()
        self.sent[body] = time.perf_counter()
        await self.ends.bot.send(self.requests, body)
        await answered

    async def work(self, joined: asyncio.Event) -> None:
        """Answer each request, many at a time, as workers do."""
        async with self.ends.worker.receive(self.requests) as arrivals, asyncio.TaskGroup() as jobs:
            joined.set()
            async for body, done in arrivals:
                self._delivered(body)
                jobs.create_task(self._answer(body[:8], done))

    async def hear(self, joined: asyncio.Event) -> None:
        """Take each status, and end its delivery beside the next, as the bot does."""
        async with self.ends.bot.receive(self.statuses) as arrivals, asyncio.TaskGroup() as endings:
            joined.set()
            async for body, done in arrivals:
                self._delivered(body)
                endings.create_task(_awaited(done))
                if answered := self.waiting.pop(body[:8], None):
                    answered.set_result(None)

    async def _answer(self, identity: bytes, done: Callable[[], Awaitable[None]]) -> None:
        body = identity + b"." * (STATUS_BYTES - len(identity))
        self.sent[body] = time.perf_counter()
        await self.ends.worker.send(self.statuses, body)
        await done()

    def _delivered(self, body: bytes) -> None:
        sent = self.sent.pop(body, None)
        if sent is not None:  # else it was delivered before: at least once is what is promised
            self.milliseconds.append((time.perf_counter() - sent) * 1000)


@asynccontextmanager
async def _talking(ends: Ends, requests: str, statuses: str) -> AsyncGenerator[_Talk]:
    talk = _Talk(ends, requests, statuses)
    joined = asyncio.Event(), asyncio.Event()
    async with asyncio.TaskGroup() as tasks:
        both = tasks.create_task(talk.work(joined[0])), tasks.create_task(talk.hear(joined[1]))
        for one in joined:
            await one.wait()
        yield talk
        for task in both:
            task.cancel()


def _request() -> bytes:
    """Return a request as the bot sends it, behind an identity of its own."""
    request = DownloadRequest.new("dua lipa new rules official video", user_id="42", provider_type="youtube")
    return request.request_id[:8].encode() + request.to_bytes()
