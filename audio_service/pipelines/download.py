"""A song's way into the library: understand the words, claim the record, fetch and encode, store, record.

Every step can be repeated: a worker that takes over after a crash finds what its predecessor finished and goes on.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from datetime import timedelta

from audio_service.audio.base import Encoded, Origin
from audio_service.audio.stored import examine
from audio_service.children.jobs import ChildProgress
from audio_service.media.model import AUDIO_TYPE, Encoding, Media, MediaStatus, audio_key, human_size
from audio_service.media.repository.base import Finished, Joined, LeaseHeld, Owned, StoredMedia, Unannounced, Waiter
from audio_service.pipelines.download_messages import DownloadProgress, error_status, refusal, status_of
from audio_service.pipelines.early_song import early_song
from audio_service.services import Answering, Services
from audio_service.sources.base import Query, Resolved
from audio_service.sources.client import fetch
from audio_service.sources.query import clean_title, parse_query, rejected_key
from audio_service.texts import DOWNLOADED
from audio_service.worker.announcer import ANSWERED_KEEP
from audio_service.worker.pipeline import HandBack, Job, Outcome, Pipeline, TerminalStatus
from common.errors import AppError, BlobNotFound, ProcessingTimeout, ProviderNotFound
from common.messages.downloads import DownloadRequest, FileData, PlatformMetadata, ProgressEvent
from common.observability.telemetry import get_logger, outgoing_headers
from common.tasks import time_limit

log = get_logger(__name__)

PROVIDERS = frozenset({"youtube"})
MAX_ASKED = 200
"""Characters of what was asked that a record of a failure shows in the place of a title."""
_RESOLVING_ELSEWHERE = timedelta(milliseconds=250)

DownloadJob = Job[DownloadRequest]


async def download(job: DownloadJob, services: Services, progress: DownloadProgress) -> Outcome | None:
    """Bring one request to its end, and return its outcome; None when another worker's job answers it.

    Raises:
        AppError: why this attempt failed; `job` says how far it came.
        HandBack: another worker is at it; the delivery is to come again.
    """
    query = understand(job, services)
    ends = time.monotonic() + job.deadline_seconds
    resolved = await resolve_once(job, query, services)
    job.deadline_seconds = max(1.0, ends - time.monotonic())
    return await obtain(job, resolved, services, progress)


async def obtain(
    job: DownloadJob, resolved: Resolved, services: Services, progress: DownloadProgress
) -> Outcome | None:
    """Bring a request for known media to its end: see `download`."""
    job.record_id = resolved.media_id
    progress.stage("downloading", media_id=resolved.media_id)

    claim = await claim_record(job, resolved, services)
    match claim:
        case Joined():
            services.metrics.cache_hits.labels("job").inc()
            return await joined(job, services)
        case Finished(media):
            services.metrics.cache_hits.labels("song").inc()
            return outcome_of(job, media, [waiter_of(job)], services)
        case Unannounced(fence, media, waiters):
            job.fence = fence
            return outcome_of(job, media, waiters, services)
        case Owned(fence):
            job.fence = fence

    stored = await stored_before(job, resolved, services) or await fetch_and_store(job, resolved, services, progress)
    media, waiters = await services.repository.mark_success(job.record_id, claim.fence, stored)
    log.info("download.ready", media_id=job.record_id, mode=stored.encoding.mode, waiters=len(waiters))
    return outcome_of(job, media, waiters, services)


async def fail(job: DownloadJob, services: Answering, error: AppError) -> Outcome | None:
    """Record why there will be no file, for every request that waits for it; None when another job answers this one.

    Raises:
        HandBack: the record is being settled right now.
    """
    repository = services.repository
    if job.fence is None:
        waits_for = await repository.waits_for(job.request.request_id)
        job.record_id = waits_for or job.record_id or rejected_key(job.request.song)
        if not job.record_id:
            return Outcome([error_status(waiter_of(job), "", error.code, error.message(services.settings.locale))])
        lease = timedelta(seconds=services.settings.lease_seconds)
        described = await described_or_asked(job, services)
        match await repository.claim(job.record_id, waiter_of(job), described, lease):
            case Joined():
                return await joined(job, services)
            case LeaseHeld(wait):
                raise HandBack("record_busy", wait)
            case Finished(media):
                return outcome_of(job, media, [waiter_of(job)], services)
            case Unannounced(fence, media, waiters):
                job.fence = fence
                return outcome_of(job, media, waiters, services)
            case Owned(fence):
                job.fence = fence
    media, waiters = await repository.mark_error(
        job.record_id, job.fence, error_code=error.code, message=error.message(services.settings.locale)
    )
    return outcome_of(job, media, waiters, services)


def understand(job: DownloadJob, services: Services) -> Query:
    """Turn the request's words into a query. Raises InvalidInput, UrlNotAllowed, ProviderNotFound."""
    if job.request.provider_type.lower() not in PROVIDERS:
        raise ProviderNotFound(job.request.provider_type[:50])
    query = parse_query(job.request.song, services.settings.youtube_watch_url)
    job.record_id = query.key
    return query


