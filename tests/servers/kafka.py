"""Apache Kafka itself (KRaft, one node) on 127.0.0.1, which can be killed and restarted on the same data.

Needs Java 17 and, once, Maven, which copies the broker into `.cache/`. Where one of them is not
installed, the tests that need it are skipped, naming it; otherwise a broker that does not start is a failure. A broker
that KAFKA_BROKERS names is used instead, except by tests that kill it or need its other listeners.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import re
import shutil
import signal
import subprocess
import tempfile
import uuid
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from tests.servers.certificates import Certificates, have_openssl, make_certificates
from tests.servers.kafka_topics import takes_work
from tests.servers.missing import ProgramMissing
from tests.servers.ports import free_port
from tests.servers.reaper import child_environment
from tests.waiting import patience, until

_ROOT = Path(__file__).parents[2]
_POM = Path(__file__).parent / "kafka" / "pom.xml"
_JAVA = ("java", "-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-XX:-UsePerfData")
_SCRAM = "org.apache.kafka.common.security.scram.ScramLoginModule required;"

FETCH_SECONDS = 900.0
_UNKILLED_SECONDS = 60.0
"""The session of the broker that all tests share, which none of them kills."""
_fetch_failures: dict[Path, str] = {}
"""Why jars could not be copied to a place; empty if they were."""

ADMIN, STRANGER = ("alice", "alice-secret"), ("bob", "bob-secret")
"""SCRAM users: one with all rights, one with none."""


@dataclass(slots=True)
class Kafka:
    """One broker. Empty listeners do not exist on a broker that the environment names.

    `detour` is a plain listener that advertises another address than its own: that of a forwarder in front of it.
    """

    bootstrap: str
    tls: str = ""
    scram: str = ""
    detour: str = ""
    certificates: Certificates | None = None
    directory: Path | None = None
    process: subprocess.Popen[bytes] | None = None

    def environment(self, **overrides: str) -> dict[str, str]:
        """Return the environment that leads a service to the plain listener."""
        return {"MESSAGING_BACKEND": "kafka", "KAFKA_BROKERS": self.bootstrap, **overrides}

    async def kill(self) -> None:
        """`kill -9`."""
        assert self.process is not None
        self.process.kill()
        await asyncio.to_thread(self.process.wait)

    async def start(self) -> None:
        """Start on the data that is there, and wait until it answers."""
        assert self.directory is not None
        with (self.directory / "log.txt").open("ab") as log:
            # Not asyncio.subprocess: tests on different event loops share a broker.
            self.process = subprocess.Popen(  # noqa: ASYNC220 - starting it takes no time
                [*_JAVA, "-cp", _classpath(), "kafka.Kafka", str(self.directory / "server.properties")],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.directory,
                env=child_environment(),
            )
        await until(self._listens)

    async def _listens(self) -> bool:
        assert self.directory is not None
        assert self.process is not None
        if self.process.poll() is not None:
            raise RuntimeError(f"Kafka ended at its start: {(self.directory / 'log.txt').read_text()[-2000:]}")
        host, _, port = self.bootstrap.partition(":")
        try:
            _, writer = await asyncio.open_connection(host, int(port))
        except OSError:
            return False
        writer.close()
        await writer.wait_closed()
        return True

    @contextmanager
    def frozen(self) -> Generator[None]:
        """Stop the process (SIGSTOP): connections stay open, without answers, as on a network that drops packets."""
        assert self.process is not None
        self.process.send_signal(signal.SIGSTOP)
        # Until all of its threads are stopped: one may be about to answer.
        os.waitid(os.P_PID, self.process.pid, os.WSTOPPED)
        try:
            yield
        finally:
            self.process.send_signal(signal.SIGCONT)

    async def revive(self) -> None:
        """Start it unless it runs, and wait until it takes work: one that stood still is fenced for a moment."""
        if self.process is None or self.process.poll() is not None:
            await self.start()
        await until(lambda: takes_work(self.bootstrap))


@asynccontextmanager
async def open_kafka(*, forwarder: str = "", session_seconds: float = 2.0) -> AsyncGenerator[Kafka]:
    """Start a broker. `forwarder` (host:port) leads to its detour. Raises ProgramMissing, which skips a test.

    A broker that is killed may come back under its own number only when its session has ended; one that stands still
    for longer than that takes no new topics for a moment.
    """
    _require()
    with tempfile.TemporaryDirectory(prefix="kafka-", ignore_cleanup_errors=True) as name:
        kafka = await _prepare(Path(name), forwarder, session_seconds)
        try:
            await kafka.start()
            yield kafka
        finally:
            if kafka.process is not None:
                await kafka.kill()


@asynccontextmanager
async def open_shared_kafka() -> AsyncGenerator[Kafka]:
    """Use the broker that KAFKA_BROKERS names, or start one."""
    if named := os.environ.get("KAFKA_BROKERS"):
        yield Kafka(named)
        return
    async with open_kafka(session_seconds=_UNKILLED_SECONDS) as kafka:
        yield kafka


def _require() -> None:
    missing = [program for program in ("java", "mvn") if shutil.which(program) is None]
    if "java" in missing or (missing and not _libraries().is_dir()):
        raise ProgramMissing(f"Apache Kafka needs Java 17 and, once, Maven; not on PATH: {', '.join(missing)}")


def _libraries() -> Path:
    """Return where the jars of the pinned version are: another version's stay, for a checkout that has that one."""
    version = re.search(r"<artifactId>kafka_2.13</artifactId>\s*<version>(.+)</version>", _POM.read_text())
    assert version is not None
    return _ROOT / ".cache" / "kafka" / f"libs-{version[1]}"


