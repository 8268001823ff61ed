"""What is not imported where it is not used: on the embedded defaults, and in the child processes."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

import pytest

from tests.servers.reaper import child_environment

pytestmark = pytest.mark.slow

_SERVICE = """
import asyncio, sys
import audio_service.__main__
from audio_service.bootstrap import open_services
from audio_service.settings import AudioSettings

async def main():
    async with open_services(AudioSettings()):
        print(*sys.modules)

asyncio.run(main())
"""
_CHILD = "import sys, audio_service.child_main; print(*sys.modules)"


async def imported_by(program: str, root: Path) -> set[str]:
    environment = {
        **{name: value for name, value in os.environ.items() if name in {"PATH", "HOME", "PYTHONPATH"}},
        "EMBEDDED_BROKER_PATH": str(root / "broker.db"),
        "SQLITE_PATH": str(root / "library.db"),
        "LOCAL_STORAGE_PATH": str(root / "storage"),
        "TEMP_PATH": str(root / "tmp"),
        "NUM_WORKERS": "0",
    }
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", program, stdout=asyncio.subprocess.PIPE, env=child_environment(environment)
    )
    printed, _ = await process.communicate()
    assert process.returncode == 0
    return set(printed.decode().split())


@pytest.mark.parametrize(
    ("program", "unused"),
    [
        pytest.param(
            _SERVICE,
            {"aiokafka", "av", "cryptography", "jwt", "motor", "numpy", "opentelemetry.sdk", "pymongo", "yt_dlp"},
            id="service on the embedded defaults",
        ),
        pytest.param(
            _CHILD,
            {"aiosqlite", "av", "fastapi", "numpy", "opentelemetry", "prometheus_client", "pydantic", "structlog"},
            id="child",
        ),
    ],
)
async def test_what_is_not_used_is_not_imported(program: str, unused: set[str], tmp_path: Path) -> None:
    assert not await imported_by(program, tmp_path) & unused
