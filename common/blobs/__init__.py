"""The blob store: one port, and `open_blobs` that chooses its adapter by settings."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from common.blobs.base import BlobStore
from common.blobs.local.store import open_local
from common.settings import SharedSettings, unsupported


@asynccontextmanager
async def open_blobs(settings: SharedSettings, *, for_writing: bool = True) -> AsyncGenerator[BlobStore]:
    """Open the store that STORAGE_BACKEND names, and close it with the context.

    `for_writing` False: the store may be read-only for this process, or not exist yet; `put`, `grow` and `delete` then
    fail, and `health` does not test writing.

    Raises:
        StorageUnavailable: it is unreachable or not writable; the detail names the setting that leads to it.
    """
    match settings.storage_backend:
        case "local":
            async with open_local(settings.local_storage_path, for_writing=for_writing) as store:
                yield store
        case "s3":
            from common.blobs.s3.store import open_s3  # noqa: PLC0415 - the SDK costs 0.6 s, where S3 is used alone

            async with open_s3(settings, for_writing=for_writing) as store:
                yield store
        case _:  # pyright: ignore[reportUnnecessaryComparison] - a backend whose adapter is missing here
            raise unsupported("STORAGE_BACKEND", settings.storage_backend)
