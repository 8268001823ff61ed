"""Services of the audio service on embedded backends, without child processes and without a network."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast

import pytest
from prometheus_client import CollectorRegistry

from audio_service.media.repository import open_repository
from audio_service.metrics import WorkerMetrics
from audio_service.services import Services
from audio_service.workspace import open_workspace
from common.blobs import open_blobs
from common.broker import open_broker
from tests.servers.system import settings_for


@asynccontextmanager
async def open_embedded_services(directory: Path, **overrides: Any) -> AsyncGenerator[Services]:  # noqa: ANN401 - any setting
    """Open real ports in a directory; what would need child processes or a network is not there."""
    settings = settings_for(directory, **overrides)
    registry = CollectorRegistry()
    absent = cast("Any", None)
    async with (
        open_broker(settings) as broker,
        open_repository(settings) as repository,
        open_blobs(settings) as blobs,
    ):
        with open_workspace(settings.temp_path) as workspace:
            yield Services(
                settings=settings,
                owner="here",
                broker=broker,
                repository=repository,
                blobs=blobs,
                source=absent,
                children=absent,
                questions=absent,
                workspace=workspace,
                registry=registry,
                metrics=WorkerMetrics.on(registry),
            )


@pytest.fixture
async def services(tmp_path: Path) -> AsyncGenerator[Services]:
    """Services with settings for tests."""
    async with open_embedded_services(tmp_path) as opened:
        yield opened
