"""Terminal statuses: one per request, published before anything is forgotten.

The order is fixed: publish to everybody who waits, then settle (which marks them as answered), and only then may the
caller ack. A crash in between publishes again; it never loses an answer.
"""

from __future__ import annotations

from datetime import timedelta

from audio_service.media.model import Media, MediaStatus
from audio_service.media.repository.base import Busy, Finished, Joined, Owned, Unannounced, Waiter
from audio_service.pipelines.base import HandBack, Job, Outcome
from audio_service.services import Services
from audio_service.sources.ytdlp.descriptions import clean_title
from audio_service.texts import DOWNLOADED
from common.errors import AppError, error_for_code
from common.messages.downloads import PlatformMetadata, ProgressEvent, StatusEvent
from common.observability.telemetry import correlation, outgoing_headers
from common.observability.tracing import span

ANSWERED_KEEP = timedelta(days=7)
"""How long a request is remembered as answered: as long as a broker may still redeliver it."""
MAX_ASKED = 200
"""Characters of what was asked that a record of a failure shows in the place of a title."""


class Answers:
    """Publishes statuses and records final failures."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._repository = services.repository
        self._settings = services.settings

    async def publish(self, job: Job, outcome: Outcome) -> None:
        """Tell every waiter, and whoever joins while they are told, then settle."""
        waiters = outcome.waiters
        while waiters:
            for waiter in waiters:
                await self._send(self._status(waiter, outcome.media))
            answered = [waiter.request_id for waiter in waiters]
            if job.fence is None:
                for request_id in answered:
                    await self._repository.mark_answered(request_id, keep=ANSWERED_KEEP)
                return
            waiters = await self._repository.settle(job.media_id, job.fence, answered, keep=ANSWERED_KEEP)
        # Settled: a heartbeat must not revive the lease.
        job.fence = None

    async def joined(self, job: Job) -> None:
        """Tell a request that joined another's job which record to follow: the progress topic is keyed by record."""
        event = ProgressEvent(request_id=job.request.request_id, video_id=job.media_id, stage="downloading")
        await self._services.broker.publish(
            self._settings.kafka_bot_download_progress, job.media_id, event.to_bytes(), outgoing_headers()
        )

    async def fail(self, job: Job, error: AppError) -> None:
        """Record why there will be no file, and tell everybody who waits for it.

        Raises:
            HandBack: the record is being settled by somebody else right now.
        """
        if not job.media_id:
            await self.refuse(job.request.request_id, job.request.user_id, error)
            return
        outcome = await self._recorded_failure(job, error)
        if outcome is None:
            await self.joined(job)
        else:
            await self.publish(job, outcome)

    async def refuse(self, request_id: str, user_id: str, error: AppError) -> None:
        """Answer a request that no record can stand for."""
        status = StatusEvent(
            request_id=request_id,
            user_id=user_id,
            video_id="",
            message=error.message(self._settings.locale),
            success=False,
            status="error",
            error_code=error.code,
        )
        await self._send(status)
        await self._repository.mark_answered(request_id, keep=ANSWERED_KEEP)

    async def _recorded_failure(self, job: Job, error: AppError) -> Outcome | None:
        if job.fence is None:
            lease = timedelta(seconds=self._settings.lease_seconds)
            claim = await self._repository.claim(job.media_id, job.waiter, await self._asked_for(job), lease)
            match claim:
                case Joined():
                    return None
                case Busy(wait):
                    raise HandBack("record_busy", wait)
                case Finished(media):
                    return Outcome(media, [job.waiter])
                case Unannounced(fence, media, waiters):
                    job.fence = fence
                    return Outcome(media, waiters)
                case Owned(fence):
                    job.fence = fence
        media, waiters = await self._repository.mark_error(
            job.media_id, job.fence, error_code=error.code, message=error.message(self._settings.locale)
        )
        return Outcome(media, waiters)

    async def _asked_for(self, job: Job) -> PlatformMetadata:
        """Return what is known of the media; when that is nothing, what was asked, so that people recognise it."""
        media = await self._repository.get(job.media_id)
        return media.metadata if media else PlatformMetadata(title=clean_title(job.request.song)[:MAX_ASKED])

    def _status(self, waiter: Waiter, media: Media) -> StatusEvent:
        if media.status is MediaStatus.SUCCESS:
            return StatusEvent(
                request_id=waiter.request_id,
                user_id=waiter.user_id,
                video_id=media.video_id,
                file_data=media.file,
                platform_metadata=media.metadata,
                message=DOWNLOADED.to(self._settings.locale),
                success=True,
                status="success",
            )
        code = media.error_code or "internal_error"
        return StatusEvent(
            request_id=waiter.request_id,
            user_id=waiter.user_id,
            video_id=media.video_id,
            message=error_for_code(code).message(self._settings.locale),
            success=False,
            status="error",
            error_code=code,
        )

    async def _send(self, status: StatusEvent) -> None:
        topic, code = self._settings.kafka_bot_download_status, status.error_code or ""
        with (
            correlation(status.request_id),
            span(f"publish {topic}", "producer", request_id=status.request_id, error_code=code),
        ):
            await self._services.broker.publish(topic, status.video_id, status.to_bytes(), outgoing_headers())
        self._services.metrics.answers.labels(status.status, code).inc()
