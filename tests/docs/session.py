"""A terminal in a copy of the repository, for commands as the documents show them."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.docs.pages import ROOT, Command, shape
from tests.e2e.cli_program import Running
from tests.servers.reaper import child_environment
from tests.waiting import patience

_BESIDE = (
    "Makefile",
    "deploy.sh",
    "docker-compose.yml",
    "pyproject.toml",
    "requirements",
    "scripts",
    "k8s",
    "monitoring",
)


def copy_of_the_repository(directory: Path) -> Path:
    """Copy what commands of the documents use, with the environment of the tests in place of one of its own."""
    copy = directory / "butakero"
    copy.mkdir()
    for name in _BESIDE:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, copy / name, ignore=shutil.ignore_patterns("*.env"))
        else:
            shutil.copy2(source, copy)
    for lock in (copy / "requirements").iterdir():
        os.utime(lock, (0, 0))  # older than the environment: `make` has nothing to install
    (copy / ".venv").symlink_to(sys.prefix)
    return copy


@dataclass(slots=True)
class Session:
    """Runs commands one after the other; what they export stays.

    `filled_in`: what a reader puts in place of a part of the text, such as `<id>`. `typed`: the answer to a question.
    """

    directory: Path
    environment: dict[str, str]
    filled_in: Mapping[str, str] = field(default_factory=dict[str, str])
    typed: str = ""

    def run(self, command: Command) -> str:
        """Run a command and compare what it prints with what the text shows. Returns its standard output."""
        text = self.text_of(command.text)
        dump = self.directory / ".environment-of-the-session"
        ran = subprocess.run(
            ["bash", "-c", f'{text}\nstatus=$?\n{shutil.which("env")} -0 >"{dump}"\nexit $status'],
            cwd=self.directory,
            env=self.environment,
            check=False,
            capture_output=True,
            text=True,
            input=self.typed,
            timeout=patience(),
        )
        assert ran.returncode == 0, f"$ {text}\n{ran.stdout}\n{ran.stderr}"
        assert "Traceback" not in ran.stdout + ran.stderr
        if command.shown:
            assert shape(command.shown).fullmatch(ran.stdout.strip()), f"$ {text}\n{ran.stdout}\n{command.shown}"
        self._take_over(dump)
        return ran.stdout.strip()

    def text_of(self, text: str) -> str:
        for part, value in self.filled_in.items():
            text = text.replace(part, value)
        assert not re.search(r"<[a-zA-Z ]+>", text), f"nothing is known to fill in: {text}"
        return text

    def _take_over(self, dump: Path) -> None:
        pairs = (line.partition("=") for line in dump.read_text().split("\0") if line)
        self.environment = {name: value for name, _, value in pairs}

    @contextmanager
    def start(self, text: str) -> Generator[Running]:
        """Run a command that stays, as the foreground job of a terminal; afterwards nothing of it is left."""
        process = subprocess.Popen(
            ["bash", "-c", f"exec env {self.text_of(text)}"],
            cwd=self.directory,
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
