"""Prometheus and Alertmanager themselves on 127.0.0.1, and promtool: from PATH, or once from Debian's packages into
`.cache/`.

`apt-get` fetches and `dpkg-deb` unpacks it, without installing anything and without root. Where that is not possible,
the tests that need it are skipped, and `make check` leaves it out; both say so.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import shutil
import subprocess
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import httpx
import yaml

from tests.servers.missing import ProgramMissing
from tests.servers.ports import free_port
from tests.servers.reaper import child_environment
from tests.waiting import until

_CACHE = Path(__file__).parents[2] / ".cache" / "prometheus"
RULES = Path(__file__).parents[2] / "monitoring" / "prometheus"
START_ALERTMANAGER = RULES.parent / "alertmanager" / "start.sh"
_PACKAGES = {"prometheus": "prometheus", "promtool": "prometheus", "prometheus-alertmanager": "prometheus-alertmanager"}
"""Each program, and the package of Debian that has it."""
PROMTOOL_RUNS = (
    ("check", "config", "prometheus.yml"),
    ("check", "rules", "rules.yml"),
    ("test", "rules", "rules_test.yml"),
)
_UNPACKED = _CACHE / "unpacked" / "usr" / "bin"


def promtool() -> str:
    """Return the path of promtool. Raises ProgramMissing, which skips a test."""
    return str(find("promtool"))


class Prometheus:
    """A running server. `url` is its API's."""

    def __init__(self, url: str) -> None:
        self.url = url

    async def query(self, expression: str) -> list[dict[str, Any]]:
        """Return the instant vector that an expression gives now: `metric` (labels) and `value` (time, text)."""
        async with httpx.AsyncClient(trust_env=False) as http:
            answer = await http.get(f"{self.url}/api/v1/query", params={"query": expression})
        return answer.raise_for_status().json()["data"]["result"]

    async def names(self) -> set[str]:
        """Return the names of all series it has."""
        async with httpx.AsyncClient(trust_env=False) as http:
            answer = await http.get(f"{self.url}/api/v1/label/__name__/values")
        return set(answer.raise_for_status().json()["data"])


@asynccontextmanager
async def open_prometheus(directory: Path, configuration: dict[str, Any]) -> AsyncGenerator[Prometheus]:
    """Run a server with this configuration, and its data in `directory`."""
    program, port = find("prometheus"), free_port()
    file = directory / "prometheus.yml"
    file.write_text(yaml.safe_dump(configuration))
    with (directory / "prometheus.log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            program,
            f"--config.file={file}",
            f"--storage.tsdb.path={directory / 'tsdb'}",
            f"--web.listen-address=127.0.0.1:{port}",
            stdout=log,
            stderr=log,
            env=child_environment(),
        )
    prometheus = Prometheus(f"http://127.0.0.1:{port}")
    async with _ready(process, prometheus.url, directory / "prometheus.log"):
        yield prometheus


@dataclass(frozen=True, slots=True)
class Alertmanager:
    """A running server: its API's address, and what it and the script that starts it have written."""

    url: str
    log: Path

    async def alerts(self) -> list[dict[str, Any]]:
        """Return the alerts that it has."""
        async with httpx.AsyncClient(trust_env=False) as http:
            return (await http.get(f"{self.url}/api/v2/alerts")).raise_for_status().json()


@asynccontextmanager
async def open_alertmanager(
    directory: Path, configuration: Path, environment: dict[str, str]
) -> AsyncGenerator[Alertmanager]:
    """Run a server as Compose does: through start.sh, with this configuration and environment."""
    port = free_port()
    alertmanager = Alertmanager(f"http://127.0.0.1:{port}", directory / "alertmanager.log")
    made = directory / "made.yml"
    with alertmanager.log.open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            *_with_templates(),
            "/bin/sh",
            START_ALERTMANAGER,
            configuration,
            made,
            find("prometheus-alertmanager"),
            f"--config.file={made}",
            f"--storage.path={directory / 'alertmanager'}",
            "--cluster.listen-address=",
            f"--web.listen-address=127.0.0.1:{port}",
            stdout=log,
            stderr=log,
            env=child_environment({**os.environ, **environment}),
        )
    async with _ready(process, alertmanager.url, alertmanager.log):
        yield alertmanager


