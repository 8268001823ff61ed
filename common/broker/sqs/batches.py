"""Batches of up to ten entries per request: entries that are submitted within a few milliseconds share one."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from common.errors import BrokerError, BrokerUnavailable

MAX_ENTRIES = 10

_REPEATS = 4
_FIRST_PAUSE_SECONDS = 0.1
_PAUSE_GROWTH = 3.0

T = TypeVar("T")

SendBatch = Callable[[Sequence[T]], Awaitable[Mapping[int, BrokerError]]]
"""Carries out one request; returns the entries that failed, by index. Raises BrokerError if all did."""


@dataclass(eq=False, slots=True)
class _Entry(Generic[T]):
    item: T
    size: int
    done: asyncio.Future[None]


class Batcher(Generic[T]):
    """Submits entries in batches. Cancelling a caller neither interrupts a request nor delays the other entries.

    Args:
        send: see SendBatch. Entries that failed for a reason that passes (throttling) are sent again.
        linger_seconds: how long an entry waits for others.
        max_bytes: of all entries of a request together.
    """

    def __init__(self, send: SendBatch[T], *, linger_seconds: float, max_bytes: int = 0) -> None:
        self._send = send
        self._linger = linger_seconds
        self._max_bytes = max_bytes
        self._waiting: list[_Entry[T]] = []
        self._flushing: asyncio.Task[None] | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._closed = False

    @property
    def waiting(self) -> int:
        """How many entries wait for others."""
        return len(self._waiting)

    async def submit(self, item: T, size: int = 0) -> None:
        """Return when the entry was carried out.

        Raises:
            BrokerError: it was not, or it is not known; as `send` says.
        """
        if self._closed:
            raise BrokerUnavailable("the broker was closed")
        entry = _Entry(item, size, asyncio.get_running_loop().create_future())
        self._waiting.append(entry)
        if self._flushing is None:
            self._flushing = self._start(self._flush())
        await entry.done

    async def close(self) -> None:
        """Carry out what was submitted; later entries are refused."""
        self._closed = True
        while self._tasks:
            await asyncio.wait(self._tasks)

    async def _flush(self) -> None:
        await asyncio.sleep(self._linger)
        self._flushing = None
        while self._waiting:
            self._start(self._deliver(self._next_batch()))

    def _next_batch(self) -> list[_Entry[T]]:
        batch: list[_Entry[T]] = []
        size = 0
        while self._waiting and len(batch) < MAX_ENTRIES:
            size += self._waiting[0].size
            if batch and self._max_bytes and size > self._max_bytes:
                break
            batch.append(self._waiting.pop(0))
        return batch

    async def _deliver(self, batch: list[_Entry[T]]) -> None:
        pause = _FIRST_PAUSE_SECONDS
        for repeats_left in reversed(range(_REPEATS)):
            try:
                failed = await self._send([entry.item for entry in batch])
            except BrokerError as exc:
                _finish(batch, dict.fromkeys(range(len(batch)), exc))
                return
            except BaseException as exc:
                _finish(batch, dict.fromkeys(range(len(batch)), BrokerUnavailable(repr(exc))))
                raise
            again = [at for at, error in failed.items() if repeats_left and not error.needs_operator]
            ended = [index for index in range(len(batch)) if index not in again]
            _finish([batch[index] for index in ended], {at: failed[i] for at, i in enumerate(ended) if i in failed})
            batch = [batch[index] for index in again if not batch[index].done.done()]
            if not batch:
                return
            await asyncio.sleep(pause * random.uniform(0.5, 1.0))  # noqa: S311 - spreads repeats, no secret
            pause *= _PAUSE_GROWTH

    def _start(self, work: Awaitable[None]) -> asyncio.Task[None]:
        async def run() -> None:
            await work

        task = asyncio.create_task(run())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task


def _finish(entries: Sequence[_Entry[T]], failed: Mapping[int, BrokerError]) -> None:
    for index, entry in enumerate(entries):
        if entry.done.done():
            continue
        error = failed.get(index)
        if error is None:
            entry.done.set_result(None)
        else:
            entry.done.set_exception(error)
