"""Work of one kind, done in order beside the actor that asks for it, so that slow work holds up nothing else."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from common.errors import AppError
from common.telemetry import get_logger

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
        self._calm = asyncio.Event()
        self._calm.set()

    def put(self, job: Job, *, key: str | None = None) -> None:
        """Have a job done after those that wait."""
        if len(self._waiting) >= _MAX_WAITING:
            self._waiting.pop(next(iter(self._waiting)))
        self._waiting[key or object()] = job
        self._calm.clear()
        self._more.set()

    async def drained(self) -> None:
        """Wait until nothing waits and nothing is under way."""
        await self._calm.wait()

    async def run(self) -> None:
        """Do jobs until cancelled."""
        while True:
            if not self._waiting:
                self._calm.set()
                self._more.clear()
                await self._more.wait()
            key = next(iter(self._waiting))
            job = self._waiting.pop(key)
            try:
                await job()
            except AppError as exc:
                log.warning("player.effect_failed", effect=self._name, code=exc.code, detail=exc.detail)
            except Exception:
                log.exception("player.effect_failed", effect=self._name)
