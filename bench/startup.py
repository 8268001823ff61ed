"""From the start of a service's process until it is ready, beside the least program that does its part.

The audio service is ready when `/readyz` says so; beside it, a FastAPI application with that one route under uvicorn.
The bot is ready when it is in Discord (ours, on this machine) and takes commands; beside it, a bare client of the same
library that logs in and waits for its guilds. Each start is a new process; the bytecode and the files are in the
system's cache after the first, which is not counted. Embedded backends, new data directories.
"""

from __future__ import annotations

import asyncio
import os
import statistics
import sys
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path

import psutil

from bench.table import Row, compared, figure
from common.tasks import time_limit
from tests.discord import open_fake_discord
from tests.discord.bot_process import bot_environment
from tests.servers.ports import free_port
from tests.servers.reaper import child_environment
from tests.servers.system import ROOT, environment_of, settings_for

ROUNDS, ROUNDS_FULL = 2, 9

# How long both bots wait for further guilds, once the first one is known.
_GUILDS = "1.0"
_POLL_SECONDS = 0.005
_PATIENCE_SECONDS = 60
_BARE_SERVICE = """
import os
import uvicorn
from fastapi import FastAPI
app = FastAPI()
@app.get("/readyz")
async def ready() -> dict[str, bool]:
    return {"ready": True}
uvicorn.run(app, host="127.0.0.1", port=int(os.environ["HTTP_PORT"]), log_level="warning")
"""
_BARE_BOT = """
import os
import discord
class Bare(discord.Client):
    async def on_ready(self) -> None:
        print("ready", flush=True)
intents = discord.Intents(guilds=True, voice_states=True)
client = Bare(intents=intents, proxy=os.environ["DISCORD_PROXY"], guild_ready_timeout=float(os.environ["GUILDS"]))
client.run(os.environ["DISCORD_TOKEN"], log_handler=None)
"""
_IMPORTS = {
    "audio service": ("import audio_service.__main__", "import fastapi, uvicorn"),
    "bot": ("import bot_service.__main__", "import discord"),
}


@dataclass(frozen=True, slots=True)
class Started:
    """How long one start took, and what its processes had spent on it by then, in ms."""

    wall_ms: float
    cpu_ms: float


Start = Callable[[], Awaitable[Started]]


def rows(directory: Path, *, full: bool) -> Iterator[Row]:
    """Yield the rows. Ratio: the bare program's time over ours, so its share of our start."""
    rounds = ROUNDS_FULL if full else ROUNDS
    yield asyncio.run(_audio(directory, rounds))
    yield asyncio.run(_bot(directory, rounds))
    for service, (ours, other) in _IMPORTS.items() if full else ():
        measured = asyncio.run(_in_turns(lambda code=ours: _run(code), lambda code=other: _run(code), rounds))
        yield _compared(f"{service}: imports alone / {other}", *measured)


async def _audio(directory: Path, rounds: int) -> Row:
    numbers = count()

    async def ours() -> Started:
        place = directory / f"audio-{next(numbers)}"
        await asyncio.to_thread(place.mkdir)
        environment = environment_of(settings_for(place, http_port=free_port()))
        return await _until_served(["-m", "audio_service"], environment, "HTTP_PORT")

    async def bare() -> Started:
        return await _until_served(["-c", _BARE_SERVICE], _environment(HTTP_PORT=str(free_port())), "HTTP_PORT")

    measured = await _in_turns(ours, bare, rounds)
    return _compared("audio service: start until ready / bare FastAPI and uvicorn", *measured)


async def _bot(directory: Path, rounds: int) -> Row:
    numbers = count()
    audio = settings_for(directory, http_port=free_port())
    async with open_fake_discord() as discord:
        discord.guild()

        async def ours() -> Started:
            place = directory / f"bot-{next(numbers)}"
            await asyncio.to_thread(place.mkdir)
            environment = bot_environment(discord, audio, place, LOG_LEVEL="warning")
            return await _until_served(["-m", "bot_service"], environment, "BOT_HTTP_PORT")

        async def bare() -> Started:
            return await _until_said(["-c", _BARE_BOT], _environment(**discord.environment, GUILDS=_GUILDS))

        measured = await _in_turns(ours, bare, rounds)
    return _compared("bot: start until it takes commands / bare discord.py client until ready", *measured)


