"""Keeps the stored songs below MAX_STORED_BYTES by evicting the least recently used.

One process at a time evicts, the holder of a named lease. A song that was made, answered from or played within
RETENTION_GRACE_SECONDS is never evicted, nor is one that is being made or settled; a longer reader keeps its open file.
The record leaves the library before its file does, so no answer names a missing file; the next request for the song
makes it again.
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
from common.tasks import time_limit

log = get_logger(__name__)

LEASE = timedelta(seconds=60)
_NAME = "retention"


async def keep_within_limit(services: Services, stop: asyncio.Event) -> None:
    """Sweep every RETENTION_INTERVAL_SECONDS until `stop`. An unavailable backend is retried by the next sweep."""
    while not stop.is_set():
        try:
            await sweep(services)
        except (DatabaseUnavailable, StorageError) as exc:
            log.warning("retention.backend_away", code=exc.code, detail=exc.detail)
        try:
            async with time_limit(services.settings.retention_interval_seconds):
                await stop.wait()
        except TimeoutError:
            continue


async def sweep(services: Services) -> int:
    """Measure, and evict until the limit is kept or no file may go. Returns the number of evicted songs.

    Raises:
        DatabaseUnavailable, StorageError: the next sweep, of any process, resumes an eviction that was begun.
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
    """Evict while the limit is exceeded and this process holds the lease."""
    limit, evicted = services.settings.max_stored_bytes, 0
    grace = timedelta(seconds=services.settings.retention_grace_seconds)
    while stored > limit and await services.repository.acquire(_NAME, owner, LEASE) is None:
        began = time.monotonic()
        eviction = await services.repository.begin_eviction(idle=grace, lease=LEASE)
        if eviction is None:
            log.warning("retention.nothing_may_go", stored=stored, limit=limit)
            break
        if time.monotonic() - began > LEASE.total_seconds() / 2:
            # This process was suspended: the lease may be over and the song made again, so its file must stay.
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
