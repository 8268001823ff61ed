from __future__ import annotations

import os
import shutil
import sqlite3
import stat
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from audio_service.sources.cookies import read_cookies
from tests.waiting import patience

SCRIPT = Path(__file__).parents[2] / "scripts" / "filter_youtube_cookies.sh"
PLANTED = "planted-secret"
JAR = "\n".join(
    [
        "# Netscape HTTP Cookie File",
        "",
        *(
            f"{domain}\tTRUE\t/\tTRUE\t1999999999\tSID\t{PLANTED}-{number}"
            for number, domain in enumerate(
                [
                    ".youtube.com",
                    "www.youtube.com",
                    "#HttpOnly_.youtube.com",
                    ".google.com",
                    "notyoutube.com",
                    ".youtube.com.example.org",
                    "youtube.community",
                ]
            )
        ),
        f"# a comment about youtube.com {PLANTED}",
        "",
    ]
)


@dataclass(frozen=True)
class Place:
    """The script in a directory of its own, with a yt-dlp that does what a test says on PATH."""

    directory: Path

    @property
    def output(self) -> Path:
        return self.directory / "yt-cookies.txt"

    def yt_dlp(self, script: str) -> None:
        path = self.directory / "bin" / "yt-dlp"
        path.write_text(f"#!/bin/bash\n{script}\n")
        path.chmod(0o755)

    def run(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        path = f"{self.directory / 'bin'}{os.pathsep}{os.environ['PATH']}"
        return subprocess.run(
            ["bash", str(self.directory / "scripts" / SCRIPT.name), *arguments],
            check=False,
            capture_output=True,
            text=True,
            env={"PATH": path, "HOME": str(self.directory), **environment},
            cwd=self.directory,
            timeout=patience(60),
        )


@pytest.fixture
def place(tmp_path: Path) -> Place:
    (tmp_path / "scripts").mkdir()
    (tmp_path / "bin").mkdir()
    shutil.copy(SCRIPT, tmp_path / "scripts")
    place = Place(tmp_path)
    jar = tmp_path / "jar"
    jar.write_text(JAR)
    # As the real one: it writes the file after --cookies, and complains that there is no URL.
    place.yt_dlp(f'while [[ $1 != --cookies ]]; do shift; done; cp {jar} "$2"; echo "{PLANTED}" >&2; exit 2')
    return place


def assert_nothing_left(place: Place) -> None:
    assert {path.name for path in place.directory.iterdir()} <= {"scripts", "bin", "jar", place.output.name}


def assert_refused(place: Place, ran: subprocess.CompletedProcess[str], code: int, words: str) -> None:
    assert ran.returncode == code
    assert words in ran.stderr
    assert PLANTED not in ran.stdout + ran.stderr
    assert not place.output.exists()
    assert_nothing_left(place)


def test_youtubes_cookies_are_kept_and_no_others_and_none_is_printed(place: Place) -> None:
    ran = place.run("firefox")
    assert (ran.returncode, ran.stderr) == (0, "")
    assert "3 cookies" in ran.stdout
    assert PLANTED not in ran.stdout
    assert {cookie.domain for cookie in read_cookies(place.output)} == {".youtube.com", "www.youtube.com"}
    kept = place.output.read_text()
    assert kept.startswith("# Netscape HTTP Cookie File\n")
    assert kept.count(PLANTED) == 3
    assert "comment" not in kept
    assert_nothing_left(place)


def test_without_a_browser_the_one_that_is_there_is_taken(
    place: Place, tmp_path_factory: pytest.TempPathFactory
) -> None:
    home = tmp_path_factory.mktemp("home")
    refused = place.run(HOME=str(home))
    assert_refused(place, refused, 2, "ningún navegador")
    place.yt_dlp('while [[ $1 != --cookies-from-browser ]]; do shift; done; echo "$2" >"$HOME/asked"; exit 2')
    (home / ".config" / "chromium").mkdir(parents=True)
    assert "Navegador: chromium" in place.run(HOME=str(home)).stdout
    assert (home / "asked").read_text() == "chromium\n"
    (home / "snap/firefox/common/.mozilla/firefox").mkdir(parents=True)
    place.run(HOME=str(home))
    assert (home / "asked").read_text() == "firefox\n"


def test_the_file_is_its_owners_alone_even_if_the_old_one_was_not(place: Place) -> None:
    place.output.write_text("old")
    place.output.chmod(0o644)
    before = place.output.stat().st_ino
    assert place.run("chrome:Profile 1").returncode == 0
    assert stat.S_IMODE(place.output.stat().st_mode) == 0o600
    assert place.output.stat().st_ino != before, "the old file was written into, which a reader could see half done"


def test_the_file_may_be_named(place: Place) -> None:
    (place.directory / "jar.d").mkdir()
    place.run("-o", "jar.d/mine.txt", "firefox")
    assert (place.directory / "jar.d" / "mine.txt").is_file()
    assert not place.output.exists()


def test_help_says_how_and_asks_nobody(place: Place) -> None:
    place.yt_dlp("touch called")
    ran = place.run("--help")
    assert ran.returncode == 0
    assert "Usage:" in ran.stdout
    assert not (place.directory / "called").exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "ningún navegador"),
        (["netscape"], "no conozco el navegador «netscape»"),
        (["--frobnicate"], "no conozco la opción"),
        (["firefox", "chrome"], "un navegador solo"),
        (["firefox", "-o"], "falta el archivo"),
    ],
)
def test_wrong_usage_is_said(place: Place, arguments: list[str], words: str) -> None:
    assert_refused(place, place.run(*arguments), 2, words)


