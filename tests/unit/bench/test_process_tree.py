"""What a process and those that it starts cost, seen from outside: also the ones that have ended by then."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import pytest

from bench.process_tree import at_rest, cpu_seconds, peak_of
from tests.servers.reaper import child_environment
from tests.waiting import until

pytestmark = pytest.mark.slow

BURNT, HELD = 0.3, 60_000_000

# Works in a child until that has used its CPU time, says so, and starts another child, which only holds memory.
_PARENT = f"""
import subprocess, sys
subprocess.run([sys.executable, "-c", "import time\\nwhile time.process_time() < {BURNT}: pass"])
print("burnt", flush=True)
hold = "import sys; held = b'x' * {HELD}; sys.stdin.read()"
holder = subprocess.Popen([sys.executable, "-c", hold], stdin=subprocess.PIPE)
sys.stdin.read()
"""


@asynccontextmanager
async def parent() -> AsyncGenerator[int]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", _PARENT),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        env=child_environment(),
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        assert await process.stdout.readline() == b"burnt\n"
        yield process.pid
    finally:
        process.stdin.close()
        await process.wait()


async def test_a_child_that_has_ended_counts() -> None:
    async with parent() as pid:
        assert cpu_seconds(pid) > BURNT * 0.9


async def test_memory_is_that_of_all_processes_at_its_highest() -> None:
    async with parent() as pid:
        with peak_of(pid) as peak:
            await until(lambda: peak.rss > HELD / 1e6)
            await until(lambda: peak.pss > HELD / 1e6)
        assert peak.pss <= peak.rss


async def test_a_tree_is_at_rest_when_its_children_wait() -> None:
    async with parent() as pid:
        await at_rest(pid)
        used = cpu_seconds(pid)
        await at_rest(pid)
        assert cpu_seconds(pid) == used
