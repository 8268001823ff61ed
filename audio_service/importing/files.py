"""Where the original system keeps its songs: below a folder, or in a bucket."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Protocol

from audio_service.settings import AudioSettings
from common.errors import BlobNotFound, StorageUnavailable

if TYPE_CHECKING:
    from types_aiobotocore_s3 import S3Client

CHUNK_BYTES = 256 * 1024


class OriginalFiles(Protocol):
    """Its files, by what records say."""

    async def copy(self, file_path: str, target: Path) -> None:
        """Copy a file to `target`. Raises BlobNotFound, StorageUnavailable."""
        ...


@dataclass(frozen=True, slots=True)
class Folder:
    """Files below `root`. Paths of records that begin with `old` continue below `new`; what is left is tried whole,
    and from each of its folders on, as records hold the original machine's paths.
    """

    root: Path
    old: str = ""
    new: str = ""

    async def copy(self, file_path: str, target: Path) -> None:
        """See OriginalFiles.copy."""
        await asyncio.to_thread(self._copy, file_path, target)

    def _copy(self, file_path: str, target: Path) -> None:
        try:
            found = self._find(file_path)
            if found is None:
                raise BlobNotFound(file_path)
            shutil.copyfile(found, target)
        except OSError as exc:
            raise StorageUnavailable(f"{file_path}: {exc.strerror}") from exc

    def _find(self, file_path: str) -> Path | None:
        """Return a file inside of `root`: a record must not lead to any other file of this machine."""
        path = file_path.replace("\\", "/")
        if self.old and path.startswith(self.old):
            path = self.new + path[len(self.old) :]
        parts = [part for part in PurePosixPath(path).parts if part not in {"/", ".", ".."}]
        root = self.root.resolve()
        for first in range(len(parts)):
            found = root.joinpath(*parts[first:]).resolve()
            if found.is_relative_to(root) and found.is_file():
                return found
        return None


class _Bucket:
    """Objects of a bucket: a record's path is the key."""

    def __init__(self, name: str, client: S3Client) -> None:
        self._name = name
        self._client = client

    async def copy(self, file_path: str, target: Path) -> None:
        """See OriginalFiles.copy."""
        from common.aws import AWS_ERRORS, failure_of  # noqa: PLC0415 - the SDK costs memory

        try:
            found = await self._client.get_object(Bucket=self._name, Key=file_path)
            async with found["Body"] as body:
                with target.open("wb") as file:
                    async for chunk in body.iter_chunks(CHUNK_BYTES):
                        file.write(chunk)
        except AWS_ERRORS as exc:
            failure = failure_of(exc)
            if failure.code == "NoSuchKey":
                raise BlobNotFound(file_path) from exc
            raise StorageUnavailable(f"bucket {self._name}: {failure.detail}") from exc


@asynccontextmanager
async def open_bucket(name: str, settings: AudioSettings) -> AsyncGenerator[OriginalFiles]:
    """Open the files of a bucket."""
    from common.aws import open_s3  # noqa: PLC0415 - the SDK costs memory

    async with open_s3(settings) as client:
        yield _Bucket(name, client)
