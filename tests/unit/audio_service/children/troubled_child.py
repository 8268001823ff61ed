"""The real child program with more kinds of jobs: those that go wrong in ways no input can be relied on for."""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from deno import find_deno_bin  # pyright: ignore[reportMissingTypeStubs] - one annotated function, no py.typed

from audio_service import child_main
from audio_service.children.jobs import ChildProgress, JsonObject, OnProgress


class TroubledRunner(child_main.JobRunner):
    """Has a method per additional kind of job."""

    def do(self, kind: str, arguments: dict[str, Any], report: OnProgress) -> JsonObject:
        job = getattr(self, f"do_{kind}", None)
        return super().do(kind, arguments, report) if job is None else job(report=report, **arguments)

    def do_echo(self, report: OnProgress, text: str) -> JsonObject:
        report(ChildProgress("encoding", 50.0))
        return {"text": text, "pid": os.getpid()}

    _left = False

    @property
    def holds(self) -> bool:
        return self._left

    def let_go(self) -> None:
        self._left = False

    def do_leave(self, report: OnProgress, *, something: bool) -> JsonObject:
        """Leave something for a next job, or take it."""
        del report
        found, self._left = self._left, something
        return {"found": found, "pid": os.getpid()}

    def do_meet(self, report: OnProgress, path: str, mode: str) -> JsonObject:
        del report
        with Path(path).open(mode):
            return {}

    def do_crash(self, report: OnProgress, number: int) -> JsonObject:
        del report
        os.kill(os.getpid(), number)
        return {}

    def do_hang(self, report: OnProgress) -> JsonObject:
        report(ChildProgress("encoding"))
        threading.Event().wait()
        return {}

    def do_hang_with_family(self, report: OnProgress, note: str) -> JsonObject:
        pid = os.fork()
        if not pid:
            signal.pause()
        Path(note).write_text(str(pid), encoding="ascii")
        return self.do_hang(report)

    def do_eat(self, report: OnProgress) -> JsonObject:
        del report
        eaten: list[bytearray] = []
        while True:
            eaten.append(bytearray(16 * 1024 * 1024))

    def do_spin(self, report: OnProgress) -> JsonObject:
        report(ChildProgress("encoding"))
        while True:
            pass

    def do_write(self, report: OnProgress, path: str) -> JsonObject:
        del report
        with Path(path).open("wb") as file:
            while True:
                file.write(bytes(4 * 1024 * 1024))

    def do_chatter(self, report: OnProgress) -> JsonObject:
        del report
        print("from Python", '{"result": 1}')  # noqa: T201 - what libraries do
        os.write(1, b"from C\n" * 20_000)
        ctypes.CDLL(None).puts(b"from C's own buffer")
        sys.stdout.flush()
        return {"stdin": os.read(0, 10).decode()}

    def do_environment(self, report: OnProgress) -> JsonObject:
        del report
        return {"names": sorted(os.environ), "home": os.environ["HOME"]}

    def do_start(self, report: OnProgress, program: list[str]) -> JsonObject:
        del report
        command = [find_deno_bin(), "eval", "console.log(6 * 7)"] if program == ["deno"] else program
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        return {"output": done.stdout}

    def do_connect(self, report: OnProgress, family: str, address: list[Any]) -> JsonObject:
        del report
        with socket.socket(socket.AddressFamily[family], socket.SOCK_DGRAM) as client:
            client.connect(tuple(address) if len(address) > 1 else address[0])
        return {}

    def do_burn(self, report: OnProgress, cpu_seconds: float) -> JsonObject:
        del report
        end = time.process_time() + cpu_seconds
        while time.process_time() < end:
            pass
        return {"pid": os.getpid()}

    def do_watch_cpu_limit(self, report: OnProgress, note: str) -> JsonObject:
        """Write the note once this process has no CPU limit."""
        del report

        def watch() -> None:
            while resource.getrlimit(resource.RLIMIT_CPU)[0] != resource.RLIM_INFINITY:
                time.sleep(0.01)  # nothing announces a limit
            Path(note).touch()

        threading.Thread(target=watch, daemon=True).start()
        return {"limit": resource.getrlimit(resource.RLIMIT_CPU)[0]}

    def do_open(self, report: OnProgress, count: int) -> JsonObject:
        del report
        with ExitStack() as files:
            for _ in range(count):
                files.enter_context(Path(os.devnull).open("rb"))
        return {}

    def do_send(self, report: OnProgress, call: str, address: list[Any]) -> JsonObject:
        del report
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            if call == "sendto":
                client.sendto(b"x", tuple(address))
            else:
                client.sendmsg([b"x"], [], 0, tuple(address))
        return {}


if __name__ == "__main__":
    child_main.JobRunner = TroubledRunner
    child_main.main()
