"""The opened ports that the HTTP API is given. Neither opened nor closed here: `bootstrap` does both."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry
from starlette.requests import Request

from audio_service.assets.repository.base import AssetRepository
from audio_service.media.repository.base import MediaRepository
from audio_service.settings import AudioSettings
from audio_service.sources.questions import Questions
from common.blobs.base import BlobStore
from common.broker.base import Broker

if TYPE_CHECKING:
    from audio_service.services import Services


@dataclass(frozen=True, slots=True)
class ApiDeps:
    """Opened ports, settings, and the registry that `/metrics` shows and the API's own metrics are created on."""

    settings: AudioSettings
    repository: MediaRepository
    blobs: BlobStore
    broker: Broker
    questions: Questions
    registry: CollectorRegistry
    assets: AssetRepository | None = None

    @classmethod
    def of(cls, services: Services) -> ApiDeps:
        """Take what the API needs out of what `bootstrap` opened."""
        return cls(
            settings=services.settings,
            repository=services.repository,
            blobs=services.blobs,
            broker=services.broker,
            questions=services.questions,
            registry=services.registry,
            assets=services.assets,
        )


def deps_of(request: Request) -> ApiDeps:
    """Return the dependencies that the application was created with.

    A function and not a FastAPI dependency: resolving one costs every request a tenth of a whole look-up.
    """
    deps: ApiDeps = request.app.state.deps
    return deps
