"""Keeps the stored songs below MAX_STORED_BYTES: the least recently used go first.

One process at a time does it, whoever gets the lease. A song that was made, answered from or played within
RETENTION_GRACE_SECONDS stays, whatever the limit, as does one that is being made or settled; who reads for longer than
that keeps the file it has open. The record leaves the library before its file does, so nobody is pointed to what is
gone; the next request for the song makes it again.
"""

from __future__ import annotations

import asyncio
import time
import uuid
from datetime import timedelta

from audio_service.media.model import audio_key
from audio_service.media.repository.base import Eviction
from audio_service.services import Services
from common.errors import DatabaseUnavailable, StorageError
from common.observability.telemetry import get_logger

log = get_logger(__name__)

LEASE = timedelta(seconds=60)
_NAME = "retention"


async def keep_within_limit(services: Services, stop: asyncio.Event) -> None:
    """Look every RETENTION_INTERVAL_SECONDS until `stop`. A backend that is away is met again at the next look."""
    while not stop.is_set():
        try:
            await sweep(services)
        except (DatabaseUnavailable, StorageError) as exc:
            log.warning("retention.backend_away", code=exc.code, detail=exc.detail)
        try:
            async with asyncio.timeout(services.settings.retention_interval_seconds):
                await stop.wait()
        except TimeoutError:
            continue


async def sweep(services: Services) -> int:
    """Measure, and evict until the limit is kept or nothing more may go. Returns how many songs went.

    Raises:
        DatabaseUnavailable, StorageError: what was begun is taken up by the next sweep, of any process.
    """
    owner = f"{services.owner}/{uuid.uuid4()}"
    if await services.repository.acquire(_NAME, owner, LEASE) is not None:
        return 0
    try:
        stored = await services.repository.stored_bytes()
        services.metrics.stored_bytes.set(stored)
        return await _shrink(services, stored, owner) if services.settings.max_stored_bytes else 0
    finally:
        await services.repository.surrender(_NAME, owner)


async def _shrink(services: Services, stored: int, owner: str) -> int:
    """Evict while there is too much and the lease is ours."""
    limit, evicted = services.settings.max_stored_bytes, 0
    grace = timedelta(seconds=services.settings.retention_grace_seconds)
    while stored > limit and await services.repository.acquire(_NAME, owner, LEASE) is None:
        began = time.monotonic()
        eviction = await services.repository.begin_eviction(idle=grace, lease=LEASE)
        if eviction is None:
            log.warning("retention.nothing_may_go", stored=stored, limit=limit)
            break
        if time.monotonic() - began > LEASE.total_seconds() / 2:
            # This process stood still: the song may be in the making again, and its file is not ours to remove.
            break
        await _remove(services, eviction)
        evicted += 1
        stored -= eviction.size_bytes
        services.metrics.stored_bytes.set(stored)
    return evicted


async def _remove(services: Services, eviction: Eviction) -> None:
    await services.blobs.delete(audio_key(eviction.media_id))
    await services.repository.finish_eviction(eviction.media_id, eviction.fence)
    services.metrics.evictions.inc()
    services.metrics.evicted_bytes.inc(eviction.size_bytes)
    log.info("retention.evicted", media_id=eviction.media_id, bytes=eviction.size_bytes)
