from __future__ import annotations

import asyncio
import os
import stat
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.servers.reaper import child_environment
from tests.waiting import patience

SCRIPT = Path(__file__).parents[2] / "docker" / "audio" / "hand-over-cookies.sh"


@dataclass
class Handing:
    """The script at work. `said` waits for its next line."""

    source: Path
    target: Path
    process: asyncio.subprocess.Process

    async def said(self) -> str:
        assert self.process.stdout is not None
        async with asyncio.timeout(patience(20)):
            line = (await self.process.stdout.readline()).decode().strip()
        assert line, "the script has ended"
        return line

    def replace(self, text: str) -> None:
        beside = self.source.with_suffix(".new")
        beside.write_text(text)
        beside.chmod(0o600)
        beside.replace(self.source)


@asynccontextmanager
async def open_handing(directory: Path) -> AsyncGenerator[Handing]:
    source, target = directory / "yt-cookies.txt", directory / "handed.txt"
    process = await asyncio.create_subprocess_exec(
        *("sh", str(SCRIPT), str(source), str(target), "0.05"),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env=child_environment({"PATH": os.environ["PATH"]}),
    )
    try:
        yield Handing(source, target, process)
    finally:
        process.terminate()
        async with asyncio.timeout(patience(20)):
            await process.wait()


async def test_what_comes_changes_and_goes_is_handed_over_and_taken_back(tmp_path: Path) -> None:
    async with open_handing(tmp_path) as handing:
        handing.replace("planted-1")
        assert await handing.said() == "cookies handed over"
        assert handing.target.read_text() == "planted-1"
        first = handing.target.stat()
        assert stat.S_IMODE(first.st_mode) == 0o440

        handing.replace("planted-2")
        assert await handing.said() == "cookies handed over"
        assert handing.target.read_text() == "planted-2"
        assert handing.target.stat().st_ino != first.st_ino, "a reader could have seen half of it"

        handing.source.unlink()
        assert await handing.said() == "cookies taken back"
        assert not handing.target.exists()
    assert handing.process.returncode == 0


async def test_what_cannot_be_handed_over_is_said_and_tried_again(tmp_path: Path) -> None:
    async with open_handing(tmp_path) as handing:
        handing.target.mkdir()
        (handing.target / "in the way").touch()
        blocked = handing.target.with_name("handed.txt.new")
        blocked.mkdir()
        said = [await handing.said()]
        while "cannot be taken back" not in said[-1]:
            said.append(await handing.said())
        handing.replace("planted")
        while "cannot be handed over" not in said[-1]:
            said.append(await handing.said())
        blocked.rmdir()
        (handing.target / "in the way").unlink()
        handing.target.rmdir()
        while said[-1] != "cookies handed over":
            said.append(await handing.said())
        assert handing.target.read_text() == "planted"
        assert "planted" not in "".join(said)
