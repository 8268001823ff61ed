"""Kills every process that a test process has started, once that test process has ended in any way, kill -9 included.

`child_environment` marks the environment of a process that a test starts. Whatever that process starts inherits the
mark. The reaper is a process in its own session that reads from a pipe whose other end only the test process holds: at
the end of the pipe it kills all processes with the mark, and their descendants (a program that cleans its children's
environment removes the mark from them).

The test process does not have to register what it starts, so no process is missed between its start and a registration.
A parent-death signal would need one, is tied to a thread, and does not reach grandchildren.

Linux only, as it reads /proc. Elsewhere processes end with the fixtures that started them.
"""

from __future__ import annotations

import os
import secrets
import select
import signal
import sys
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path

MARK = "BUTAKERO_TEST_PROCESS"
_COVERAGE = Path(__file__).parents[1] / "coverage"
"""On the path when coverage is measured: it starts that in each process."""
_PROC = Path("/proc")


def child_environment(environment: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return `environment` (default: our own) with what each process that a test starts needs.

    That is the reaper's mark and, when coverage is measured, what leads to it. Starts the reaper if it does not run.
    """
    made = {**(os.environ if environment is None else environment), MARK: _mark()}
    if str(_COVERAGE) in sys.path:
        made["PYTHONPATH"] = os.pathsep.join(filter(None, (str(_COVERAGE), made.get("PYTHONPATH"))))
    return made


def mark_this_process() -> None:
    """Mark our own environment, for processes that inherit it: the workers of xdist, short programs."""
    os.environ[MARK] = _mark()


@cache
def _mark() -> str:
    """Start the reaper of this process; return our mark behind those of the processes that have started us."""
    own = f"{os.getpid()}-{secrets.token_hex(8)}"
    if sys.platform == "linux":
        reading, _writing = os.pipe()  # the latter stays open until this process ends
        nowhere = ((os.POSIX_SPAWN_OPEN, number, os.devnull, os.O_WRONLY, 0) for number in (1, 2))
        os.posix_spawn(
            sys.executable,
            [sys.executable, "-I", "-S", __file__, own],
            {},
            file_actions=[(os.POSIX_SPAWN_DUP2, reading, 0), *nowhere],
            setsid=True,
        )
        os.close(reading)
    return ":".join(filter(None, (os.environ.get(MARK), own)))


def main() -> None:
    """Wait for the end of the pipe, then kill until nothing with the mark is left."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    while os.read(0, 1):
        pass
    while found := marked(sys.argv[1]):
        _kill(found)


def marked(mark: str) -> set[int]:
    """Return the pids of the living processes that carry the mark, and of their descendants."""
    parents = {int(entry.name): entry for entry in _PROC.iterdir() if entry.name.isdecimal()}
    children: dict[int, list[int]] = {}
    for pid, entry in parents.items():
        children.setdefault(_parent(entry), []).append(pid)
    found: set[int] = set()
    left = [pid for pid, entry in parents.items() if mark in _marks(entry)]
    while left:
        if (pid := left.pop()) not in found:
            found.add(pid)
            left += children.get(pid, [])
    return {pid for pid in found if not _is_zombie(parents[pid])}


def _marks(entry: Path) -> list[str]:
    try:
        environment = (entry / "environ").read_bytes().split(b"\0")
    except OSError:  # ended meanwhile, or another user's
        return []
    prefix = f"{MARK}=".encode()
    return [mark for line in environment if line.startswith(prefix) for mark in line[len(prefix) :].decode().split(":")]


def _parent(entry: Path) -> int:
    return int(_status(entry)[1])


def _is_zombie(entry: Path) -> bool:
    return _status(entry)[0] in "ZX"


def _status(entry: Path) -> list[str]:
    """Return state, parent and what follows: proc_pid_stat(5), after the name, which may hold anything."""
    try:
        return (entry / "stat").read_text(errors="replace").rpartition(")")[2].split()
    except OSError:
        return ["X", "0"]


def _kill(pids: Iterable[int]) -> None:
    """`kill -9` the processes and wait for their end."""
    handles: list[int] = []
    for pid in pids:
        try:
            handle = os.pidfd_open(pid)
            handles.append(handle)
            signal.pidfd_send_signal(handle, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            continue
    for handle in handles:
        select.select([handle], [], [])
        os.close(handle)


if __name__ == "__main__":
    main()
