"""Renewed certificates on disk, laid down as the kubelet does: a new directory, then one link changed."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from common.certificates import certificate_files, watch_certificates
from common.settings import SharedSettings
from common.tasks import running_alongside
from tests.servers.certificates import Certificates, have_openssl, make_certificates
from tests.servers.missing import ProgramMissing
from tests.waiting import patience, until

SOON = timedelta(milliseconds=5)
NAMES = ("ca.crt", "tls.crt", "tls.key")


@pytest.fixture(scope="module")
def issued(tmp_path_factory: pytest.TempPathFactory) -> tuple[Certificates, Certificates]:
    """Two issues of everything: before and after a renewal."""
    if not have_openssl():
        raise ProgramMissing("openssl is not installed")
    return make_certificates(tmp_path_factory.mktemp("first")), make_certificates(tmp_path_factory.mktemp("second"))


class Mounted:
    """A Secret's volume: `..data` leads to the directory of the present version, and each file into it."""

    def __init__(self, place: Path, issue: Certificates) -> None:
        self.place = place
        self.versions = 0
        self.put(issue)
        for name in NAMES:
            (place / name).symlink_to(Path("..data") / name)

    @property
    def files(self) -> dict[str, Path]:
        keys = ("KAFKA_CA_FILE", "KAFKA_CERT_FILE", "KAFKA_KEY_FILE")
        return dict(zip(keys, (self.place / name for name in NAMES), strict=True))

    def put(self, issue: Certificates, *, key_of: Certificates | None = None) -> None:
        self.versions += 1
        version = self.place / f"..{self.versions}"
        version.mkdir()
        shutil.copy(issue.authority, version / "ca.crt")
        shutil.copy(issue.client_certificate, version / "tls.crt")
        shutil.copy((key_of or issue).client_key, version / "tls.key")
        link = self.place / "..data_tmp"
        link.symlink_to(version.name)
        link.rename(self.place / "..data")


@pytest.fixture
def mounted(tmp_path: Path, issued: tuple[Certificates, Certificates]) -> Mounted:
    return Mounted(tmp_path, issued[0])


class Watched:
    """A watch that runs; `looks` grows with each pass over the files."""

    def __init__(self, files: dict[str, Path]) -> None:
        self.stop = asyncio.Event()
        self.looks = 0
        self.files = _Counting(files, self)

    async def several_looks(self) -> None:
        seen = self.looks
        await until(lambda: self.looks >= seen + 5)


class _Counting(dict[str, Path]):
    def __init__(self, files: dict[str, Path], watched: Watched) -> None:
        super().__init__(files)
        self._watched = watched

    def items(self):  # noqa: ANN202 - dict's own view
        self._watched.looks += 1
        return super().items()


@asynccontextmanager
async def watching(files: dict[str, Path], *, spread: timedelta = timedelta(0)) -> AsyncGenerator[Watched]:
    watched = Watched(files)
    async with running_alongside(watch_certificates(watched.files, watched.stop, every=SOON, spread=spread)):
        await watched.several_looks()
        try:
            yield watched
        finally:
            watched.stop.set()


async def test_a_renewed_certificate_stops_the_program(
    mounted: Mounted, issued: tuple[Certificates, Certificates]
) -> None:
    with capture_logs() as logs:
        async with watching(mounted.files) as watched:
            assert not watched.stop.is_set()
            mounted.put(issued[1])
            async with asyncio.timeout(patience()):
                await watched.stop.wait()
    (renewed,) = [entry for entry in logs if entry["event"] == "certificates.renewed"]
    assert renewed["settings"] == ["KAFKA_CA_FILE", "KAFKA_CERT_FILE", "KAFKA_KEY_FILE"]


async def test_the_same_contents_laid_down_again_change_nothing(
    mounted: Mounted, issued: tuple[Certificates, Certificates]
) -> None:
    async with watching(mounted.files) as watched:
        mounted.put(issued[0])
        await watched.several_looks()
        assert not watched.stop.is_set()


async def test_a_key_that_does_not_fit_is_waited_out(
    mounted: Mounted, issued: tuple[Certificates, Certificates]
) -> None:
    first, second = issued
    with capture_logs() as logs:
        async with watching(mounted.files) as watched:
            mounted.put(second, key_of=first)
            await until(lambda: any(entry["event"] == "certificates.unusable" for entry in logs))
            await watched.several_looks()
            assert not watched.stop.is_set()
            mounted.put(second)
            async with asyncio.timeout(patience()):
                await watched.stop.wait()


async def test_files_that_are_missing_for_a_while_are_waited_for(
    mounted: Mounted, issued: tuple[Certificates, Certificates]
) -> None:
    async with watching(mounted.files) as watched:
        (mounted.place / "..data").unlink()
        await watched.several_looks()
        assert not watched.stop.is_set()
        mounted.put(issued[0])
        await watched.several_looks()
        assert not watched.stop.is_set()
        mounted.put(issued[1])
        async with asyncio.timeout(patience()):
            await watched.stop.wait()


async def test_a_program_that_stops_meanwhile_does_not_wait_for_its_turn(
    mounted: Mounted, issued: tuple[Certificates, Certificates]
) -> None:
    with capture_logs() as logs:
        async with watching(mounted.files, spread=timedelta(days=365)) as watched:
            mounted.put(issued[1])
            await until(lambda: any(entry["event"] == "certificates.renewed" for entry in logs))
            assert not watched.stop.is_set()


@pytest.mark.parametrize(
    ("changes", "watched"),
    [
        ({}, {"KAFKA_CA_FILE", "KAFKA_CERT_FILE", "KAFKA_KEY_FILE", "MONGO_CA_FILE", "MONGO_CERT_FILE"}),
        ({"messaging_backend": "embedded"}, {"MONGO_CA_FILE", "MONGO_CERT_FILE"}),
        ({"kafka_enable_tls": False, "database_backend": "sqlite"}, set[str]()),
    ],
)
def test_the_files_of_the_backends_in_use_are_watched(changes: dict[str, object], watched: set[str]) -> None:
    kafka = {"messaging_backend": "kafka", "kafka_enable_tls": True, "kafka_brokers": "k:9093"}
    kafka_files = {"kafka_ca_file": "/a", "kafka_cert_file": "/b", "kafka_key_file": "/c"}
    mongodb = {"database_backend": "mongodb", "mongo_host": "m", "mongo_enable_tls": True}
    mongodb_files = {"mongo_ca_file": "/d", "mongo_cert_file": "/e"}
    values = {**kafka, **kafka_files, **mongodb, **mongodb_files, **changes}
    assert set(certificate_files(SharedSettings.model_validate(values))) == watched
