"""Starts coverage in each Python process that finds this directory on its path (`make coverage`).

PYTHONPATH is the only part of the environment that reaches the child processes of the audio service. They end by
SIGKILL, which runs nothing that is registered for an exit, so a child saves what it has measured after each job (when
it reads how much memory it has) and before it kills its own group.
"""  # noqa: INP001 - no package: PYTHONPATH leads here

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import coverage

_ROOT = Path(__file__).parents[2]
_AFTER_EACH_JOB = "/proc/self/statm"


def _save_in_time(event: str, arguments: tuple[object, ...]) -> None:
    match event, arguments:
        case "open", (path, *_) if str(path) == _AFTER_EACH_JOB:
            _save()
        case "os.killpg", (group, signal.SIGKILL) if group == os.getpgrp():
            _save()
        case "os.kill", (process, signal.SIGKILL) if process == os.getpid():
            _save()
        case _:
            pass


def _save() -> None:
    running = coverage.Coverage.current()
    if running is not None:
        running.save()


def _start() -> None:
    """Start without leaving a trace in the environment: tests look at that of children."""
    settings = {
        "COVERAGE_PROCESS_START": str(_ROOT / "pyproject.toml"),
        "COVERAGE_FILE": str(_ROOT / ".cache" / "coverage" / "data"),
    }
    os.environ.update(settings)
    coverage.process_startup()
    for name in settings:
        del os.environ[name]
    sys.addaudithook(_save_in_time)


_start()
