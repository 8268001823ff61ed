"""What the download pipeline publishes: progress while it works, one terminal status for each request."""

from __future__ import annotations

from audio_service.media.model import Media, MediaStatus
from audio_service.media.repository.base import Waiter
from audio_service.services import Services
from audio_service.texts import DOWNLOADED
from audio_service.worker.pipeline import Job, TerminalStatus
from audio_service.worker.progress import ProgressFeed
from common.errors import AppError, Locale, error_for_code
from common.messages.base import Salvaged
from common.messages.downloads import (
    DownloadRequest,
    DownloadStage,
    FileData,
    PlatformMetadata,
    ProgressEvent,
    StatusEvent,
)
from common.observability.telemetry import outgoing_headers


class DownloadProgress(ProgressFeed):
    """The progress of one download request, on the progress topic under its record's id."""

    def __init__(self, job: Job[DownloadRequest], services: Services) -> None:
        paid = services.settings.messaging_backend == "sqs"
        super().__init__("resolving", services.metrics.stage_seconds, paid=paid)
        self._broker = services.broker
        self._topic = services.settings.topic_download_progress
        self._latest = ProgressEvent(request_id=job.request.request_id, video_id="", stage="resolving")

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
        """Note the newest state: percent 0 to 100, None while the total is unknown."""
        self._latest = self._latest.model_copy(
            update={
                "video_id": self._latest.video_id if media_id is None else media_id,
                "stage": stage,
                "percent": percent,
                "eta_seconds": eta_seconds,
                "speed_bytes_per_second": speed_bytes_per_second,
            }
        )
        self.changed(stage)

    def playable(self, metadata: PlatformMetadata, file: FileData) -> None:
        """Report, now and in every later event, that the song's beginning can be heard."""
        self._latest = self._latest.model_copy(
            update={"playable": True, "platform_metadata": metadata, "file_data": file}
        )
        self.changed(self._latest.stage, urgent=True)

    async def publish(self) -> None:
        """Publish the newest event."""
        event = self._latest
        await self._broker.publish(self._topic, event.video_id, event.to_bytes(), outgoing_headers())


def status_of(waiter: Waiter, media: Media, locale: Locale) -> TerminalStatus:
    """Return the status that a finished record means for one of its waiters."""
    if media.status is MediaStatus.SUCCESS:
        success = StatusEvent(
            request_id=waiter.request_id,
            user_id=waiter.user_id,
            video_id=media.video_id,
            file_data=media.file,
            platform_metadata=media.metadata,
            message=DOWNLOADED.to(locale),
            success=True,
            status="success",
        )
        return TerminalStatus(waiter.request_id, media.video_id, success)
    error = error_for_code(media.error_code or "internal_error")
    # The record's own code, which a newer version may have written and this one not know.
    return error_status(waiter, media.video_id, media.error_code or error.code, error.message(locale))


def refusal(salvaged: Salvaged, services: Services, error: AppError) -> TerminalStatus:
    """Return the error status of a request that did not parse; no record stands for it."""
    waiter = Waiter(salvaged.request_id, salvaged.id_of("user_id"))
    return error_status(waiter, "", error.code, error.message(services.settings.locale))


def error_status(waiter: Waiter, media_id: str, code: str, message: str) -> TerminalStatus:
    """Return an error status; `media_id` "" when no record stands for the request."""
    status = StatusEvent(
        request_id=waiter.request_id,
        user_id=waiter.user_id,
        video_id=media_id,
        message=message,
        success=False,
        status="error",
        error_code=code,
    )
    return TerminalStatus(waiter.request_id, media_id, status, code)
