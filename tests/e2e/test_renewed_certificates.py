"""A service whose client certificate for Kafka was renewed ends by itself, and starts with the new one."""

from __future__ import annotations

import asyncio
import shutil
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.servers.certificates import renew_client
from tests.servers.kafka import Kafka
from tests.servers.missing import ProgramMissing
from tests.servers.ports import free_port
from tests.servers.reaper import child_environment
from tests.servers.system import ROOT, answers, environment_of, settings_for
from tests.waiting import patience

# The service itself, with looks at the files and a spread that a test can wait for.
PROGRAM = """
import sys
from datetime import timedelta
from functools import partial
import audio_service.__main__ as service
soon = timedelta(milliseconds=100)
service.watch_certificates = partial(service.watch_certificates, every=soon, spread=soon)
sys.exit(service.main())
"""


@asynccontextmanager
async def running(environment: dict[str, str], port: int) -> AsyncGenerator[asyncio.subprocess.Process]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", PROGRAM, cwd=ROOT, env=child_environment(environment)
    )
    try:
        await answers(process, f"http://127.0.0.1:{port}/readyz")
        yield process
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()


@pytest.mark.slow
async def test_the_service_stops_cleanly_for_its_supervisor_to_start_it_with_the_new_certificate(
    tmp_path: Path, kafka: Kafka
) -> None:
    if kafka.certificates is None:
        raise ProgramMissing("the broker has no TLS listener here")
    mounted, renewed = tmp_path / "mounted", tmp_path / "renewed"
    mounted.mkdir()
    renewed.mkdir()
    shutil.copy(kafka.certificates.client_certificate, mounted / "tls.crt")
    shutil.copy(kafka.certificates.client_key, mounted / "tls.key")
    settings = settings_for(
        tmp_path,
        http_port=free_port(),
        num_workers=1,
        messaging_backend="kafka",
        kafka_brokers=kafka.tls,
        kafka_enable_tls=True,
        kafka_ca_file=kafka.certificates.authority,
        kafka_cert_file=mounted / "tls.crt",
        kafka_key_file=mounted / "tls.key",
    )
    environment = environment_of(settings)
    async with running(environment, settings.http_port) as process:
        certificate, key = renew_client(kafka.certificates, renewed)
        # One after the other, as a copy does: between the two the key does not fit.
        shutil.copy(certificate, mounted / "tls.crt")
        shutil.copy(key, mounted / "tls.key")
        async with asyncio.timeout(patience()):
            assert await process.wait() == 0
    async with running(environment, settings.http_port):
        pass
