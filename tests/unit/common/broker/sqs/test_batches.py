"""Batches: few requests, each entry's own result, and repeats of what was throttled."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

import pytest

from common.broker.sqs import batches
from common.broker.sqs.batches import Batcher
from common.broker.sqs.connection import Refused
from common.errors import BrokerError, BrokerUnavailable
from tests.waiting import until


class Sent:
    """Keeps requests, and fails entries as it is told: one mapping a request."""

    def __init__(self, *failures: Mapping[int, BrokerError]) -> None:
        self.requests: list[list[int]] = []
        self.failures = list(failures)

    async def send(self, items: Sequence[int]) -> Mapping[int, BrokerError]:
        self.requests.append(list(items))
        return self.failures.pop(0) if self.failures else {}


async def submit_all(batcher: Batcher[int], items: Sequence[int], size: int = 0) -> list[BaseException | None]:
    return await asyncio.gather(*(batcher.submit(item, size) for item in items), return_exceptions=True)


async def test_entries_share_requests() -> None:
    sent = Sent()
    batcher = Batcher(sent.send, linger_seconds=0)
    assert await submit_all(batcher, range(25)) == [None] * 25
    assert [len(request) for request in sent.requests] == [10, 10, 5]
    assert sorted(item for request in sent.requests for item in request) == list(range(25))


async def test_a_request_keeps_within_its_bytes() -> None:
    sent = Sent()
    await submit_all(Batcher(sent.send, linger_seconds=0, max_bytes=100), range(5), size=40)
    assert [len(request) for request in sent.requests] == [2, 2, 1]


async def test_only_entries_that_may_succeed_are_sent_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batches, "_FIRST_PAUSE_SECONDS", 0.0)
    refused = Refused("its fault")
    sent = Sent({0: BrokerUnavailable("throttled"), 2: refused})
    assert await submit_all(Batcher(sent.send, linger_seconds=0), [7, 8, 9]) == [None, None, refused]
    assert sent.requests == [[7, 8, 9], [7]]


async def test_repeats_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batches, "_FIRST_PAUSE_SECONDS", 0.0)
    throttled = BrokerUnavailable("throttled")
    sent = Sent(*[{0: throttled}] * 10)
    assert await submit_all(Batcher(sent.send, linger_seconds=0), [7]) == [throttled]
    assert len(sent.requests) == 4


async def test_a_cancelled_caller_leaves_the_others_alone() -> None:
    sent = Sent()
    batcher = Batcher(sent.send, linger_seconds=0.2)
    first, second = (asyncio.create_task(batcher.submit(item)) for item in (1, 2))
    await until(lambda: batcher.waiting == 2)
    first.cancel()
    await second
    assert sent.requests == [[1, 2]]


async def test_a_closed_batcher_has_carried_out_what_it_took() -> None:
    sent = Sent()
    batcher = Batcher(sent.send, linger_seconds=0.2)
    task = asyncio.create_task(batcher.submit(1))
    await until(lambda: batcher.waiting == 1)
    await batcher.close()
    await task
    assert sent.requests == [[1]]
    with pytest.raises(BrokerUnavailable):
        await batcher.submit(2)
