"""Programs from PyPI with an environment of their own: they bind other versions of what the project itself uses."""

from __future__ import annotations

import fcntl
import hashlib
import shutil
import subprocess
import sys
from pathlib import Path

from tests.servers.reaper import child_environment

_ROOT = Path(__file__).parents[2]
_CACHE = _ROOT / ".cache" / "tools"


def install(group: str) -> Path:
    """Install requirements/<group>.txt into `.cache/tools/`, unless it is there, and return the folder of its programs.

    One process does it, others wait for it. The folder is named by the lock: another lock is another environment.

    Raises:
        RuntimeError: pip failed.
    """
    lock = _ROOT / "requirements" / f"{group}.txt"
    target = _CACHE / f"{group}-{hashlib.sha256(lock.read_bytes()).hexdigest()[:16]}"
    _CACHE.mkdir(parents=True, exist_ok=True)
    with (_CACHE / f"{group}.lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        if not (target / "installed").exists():
            shutil.rmtree(target, ignore_errors=True)
            _run(sys.executable, "-m", "venv", str(target))
            pip = (str(target / "bin" / "pip"), "install", "--quiet", "--disable-pip-version-check")
            _run(*pip, "--no-deps", "--require-hashes", "-r", str(lock))
            (target / "installed").touch()
    return target / "bin"


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=child_environment())
    if done.returncode:
        raise RuntimeError(f"{command[0]} failed: {(done.stdout + done.stderr)[-2000:]}")
