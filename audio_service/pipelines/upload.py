"""An uploaded file's way: claim, look at what it is, make the message in a child, store, record.

Every step can be repeated: a worker that takes over after a crash makes the files anew under the same keys. What is
served is always our own; the uploaded file is deleted, whatever became of it.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from audio_service.assets.model import Asset, AssetState, Made, Output, output_key, quarantine_key
from audio_service.assets.removal import delete_files
from audio_service.assets.repository.base import AssetRepository, Claimed, Ended, Held
from audio_service.assets.views import FILES, status_event
from audio_service.audio.contents import HEAD_BYTES, Contents, identify, name_of
from audio_service.audio.mp3 import ID3_HEADER_BYTES, id3_end
from audio_service.children.jobs import ChildJob
from audio_service.families import families_of
from audio_service.services import Services
from audio_service.texts import PROCESSED
from audio_service.worker.pipeline import HandBack, Job, Outcome, Pipeline, TerminalStatus
from audio_service.worker.progress import ProgressFeed
from common.blobs.base import BlobStat
from common.blobs.files import LocalFiles
from common.blobs.presigned import PresignedUrls
from common.errors import (
    AppError,
    AssetNotFound,
    BlobNotFound,
    FileCorrupt,
    FileNotAllowed,
    MediaCorrupt,
    MediaUnsupported,
    Misconfigured,
    SourceTruncated,
    UploadMismatch,
    UploadMissing,
)
from common.messages.assets import AssetRequest, AssetStatusEvent
from common.messages.base import Salvaged
from common.observability.telemetry import get_logger, outgoing_headers

log = get_logger(__name__)

_TYPES = {"audio": "audio/mp4", "dca": "audio/dca", "waveform": "application/json"}

# A child that is not free by then is busy with something better.
_DESCRIBING_SECONDS = 10.0
# Ours and the store's: a URL that ends a little early would end a job.
_CLOCKS_APART_SECONDS = 60

UploadJob = Job[AssetRequest]


class UploadProgress(ProgressFeed):
    """Says on the status topic that an asset is being processed, once its attempt has claimed it."""

    def __init__(self, _job: UploadJob, services: Services) -> None:
        super().__init__("processing", services.metrics.stage_seconds)
        self._broker = services.broker
        self._topic = services.settings.topic_asset_status
        self._base = services.settings.public_url
        self._asset: Asset | None = None

    def claimed(self, asset: Asset) -> None:
        """Note the asset that is being processed."""
        self._asset = asset
        self.changed("processing", urgent=True)

    async def publish(self) -> None:
        """Publish it; nothing before it is claimed, and nothing a second time."""
        asset, self._asset = self._asset, None
        if asset is not None:
            event = status_event(asset, self._base)
            await self._broker.publish(self._topic, asset.asset_id, event.to_bytes(), outgoing_headers())


async def process(job: UploadJob, services: Services, progress: UploadProgress) -> Outcome:
    """Bring one uploaded file to its end, and return its status.

    Raises:
        AppError: why this attempt failed.
        HandBack: another attempt has it.
    """
    assets = assets_of(services)
    match await assets.claim(job.request.asset_id, lease_of(services)):
        case Held(wait):
            raise HandBack("asset_busy", wait)
        case Ended(asset):
            return await ended(asset, services)
        case Claimed(fence, asset):
            job.record_id, job.fence = asset.asset_id, fence
    progress.claimed(asset)
    await check_unchanged(asset, services)
    contents = await look_at(job, asset, services)
    try:
        made = await make_and_store(job, asset, contents, services)
    except (MediaUnsupported, MediaCorrupt, SourceTruncated) as exc:
        raise as_upload_error(exc) from exc
    # A file that was replaced while it was read is not the one that was looked at.
    await check_unchanged(asset, services)
    done = await assets.mark_done(asset.asset_id, fence, made, message=PROCESSED.to(services.settings.locale))
    log.info("upload.done", asset_id=asset.asset_id, family=contents.family, duration_ms=made.duration_ms)
    return await ended(done, services)


async def fail(job: UploadJob, services: Services, error: AppError) -> Outcome:
    """Record why there will be no message, and delete what was uploaded.

    Raises:
        HandBack: another attempt has it.
    """
    assets = assets_of(services)
    fence, asset_id = job.fence, job.request.asset_id
    if fence is None:
        try:
            claim = await assets.claim(asset_id, lease_of(services))
        except AssetNotFound:
            # Removed, maybe while an attempt was storing what it made.
            if await assets.get(asset_id) is None:
                await delete_files(services.blobs, asset_id)
            return Outcome([error_status(job.request, error, services)])
        match claim:
            case Held(wait):
                raise HandBack("asset_busy", wait)
            case Ended(asset):
                return await ended(asset, services)
            case Claimed(fence, _):
                job.record_id, job.fence = asset_id, fence
    failed = await assets.mark_failed(
        asset_id, fence, error_code=error.code, message=error.message(services.settings.locale)
    )
    log.info("upload.failed", asset_id=asset_id, code=error.code, detail=error.detail)
    return await ended(failed, services)


async def check_unchanged(asset: Asset, services: Services) -> BlobStat:
    """Return what is in quarantine. Raises UploadMissing, and UploadMismatch when it is not what was completed."""
    try:
        stat = await services.blobs.stat(quarantine_key(asset.asset_id))
    except BlobNotFound as exc:
        raise UploadMissing(asset.asset_id) from exc
    if stat.etag != asset.etag:
        raise UploadMismatch("replaced after it was complete")
    return stat


async def look_at(job: UploadJob, asset: Asset, services: Services) -> Contents:
    """Decide by its first bytes what the file is. Raises FileNotAllowed, whose detail names what it is."""
    key = quarantine_key(asset.asset_id)
    head = await part_of(key, services, 0)
    behind_tag = b""
    if tag := id3_end(head[:ID3_HEADER_BYTES]):
        behind_tag = await part_of(key, services, tag)
    contents = identify(head, behind_tag)
    if contents is None:
        raise FileNotAllowed(f"by its content: {await description_of(head, job, services)}")
    if contents.family not in families_of(services.settings.upload_families):
        raise FileNotAllowed(f"{contents.family} is not in UPLOAD_FAMILIES")
    return contents


async def description_of(head: bytes, job: UploadJob, services: Services) -> str:
    """Say for the log what a refused file is."""
    asked = ChildJob("describe", {"head": head.hex()})
    try:
        told = await services.children.call(
            asked, on_progress=lambda _: None, deadline_seconds=min(_DESCRIBING_SECONDS, job.deadline_seconds)
        )
    except AppError:
        return name_of(head)
    return told["description"]


async def part_of(key: str, services: Services, start: int) -> bytes:
    """Return HEAD_BYTES of a file, or fewer at its end."""
    parts = [chunk async for chunk in services.blobs.read(key, start=start, length=HEAD_BYTES)]
    return b"".join(parts)


async def make_and_store(job: UploadJob, asset: Asset, contents: Contents, services: Services) -> Made:
    """Make the files in a child process, and put them into the store."""
    with services.workspace.job() as directory:
        source = await source_of(asset, job, services)
        arguments = {**source, "directory": str(directory), "demuxer": contents.demuxer}
        told = await services.children.call(
            ChildJob("message", arguments), on_progress=lambda _: None, deadline_seconds=job.deadline_seconds
        )
        outputs: list[Output] = []
        for name, file in FILES.items():
            stat = await services.blobs.put(output_key(asset.asset_id, file), directory / file)
            outputs.append(Output(name, _TYPES[name], stat.size))
    return Made(tuple(outputs), tuple(told["waveform"]), told["duration_ms"])


async def source_of(asset: Asset, job: UploadJob, services: Services) -> dict[str, Any]:
    """Return where the child reads the file: in the store's folder, or by a presigned URL.

    Raises:
        TypeError: the store has neither.
    """
    key, store = quarantine_key(asset.asset_id), services.blobs
    if isinstance(store, LocalFiles):
        return {"path": str(store.path_of(key))}
    if not isinstance(store, PresignedUrls):
        raise TypeError(f"{store!r} has neither files nor presigned URLs")
    url = await store.presign_get(key, seconds=round(job.deadline_seconds) + _CLOCKS_APART_SECONDS)
    return {"remote": {"url": url, "size": asset.upload.size, "etag": asset.etag}}


async def ended(asset: Asset, services: Services) -> Outcome:
    """Delete what is not served any more, and return the status of an asset that is done or failed."""
    await services.blobs.delete(quarantine_key(asset.asset_id))
    if asset.state is AssetState.FAILED:
        for file in FILES.values():
            await services.blobs.delete(output_key(asset.asset_id, file))
    event = status_event(asset, services.settings.public_url)
    return Outcome([TerminalStatus(asset.asset_id, asset.asset_id, event, asset.error_code or "")])


def as_upload_error(error: AppError) -> AppError:
    """Return what an error of media means for an uploaded file, which will not get better."""
    kind = FileNotAllowed if isinstance(error, MediaUnsupported) else FileCorrupt
    return kind(error.detail)


def error_status(request: AssetRequest, error: AppError, services: Services) -> TerminalStatus:
    """Return the error status of a request that no asset stands for."""
    event = _failed_event(request.request_id, request.asset_id, request.owner_id, error, services)
    return TerminalStatus(request.request_id, request.asset_id, event, error.code)


def refusal(salvaged: Salvaged, services: Services, error: AppError) -> TerminalStatus:
    """Return the error status of a request that did not parse."""
    asset_id = salvaged.id_of("asset_id")
    event = _failed_event(salvaged.request_id, asset_id, salvaged.id_of("owner_id"), error, services)
    return TerminalStatus(salvaged.request_id, asset_id, event, error.code)


def lease_of(services: Services) -> timedelta:
    """Return how long a claim holds without a heartbeat."""
    return timedelta(seconds=services.settings.lease_seconds)


def assets_of(services: Services) -> AssetRepository:
    """Return the asset records. Raises Misconfigured where UPLOADS is off."""
    if services.assets is None:
        raise Misconfigured("UPLOADS is off")
    return services.assets


def _failed_event(
    request_id: str, asset_id: str, owner_id: str, error: AppError, services: Services
) -> AssetStatusEvent:
    return AssetStatusEvent(
        request_id=request_id,
        asset_id=asset_id,
        kind="audio_message",
        owner_id=owner_id,
        chat_id="",
        status=AssetState.FAILED.value,
        success=False,
        message=error.message(services.settings.locale),
        error_code=error.code,
    )


UPLOADS = Pipeline(
    name="upload",
    group="upload-workers",
    request=AssetRequest,
    request_topic=lambda settings: settings.topic_upload_requests,
    status_topic=lambda settings: settings.topic_asset_status,
    answer_topics=lambda settings: (settings.topic_asset_status,),
    records=assets_of,
    progress=UploadProgress,
    run=process,
    fail=fail,
    refusal=refusal,
)
