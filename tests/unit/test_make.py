"""The Makefile as people type it: titles, the question before data is removed, and the language."""

from __future__ import annotations

import os
import pty
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.servers.reaper import child_environment
from tests.waiting import patience

ROOT = Path(__file__).parents[2]
# In place of the program: prints its arguments, each in brackets.
PROGRAM = """#!/bin/sh
printf '[%s]' "$@"
"""
# In place of pip: prints what pip prints for two packages.
PIP = """#!/bin/sh
case "$*" in *--require-hashes*) ;; *) exit 0 ;; esac
echo 'Collecting first==1.0 (from -r requirements/audio.txt (line 1))'
echo 'Collecting second==2.0'
echo 'Installing collected packages: first, second'
[ ! -e fails ] || { echo 'ERROR: no such thing'; exit 1; }
"""
TITLES = [
    "Ke$ha",
    "$(shell touch pwned)",
    "$$HOME ${HOME} $HOME",
    "`touch pwned` $(touch pwned)",
    'it\'s "quoted" \\ # not a comment',
    "-x --demo",
    "50 % off; touch pwned",
    "dos\nrenglones",
    "corazón ñandú 日本語",
]


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """Return a copy of what `make` uses, with an environment of small programs that is up to date."""
    for name in ("Makefile", "scripts"):
        source = ROOT / name
        (shutil.copytree if source.is_dir() else shutil.copy2)(source, tmp_path / name)
    (tmp_path / "requirements").mkdir()
    for lock in ("audio", "bot", "dev"):
        path = tmp_path / "requirements" / f"{lock}.txt"
        path.write_text("first==1.0\nsecond==2.0\n")
        os.utime(path, (0, 0))
    programs = tmp_path / ".venv" / "bin"
    programs.mkdir(parents=True)
    for name, text in {"butakero": PROGRAM, "python": PIP}.items():
        (programs / name).write_text(text)
        (programs / name).chmod(0o755)
    (tmp_path / ".venv" / ".run").touch()
    return tmp_path


def make(place: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    inherited = {key: text for key, text in os.environ.items() if key in {"PATH", "HOME", "LANG"}}
    return subprocess.run(
        ["make", "--no-print-directory", *arguments],
        cwd=place,
        env=child_environment(inherited | environment),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=patience(),
        check=False,
    )


@pytest.mark.parametrize("title", TITLES)
def test_a_title_reaches_the_program_as_it_was_typed(place: Path, title: str) -> None:
    wanted = f"[up][--demo][--song={title}]"
    assert make(place, "run", f"SONG={title}").stdout == wanted
    assert make(place, "run", SONG=title).stdout == wanted
    assert not list(place.rglob("pwned"))


def test_without_a_title_there_is_none(place: Path) -> None:
    assert make(place, "run").stdout == "[up][--demo]"


def test_clean_removes_data_after_a_yes_alone(place: Path) -> None:
    song = place / "data" / "storage" / "song.dca"
    song.parent.mkdir(parents=True)
    song.touch()
    refused = make(place, "clean")  # nothing answers the question
    assert refused.returncode != 0
    assert "1 temas" in refused.stdout
    assert song.exists()
    assert (place / ".venv").exists()

    assert "queda como está" in _clean_at_a_terminal(place, "no")
    assert song.exists()
    assert not (place / ".venv").exists()
    _clean_at_a_terminal(place, "sí")
    assert not song.exists()

    song.parent.mkdir(parents=True)
    assert make(place, "clean", "YES=1").returncode == 0
    assert not song.parent.exists()
    assert make(place, "clean").returncode == 0  # nothing to ask about


def _clean_at_a_terminal(place: Path, answer: str) -> str:
    ours, theirs = pty.openpty()
    try:
        os.write(ours, f"{answer}\n".encode())
        done = subprocess.run(
            ["make", "--no-print-directory", "clean"],
            cwd=place,
            env=child_environment({"PATH": os.environ["PATH"]}),
            stdin=theirs,
            capture_output=True,
            text=True,
            timeout=patience(),
            check=True,
        )
    finally:
        os.close(ours)
        os.close(theirs)
    return done.stdout


def test_help_has_each_target_in_both_languages(place: Path) -> None:
    targets = re.findall(r"^([a-z-]+):.*## ", (ROOT / "Makefile").read_text(), re.MULTILINE)
    spanish, english = make(place, "help").stdout.splitlines(), make(place, "help", LOCALE="en").stdout.splitlines()
    assert [line.split()[1] for line in spanish] == [line.split()[1] for line in english] == targets
    for there, here in zip(spanish, english, strict=True):
        assert there.split(maxsplit=2)[2] != here.split(maxsplit=2)[2]


@pytest.mark.parametrize(
    ("line", "environment", "spoken"),
    [
        ("", {}, "Muestra"),
        ("LOCALE=en\n", {}, "Show"),
        ("export LOCALE='en' # mine\n", {}, "Show"),
        ("LOCALE=es\nLOCALE=en\n", {}, "Show"),
        ("LOCALE=en\n", {"LOCALE": "es"}, "Muestra"),
        ("#LOCALE=en\n", {}, "Muestra"),
    ],
)
def test_the_language_is_that_of_the_settings(place: Path, line: str, environment: dict[str, str], spoken: str) -> None:
    (place / ".env").write_text(f"DISCORD_TOKEN=x\n{line}")
    assert make(place, "help", **environment).stdout.splitlines()[0].split()[2] == spoken


def test_an_installation_says_how_much_it_is_and_how_far(place: Path) -> None:
    (place / ".venv" / ".run").unlink()
    shown = make(place, "run").stdout
    assert "431 MB" in shown
    assert re.findall(r"\d/2", shown) == ["1/2", "2/2"]
    assert "descomprimiendo" in shown
    assert (place / ".venv" / ".run").exists()


def test_an_installation_that_fails_says_why(place: Path) -> None:
    (place / ".venv" / ".run").unlink()
    (place / "fails").touch()
    done = make(place, "run")
    assert done.returncode != 0
    assert "ERROR: no such thing" in done.stderr
    assert not (place / ".venv" / ".run").exists()
