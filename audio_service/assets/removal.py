"""How an uploaded file goes, with all that was made of it: the record first, so that no answer names a missing file."""

from __future__ import annotations

from audio_service.assets.model import output_key, quarantine_key
from audio_service.assets.repository.base import AssetRepository
from audio_service.assets.views import FILES
from common.blobs.base import BlobStore
from common.observability.telemetry import get_logger

log = get_logger(__name__)

_PAGE = 100


async def delete_files(blobs: BlobStore, asset_id: str) -> None:
    """Delete everything that may be stored of an asset. Idempotent. Raises StorageUnavailable."""
    await blobs.delete(quarantine_key(asset_id))
    for file in FILES.values():
        await blobs.delete(output_key(asset_id, file))


async def remove(assets: AssetRepository, blobs: BlobStore, asset_id: str) -> None:
    """Remove an asset, whatever its state. A worker that has it writes nothing more; what it stores yet, the sweep
    deletes, as what is left when this process dies.

    Raises:
        DatabaseUnavailable, StorageUnavailable: the sweep, or another call, does the rest.
    """
    await assets.remove(asset_id)
    await delete_files(blobs, asset_id)
    log.info("asset.removed", asset_id=asset_id)


async def remove_all_of(assets: AssetRepository, blobs: BlobStore, owner_id: str) -> int:
    """Remove all assets of an owner, and return how many there were. Raises as `remove`."""
    count = 0
    while found := (await assets.by_owner(owner_id, limit=_PAGE)).items:
        for asset in found:
            await remove(assets, blobs, asset.asset_id)
        count += len(found)
    return count
