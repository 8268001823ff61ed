"""Tells the progress topic how far a request is: the newest state only, best effort, at most twice a second and once
more when the song can be heard.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress

from audio_service.metrics import WorkerMetrics
from common.broker.base import Broker
from common.errors import BrokerError
from common.messages.downloads import DownloadStage, FileData, PlatformMetadata, ProgressEvent
from common.observability.telemetry import get_logger, outgoing_headers
from common.observability.tracing import here

log = get_logger(__name__)

INTERVAL_SECONDS = 0.5


class ProgressFeed:
    """One request's progress. `update` and `stage` are cheap and never wait; `run` publishes until cancelled."""

    def __init__(self, broker: Broker, topic: str, request_id: str, metrics: WorkerMetrics) -> None:
        self._broker = broker
        self._topic = topic
        self._metrics = metrics
        self._latest = ProgressEvent(request_id=request_id, video_id="", stage="resolving")
        self._changed = asyncio.Event()
        self._changed.set()
        self._urgent = asyncio.Event()
        self._stage_began = time.monotonic()
        self._job = here()

    def stage(self, stage: DownloadStage, *, media_id: str | None = None) -> None:
        """Enter a stage of which nothing more is known."""
        self.update(stage, media_id=media_id)

    def update(
        self,
        stage: DownloadStage,
        *,
        media_id: str | None = None,
        percent: float | None = None,
        eta_seconds: float | None = None,
        speed_bytes_per_second: float | None = None,
    ) -> None:
        """Note the newest state."""
        if stage != self._latest.stage:
            self._observe_stage()
        self._latest = self._latest.model_copy(
            update={
                "video_id": self._latest.video_id if media_id is None else media_id,
                "stage": stage,
                "percent": percent,
                "eta_seconds": eta_seconds,
                "speed_bytes_per_second": speed_bytes_per_second,
            }
        )
        self._changed.set()

    def playable(self, metadata: PlatformMetadata, file: FileData) -> None:
        """Say, now and from now on, that the song's beginning can be heard."""
        self._latest = self._latest.model_copy(
            update={"playable": True, "platform_metadata": metadata, "file_data": file}
        )
        self._changed.set()
        self._urgent.set()

    async def run(self) -> None:
        """Publish until cancelled."""
        try:
            while True:
                await self._changed.wait()
                self._changed.clear()
                await self._publish(self._latest)
                await self._pause()
        finally:
            self._observe_stage()

    async def _pause(self) -> None:
        """Let the interval pass, unless something cannot wait."""
        with suppress(TimeoutError):
            async with asyncio.timeout(INTERVAL_SECONDS):
                await self._urgent.wait()
        self._urgent.clear()

    async def _publish(self, event: ProgressEvent) -> None:
        try:
            await self._broker.publish(self._topic, event.video_id, event.to_bytes(), outgoing_headers())
        except BrokerError as exc:
            log.debug("progress.dropped", code=exc.code)

    def _observe_stage(self) -> None:
        now = time.monotonic()
        self._metrics.stage_seconds.labels(self._latest.stage).observe(now - self._stage_began)
        self._job.record(self._latest.stage, self._stage_began, now)
        self._stage_began = now