def _with_templates() -> list[str]:
    """Return the words before a command that see Debian's templates of Alertmanager where its program looks for them.

    The package was unpacked and not installed: /usr/share of the package is laid over the machine's, for this process.
    """
    find("prometheus-alertmanager")
    if Path("/usr/share/prometheus/alertmanager/default.tmpl").exists() or shutil.which("prometheus-alertmanager"):
        return []
    lay = 'mount -t overlay overlay -o "lowerdir=$1:/usr/share" /usr/share && shift && exec "$@"'
    words = ["unshare", "--mount", "--map-root-user", "sh", "-c", lay, "sh", str(_UNPACKED.parent.resolve() / "share")]
    tried = subprocess.run([*words, "true"], check=False, capture_output=True, text=True)
    if tried.returncode:
        raise ProgramMissing(f"Alertmanager is not installed, and cannot run unpacked: {tried.stderr.strip()}")
    return words


@asynccontextmanager
async def _ready(process: asyncio.subprocess.Process, url: str, log: Path) -> AsyncGenerator[None]:
    """Wait until the server answers; end it with the context."""

    async def ready() -> bool:
        assert process.returncode is None, log.read_text()[-2000:]
        try:
            async with httpx.AsyncClient(trust_env=False) as http:
                return (await http.get(f"{url}/-/ready")).is_success
        except httpx.TransportError:
            return False

    try:
        await until(ready)
        yield
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()


def find(name: str) -> Path:
    """Return where a program of `_PACKAGES` is. Raises ProgramMissing."""
    for candidate in (shutil.which(name), _UNPACKED / name):
        if candidate and Path(candidate).is_file():
            return Path(candidate)
    if shutil.which("apt-get") is None or shutil.which("dpkg-deb") is None:
        raise ProgramMissing(f"{name} is not installed, and there is no apt-get that could fetch it")
    if (why := _fetch(name)) is not None:
        raise ProgramMissing(f"{name} cannot be fetched: {why}")
    return _UNPACKED / name


@cache
def _fetch(name: str) -> str | None:
    """Download and unpack the program's package, one process at a time; return why that failed."""
    _CACHE.mkdir(parents=True, exist_ok=True)
    with (_CACHE / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        return None if (_UNPACKED / name).is_file() else _download(_PACKAGES[name])


def _download(package: str) -> str | None:
    lists, archives = _CACHE / "lists", _CACHE / "apt"
    for directory in (lists / "partial", archives / "archives" / "partial"):
        directory.mkdir(parents=True, exist_ok=True)
    ours = ("-qq", "-o", f"Dir::State::lists={lists}", "-o", f"Dir::Cache={archives}", "-o", "APT::Sandbox::User=")
    steps = (["apt-get", *ours, "update"], ["apt-get", *ours, "download", package])
    for step in steps:
        ran = subprocess.run(step, cwd=_CACHE, check=False, capture_output=True, text=True, timeout=150)
        if ran.returncode != 0:
            return ran.stderr.strip()[-300:] or f"{step[-1]} ended with {ran.returncode}"
    packages = sorted(_CACHE.glob(f"{package}_*.deb"))
    subprocess.run(["dpkg-deb", "-x", str(packages[-1]), str(_CACHE / "unpacked")], check=True, timeout=60)
    shutil.rmtree(lists)
    return None


def main() -> int:
    """Check the configuration and the rules and run the rules' tests, as `make check` does."""
    try:
        tool = find("promtool")
    except ProgramMissing as exc:
        sys.stderr.write(f"promtool was not run: {exc}\n")
        return 0
    for arguments in PROMTOOL_RUNS:
        run = subprocess.run([tool, *arguments], cwd=RULES, check=False, capture_output=True, text=True)
        if run.returncode:
            sys.stderr.write(run.stdout + run.stderr)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
