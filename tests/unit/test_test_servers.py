"""When a server of the tests is skipped, and when it fails."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.servers import kafka as kafka_server
from tests.servers.kafka import open_kafka


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine without a single program, on which nothing was fetched yet; the directory of its programs."""
    programs = tmp_path / "bin"
    programs.mkdir()
    monkeypatch.setenv("PATH", str(programs))
    monkeypatch.setattr(kafka_server, "_ROOT", tmp_path)
    return programs


def install(machine: Path, *names: str) -> None:
    """Install programs of which none works."""
    for name in names:
        (machine / name).write_text("#!/bin/sh\necho no network; exit 1\n")
        (machine / name).chmod(0o755)


@pytest.mark.parametrize(("installed", "missing"), [((), "java, mvn"), (("java",), "mvn"), (("mvn",), "java")])
async def test_without_its_programs_kafka_is_skipped_and_they_are_named(
    machine: Path, installed: tuple[str, ...], missing: str
) -> None:
    install(machine, *installed)
    with pytest.raises(pytest.skip.Exception, match=f"not on PATH: {missing}$"):
        async with open_kafka():
            pass


async def test_with_its_programs_a_kafka_that_cannot_start_is_a_failure(machine: Path) -> None:
    install(machine, "java", "mvn")
    with pytest.raises(RuntimeError, match="mvn failed: no network"):
        async with open_kafka():
            pass