@cache
def _classpath() -> str:
    return f"{_libraries()}/*"


async def _prepare(directory: Path, forwarder: str, session_seconds: float) -> Kafka:
    """Fetch the broker unless it is there, and lay out its data with two SCRAM users."""
    await fetch()
    plain, tls, scram, detour, controller = (f"127.0.0.1:{free_port()}" for _ in range(5))
    certificates = make_certificates(directory) if have_openssl() else None
    kafka = Kafka(plain, tls if certificates else "", scram, detour if forwarder else "", certificates, directory)
    (directory / "server.properties").write_text(_properties(kafka, controller, forwarder, session_seconds))
    users = [f"SCRAM-SHA-512=[name={name},password={password}]" for name, password in (ADMIN, STRANGER)]
    await _run(
        *(*_JAVA, "-cp", _classpath(), "kafka.tools.StorageTool", "format", "-c", str(directory / "server.properties")),
        *("-t", uuid.uuid4().hex[:22], *(part for user in users for part in ("--add-scram", user))),
    )
    return kafka


async def fetch() -> None:
    """Copy the broker's jars into `.cache/` unless they are there. One process does it, others wait for it.

    The test run calls this before its first test (tests/conftest.py): no test's time limit covers a download.

    Raises:
        ProgramMissing: Java or Maven is not installed.
        RuntimeError: Maven failed, or was not done within FETCH_SECONDS. Not tried again in this process.
    """
    _require()
    libraries = _libraries()
    libraries.parent.mkdir(parents=True, exist_ok=True)
    with (libraries.parent / "lock").open("w") as lock:
        await asyncio.to_thread(fcntl.flock, lock, fcntl.LOCK_EX)
        if libraries.is_dir():
            return
        if libraries not in _fetch_failures:
            _fetch_failures[libraries] = await _copy(libraries)
        if failure := _fetch_failures[libraries]:
            raise RuntimeError(failure)


async def _copy(libraries: Path) -> str:
    """Let Maven copy the jars; return why that failed, or ""."""
    with tempfile.TemporaryDirectory(dir=libraries.parent, ignore_cleanup_errors=True) as name:
        copied = Path(name) / "libs"
        try:
            async with asyncio.timeout(patience(FETCH_SECONDS)):
                await _run(
                    *("mvn", "-B", "-q", "-f", str(_POM), "dependency:copy-dependencies"),
                    *("-DincludeScope=runtime", f"-DoutputDirectory={copied}"),
                )
        except RuntimeError as exc:
            return str(exc)
        except TimeoutError:
            return f"mvn did not fetch Kafka within {patience(FETCH_SECONDS):.0f} s"
        copied.rename(libraries)
    return ""


async def _run(*command: str) -> None:
    process = await asyncio.create_subprocess_exec(
        *command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=child_environment(),
        start_new_session=True,
    )
    try:
        output, _ = await process.communicate()
    except asyncio.CancelledError:
        os.killpg(process.pid, signal.SIGKILL)
        await process.wait()
        raise
    if process.returncode:
        raise RuntimeError(f"{command[0]} failed: {output.decode()[-2000:]}")


def _properties(kafka: Kafka, controller: str, forwarder: str, session_seconds: float) -> str:
    named = {"PLAIN": kafka.bootstrap, "SCRAM": kafka.scram, "TLS": kafka.tls, "DETOUR": kafka.detour}
    listeners = {name: address for name, address in named.items() if address}
    advertised = {**listeners, "DETOUR": forwarder} if kafka.detour else listeners
    lines = {
        "process.roles": "broker,controller",
        "node.id": "1",
        "controller.quorum.voters": f"1@{controller}",
        "controller.listener.names": "CONTROLLER",
        "inter.broker.listener.name": "PLAIN",
        "listeners": _listed({**listeners, "CONTROLLER": controller}),
        "advertised.listeners": _listed(advertised),
        "listener.security.protocol.map": (
            "CONTROLLER:PLAINTEXT,PLAIN:PLAINTEXT,DETOUR:PLAINTEXT,TLS:SSL,SCRAM:SASL_PLAINTEXT"
        ),
        "log.dirs": f"{kafka.directory}/data",
        "auto.create.topics.enable": "false",
        "offsets.topic.replication.factor": "1",
        "offsets.topic.num.partitions": "4",
        "transaction.state.log.replication.factor": "1",
        "transaction.state.log.min.isr": "1",
        "broker.session.timeout.ms": str(int(session_seconds * 1000)),
        "broker.heartbeat.interval.ms": "400",
        # A first member need not wait for others, and tests wait for the death of one.
        "group.initial.rebalance.delay.ms": "0",
        "group.min.session.timeout.ms": "500",
        "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
        "super.users": f"User:ANONYMOUS;User:{ADMIN[0]};User:CN=client,O=tests",
        "sasl.enabled.mechanisms": "SCRAM-SHA-512",
        "listener.name.scram.scram-sha-512.sasl.jaas.config": _SCRAM,
        "listener.name.tls.ssl.client.auth": "required",
        **_stores(kafka.certificates),
    }
    return "".join(f"{key}={value}\n" for key, value in lines.items())


def _listed(listeners: dict[str, str]) -> str:
    return ",".join(f"{name}://{address}" for name, address in listeners.items())


def _stores(certificates: Certificates | None) -> dict[str, str]:
    if certificates is None:
        return {}
    return {
        "listener.name.tls.ssl.keystore.type": "PEM",
        "listener.name.tls.ssl.keystore.location": str(certificates.server_pair),
        "listener.name.tls.ssl.truststore.type": "PEM",
        "listener.name.tls.ssl.truststore.location": str(certificates.authority),
    }
