"""The servers that stand in for AWS on 127.0.0.1: ministack (SQS, SNS, DynamoDB, Secrets Manager, Lambda) and SeaweedFS
(S3). Both come from requirements/emulators.txt and have an environment of their own.

What neither proves: signatures on SQS and DynamoDB, IAM, throttling, a visibility over 12 h (docs/aws.md).
"""

from __future__ import annotations

import asyncio
import json
import secrets
import signal
import subprocess
import tempfile
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from audio_service.settings import AudioSettings
from tests.servers.locked_tools import install
from tests.servers.ports import free_port
from tests.servers.reaper import child_environment
from tests.waiting import until

REGION = "us-east-1"
ACCESS_KEY, SECRET_KEY = "test", "test-secret-key"
CREDENTIALS = {"AWS_ACCESS_KEY_ID": ACCESS_KEY, "AWS_SECRET_ACCESS_KEY": SECRET_KEY, "AWS_REGION": REGION}
"""The environment from which the SDK's own chain takes credentials."""


@dataclass(slots=True)
class Emulator:
    """One server, which can be killed and started again on its port."""

    command: list[str]
    directory: Path
    port: int
    environment: dict[str, str] = field(default_factory=dict[str, str])
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Its address, for AWS_ENDPOINT_URL."""
        return f"http://127.0.0.1:{self.port}"

    async def start(self) -> None:
        """Start it on the data that is there, and wait until it listens."""
        with (self.directory / "log.txt").open("ab") as log:
            self.process = subprocess.Popen(  # noqa: ASYNC220 - starting it takes no time
                self.command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.directory,
                env=child_environment(self.environment),
            )
        await until(self._answers)

    async def kill(self) -> None:
        """`kill -9`."""
        if self.process is not None:
            self.process.kill()
            await asyncio.to_thread(self.process.wait)

    @contextmanager
    def frozen(self) -> Generator[None]:
        """Stop the process (SIGSTOP): connections stay open, without answers."""
        assert self.process is not None
        self.process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self.process.send_signal(signal.SIGCONT)

    async def _answers(self) -> bool:
        """Whether it answers HTTP with anything but 5xx; a port that listens may not be served yet."""
        assert self.process is not None
        if self.process.poll() is not None:
            raise RuntimeError(
                f"{self.command[0]} ended at its start: {(self.directory / 'log.txt').read_text()[-2000:]}"
            )
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        except OSError:
            return False
        try:
            writer.write(b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")
            status = await reader.readline()
        except OSError:
            return False
        finally:
            writer.close()
        return status.startswith(b"HTTP/1") and not status.split()[1].startswith(b"5")


def library_on(ministack: Emulator, **overrides: Any) -> AudioSettings:  # noqa: ANN401 - any setting
    """Return settings that keep the library in a new table of DynamoDB, which the adapter makes."""
    values: dict[str, Any] = {
        "database_backend": "dynamodb",
        "dynamodb_table_songs": f"songs-{secrets.token_hex(6)}",
        "aws_region": REGION,
        "aws_endpoint_url": ministack.url,
        **overrides,
    }
    return AudioSettings(**values)


@asynccontextmanager
async def open_ministack() -> AsyncGenerator[Emulator]:
    """Run ministack. It keeps everything in memory: `kill` loses it, `frozen` does not."""
    programs = await fetch()
    with tempfile.TemporaryDirectory(prefix="ministack-", ignore_cleanup_errors=True) as name:
        port = free_port()
        environment = {**CREDENTIALS, "GATEWAY_PORT": str(port), "BIND_HOST": "127.0.0.1", "LOG_LEVEL": "WARNING"}
        async with _running(Emulator([str(programs / "ministack")], Path(name), port, environment)) as emulator:
            yield emulator


@asynccontextmanager
async def open_seaweedfs() -> AsyncGenerator[Emulator]:
    """Run SeaweedFS as an S3 server; what it acknowledged outlives `kill`."""
    programs = await fetch()
    with tempfile.TemporaryDirectory(prefix="seaweedfs-", ignore_cleanup_errors=True) as name:
        directory, port = Path(name), free_port()
        rights = ["Admin", "Read", "Write", "List", "Tagging"]
        keys = [{"accessKey": ACCESS_KEY, "secretKey": SECRET_KEY}]
        identities = {"identities": [{"name": "tests", "credentials": keys, "actions": rights}]}
        (directory / "s3.json").write_text(json.dumps(identities))
        (directory / "data").mkdir()
        # Every bucket has volumes of its own: by default seven from its first object on.
        (directory / "master.toml").write_text("[master.volume_growth]\ncopy_1 = 1\n")
        # It would choose the rest of its ports by itself, and other tests run beside it.
        parts = ("master", "master.grpc", "volume", "volume.grpc", "filer", "filer.grpc", "s3.grpc")
        ports = [
            f"-{part.replace('.grpc', '')}.port{'.grpc' if part.endswith('.grpc') else ''}={free_port()}"
            for part in parts
        ]
        command = [
            *(str(programs / "weed"), "server", f"-dir={directory / 'data'}", "-ip=127.0.0.1", "-ip.bind=127.0.0.1"),
            *("-s3", f"-s3.port={port}", f"-s3.port.grpc={free_port()}", f"-s3.config={directory / 's3.json'}"),
            *("-s3.iam=false", "-master.volumeSizeLimitMB=64", "-volume.max=1000", *ports),
            # Their ports are fixed: a second server would end at its start.
            *("-s3.port.iceberg=0", "-s3.port.lance=0"),
            *(f"-{part}.localSocket={directory / part}.sock" for part in ("filer", "s3")),
        ]
        # Keys in its environment would take the place of those in s3.json.
        async with _running(Emulator(command, directory, port, {"HOME": name})) as emulator:
            yield emulator


@asynccontextmanager
async def _running(emulator: Emulator) -> AsyncGenerator[Emulator]:
    try:
        await emulator.start()
        yield emulator
    finally:
        await emulator.kill()


async def fetch() -> Path:
    """Install the emulators unless they are there, and return the folder of their programs. Raises RuntimeError."""
    return await asyncio.to_thread(install, "emulators")
