"""What `bootstrap` opens and everything else is given: the ports, the child processes, the metrics."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from prometheus_client import CollectorRegistry

from audio_service.assets.repository.base import AssetRepository
from audio_service.children.pool import ChildPool
from audio_service.media.repository.base import MediaRepository
from audio_service.metrics import WorkerMetrics
from audio_service.settings import AudioSettings
from audio_service.sources.base import MediaSource
from audio_service.sources.questions import Questions
from audio_service.workspace import Workspace
from common.blobs.base import BlobStore
from common.broker.base import Broker


@dataclass(frozen=True, slots=True)
class Services:
    """One of each, for the life of the process. `owner` names this process in leases; no `assets` without UPLOADS."""

    settings: AudioSettings
    owner: str
    broker: Broker
    repository: MediaRepository
    blobs: BlobStore
    source: MediaSource
    children: ChildPool
    questions: Questions
    workspace: Workspace
    registry: CollectorRegistry
    metrics: WorkerMetrics
    assets: AssetRepository | None = None


class Answering(Protocol):
    """What answering a request takes: a program that does no work itself opens no more than this."""

    @property
    def settings(self) -> AudioSettings:
        """The service's settings."""
        ...

    @property
    def broker(self) -> Broker:
        """Where statuses are published."""
        ...

    @property
    def repository(self) -> MediaRepository:
        """The library."""
        ...

    @property
    def metrics(self) -> WorkerMetrics:
        """Counts answers."""
        ...
