"""The runtime is tested as a process: signals, exit codes and output are what it is for."""

from __future__ import annotations

import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from tests.servers.reaper import child_environment
from tests.waiting import patience

ROOT = Path(__file__).parents[3]


def start(body: str, drain: float = 5.0, *, lifeline: bool = False) -> subprocess.Popen[str]:
    """Run `async def program(stop)` with `body`; it has printed "up" when this returns."""
    source = f"""
import asyncio, sys
from datetime import timedelta
import common.runtime
from common.runtime import run, until_stopped
from common.observability.telemetry import configure_logging
configure_logging("info", "json")
async def program(stop):
    print("up", flush=True)
{textwrap.indent(textwrap.dedent(body), "    ")}
sys.exit(run(program, drain=timedelta(seconds={drain}), lifeline={0 if lifeline else None}))
"""
    process = subprocess.Popen(
        [sys.executable, "-c", source],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=child_environment(),
    )
    assert process.stdout
    assert process.stdout.readline() == "up\n"
    return process


def end(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    out, err = process.communicate(timeout=patience(30))
    return process.returncode, out, err


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_lets_tasks_finish_and_exits_zero(number: signal.Signals) -> None:
    process = start("await stop.wait(); print('drained', flush=True)")
    process.send_signal(number)
    assert end(process)[:2] == (0, "drained\n")


def test_the_end_of_the_parent_is_a_signal_too() -> None:
    process = start("await stop.wait(); print('drained', flush=True)", lifeline=True)
    code, out, err = end(process)  # closes its standard input, as the kernel does when the parent is killed
    assert (code, out) == (0, "drained\n")
    assert "program.parent_ended" in err


def test_work_that_outlasts_the_deadline_is_cancelled_and_cleans_up() -> None:
    process = start(
        """
        await stop.wait()
        try:
            await asyncio.Event().wait()
        finally:
            print("handed back", flush=True)
        """,
        drain=0.2,
    )
    process.send_signal(signal.SIGTERM)
    assert end(process)[:2] == (0, "handed back\n")


def test_a_second_signal_does_not_wait_for_the_deadline() -> None:
    process = start(
        """
        await stop.wait()
        print("draining", flush=True)
        try:
            await asyncio.Event().wait()
        finally:
            print("handed back", flush=True)
        """,
        drain=600,
    )
    process.send_signal(signal.SIGTERM)
    assert process.stdout
    assert process.stdout.readline() == "draining\n"
    process.send_signal(signal.SIGTERM)
    assert end(process)[:2] == (0, "handed back\n")


def test_a_crashing_task_ends_the_program_and_its_siblings() -> None:
    process = start(
        f"""
        common.runtime._CLEAN_UP_SECONDS = {patience(60)}  # the machine may stand still for longer than a clean-up may
        async def crash():
            raise RuntimeError("boom")
        begun = asyncio.Event()
        async def sibling():
            begun.set()
            try:
                await stop.wait()
            finally:
                print("sibling ended", flush=True)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(until_stopped(stop, "sibling", sibling()))
            await begun.wait()
            tasks.create_task(until_stopped(stop, "crash", crash()))
        """
    )
    code, out, err = end(process)
    assert (code, out) == (1, "sibling ended\n"), err
    assert "task.crashed" in err


def test_a_task_that_merely_returns_ends_the_program_too() -> None:
    process = start(
        """
        async def leave():
            return
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(until_stopped(stop, "leave", leave()))
            tasks.create_task(until_stopped(stop, "wait", stop.wait()))
        """
    )
    code, _, err = end(process)
    assert code == 1
    assert "task.ended" in err


def test_a_named_failure_at_start_is_a_line_and_not_a_traceback() -> None:
    process = start("from common.errors import DatabaseUnavailable\nraise DatabaseUnavailable('SQLITE_PATH x')")
    code, _, err = end(process)
    assert code == 1
    assert "SQLITE_PATH x" in err
    assert "Traceback" not in err


def test_a_failure_that_only_an_operator_mends_has_an_exit_code_of_its_own() -> None:
    process = start("from common.databases.mongodb import MisconfiguredDatabase as Bad\nraise Bad('MONGO_USER x')")
    code, _, err = end(process)
    assert code == 78
    assert "MONGO_USER x" in err
