"""`docker compose up` with the real Compose binary, at a stand-in of the Docker Engine."""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path

import pytest
import yaml

from tests.deploy.compose import ROOT, Config, config, up
from tests.servers.docker_engine import Engine, running_engine

SECOND = 1_000_000_000


@pytest.fixture
def engine(tmp_path: Path) -> Generator[Engine]:
    with running_engine(tmp_path) as engine:
        yield engine


def changed(tmp_path: Path, service: str, **keys: object) -> Path:
    """Return a copy of the file in which a service has these keys."""
    loaded: Config = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
    loaded["services"][service] |= keys
    file = tmp_path / "docker-compose.yml"
    file.write_text(yaml.safe_dump(loaded))
    return file


def test_everything_is_created_and_started(engine: Engine, tmp_path: Path) -> None:
    ran = up(engine, tmp_path)
    assert ran.returncode == 0, ran.stderr
    assert set(engine.containers) == {f"butakero-{name}-1" for name in config()["services"]}
    assert all(container["started"] for container in engine.containers.values())


def test_each_health_check_reaches_the_engine_with_the_time_it_starts_in(engine: Engine, tmp_path: Path) -> None:
    assert up(engine, tmp_path).returncode == 0
    for name, container in engine.containers.items():
        check = container["Healthcheck"]
        if check.get("Test") != ["NONE"]:
            assert check["StartPeriod"] >= 60 * SECOND, name
    often = {name: c["Healthcheck"].get("StartInterval") for name, c in engine.containers.items()}
    for name in ("butakero_bot", "audio_processor", "audio_api"):
        assert often[f"butakero-{name}-1"] == 2 * SECOND


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({"healthcheck": {"start_interval": "2s"}}, "start_interval requires healthcheck.start_period"),
        ({"healthcheck": {"interval": "1us"}}, "cannot be less than 1ms"),
        ({"volumes": ["./nothing-of-this-name:/mnt:ro"]}, "no source"),
    ],
    ids=["start interval alone", "too often", "a mount of nothing"],
)
def test_what_only_the_creation_of_containers_shows_is_seen(
    engine: Engine, tmp_path: Path, keys: dict[str, object], words: str
) -> None:
    ran = up(engine, tmp_path, file=changed(tmp_path, "audio_api", **keys))
    assert ran.returncode != 0
    assert words in ran.stderr


def test_two_on_one_port_are_refused(engine: Engine, tmp_path: Path) -> None:
    ran = up(engine, tmp_path, file=changed(tmp_path, "butakero_bot", ports=["127.0.0.1:8080:8081"]))
    assert ran.returncode != 0
    assert "127.0.0.1:8080" in ran.stderr


def test_an_image_that_is_not_there_is_named(tmp_path: Path) -> None:
    images = {service["image"] for service in config()["services"].values()} - {"butakero/bot:dev"}
    with running_engine(tmp_path, images) as engine:
        ran = up(engine, tmp_path)
    assert ran.returncode != 0
    assert "butakero/bot:dev" in ran.stderr
