"""Runs jobs one after another beside the actor that submits them, so that slow work does not block it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from common.errors import AppError
from common.observability.telemetry import get_logger

log = get_logger(__name__)

Job = Callable[[], Awaitable[None]]
_MAX_WAITING = 200


class SerialExecutor:
    """A bounded FIFO queue of jobs and the task that runs them (`run`). Errors of a job are logged.

    A job with a key replaces a waiting job of the same key, which keeps its place: of several states only the latest is
    written. When _MAX_WAITING jobs wait, the oldest is dropped.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._waiting: dict[object, Job] = {}
        self._submitted = asyncio.Event()

    def submit(self, job: Job, *, key: str | None = None) -> None:
        """Append a job."""
        if len(self._waiting) >= _MAX_WAITING:
            self._waiting.pop(next(iter(self._waiting)))
        self._waiting[key or object()] = job
        self._submitted.set()

    async def run(self) -> None:
        """Run jobs until cancelled."""
        while True:
            self._submitted.clear()
            await self.drain()
            await self._submitted.wait()

    async def drain(self) -> None:
        """Run the waiting jobs."""
        while self._waiting:
            job = self._waiting.pop(next(iter(self._waiting)))
            try:
                await job()
            except AppError as exc:
                log.warning("player.effect_failed", effect=self._name, code=exc.code, detail=exc.detail)
            except Exception:
                log.exception("player.effect_failed", effect=self._name)
