"""How files come in: an upload is prepared, sent to quarantine, and completed, which queues its processing."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterable
from dataclasses import dataclass
from datetime import timedelta

from audio_service.assets import signatures
from audio_service.assets.model import Asset, AssetState, Upload, quarantine_key
from audio_service.assets.repository.base import AssetRepository, Quota
from audio_service.settings import AudioSettings
from common.blobs.base import BlobStore
from common.broker.base import Broker
from common.errors import (
    AssetNotFound,
    BlobNotFound,
    BrokerError,
    QueueUnavailable,
    UploadMismatch,
    UploadMissing,
    UploadRefused,
    UploadTooLarge,
)
from common.messages.assets import AssetRequest
from common.messages.base import CORRELATION_ID, utc_now
from common.observability.telemetry import get_logger, outgoing_headers

log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Announced:
    """What a client says that it will send, checked to be of a sensible shape. `size` in bytes."""

    name: str
    size: int
    content_type: str
    chat_id: str


@dataclass(frozen=True, slots=True)
class Intake:
    """The ports that uploads come in by."""

    settings: AudioSettings
    assets: AssetRepository
    blobs: BlobStore
    broker: Broker

    async def prepare(self, announced: Announced, owner_id: str) -> Asset:
        """Record an upload that may begin.

        Raises:
            UploadTooLarge: over UPLOAD_MAX_BYTES.
            QuotaExceeded: the owner has too many.
        """
        settings = self.settings
        if announced.size > settings.upload_max_bytes:
            raise UploadTooLarge(f"{announced.size} bytes, at most {settings.upload_max_bytes} are taken")
        now = utc_now()
        # Whole seconds, as the URL has it.
        expires_at = now.replace(microsecond=0) + timedelta(seconds=settings.upload_url_seconds)
        asset = Asset(
            asset_id=str(uuid.uuid4()),
            kind="audio_message",
            state=AssetState.QUEUED,
            owner_id=owner_id,
            chat_id=announced.chat_id,
            upload=Upload(announced.name, announced.size, announced.content_type, signatures.new_secret(), expires_at),
            created_at=now,
            updated_at=now,
        )
        await self.assets.create(asset, Quota(settings.upload_open_limit, settings.upload_daily_limit))
        return asset

    async def receive(self, asset: Asset, length: int | None, content_type: str, body: AsyncIterable[bytes]) -> None:
        """Stream an upload into quarantine, as announced, once. Nothing is stored before its last byte is there.

        Raises:
            UploadRefused: it was sent before, or is complete.
            UploadMismatch: another length or type than announced, or the body is longer or shorter.
        """
        upload, key = asset.upload, quarantine_key(asset.asset_id)
        if asset.completed_at is not None or await self._is_there(key):
            raise UploadRefused("sent before")
        if length != upload.size or content_type != upload.content_type:
            raise UploadMismatch(f"{length} bytes of {content_type}: {upload.size} of {upload.content_type} announced")
        received = 0
        # Of two at a time the later supersedes the earlier, whose commit fails.
        async with self.blobs.grow(key) as growing:
            async for chunk in body:
                received += len(chunk)
                if received > upload.size:
                    raise UploadMismatch(f"more than {upload.size} bytes")
                if chunk:
                    await growing.append(chunk)
            if received != upload.size:
                raise UploadMismatch(f"{received} of {upload.size} bytes")
            await growing.commit()
        log.info("upload.received", asset_id=asset.asset_id, bytes=received)

    async def complete(self, asset_id: str) -> Asset:
        """Pin what was uploaded and queue its processing. Idempotent; a later call returns the present state.

        Raises:
            AssetNotFound; UploadMissing: nothing is there; UploadMismatch: another size than announced.
            QueueUnavailable: it is not queued; the next call queues it.
        """
        asset = await self.find(asset_id)
        if asset.completed_at is None:
            try:
                stat = await self.blobs.stat(quarantine_key(asset_id))
            except BlobNotFound as exc:
                raise UploadMissing(asset_id) from exc
            if stat.size != asset.upload.size:
                raise UploadMismatch(f"{stat.size} bytes, {asset.upload.size} announced")
            asset = await self.assets.complete(asset_id, stat.etag)
        if asset.state is AssetState.QUEUED:
            await self.queue(asset)
        return asset

    async def find(self, asset_id: str) -> Asset:
        """Return an asset. Raises AssetNotFound."""
        asset = await self.assets.get(asset_id)
        if asset is None:
            raise AssetNotFound(asset_id)
        return asset

    async def queue(self, asset: Asset) -> None:
        """Queue its processing. The request is named after the asset: queued twice, the second is a duplicate.

        Raises:
            QueueUnavailable: it is not queued.
        """
        request = AssetRequest(
            request_id=asset.asset_id,
            asset_id=asset.asset_id,
            kind=asset.kind,
            owner_id=asset.owner_id,
            timestamp=utc_now(),
        )
        headers = {**outgoing_headers(), CORRELATION_ID: request.request_id}
        try:
            await self.broker.publish(self.settings.topic_upload_requests, asset.asset_id, request.to_bytes(), headers)
        except BrokerError as exc:
            raise QueueUnavailable(exc.detail) from exc

    async def _is_there(self, key: str) -> bool:
        try:
            await self.blobs.stat(key)
        except BlobNotFound:
            return False
        return True
