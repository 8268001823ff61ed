"""docker-compose.yml as Compose itself understands it, and what our images bring along.

Run as a program, it brings everything up at a stand-in of the Docker Engine, as `make check` does: what Compose refuses
when it makes the containers, `config` does not see.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from tests.servers.docker_engine import Engine, running_engine

ROOT = Path(__file__).parents[2]
FILE = ROOT / "docker-compose.yml"
COMPOSE = Path(sys.executable).with_name("docker-compose")
Config = dict[str, Any]
"""Compose's own JSON."""


def config(directory: Path = ROOT, **environment: str) -> Config:
    """Return the whole project, profiles included. `environment` is all that Compose may substitute."""
    place = ["--file", str(FILE), "--project-directory", str(directory)]
    ran = subprocess.run(
        [str(COMPOSE), *place, "--profile", "*", "config", "--format", "json"],
        check=True,
        capture_output=True,
        text=True,
        env={"PATH": os.environ["PATH"], "HOME": str(directory), **environment},
        timeout=60,
    )
    return json.loads(ran.stdout)


def up(
    engine: Engine, directory: Path, *, file: Path = ROOT / "docker-compose.yml"
) -> subprocess.CompletedProcess[str]:
    """Run `up --detach --wait` for everything, profiles included, at a stand-in of the engine; nothing is built."""
    place = ["--file", str(file), "--project-directory", str(ROOT), "--profile", "*"]
    return subprocess.run(
        [str(COMPOSE), *place, "up", "--detach", "--no-build", "--wait", "--quiet-pull"],
        check=False,
        capture_output=True,
        text=True,
        env={"PATH": os.environ["PATH"], "HOME": str(directory), "DOCKER_HOST": engine.host},
        timeout=120,
    )


def image_environment(image: str) -> dict[str, str]:
    """Return the ENV of the last stage of docker/Dockerfile.<image>."""
    last = (ROOT / "docker" / f"Dockerfile.{image}").read_text().replace("\\\n", " ").split("\nFROM ")[-1]
    lines = [line.removeprefix("ENV ") for line in last.splitlines() if line.startswith("ENV ")]
    return dict(pair.split("=", 1) for line in lines for pair in shlex.split(line))


def seconds(duration: str) -> int:
    """Return the seconds of a duration as Compose writes it: 1m30s."""
    units = {"h": 3600, "m": 60, "s": 1}
    return sum(int(number) * units[unit] for number, unit in re.findall(r"(\d+)([hms])", duration))


def main() -> int:
    """Bring everything up, print what Compose said when it could not, and return its exit code."""
    with tempfile.TemporaryDirectory() as directory, running_engine(Path(directory)) as engine:
        ran = up(engine, Path(directory))
    if ran.returncode:
        sys.stderr.write(ran.stderr)
    return ran.returncode


if __name__ == "__main__":
    sys.exit(main())
