"""Where and when a benchmark ran: what a reader must know to judge its numbers."""

from __future__ import annotations

import os
import platform
import resource
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import psutil

_ROOT = Path(__file__).parents[1]

Facts = dict[str, str | int | float | None]


def facts() -> Facts:
    """Return the machine, the moment and the commit ("+" behind it: with changes that are not in it)."""
    return {
        "when": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": _commit(),
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "cpu": _cpu_model(),
        "cores": os.cpu_count(),
        "memory_mb": psutil.virtual_memory().total // 2**20,
    }


def load() -> float:
    """Return the load average of the last minute: over the number of cores, walls mean little."""
    return round(os.getloadavg()[0], 2)


def cpu_seconds() -> float:
    """Return what this process and those of its children that have ended have spent: what a quiet machine takes."""
    both = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in both)


def _cpu_model() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text().splitlines():
            name, _, value = line.partition(":")
            if name.strip() == "model name":
                return value.strip()
    return platform.processor()


def _commit() -> str | None:
    """Return None outside a clone."""
    try:
        commit = _git("rev-parse", "--short", "HEAD")
        return commit + (
            "+" if _git("status", "--porcelain", "--untracked-files=no", "--", ".", ":(exclude)bench/results") else ""
        )
    except (OSError, subprocess.CalledProcessError):
        return None


def _git(*arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=_ROOT, check=True, capture_output=True, text=True)
    return done.stdout.strip()
