"""HTTP load on one port of this machine: so many connections, each with one request under way at a time.

The load comes from `wrk` where it is installed, else from plain sockets in this process, which drive less: both sides
of a comparison are then slower. As a connection asks again when it has its answer, latencies are those of a server
that is kept busy, and grow with the connections.
"""

from __future__ import annotations

import asyncio
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path

_SCRIPT = """
local requests, at = {}, 0
function init(args)
    for line in io.lines(args[1]) do
        local path, range = line:match("^(%S+)%s*(%S*)$")
        local headers = {}
        if range ~= "" then headers["Range"] = range end
        requests[#requests + 1] = wrk.format("GET", path, headers)
    end
end
function request()
    at = at % #requests + 1
    return requests[at]
end
"""
_PATIENCE_SECONDS = 10
_WARMING, _WARM_UP_SECONDS = 16, 0.3
_MILLISECONDS = {"us": 1e-3, "ms": 1.0, "s": 1e3, "m": 60e3}


@dataclass(frozen=True, slots=True)
class Load:
    """What a server answered: how often, how often a second, and how long 50 and 99 of 100 took at most, in ms."""

    requests: int
    requests_per_second: float
    p50_ms: float
    p99_ms: float


@dataclass(frozen=True, slots=True)
class Asked:
    """Paths that are asked for in turn, all of them answered with 2xx. `byte_range` is the Range header, if any."""

    paths: Sequence[str]
    byte_range: str = ""


def drive(port: int, asked: Asked, connections: int, seconds: int) -> Load:
    """Ask for so many seconds, or for longer where a busy machine has given no answer by then.

    Raises:
        RuntimeError: an answer was no success, or there was none.
    """
    wrk = shutil.which("wrk")
    if wrk is None:
        return asyncio.run(_plain(port, asked, connections, seconds))
    load = _wrk(wrk, port, asked, connections, seconds)
    if load.requests_per_second:
        return load
    if seconds > _PATIENCE_SECONDS:
        raise RuntimeError(f"no answer in {seconds} s")
    return drive(port, asked, connections, 2 * seconds)


def warm_up(port: int, asked: Asked) -> None:
    """Ask for a moment, and forget the answers."""
    asyncio.run(_plain(port, asked, _WARMING, _WARM_UP_SECONDS))


def _wrk(wrk: str, port: int, asked: Asked, connections: int, seconds: int) -> Load:
    with tempfile.TemporaryDirectory(prefix="butakero-wrk-") as name:
        script, paths = Path(name) / "asked.lua", Path(name) / "paths.txt"
        script.write_text(_SCRIPT)
        paths.write_text("".join(f"{path} {asked.byte_range}\n" for path in asked.paths))
        command = [wrk, "-t1", f"-c{connections}", f"-d{seconds}s", "--latency", "--timeout", "30s", "-s", str(script)]
        command += [f"http://127.0.0.1:{port}", "--", str(paths)]
        return _read(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def _read(report: str) -> Load:
    """Read what wrk prints. Raises RuntimeError: it tells of failures, or has another form than expected."""
    rate = re.search(r"Requests/sec:\s*([0-9.]+)", report)
    requests = re.search(r"(\d+) requests in", report)
    if "Non-2xx" in report or "Socket errors" in report or rate is None or requests is None:
        raise RuntimeError(f"wrk: not every answer was a success: {report}")
    return Load(int(requests[1]), float(rate[1]), _percentile(report, 50), _percentile(report, 99))


def _percentile(report: str, of: int) -> float:
    match = re.search(rf"^\s+{of}%\s+([0-9.]+)(us|ms|s|m)\s*$", report, re.MULTILINE)
    if match is None:
        raise RuntimeError(f"wrk tells no {of}th percentile: {report}")
    return float(match[1]) * _MILLISECONDS[match[2]]


async def _plain(port: int, asked: Asked, connections: int, seconds: float) -> Load:
    extra = f"Range: {asked.byte_range}\r\n" if asked.byte_range else ""
    requests = cycle([f"GET {path} HTTP/1.1\r\nHost: bench\r\n{extra}\r\n".encode() for path in asked.paths])
    milliseconds: list[float] = []
    began = time.perf_counter()

    async def connection() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        while (sent := time.perf_counter()) < began + seconds:
            writer.write(next(requests))
            head = await reader.readuntil(b"\r\n\r\n")
            length = re.search(rb"content-length: (\d+)", head, re.IGNORECASE)
            if not head.startswith(b"HTTP/1.1 2") or length is None:
                raise RuntimeError(f"not every answer was a success: {head[:200]!r}")
            await reader.readexactly(int(length[1]))
            milliseconds.append((time.perf_counter() - sent) * 1000)
        writer.close()
        await writer.wait_closed()

    async with asyncio.TaskGroup() as tasks:
        for _ in range(connections):
            tasks.create_task(connection())
    took = time.perf_counter() - began
    milliseconds.sort()
    return Load(
        len(milliseconds),
        len(milliseconds) / took,
        milliseconds[len(milliseconds) // 2],
        milliseconds[len(milliseconds) * 99 // 100],
    )
