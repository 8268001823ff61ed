"""The audio service's settings. One field is one environment key; `.env.example` documents each of them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import Field, SecretStr, field_validator

from audio_service.addresses import parse_allow
from common.settings import SharedSettings


class AudioSettings(SharedSettings):
    """Everything the audio service can be told from outside."""

    http_host: str = "127.0.0.1"
    http_port: Annotated[int, Field(ge=0, le=65535)] = 8080

    num_workers: Annotated[int, Field(ge=0, le=64)] = 2
    service_max_attempts: Annotated[int, Field(ge=1, le=20)] = 3
    service_timeout: Annotated[float, Field(gt=0, le=1440, description="minutes")] = 10.0
    retry_base_seconds: Annotated[float, Field(ge=0, le=300)] = 1.0
    retry_max_seconds: Annotated[float, Field(ge=0, le=3600)] = 60.0
    lease_seconds: Annotated[float, Field(ge=0.5, le=600)] = 15.0
    resolution_ttl_seconds: Annotated[float, Field(ge=0)] = 24 * 3600.0

    sqlite_path: Path = Path("data/library.db")
    mongo_collection_songs: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,60}$")] = "songs"
    temp_path: Path = Path("data/tmp")

    max_stored_bytes: Annotated[int, Field(ge=0)] = 0
    retention_interval_seconds: Annotated[float, Field(gt=0, le=86_400)] = 300.0
    retention_grace_seconds: Annotated[float, Field(ge=0, le=86_400 * 30)] = 600.0

    youtube_api_key: SecretStr = SecretStr("")
    youtube_api_url: str = "https://www.googleapis.com/youtube/v3"
    youtube_watch_url: str = "https://www.youtube.com/watch?v={id}"
    cookies_youtube: Path | None = None

    network_allow: str = ""
    network_timeout_seconds: Annotated[float, Field(gt=0, le=300)] = 15.0
    max_redirects: Annotated[int, Field(ge=0, le=20)] = 5
    max_duration_seconds: Annotated[int, Field(ge=1)] = 3 * 3600
    max_download_bytes: Annotated[int, Field(ge=1)] = 1024 * 1024 * 1024

    child_memory_bytes: Annotated[int, Field(ge=128 * 1024 * 1024)] = 1024 * 1024 * 1024
    child_cpu_seconds: Annotated[int, Field(ge=1)] = 900
    opus_bitrate: Annotated[int, Field(ge=16_000, le=510_000)] = 128_000
    opus_complexity: Annotated[int, Field(ge=0, le=10)] = 5

    @field_validator("network_allow")
    @classmethod
    def _check_network_allow(cls, text: str) -> str:
        parse_allow(text)
        return text

    @field_validator("youtube_watch_url")
    @classmethod
    def _check_watch_url(cls, text: str) -> str:
        if "{id}" not in text or not text.startswith(("http://", "https://")):
            raise ValueError("an http or https URL that holds {id} is expected")
        return text
