"""docker-compose.yml as Compose itself understands it."""

from __future__ import annotations

import json
import os
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
