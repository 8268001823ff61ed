from __future__ import annotations

import asyncio
import shutil
from typing import get_args

import pytest

from audio_service.api.health import BROKERS, DATABASES, STORES
from audio_service.api.schemas import HealthBody, ReadinessBody
from audio_service.settings import AudioSettings
from tests.unit.audio_service.api.library import Api


@pytest.mark.parametrize(
    ("setting", "names"),
    [("messaging_backend", BROKERS), ("database_backend", DATABASES), ("storage_backend", STORES)],
)
def test_every_backend_has_its_name(setting: str, names: dict[str, str]) -> None:
    assert set(names) == set(get_args(AudioSettings.model_fields[setting].annotation))


async def test_every_dependency_works(api: Api) -> None:
    answer = await api.client.get("/api/v1/health")
    body = HealthBody.model_validate_json(answer.content)
    assert answer.status_code == 200
    assert set(body.services) == {"embedded_broker", "sqlite", "local_storage"}
    assert {service.status for service in body.services.values()} == {"saludable"}
    assert (body.status, body.environment) == ("Todos los servicios son saludables", "local")


async def test_a_dependency_that_is_down_is_shown_and_the_others_still_work(api: Api) -> None:
    await asyncio.to_thread(shutil.rmtree, api.deps.settings.local_storage_path)
    answer = await api.client.get("/api/v1/health")
    body = HealthBody.model_validate_json(answer.content)
    assert answer.status_code == 503
    assert body.services["local_storage"].status == "no saludable"
    assert body.services["local_storage"].error == "El almacenamiento no responde."
    assert body.services["sqlite"].status == "saludable"
    assert body.status == "Hay servicios que no son saludables"
    assert str(api.root) not in answer.text


async def test_a_full_disk_is_called_so(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("common.health.MIN_FREE_BYTES", 1 << 62)
    answer = await api.client.get("/api/v1/health")
    body = HealthBody.model_validate_json(answer.content)
    assert answer.status_code == 503
    assert all("disco está lleno" in (service.error or "") for service in body.services.values())


async def test_statuses_are_spanish_in_every_language(api: Api) -> None:
    await asyncio.to_thread(shutil.rmtree, api.deps.settings.local_storage_path)
    answer = await api.client.get("/api/v1/health", headers={"accept-language": "en"})
    body = HealthBody.model_validate_json(answer.content)
    assert body.services["local_storage"].status == "no saludable"
    assert body.services["local_storage"].error == "The storage does not answer."


async def test_readiness_follows_the_dependencies_and_liveness_does_not(api: Api) -> None:
    assert (await api.client.get("/readyz")).status_code == 200
    await asyncio.to_thread(shutil.rmtree, api.deps.settings.local_storage_path)
    answer = await api.client.get("/readyz")
    assert answer.status_code == 503
    assert not ReadinessBody.model_validate_json(answer.content).services["local_storage"]
    assert (await api.client.get("/livez")).status_code == 200


async def test_a_dependency_that_does_not_answer_is_down(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    """The directory exists, but all threads that could read it are busy."""
    monkeypatch.setattr("audio_service.api.health.TIMEOUT_SECONDS", 0.05)
    release = asyncio.Event()
    loop = asyncio.get_running_loop()

    def hold() -> None:
        asyncio.run_coroutine_threadsafe(release.wait(), loop).result()

    async with asyncio.TaskGroup() as tasks:
        for _ in range(64):
            tasks.create_task(asyncio.to_thread(hold))
        answer = await api.client.get("/api/v1/health")
        release.set()
    body = HealthBody.model_validate_json(answer.content)
    assert answer.status_code == 503
    assert body.services["local_storage"].status == "no saludable"
