"""Resource limits of a child process, which it sets itself. Linux and other Unix systems.

Memory is limited by RLIMIT_DATA (what the process writes to), not RLIMIT_AS: the JavaScript engine that yt-dlp starts
reserves far more address space than it uses. See docs/adr/0006-child-processes.md.
"""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

_FILE_ROOM_BYTES = 16 * 1024 * 1024
_OPEN_FILES = 256
_PR_SET_PDEATHSIG = 1  # linux/prctl.h


@dataclass(frozen=True, slots=True)
class ResourceLimits:
    """Sizes in bytes; `cpu_seconds` is for one job."""

    memory_bytes: int
    file_bytes: int
    cpu_seconds: int


def limit_process(limits: ResourceLimits) -> None:
    """Set the limits that hold for the life of the process."""
    _lower(resource.RLIMIT_DATA, limits.memory_bytes)
    _lower(resource.RLIMIT_FSIZE, limits.file_bytes + _FILE_ROOM_BYTES)
    _lower(resource.RLIMIT_CORE, 0)
    _lower(resource.RLIMIT_NOFILE, _OPEN_FILES)


def limit_job(limits: ResourceLimits) -> None:
    """Set the CPU limit for the next job: the time used so far plus `cpu_seconds`. SIGXCPU ends the process."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    used = int(usage.ru_utime + usage.ru_stime) + 1
    _, hard = resource.getrlimit(resource.RLIMIT_CPU)
    wanted = used + limits.cpu_seconds
    soft = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    resource.setrlimit(resource.RLIMIT_CPU, (soft, hard))


def lift_job_limit() -> None:
    """End the CPU limit of a job: what the process does between jobs is not counted."""
    _, hard = resource.getrlimit(resource.RLIMIT_CPU)
    resource.setrlimit(resource.RLIMIT_CPU, (hard, hard))


def resident_memory() -> int:
    """Return this process's resident memory in bytes (without procfs: its peak)."""
    try:
        resident_pages = Path("/proc/self/statm").read_text(encoding="ascii").split()[1]
    except FileNotFoundError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return int(resident_pages) * resource.getpagesize()


def end_with_parent(end: Callable[[], None]) -> None:
    """Call `end` when the parent dies. Linux only; elsewhere the end of the pipe shows it."""
    signal.signal(signal.SIGTERM, lambda _number, _frame: end())
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, int(signal.SIGTERM))


def end_group() -> None:
    """Kill this process's group."""
    os.killpg(os.getpgrp(), signal.SIGKILL)


def _lower(kind: int, wanted: int) -> None:
    _, hard = resource.getrlimit(kind)
    value = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    resource.setrlimit(kind, (value, hard))
