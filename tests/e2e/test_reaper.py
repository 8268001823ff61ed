"""Nothing that a test has started outlives the test process, however that ends."""

from __future__ import annotations

import ast
import asyncio
import os
import signal
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import psutil
import pytest

from tests.servers.reaper import child_environment
from tests.waiting import patience, until

ROOT = Path(__file__).parents[2]

SUITE = """
import asyncio
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from tests.servers.kafka import open_kafka
from tests.servers.missing import ProgramMissing
from tests.servers.mongo import open_mongo
from tests.servers.ports import free_port
from tests.servers.system import open_audio_process, settings_for

async def test_that_never_ends(tmp_path):
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(open_mongo())
        settings = settings_for(tmp_path, http_port=free_port())
        await stack.enter_async_context(open_audio_process(settings))
        with suppress(ProgramMissing):
            await stack.enter_async_context(open_kafka())
        started = Path(STARTED)
        started.with_suffix(".part").write_text("whole")
        started.with_suffix(".part").rename(started)
        await asyncio.Event().wait()
"""


@asynccontextmanager
async def run_with_servers(directory: Path, *arguments: str) -> AsyncGenerator[psutil.Process]:
    """A pytest of its own, in whose only test MongoDB, the audio service and, if it can be had, Kafka run."""
    started, suite = directory / "started", directory / "test_suite.py"
    suite.write_text(SUITE.replace("STARTED", repr(str(started))))
    with (directory / "output").open("wb") as output:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "pytest", "-p", "tests.conftest", "-c", str(ROOT / "pyproject.toml")),
            *("--rootdir", str(directory), "--basetemp", str(directory / "tmp"), *arguments, str(suite)),
            cwd=ROOT,
            env=child_environment(),
            stdout=output,
            stderr=output,
            start_new_session=True,
        )

    def ready() -> bool:
        assert process.returncode is None, (directory / "output").read_text()
        return started.exists()

    try:
        await until(ready, seconds=120)
        yield psutil.Process(process.pid)
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


def programs(processes: list[psutil.Process]) -> set[str]:
    lines = [" ".join(process.cmdline()) for process in processes]
    known = ("mongod", "-m audio_service", "kafka.Kafka", "reaper.py")
    return {name for name in known if any(name in line for line in lines)}


@pytest.mark.parametrize(
    ("arguments", "number"),
    [
        pytest.param((), signal.SIGKILL, id="kill -9"),
        pytest.param((), signal.SIGINT, id="Ctrl-C"),
        pytest.param(("-n", "1"), signal.SIGKILL, id="kill -9 of the controller"),
        pytest.param(("-n", "1"), signal.SIGINT, id="Ctrl-C with a worker"),
    ],
)
async def test_nothing_outlives_the_test_process(
    tmp_path: Path, arguments: tuple[str, ...], number: signal.Signals
) -> None:
    async with run_with_servers(tmp_path, *arguments) as runner:
        descendants = runner.children(recursive=True)
        assert programs(descendants) >= {"mongod", "-m audio_service", "reaper.py"}
        assert len(descendants) > 5, "the service has children of its own"
        handles = [os.pidfd_open(process.pid) for process in descendants]
        if number == signal.SIGINT:
            os.killpg(runner.pid, number)  # as a terminal does
        else:
            runner.kill()
        await asyncio.gather(*(ended(handle, process) for handle, process in zip(handles, descendants, strict=True)))


async def ended(handle: int, process: psutil.Process) -> None:
    """Wait for the end of a process; it may be left as a zombie to whatever adopts it."""
    over = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_reader(handle, over.set)
    try:
        async with asyncio.timeout(patience()):
            await over.wait()
    except TimeoutError:
        raise AssertionError(f"still runs: {process}") from None
    finally:
        loop.remove_reader(handle)
        os.close(handle)


def test_whatever_a_test_or_a_benchmark_starts_carries_the_mark() -> None:
    # These run in processes that carry it, and hand their environment on.
    programs = {"bench/reference.py", "tests/unit/audio_service/children/troubled_child.py"}
    unmarked: list[str] = []
    for path in (*(ROOT / "tests").rglob("*.py"), *(ROOT / "bench").rglob("*.py")):
        name = path.relative_to(ROOT).as_posix()
        for call in ast.walk(ast.parse(path.read_text())):
            if not (isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute)):
                continue
            starts = call.func.attr in {"Popen", "create_subprocess_exec", "create_subprocess_shell"}
            given = " ".join(ast.unparse(keyword.value) for keyword in call.keywords if keyword.arg == "env")
            if starts and name not in programs and not given.startswith("child_environment("):
                unmarked.append(f"{name}:{call.lineno}")
    assert not unmarked
