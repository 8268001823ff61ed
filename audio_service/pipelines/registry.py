"""Which pipelines there are, and which of them this process serves."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from audio_service.pipelines.download import DOWNLOADS
from audio_service.pipelines.upload import UPLOADS
from audio_service.settings import AudioSettings
from audio_service.worker.pipeline import Pipeline
from common.errors import Text
from common.settings_errors import SettingsError

Registry = Mapping[str, Pipeline[Any, Any]]

PIPELINES: Registry = {pipeline.name: pipeline for pipeline in (DOWNLOADS,)}


def available(settings: AudioSettings, registry: Registry = PIPELINES) -> Registry:
    """Return the pipelines, and with them that of uploads where UPLOADS is on."""
    return {**registry, UPLOADS.name: UPLOADS} if settings.uploads else registry


def chosen(names: str, registry: Registry = PIPELINES) -> list[Pipeline[Any, Any]]:
    """Return the pipelines that PIPELINES names, separated by commas; empty: all.

    Raises:
        SettingsError: a name is not in the registry.
    """
    wanted = [name.strip() for name in names.split(",") if name.strip()] or list(registry)
    if unknown := [name for name in wanted if name not in registry]:
        names = ", ".join(sorted(registry))
        raise SettingsError(
            Text(f"PIPELINES: {unknown[0]} no es uno de {names}", f"PIPELINES: {unknown[0]} is not one of {names}")
        )
    return [registry[name] for name in dict.fromkeys(wanted)]
