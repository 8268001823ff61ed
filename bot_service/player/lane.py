"""Work of one kind, done in order beside the actor that asks for it, so that slow work holds up nothing else."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from common.errors import AppError
from common.observability.telemetry import get_logger

log = get_logger(__name__)

Job = Callable[[], Awaitable[None]]
_MAX_WAITING = 200


class Lane:
    """A queue of jobs and the task that does them (`run`). A job that fails is logged; the lane goes on.

    A job with a key takes the place of a waiting one with the same key: of several states to show, the latest counts.
    More than _MAX_WAITING jobs do not wait: the oldest makes room.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._waiting: dict[object, Job] = {}
        self._more = asyncio.Event()

    def put(self, job: Job, *, key: str | None = None) -> None:
        """Have a job done after those that wait."""
        if len(self._waiting) >= _MAX_WAITING:
            self._waiting.pop(next(iter(self._waiting)))
        self._waiting[key or object()] = job
        self._more.set()

    async def run(self) -> None:
        """Do jobs until cancelled."""
        while True:
            self._more.clear()
            await self.finish()
            await self._more.wait()

    async def finish(self) -> None:
        """Do what waits."""
        while self._waiting:
            job = self._waiting.pop(next(iter(self._waiting)))
            try:
                await job()
            except AppError as exc:
                log.warning("player.effect_failed", effect=self._name, code=exc.code, detail=exc.detail)
            except Exception:
                log.exception("player.effect_failed", effect=self._name)