async def resolve_once(job: DownloadJob, query: Query, services: Services) -> Resolved:
    """Resolve a query, or remember what it resolved to: a burst of the same words is one search."""
    repository = services.repository
    lease_name = f"resolve:{query.key}"
    if known := await joined_before(job, services) or await remembered(query, services):
        return known
    if await repository.acquire(lease_name, job.owner, timedelta(seconds=services.settings.lease_seconds)):
        raise HandBack("resolving_elsewhere", _RESOLVING_ELSEWHERE)
    try:
        if known := await remembered(query, services):
            return known
        try:
            async with time_limit(job.deadline_seconds):
                resolved = await services.source.resolve(query)
        except TimeoutError as exc:
            raise ProcessingTimeout(f"resolving took longer than {job.deadline_seconds:g} s") from exc
        ttl = timedelta(seconds=services.settings.resolution_ttl_seconds)
        await repository.remember(query.key, resolved.media_id, resolved.metadata, ttl)
        return resolved
    finally:
        await repository.surrender(lease_name, job.owner)


async def joined_before(job: DownloadJob, services: Services) -> Resolved | None:
    """Return the record that an earlier attempt of this request claimed: requests that joined it there still wait."""
    media_id = await services.repository.waits_for(job.request.request_id)
    media = await services.repository.get(media_id) if media_id else None
    return Resolved(media.video_id, media.metadata) if media else None


async def remembered(query: Query, services: Services) -> Resolved | None:
    """Return what is known without the network: a remembered resolution, or the record that the URL's id names."""
    if found := await services.repository.recall(query.key):
        services.metrics.cache_hits.labels("resolution").inc()
        return Resolved(*found)
    media = await services.repository.get(query.media_id) if query.media_id else None
    # A failed record may never have been described.
    return Resolved(media.video_id, media.metadata) if media and media.status is not MediaStatus.ERROR else None


async def claim_record(
    job: DownloadJob, resolved: Resolved, services: Services
) -> Owned | Joined | Finished | Unannounced:
    """Claim the record; one whose file has gone from the store is opened again. Raises HandBack while it is busy."""
    lease = timedelta(seconds=services.settings.lease_seconds)
    while True:
        claim = await services.repository.claim(resolved.media_id, waiter_of(job), resolved.metadata, lease)
        if isinstance(claim, LeaseHeld):
            raise HandBack("record_busy", claim.wait)
        if isinstance(claim, Finished) and not await is_stored(resolved.media_id, services):
            log.warning("download.file_gone", media_id=resolved.media_id)
            await services.repository.reopen(resolved.media_id)
            continue
        return claim


async def is_stored(media_id: str, services: Services) -> bool:
    """Whether the record's file is in the blob store."""
    try:
        await services.blobs.stat(audio_key(media_id))
    except BlobNotFound:
        return False
    return True


async def fetch_and_store(
    job: DownloadJob, resolved: Resolved, services: Services, progress: DownloadProgress
) -> StoredMedia:
    """Download and encode in a child process, and put the file into the store; it can be heard while it comes."""
    key = audio_key(resolved.media_id)

    def on_playable() -> None:
        log.info("download.playable", media_id=resolved.media_id)
        services.metrics.early_songs.inc()
        progress.playable(resolved.metadata, FileData(file_path=key, file_type=AUDIO_TYPE))

    with services.workspace.job() as directory:
        async with early_song(services.blobs, key, directory, on_playable) as song:

            def on_progress(report: ChildProgress) -> None:
                if report.draft is not None:
                    song.can_be_heard(report.draft)
                progress.update(
                    report.stage,
                    percent=report.percent,
                    eta_seconds=report.eta_seconds,
                    speed_bytes_per_second=report.speed_bytes_per_second,
                )

            fetched = await fetch(
                services.children,
                resolved,
                directory=directory,
                origin=Origin(resolved.metadata.platform, resolved.metadata.url, resolved.metadata.title),
                on_progress=on_progress,
                deadline_seconds=job.deadline_seconds,
            )
            services.metrics.downloaded_bytes.inc(fetched.downloaded_bytes)
            services.metrics.encodings.labels(fetched.encoded.mode).inc()
            progress.stage("storing")
            await song.store(fetched.path)
    return describe(fetched.encoded, resolved, services, title=fetched.title)


