"""API_KEYS_FILE: hashes of the API keys as JSON, read again when it changes: a key is revoked with the next request.
It may be a file that `butakero keys` writes, or a mounted Kubernetes Secret.

A key that is not in it is refused; a file that is missing or unreadable holds no key.
"""

from __future__ import annotations

import fcntl
import os
import tempfile
from collections.abc import Callable
from pathlib import Path

from pydantic import ValidationError

from audio_service.access.keys import ApiKey, KeyList
from common.errors import InternalError
from common.observability.telemetry import get_logger

log = get_logger(__name__)

_MAX_BYTES = 1024 * 1024
_Version = tuple[int, int, int]


class KeysUnusable(InternalError):
    """API_KEYS_FILE is unreadable or malformed: an operator must repair it. Quotes nothing of it."""


class KeyFile:
    """The keys of a file that may appear, change and disappear."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._version: _Version | None = None
        self._keys: dict[str, ApiKey] = {}

    def check(self) -> None:
        """Read it for the first time. A file that does not exist yet is no error.

        Raises:
            KeysUnusable: it is there, and cannot be used.
        """
        read_keys(self._path)
        if not self._current():
            log.warning("access.no_keys", detail="API_KEYS_FILE holds no key; `butakero keys create` makes one")

    def find(self, key_id: str) -> ApiKey | None:
        """Return the stored part of a key, as of now; None for an unknown id."""
        return self._current().get(key_id)

    def _current(self) -> dict[str, ApiKey]:
        version = _version_of(self._path)
        if version != self._version:
            # The version is read before the content: a write in between makes the next request read again.
            self._version = version
            try:
                self._keys = {key.id: key for key in read_keys(self._path).keys}
            except KeysUnusable as exc:
                self._keys = {}
                log.error("access.keys_unusable", detail=exc.detail)  # noqa: TRY400 - the trace would quote the file
        return self._keys


def read_keys(path: Path) -> KeyList:
    """Return the keys of a file, none where there is no file.

    Raises:
        KeysUnusable: it cannot be read, is too large, or is not the JSON that `butakero keys` writes.
    """
    try:
        with path.open("rb") as file:
            content = file.read(_MAX_BYTES + 1)
    except FileNotFoundError:
        return KeyList()
    except OSError as exc:
        raise KeysUnusable(f"API_KEYS_FILE {path}: {exc.strerror}") from exc
    if len(content) > _MAX_BYTES:
        raise KeysUnusable(f"API_KEYS_FILE {path}: over {_MAX_BYTES} bytes")
    try:
        return KeyList.model_validate_json(content)
    except ValidationError as exc:
        where = ".".join(str(part) for part in exc.errors(include_input=False)[0]["loc"])
        raise KeysUnusable(
            f"API_KEYS_FILE {path}: not what `butakero keys` writes, at {where or 'its start'}"
        ) from None


def change_keys(path: Path, change: Callable[[KeyList], KeyList]) -> None:
    """Replace a file's keys atomically; concurrent changes are serialised by a lock.

    A new file is its owner's alone (mode 600); one that is there keeps its mode.

    Raises:
        KeysUnusable: the file is no list of keys; it stays as it is.
        OSError: it cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.with_name(f".{path.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        changed = change(read_keys(path)).model_dump_json(indent=2)
        with tempfile.NamedTemporaryFile("w", dir=path.parent, prefix=f".{path.name}.", delete=False) as file:
            try:
                file.write(changed + "\n")
                file.flush()
                os.fsync(file.fileno())
                if path.exists():
                    Path(file.name).chmod(path.stat().st_mode & 0o777)
                Path(file.name).replace(path)
            except BaseException:
                Path(file.name).unlink()
                raise


def _version_of(path: Path) -> _Version | None:
    try:
        found = path.stat()
    except OSError:
        return None
    # ctime, not mtime: a chmod can make the file readable without changing its content.
    return found.st_ino, found.st_ctime_ns, found.st_size