async def _in_turns(ours: Start, other: Start, rounds: int) -> tuple[list[Started], list[Started]]:
    measured: tuple[list[Started], list[Started]] = ([], [])
    for number in range(rounds + 1):
        for start, kept in zip((ours, other), measured, strict=True):
            started = await start()
            if number:  # the first one fills caches
                kept.append(started)
    return measured


def _compared(name: str, ours: list[Started], other: list[Started]) -> Row:
    row = compared(name, "ms", *([one.wall_ms for one in side] for side in (ours, other)), better="less")
    cpu = [[one.cpu_ms for one in side] for side in (ours, other)]
    return replace(
        row,
        ours=f"{row.ours}, {figure(statistics.median(cpu[0]))} ms of CPU",
        other=f"{row.other}, {figure(statistics.median(cpu[1]))} ms of CPU",
        details={"ours_cpu_ms": cpu[0], "other_cpu_ms": cpu[1]},
    )


async def _until_served(arguments: list[str], environment: Mapping[str, str], key: str) -> Started:
    """Start Python so, and ask the port that the environment's `key` names until `/readyz` is a success."""
    async with _started(arguments, environment) as (process, began):
        while not await _is_ready(int(environment[key])):
            _refuse_if_ended(process)
            await asyncio.sleep(_POLL_SECONDS)  # no event crosses from a process that is not ready yet
        return _took(process, began)


async def _until_said(arguments: list[str], environment: Mapping[str, str]) -> Started:
    """Start Python so, and wait for its first line."""
    async with _started(arguments, environment) as (process, began):
        assert process.stdout is not None  # noqa: S101 - it was asked for
        if not await process.stdout.readline():
            _refuse_if_ended(process)
        return _took(process, began)


async def _run(code: str) -> Started:
    """Run a piece of Python to its end."""
    before = psutil.Process().cpu_times()
    async with _started(["-c", code], _environment()) as (process, began):
        await process.wait()
        wall = time.perf_counter() - began
    after = psutil.Process().cpu_times()
    spent = after.children_user + after.children_system - before.children_user - before.children_system
    return Started(wall * 1000, spent * 1000)


@asynccontextmanager
async def _started(
    arguments: list[str], environment: Mapping[str, str]
) -> AsyncGenerator[tuple[asyncio.subprocess.Process, float]]:
    began = time.perf_counter()
    process = await asyncio.create_subprocess_exec(
        sys.executable, *arguments, cwd=ROOT, env=child_environment(environment), stdout=asyncio.subprocess.PIPE
    )
    try:
        async with time_limit(_PATIENCE_SECONDS):
            yield process, began
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()


async def _is_ready(port: int) -> bool:
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    try:
        writer.write(b"GET /readyz HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n\r\n")
        return (await reader.readline()).startswith(b"HTTP/1.1 200")
    except OSError:
        return False
    finally:
        writer.close()


def _took(process: asyncio.subprocess.Process, began: float) -> Started:
    wall = time.perf_counter() - began
    top = psutil.Process(process.pid)
    times = [one.cpu_times() for one in (top, *top.children(recursive=True))]
    return Started(wall * 1000, sum(one.user + one.system for one in times) * 1000)


def _refuse_if_ended(process: asyncio.subprocess.Process) -> None:
    if process.returncode is not None or (process.stdout is not None and process.stdout.at_eof()):
        raise RuntimeError(f"the program ended with {process.returncode} before it was ready")


def _environment(**more: str) -> dict[str, str]:
    return {**{name: value for name, value in os.environ.items() if name in {"PATH", "HOME"}}, **more}