def test_a_missing_yt_dlp_is_said(place: Place) -> None:
    (place.directory / "bin" / "yt-dlp").unlink()
    tools = {name: shutil.which(name) for name in ("bash", "dirname", "mktemp", "rm")}
    for name, path in tools.items():
        (place.directory / "bin" / name).symlink_to(path or "")
    ran = place.run("firefox", PATH=str(place.directory / "bin"))
    assert_refused(place, ran, 1, "no encuentro yt-dlp")


def test_a_browser_that_cannot_be_read_is_said_with_what_yt_dlp_has_to_say(place: Place) -> None:
    place.yt_dlp(f"echo 'ERROR: could not find the database' >&2; echo 'ERROR: SID={PLANTED}' >&2; exit 1")
    ran = place.run("firefox")
    assert_refused(place, ran, 1, "no pudo leer las cookies de «firefox»")
    assert "could not find the database" in ran.stderr


def test_a_browser_without_youtube_cookies_is_said_and_the_old_file_stays(place: Place) -> None:
    place.output.write_text("old")
    (place.directory / "jar").write_text(f".google.com\tTRUE\t/\tTRUE\t1999999999\tSID\t{PLANTED}\n")
    ran = place.run("firefox")
    assert ran.returncode == 1
    assert "no hay cookies de YouTube" in ran.stderr
    assert place.output.read_text() == "old"
    assert_nothing_left(place)


def test_a_real_firefox_profile_through_the_real_yt_dlp(place: Place) -> None:
    profile = place.directory / "bin" / "profile"
    profile.mkdir()
    with sqlite3.connect(profile / "cookies.sqlite") as database:
        database.execute(
            "CREATE TABLE moz_cookies (id INTEGER PRIMARY KEY, originAttributes TEXT NOT NULL DEFAULT '', name TEXT,"
            " value TEXT, host TEXT, path TEXT, expiry INTEGER, isSecure INTEGER, isHttpOnly INTEGER)"
        )
        database.executemany(
            "INSERT INTO moz_cookies (name, value, host, path, expiry, isSecure, isHttpOnly)"
            " VALUES ('SID', ?, ?, '/', 1999999999, 1, 1)",
            [(f"{PLANTED}-{host}", host) for host in (".youtube.com", ".google.com", "notyoutube.com")],
        )
    database.close()
    ran = place.run(f"firefox:{profile}", YT_DLP=str(Path(sys.executable).with_name("yt-dlp")))
    assert (ran.returncode, ran.stderr) == (0, "")
    assert [cookie.value for cookie in read_cookies(place.output)] == [f"{PLANTED}-.youtube.com"]
    assert PLANTED not in ran.stdout
