"""The child process: ready, exited, stuck, stopped, killed. The children here are small Python programs."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from pathlib import Path

import pytest

from butakero.service import (
    PortTaken,
    ServiceDied,
    base_url,
    open_port,
    run_service,
    wait_until_ready,
)

SERVER = """
import http.server
from common.launch import inherited_listener, read_launch
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200); self.end_headers()
server = http.server.HTTPServer(("127.0.0.1", 0), Handler, bind_and_activate=False)
server.socket = inherited_listener(read_launch().listener)
server.serve_forever()
"""
FOREVER = "import signal; signal.pause()"
# These write to the FIFO that they are given, and keep it open until they exit.
STUBBORN = """
import signal, sys
signal.signal(signal.SIGTERM, signal.SIG_IGN)
here = open(sys.argv[1], "w"); print("here", file=here, flush=True)
while True: signal.pause()
"""
PARENT = """
import os, signal, sys
if os.fork() == 0:
    here = open(sys.argv[1], "w"); print(os.getpid(), file=here, flush=True)
signal.pause()
"""


def python(program: str, *args: str) -> tuple[str, ...]:
    return (sys.executable, "-c", program, *args)


@pytest.fixture
def fifo(tmp_path: Path) -> str:
    path = tmp_path / "fifo"
    os.mkfifo(path)
    return str(path)


async def test_ready_when_it_answers_on_the_port_that_it_was_given(tmp_path: Path) -> None:
    listener = open_port("127.0.0.1", 0)
    port: int = listener.getsockname()[1]
    async with run_service({}, log_path=tmp_path / "log", command=python(SERVER), listener=listener) as service:
        await wait_until_ready(service, f"http://127.0.0.1:{port}/readyz", 30)
        # From before its start to its end, no other program can take the port and answer in its place.
        with pytest.raises(PortTaken):
            open_port("127.0.0.1", port)
    open_port("127.0.0.1", port).close()


@pytest.mark.parametrize(("program", "code"), [("exit(78)", 78), ("exit(0)", 1), ("import os; os.abort()", 134)])
async def test_an_exit_before_readiness_has_its_code(tmp_path: Path, program: str, code: int) -> None:
    async with run_service({}, log_path=tmp_path / "log", command=python(program)) as service:
        with pytest.raises(ServiceDied) as died:
            await wait_until_ready(service, "http://127.0.0.1:9/readyz", 30)
    assert died.value.code == code


async def test_a_stuck_start_ends_at_its_limit_and_leaves_no_process(tmp_path: Path) -> None:
    async with run_service({}, log_path=tmp_path / "log", command=python(FOREVER)) as service:
        with pytest.raises(TimeoutError):
            await wait_until_ready(service, "http://127.0.0.1:9/readyz", 0.2)
        pid = service.pid
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


async def test_stop_lets_it_end_by_itself(tmp_path: Path) -> None:
    async with run_service({}, log_path=tmp_path / "log", command=python(FOREVER)) as service:
        assert await service.stop(30, asyncio.Event())


async def test_stop_gives_up_after_the_grace_period_or_when_forced(tmp_path: Path, fifo: str) -> None:
    async with run_service({}, log_path=tmp_path / "log", command=python(STUBBORN, fifo)) as service:
        with await asyncio.to_thread(open, fifo) as child:
            assert child.readline() == "here\n"
        assert not await service.stop(0.1, asyncio.Event())
        forced = asyncio.Event()
        forced.set()
        assert not await service.stop(3600, forced)
        pid = service.pid
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


async def test_the_service_does_not_receive_the_terminals_signals(tmp_path: Path) -> None:
    async with run_service({}, log_path=tmp_path / "log", command=python(FOREVER)) as service:
        assert os.getpgid(service.pid) != os.getpgid(0)
        assert os.getsid(service.pid) != os.getsid(0)


async def test_its_environment_extends_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PORT", "1")
    monkeypatch.setenv("LOCALE", "en")
    command = python("import os; print(os.environ['HTTP_PORT'], os.environ['LOCALE'])")
    async with run_service({"HTTP_PORT": "2"}, log_path=tmp_path / "log", command=command) as service:
        with pytest.raises(ServiceDied):
            await service.watch()
        assert service.last_log_lines() == ["2 en"]


async def test_last_log_lines_are_this_runs_alone_and_readable(tmp_path: Path) -> None:
    log = tmp_path / "logs" / "log"
    log.parent.mkdir()
    log.write_text("an earlier run\n")
    entry = '{"event": "program.failed", "level": "critical", "timestamp": "x", "logger": "y", "code": "no", "n": 1}'
    async with run_service(
        {}, log_path=log, command=python(f"print('plain'); print('''{entry}'''); print('[1]')")
    ) as s:
        with pytest.raises(ServiceDied):
            await s.watch()
        assert s.last_log_lines() == ["plain", "critical: program.failed code=no n=1", "[1]"]
        assert s.last_log_lines(1) == ["[1]"]


async def test_a_large_log_is_rotated(tmp_path: Path) -> None:
    log = tmp_path / "log"
    with log.open("wb") as file:
        file.truncate(11 * 1024 * 1024)
    async with run_service({}, log_path=log, command=python("print('new')")) as service:
        with pytest.raises(ServiceDied):
            await service.watch()
    assert log.read_text() == "new\n"
    assert (tmp_path / "log.1").stat().st_size == 11 * 1024 * 1024


def test_a_taken_port_differs_from_a_foreign_host() -> None:
    with open_port("127.0.0.1", 0) as taken:
        port: int = taken.getsockname()[1]
        with pytest.raises(PortTaken):
            open_port("127.0.0.1", port)
    open_port("127.0.0.1", port).close()
    with pytest.raises(OSError, match="assign"):
        open_port("203.0.113.1", 0)


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("127.0.0.1", "http://127.0.0.1:80"),
        ("0.0.0.0", "http://127.0.0.1:80"),  # noqa: S104 - compared, not bound
        ("::", "http://[::1]:80"),
        ("localhost", "http://localhost:80"),
    ],
)
def test_the_url_that_people_open(host: str, url: str) -> None:
    assert base_url(host, 80) == url


async def test_its_process_group_is_killed_with_it(tmp_path: Path, fifo: str) -> None:
    async with run_service({}, log_path=tmp_path / "log", command=python(PARENT, fifo)) as service:
        child = await asyncio.to_thread(open, fifo)
        grandchild = int(await asyncio.to_thread(child.readline))
        os.kill(service.pid, signal.SIGKILL)
        with pytest.raises(ServiceDied) as died:
            await service.watch()
        assert died.value.code == 137
        os.kill(grandchild, 0)
    with child:
        try:
            # End of file comes when the last process that has it open exits.
            assert await asyncio.wait_for(asyncio.to_thread(child.read), 30) == ""
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.kill(grandchild, signal.SIGKILL)