async def stored_before(job: DownloadJob, resolved: Resolved, services: Services) -> StoredMedia | None:
    """Adopt a file that a predecessor stored and did not live to record; puts are atomic, so it is whole."""
    key = audio_key(job.record_id)
    try:
        stat = await services.blobs.stat(key)
    except BlobNotFound:
        return None
    with services.workspace.job() as directory:
        copy = directory / "stored.dca"
        with copy.open("wb") as file:
            async for chunk in services.blobs.read(key):
                file.write(chunk)
        encoded = await asyncio.to_thread(examine, copy)
    if encoded is None:
        return None
    services.metrics.cache_hits.labels("file").inc()
    log.info("download.adopted", media_id=job.record_id, bytes=stat.size)
    return describe(encoded, resolved, services)


def describe(encoded: Encoded, resolved: Resolved, services: Services, *, title: str = "") -> StoredMedia:
    """Say what a record needs to know of its file. The duration is the file's own: sources round theirs."""
    known = {"duration_ms": encoded.duration_ms, "title": title or resolved.metadata.title}
    return StoredMedia(
        metadata=resolved.metadata.model_copy(update=known),
        file=FileData(file_path=audio_key(resolved.media_id), file_size=human_size(encoded.size), file_type=AUDIO_TYPE),
        size_bytes=encoded.size,
        encoding=Encoding(encoded.mode, reason_of(encoded), encoded.frames, encoded.sha256),
        message=DOWNLOADED.to(services.settings.locale),
    )


def reason_of(encoded: Encoded) -> str:
    """Return why the mode was chosen, and whether the end of the file could not be checked."""
    note = {True: "", False: "; length not stated", None: "; not known whether the length is stated"}
    return encoded.reason + note[encoded.states_length]


def outcome_of(job: DownloadJob, media: Media, waiters: Sequence[Waiter], services: Answering) -> Outcome:
    """Return the statuses of a finished record's waiters, and how they are settled."""

    def statuses(waiting: Sequence[Waiter]) -> list[TerminalStatus]:
        return [status_of(waiter, media, services.settings.locale) for waiter in waiting]

    fence = job.fence
    if fence is None:
        return Outcome(statuses(waiters))

    async def settle(answered: Sequence[str]) -> list[TerminalStatus]:
        return statuses(await services.repository.settle(media.video_id, fence, answered, keep=ANSWERED_KEEP))

    return Outcome(statuses(waiters), settle)


async def joined(job: DownloadJob, services: Answering) -> None:
    """Tell a request that joined another's job which record to follow: the progress topic is keyed by record."""
    event = ProgressEvent(request_id=job.request.request_id, video_id=job.record_id, stage="downloading")
    topic = services.settings.topic_download_progress
    await services.broker.publish(topic, job.record_id, event.to_bytes(), outgoing_headers())


def waiter_of(job: DownloadJob) -> Waiter:
    """Return the request as it stands on a record's waiting list."""
    return Waiter(job.request.request_id, job.request.user_id)


async def described_or_asked(job: DownloadJob, services: Answering) -> PlatformMetadata:
    """Return the record's metadata; without a record, what was asked in the place of a title."""
    media = await services.repository.get(job.record_id)
    return media.metadata if media else PlatformMetadata(title=clean_title(job.request.song)[:MAX_ASKED])


DOWNLOADS = Pipeline(
    name="download",
    group="audio-workers",
    request=DownloadRequest,
    request_topic=lambda settings: settings.topic_download_requests,
    status_topic=lambda settings: settings.topic_download_status,
    answer_topics=lambda settings: (settings.topic_download_status, settings.topic_download_progress),
    records=lambda services: services.repository,
    progress=DownloadProgress,
    run=download,
    fail=fail,
    refusal=refusal,
)
