"""scripts/deploy/dotenv.sh reads files of secrets as the real Compose does."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.deploy.compose import COMPOSE, ROOT

SCRIPT = """
here=$1
source "$2/scripts/deploy/words.sh"
source "$2/scripts/deploy/dotenv.sh"
read_dotenv "$1/secrets.env"
printf '%s' "$(value_of "$1/secrets.env" KEY)"
"""
LINES = [
    "KEY=plain",
    "export KEY=exported",
    "KEY = spaced \t",
    "KEY=with # a comment",
    "KEY=with#none",
    "KEY=#abc",
    "KEY='single # $OTHER \"quoted\"' # comment",
    'KEY="double # \\"quoted\\" \\$OTHER ${OTHER}" # comment',
    'KEY="two\\nlines\\tand a tab\\\\"',
    "KEY='not\\ntwo'",
    "KEY='it\\'s'",
    "KEY=$OTHER-${OTHER}-${NOTHING:-default}-${NOTHING-other}",
    "KEY=a$$b",
    "KEY=a=b==",
    "KEY=",
    'KEY=""',
    "KEY: yaml",
    'KEY="first\nsecond"',
    "KEY=first\nKEY=second",
    "  KEY=indented",
    "# KEY=commented\nKEY=x",
    'KEY=a"b"c',
    "KEY=back\\nslash",
    "\ufeffKEY=after a mark\r",
    "KEY=p%20$1w*?[a]",
]


@pytest.mark.parametrize("lines", LINES)
def test_a_value_is_what_compose_takes_it_for(lines: str, tmp_path: Path) -> None:
    file = tmp_path / "secrets.env"
    file.write_text(f"OTHER=another\n{lines}\n" if not lines.startswith("\ufeff") else f"{lines}\n")
    (tmp_path / "compose.yml").write_text("services: { x: { image: x } }")
    environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path)}
    theirs = subprocess.run(
        [str(COMPOSE), "--env-file", str(file), "-f", str(tmp_path / "compose.yml"), "config", "--environment"],
        check=True,
        capture_output=True,
        text=True,
        env=environment,
    ).stdout
    ours = subprocess.run(
        ["bash", "-euc", SCRIPT, "_", str(tmp_path), str(ROOT)],
        check=True,
        capture_output=True,
        text=True,
        env=environment,
    ).stdout
    assert f"\nKEY={ours}\n" in f"\n{theirs}"


@pytest.mark.parametrize(("line", "words"), [("KEY", "=»"), ("KEY='open", "comilla"), ("two words=x", "=»")])
def test_a_line_that_cannot_be_read_is_named(line: str, words: str, tmp_path: Path) -> None:
    (tmp_path / "secrets.env").write_text(f"# first\n{line}\n")
    ran = subprocess.run(
        ["bash", "-euc", SCRIPT, "_", str(tmp_path), str(ROOT)], check=True, capture_output=True, text=True
    )
    assert "secrets.env, línea 2" in ran.stdout
    assert words in ran.stdout
