"""The commands' help, usage errors and settings errors, in the language of LOCALE."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer.main

from butakero.commands import app
from butakero.help import SPANISH, in_spanish
from common import __file__ as common_file
from tests.servers.reaper import child_environment
from tests.waiting import patience


def _texts(command: Any) -> Iterator[str]:  # noqa: ANN401 - typer keeps the class of its commands to itself
    for named in (command, *command.params):
        if named.help:
            yield named.help
    for below in getattr(command, "commands", {}).values():
        yield from _texts(below)


def test_every_text_of_the_help_has_its_spanish_and_no_spanish_is_left_over() -> None:
    assert set(_texts(typer.main.get_command(app))) == set(SPANISH)


@pytest.mark.parametrize(
    ("english", "spanish"),
    [
        ("Error: Missing argument 'song'.\n", "Error: Falta el argumento 'song'.\n"),
        ("No such command 'upp'. Did you mean 'up'?", "No existe el comando 'upp'. ¿Quisiste decir 'up'?"),
        ("\nOptions:\n  --help  Show this message and exit.", "\nOpciones:\n  --help  Muestra esta ayuda y termina."),
        ("Got unexpected extra argument(s) (b)", "Sobra (b)"),
    ],
)
def test_the_librarys_words_are_translated(english: str, spanish: str) -> None:
    assert in_spanish(english) == spanish


def butakero(directory: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    inherited = {key: text for key, text in os.environ.items() if key in {"PATH", "HOME", "PYTHONPATH"}}
    return subprocess.run(
        [sys.executable, "-m", "butakero", *arguments],
        cwd=directory,
        env=child_environment({"PYTHONPATH": str(Path(common_file).parents[1]), **inherited, **environment}),
        capture_output=True,
        text=True,
        timeout=patience(),
        check=False,
    )


def test_help_version_and_errors_speak_the_language_of_locale(tmp_path: Path) -> None:
    shown = butakero(tmp_path, "--version")
    assert (shown.returncode, shown.stdout.split()[0]) == (0, "butakero")
    assert shown.stdout.split()[1][0].isdigit()
    for environment, usage, missing in (({}, "Uso:", "Falta"), ({"LOCALE": "en"}, "Usage:", "Missing")):
        wrong = butakero(tmp_path, "request", **environment)
        assert wrong.returncode == 2
        assert wrong.stderr.startswith(usage)
        assert missing in wrong.stderr


def test_commands_that_read_leave_no_files_behind(tmp_path: Path) -> None:
    for command in (["library", "list"], ["library", "search", "song"], ["dlq", "list"], ["dlq", "show", "0:0"]):
        done = butakero(tmp_path, *command)
        assert "make run" in done.stderr, command
    assert butakero(tmp_path, "keys", "list", "--file", "keys.json").returncode == 0
    assert not list(tmp_path.iterdir())
