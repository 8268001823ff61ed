"""Publishes how far a job is: the newest state only, best effort, at most twice a second; what is urgent at once.

Where each report is paid for (SQS: to publish, receive and delete it) they become fewer the longer a job takes.
"""

from __future__ import annotations

import asyncio
import time
from abc import ABC, abstractmethod
from contextlib import suppress

from prometheus_client import Histogram

from common.errors import BrokerError
from common.observability.telemetry import get_logger
from common.observability.tracing import current_trace_context
from common.tasks import time_limit

log = get_logger(__name__)

INTERVAL_SECONDS = 0.5
_PAID_INTERVALS = (2.0, 20.0)
"""Where reports are paid for: the shortest and the longest; half of the time so far in between."""


class ProgressFeed(ABC):
    """One job's progress. A subclass keeps the newest state and says how it is published; changing it never waits.

    Args:
        stage: the first stage.
        stage_seconds: histogram of the stages' durations, labelled by stage.
        paid: each report costs.
    """

    def __init__(self, stage: str, stage_seconds: Histogram, *, paid: bool = False) -> None:
        self._stage = stage
        self._stage_seconds = stage_seconds
        self._began = self._stage_began = time.monotonic()
        self._paid = paid
        self._changed = asyncio.Event()
        self._changed.set()
        self._urgent = asyncio.Event()
        self._trace = current_trace_context()

    @abstractmethod
    async def publish(self) -> None:
        """Publish the newest state. Raises BrokerError, which costs this one report."""

    def changed(self, stage: str, *, urgent: bool = False) -> None:
        """Note that there is a newer state, in `stage`; urgent: publish it without waiting for the interval."""
        if stage != self._stage:
            self._observe_stage()
            self._stage = stage
        self._changed.set()
        if urgent:
            self._urgent.set()

    async def run(self) -> None:
        """Publish until cancelled."""
        try:
            while True:
                await self._changed.wait()
                self._changed.clear()
                try:
                    await self.publish()
                except BrokerError as exc:
                    log.debug("progress.dropped", code=exc.code)
                await self._pause()
        finally:
            self._observe_stage()

    async def _pause(self) -> None:
        with suppress(TimeoutError):
            async with time_limit(interval_after(time.monotonic() - self._began, paid=self._paid)):
                await self._urgent.wait()
        self._urgent.clear()

    def _observe_stage(self) -> None:
        now = time.monotonic()
        self._stage_seconds.labels(self._stage).observe(now - self._stage_began)
        self._trace.record_span(self._stage, self._stage_began, now)
        self._stage_began = now


def interval_after(seconds: float, *, paid: bool) -> float:
    """Return the seconds to the next report of a job that has taken `seconds` so far."""
    if not paid:
        return INTERVAL_SECONDS
    shortest, longest = _PAID_INTERVALS
    return min(max(shortest, seconds / 2), longest)
