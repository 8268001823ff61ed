"""What a process and all that it started cost: CPU seconds, and memory at its peak."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Generator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

import psutil

_BETWEEN_LOOKS = 0.1
_LOOKS_BEFORE_PSS = 3
_LOOKS_AT_REST = 15


@dataclass(slots=True)
class Peak:
    """Megabytes. `rss` counts pages that several processes share once for each of them, `pss` once in all."""

    rss: float = 0.0
    pss: float = 0.0


def cpu_seconds(pid: int) -> float:
    """Return the CPU time of a process, of its living children, and of those that ended and were waited for."""
    return sum(map(_cpu_of, _tree(pid)))


@contextmanager
def peak_of(pid: int) -> Generator[Peak]:
    """Look at a tree's memory ten times a second while the block runs."""
    peak, stop = Peak(), threading.Event()
    thread = threading.Thread(target=_watch, args=(pid, peak, stop))
    thread.start()
    try:
        yield peak
    finally:
        stop.set()
        thread.join()


async def at_rest(pid: int) -> None:
    """Wait until no child of a process has done anything for a second and a half: they wait for their first job."""
    looks, before = 0, -1.0
    while looks < _LOOKS_AT_REST:
        await asyncio.sleep(_BETWEEN_LOOKS)
        children = _tree(pid)[1:]
        used = sum(map(_cpu_of, children))
        # One that waits for a busy core has done nothing either, but it does not sleep.
        looks = looks + 1 if children and used == before and all(map(_sleeps, children)) else 0
        before = used


def _cpu_of(process: psutil.Process) -> float:
    with suppress(psutil.NoSuchProcess):
        times = process.cpu_times()
        return times.user + times.system + times.children_user + times.children_system
    return 0.0


def _sleeps(process: psutil.Process) -> bool:
    with suppress(psutil.NoSuchProcess):
        return process.status() == psutil.STATUS_SLEEPING
    return True


def _watch(pid: int, peak: Peak, stop: threading.Event) -> None:
    looks = 0
    while not stop.wait(_BETWEEN_LOOKS):
        rss = pss = 0.0
        for process in _tree(pid):
            with suppress(psutil.NoSuchProcess, psutil.ZombieProcess):
                rss += process.memory_info().rss / 1e6
                # Adding up a process's pages costs milliseconds; its size does not.
                if looks % _LOOKS_BEFORE_PSS == 0:
                    pss += process.memory_full_info().pss / 1e6
        looks += 1
        peak.rss, peak.pss = max(peak.rss, rss), max(peak.pss, pss)


def _tree(pid: int) -> list[psutil.Process]:
    with suppress(psutil.NoSuchProcess):
        root = psutil.Process(pid)
        return [root, *root.children(recursive=True)]
    return []
