from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "scripts" / "commit-subjects.sh"
FITS, TOO_LONG = "é" * 72, "x" * 73


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    git(tmp_path, "init", "--quiet", "--initial-branch", "main")
    git(tmp_path, "config", "user.name", "tests")
    git(tmp_path, "config", "user.email", "tests@example.org")
    git(tmp_path, "commit", "--quiet", "--allow-empty", "--message", TOO_LONG)
    return tmp_path


def git(repository: Path, *arguments: str) -> None:
    subprocess.run(["git", *arguments], cwd=repository, check=True, capture_output=True)


def check(directory: Path, *arguments: str) -> tuple[int, str]:
    done = subprocess.run([str(SCRIPT), *arguments], cwd=directory, check=False, capture_output=True, text=True)
    return done.returncode, done.stderr


@pytest.mark.parametrize(("subject", "code"), [(FITS, 0), (TOO_LONG, 1)], ids=["72", "73"])
def test_a_subject_has_at_most_72_characters(repository: Path, subject: str, code: int) -> None:
    git(repository, "commit", "--quiet", "--allow-empty", "--message", f"{subject}\n\n{'body ' * 30}")
    found, said = check(repository, "HEAD~1..HEAD")
    assert (found, subject in said) == (code, bool(code))


@pytest.mark.parametrize(("subject", "code"), [(FITS, 0), (TOO_LONG, 1), ("", 0)], ids=["72", "73", "none"])
def test_a_message_that_is_being_written_is_checked_without_its_comments(
    tmp_path: Path, subject: str, code: int
) -> None:
    message = tmp_path / "message"
    message.write_text(f"# {'comment ' * 20}\n{subject}\n\n{'body ' * 30}\n")
    assert check(tmp_path, "--message", str(message))[0] == code


def test_no_commits_are_fine(repository: Path) -> None:
    assert check(repository, "HEAD..HEAD") == (0, "")
