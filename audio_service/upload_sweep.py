"""Tidies up uploads: what was never completed, what was never queued, and files that no asset needs.

Any number of processes may sweep at once: every step can be repeated, and those of the database have one winner.
"""

from __future__ import annotations

import asyncio
from datetime import timedelta

from audio_service.assets.intake import Intake
from audio_service.assets.model import check_asset_id, quarantine_key
from audio_service.assets.removal import delete_files
from audio_service.services import Services
from common.blobs.base import BlobStore
from common.blobs.listing import Listed, ListedBlobs
from common.errors import AssetNotFound, DatabaseUnavailable, QueueUnavailable, StorageError
from common.observability.telemetry import get_logger
from common.tasks import time_limit

log = get_logger(__name__)

ABANDONED = timedelta(days=1)
"""How long after `prepare` what was not completed is removed, and after a PUT what no record stands for."""
STALLED = timedelta(minutes=15)
"""How long a complete asset waits for a worker before it is queued again: the queue may never have got it."""
SETTLED = timedelta(hours=1)
"""How long after an asset's removal no worker stores anything of it any more: its lease is over."""
QUARANTINE = "quarantine"


async def keep_tidy(services: Services, stop: asyncio.Event) -> None:
    """Sweep every RETENTION_INTERVAL_SECONDS until `stop`; where UPLOADS is off, only wait for it.

    What is not done since a backend is unavailable, a later sweep does.
    """
    if services.assets is None:
        await stop.wait()
        return
    intake = Intake(services.settings, services.assets, services.blobs, services.broker)
    while not stop.is_set():
        try:
            await sweep(intake)
        except (DatabaseUnavailable, StorageError, QueueUnavailable) as exc:
            log.warning("upload_sweep.backend_away", code=exc.code, detail=exc.detail)
        try:
            async with time_limit(services.settings.retention_interval_seconds):
                await stop.wait()
        except TimeoutError:
            continue


async def sweep(
    intake: Intake,
    *,
    abandoned: timedelta = ABANDONED,
    stalled: timedelta = STALLED,
    settled: timedelta = SETTLED,
) -> None:
    """Do it once. The times are as the constants above. Raises DatabaseUnavailable, StorageError, QueueUnavailable."""
    await _remove_abandoned(intake, abandoned)
    await _delete_leftovers(intake, settled)
    await _delete_orphans(intake, abandoned)
    # Last: while the queue is away, the rest is done.
    await _queue_stalled(intake, stalled)


async def _remove_abandoned(intake: Intake, age: timedelta) -> None:
    while found := await intake.assets.never_completed(age):
        for asset in found:
            if await intake.assets.remove(asset.asset_id, unless_complete=True):
                await delete_files(intake.blobs, asset.asset_id)
                log.info("upload.abandoned", asset_id=asset.asset_id)


async def _delete_leftovers(intake: Intake, age: timedelta) -> None:
    while found := await intake.assets.removed(age):
        for asset_id in found:
            # The record too: a process that died may have noted the id, and removed nothing yet.
            await intake.assets.remove(asset_id)
            await delete_files(intake.blobs, asset_id)
            await intake.assets.forget_removed(asset_id)


async def _delete_orphans(intake: Intake, age: timedelta) -> None:
    """Delete from quarantine what its asset does not need any more, and what no record stands for.

    A presigned PUT may come after its asset ended or was removed.
    """
    for blob in await _quarantined(intake.blobs):
        asset_id = blob.key.removeprefix(f"{QUARANTINE}/")
        try:
            asset = await intake.assets.get(check_asset_id(asset_id))
        except AssetNotFound:
            continue  # not one of ours
        if asset.state.is_terminal if asset is not None else blob.age >= age:
            await intake.blobs.delete(quarantine_key(asset_id))
            log.info("upload.orphan_deleted", asset_id=asset_id)


async def _quarantined(blobs: BlobStore) -> list[Listed]:
    if not isinstance(blobs, ListedBlobs):
        return []
    return [blob async for blob in blobs.blobs_in(QUARANTINE)]


async def _queue_stalled(intake: Intake, idle: timedelta) -> None:
    queued: set[str] = set()
    while (asset := await intake.assets.take_stalled(idle)) is not None and asset.asset_id not in queued:
        queued.add(asset.asset_id)
        await intake.queue(asset)
        log.info("upload.queued_again", asset_id=asset.asset_id)
