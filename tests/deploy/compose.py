"""docker-compose.yml as Compose itself understands it, and what our images bring along."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
COMPOSE = Path(sys.executable).with_name("docker-compose")
Config = dict[str, Any]
"""Compose's own JSON."""


def config(directory: Path = ROOT, **environment: str) -> Config:
    """Return the whole project, profiles included. `environment` is all that Compose may substitute."""
    place = ["--file", str(ROOT / "docker-compose.yml"), "--project-directory", str(directory)]
    ran = subprocess.run(
        [str(COMPOSE), *place, "--profile", "*", "config", "--format", "json"],
        check=True,
        capture_output=True,
        text=True,
        env={"PATH": os.environ["PATH"], "HOME": str(directory), **environment},
        timeout=60,
    )
    return json.loads(ran.stdout)


def image_environment(image: str) -> dict[str, str]:
    """Return the ENV of the last stage of docker/Dockerfile.<image>."""
    last = (ROOT / "docker" / f"Dockerfile.{image}").read_text().replace("\\\n", " ").split("\nFROM ")[-1]
    lines = [line.removeprefix("ENV ") for line in last.splitlines() if line.startswith("ENV ")]
    return dict(pair.split("=", 1) for line in lines for pair in shlex.split(line))


def seconds(duration: str) -> int:
    """Return the seconds of a duration as Compose writes it: 1m30s."""
    units = {"h": 3600, "m": 60, "s": 1}
    return sum(int(number) * units[unit] for number, unit in re.findall(r"(\d+)([hms])", duration))
