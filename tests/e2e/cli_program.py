"""Commands as people start them: in a directory of their own, as a terminal's foreground job."""

from __future__ import annotations

import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from audio_service.settings import AudioSettings
from tests.servers.ports import free_port
from tests.servers.reaper import child_environment
from tests.waiting import patience


@dataclass
class Place:
    """A directory where somebody works, and the environment of their commands."""

    path: Path
    environment: dict[str, str] = field(default_factory=dict[str, str])

    def __post_init__(self) -> None:
        self.environment = {**os.environ, "HTTP_PORT": str(free_port()), "LOCALE": "en", **self.environment}

    def run(self, *args: str) -> subprocess.CompletedProcess[str]:
        """Run a command to its end; what it prints holds no traceback, whatever happens."""
        done = subprocess.run(
            command(*args),
            cwd=self.path,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=patience(),
            check=False,
        )
        assert "Traceback" not in done.stdout + done.stderr
        return done

    @contextmanager
    def start(self, *args: str) -> Generator[Running]:
        """Run a command as the foreground job of a terminal; afterwards nothing of it is left."""
        process = subprocess.Popen(
            command(*args),
            cwd=self.path,
            env=child_environment(self.environment),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        running = Running(process)
        try:
            yield running
        finally:
            running.end()

    def settings(self) -> AudioSettings:
        return AudioSettings(embedded_broker_path=self.path / "data" / "broker.db")


class Running:
    """A command that is under way, and what it has printed."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.lines: list[str] = []
        self._arriving: queue.Queue[str | None] = queue.Queue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._arriving.put(line.rstrip("\n"))
        self._arriving.put(None)

    def until(self, text: str) -> str:
        """Return the first line from here on that holds `text`."""
        deadline = time.monotonic() + patience()
        while (line := self._arriving.get(timeout=max(0.1, deadline - time.monotonic()))) is not None:
            self.lines.append(line)
            if text in line:
                return line
        raise AssertionError(f"it ended without saying {text!r}:\n" + "\n".join(self.lines))

    def rest(self) -> str:
        """Wait for its end and return what it printed in the meantime."""
        self.process.wait(patience())
        self._reader.join(patience())
        left: list[str] = []
        while (line := self._arriving.get()) is not None:
            left.append(line)
        self.lines += left
        return "\n".join(left)

    def service(self) -> psutil.Process:
        """Return the audio service that this `up` started."""
        (found,) = (
            child
            for child in psutil.Process(self.process.pid).children()
            if child.cmdline()[1:3] == ["-m", "audio_service"]
        )
        return found

    def descendants(self) -> list[psutil.Process]:
        return psutil.Process(self.process.pid).children(recursive=True)

    def press_ctrl_c(self) -> None:
        """Interrupt the foreground group, as a terminal does."""
        os.killpg(self.process.pid, signal.SIGINT)

    def end(self) -> None:
        """Leave nothing behind, also when a test failed midway."""
        if self.process.poll() is None:
            self._terminate()
        self._reader.join(patience())
        assert self.process.stdout is not None
        self.process.stdout.close()

    def _terminate(self) -> None:
        left = self.descendants()
        self.process.terminate()
        try:
            self.process.wait(patience())
        except subprocess.TimeoutExpired:
            self.process.kill()
            for process in left:
                process.kill()
            raise


def command(*args: str) -> list[str]:
    return [sys.executable, "-m", "butakero", *args]


def shown_json(running: Running) -> dict[str, Any]:
    """Return the JSON document that the program printed between its other lines."""
    start, end = running.lines.index("{"), running.lines.index("}")
    loaded: dict[str, Any] = json.loads("\n".join(running.lines[start : end + 1]))
    return loaded
