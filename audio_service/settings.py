"""The audio service's settings. One field is one environment key; `.env.example` documents each of them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

from pydantic import Field, SecretStr, ValidationInfo, field_validator

from audio_service.addresses import parse_allow
from audio_service.families import FAMILIES, Family, families_of
from common.settings import SharedSettings
from common.settings_errors import Expected

_SAFE_URL = re.compile(r"https://|http://(localhost|127\.0\.0\.1|\[::1\])[:/]")
_PUBLIC_URL = r"^(https?://[^\s?#]*[^\s?#/])?$"
_TOPIC = r"^[A-Za-z0-9._-]{1,200}$"
_ORIGIN = re.compile(r"https?://[A-Za-z0-9.-]+(:\d{1,5})?")


class AudioSettings(SharedSettings):
    """Everything the audio service can be told from outside."""

    http_host: str = "127.0.0.1"
    http_port: Annotated[int, Field(ge=0, le=65535)] = 8080

    metrics_port: Annotated[int, Field(ge=0, le=65535)] | None = None
    api_keys_file: Path | None = None
    oauth_audience: str = ""
    oauth_jwks_url: str = ""
    oauth_issuer: str = ""
    rate_limit_per_minute: Annotated[int, Field(ge=0, le=1_000_000)] = 0
    rate_limit_burst: Annotated[int, Field(ge=1, le=1_000_000)] = 60
    cors_origins: str = ""
    forwarded_allow_ips: str = ""

    pipelines: str = ""
    num_workers: Annotated[int, Field(ge=0, le=64)] = 2
    service_max_attempts: Annotated[int, Field(ge=1, le=20)] = 3
    service_timeout: Annotated[float, Field(gt=0, le=1440, description="minutes")] = 10.0
    retry_base_seconds: Annotated[float, Field(ge=0, le=300)] = 1.0
    retry_max_seconds: Annotated[float, Field(ge=0, le=3600)] = 60.0
    lease_seconds: Annotated[float, Field(ge=0.5, le=600)] = 15.0
    resolution_ttl_seconds: Annotated[float, Field(ge=0)] = 24 * 3600.0

    sqlite_path: Path = Path("data/library.db")
    mongo_collection_songs: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,60}$")] = "songs"
    mongo_collection_assets: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,60}$")] = "assets"
    dynamodb_table_songs: Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]{3,255}$")] = "butakero-songs"
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

    uploads: bool = False
    upload_max_bytes: Annotated[int, Field(ge=1, le=5 * 1024**3)] = 100 * 1024 * 1024
    upload_families: str = "aac,aiff,amr,caf,flac,mp3,mp4,ogg,wav,webm"
    upload_url_seconds: Annotated[int, Field(ge=10, le=7 * 24 * 3600)] = 900
    upload_open_limit: Annotated[int, Field(ge=1)] = 20
    upload_daily_limit: Annotated[int, Field(ge=1)] = 500
    public_url: Annotated[str, Field(pattern=_PUBLIC_URL)] = ""
    topic_upload_requests: Annotated[str, Field(pattern=_TOPIC)] = "media.uploads.requests"
    topic_asset_status: Annotated[str, Field(pattern=_TOPIC)] = "media.assets.status"

    @property
    def disk(self) -> Path:
        """A directory of the disk that may fill: with the songs, or with those in the making where S3 keeps them."""
        return self.local_storage_path if self.storage_backend == "local" else self.temp_path

    @property
    def access_controlled(self) -> bool:
        """Whether the API asks who is there."""
        return self.api_keys_file is not None or bool(self.oauth_issuer)

    @property
    def origins(self) -> list[str]:
        """The pages of CORS_ORIGINS."""
        return [origin.strip() for origin in self.cors_origins.split(",") if origin.strip()]

    @field_validator("oauth_jwks_url")
    @classmethod
    def _check_jwks_url(cls, text: str) -> str:
        if text and not _SAFE_URL.match(text):
            raise Expected(
                "se espera una URL https (http solo en loopback)",
                "an https URL is expected (http on loopback alone)",
            )
        return text

    @field_validator("oauth_issuer")
    @classmethod
    def _check_issuer(cls, text: str, info: ValidationInfo) -> str:
        if text and not (info.data.get("oauth_audience") and info.data.get("oauth_jwks_url")):
            raise Expected(
                "necesita también OAUTH_AUDIENCE y OAUTH_JWKS_URL",
                "OAUTH_AUDIENCE and OAUTH_JWKS_URL are needed beside it",
            )
        return text

    @field_validator("cors_origins")
    @classmethod
    def _check_origins(cls, text: str) -> str:
        if not all(_ORIGIN.fullmatch(part.strip()) for part in text.split(",") if part.strip()):
            raise Expected(
                "se esperan orígenes como https://pagina.example, varios separados por comas",
                "origins like https://page.example are expected, several separated by commas",
            )
        return text

    @field_validator("network_allow")
    @classmethod
    def _check_network_allow(cls, text: str) -> str:
        parse_allow(text)
        return text

    @field_validator("upload_families")
    @classmethod
    def _check_upload_families(cls, text: str) -> str:
        try:
            allowed = families_of(text)
        except ValueError:
            allowed = frozenset[Family]()
        if not allowed:
            names = ", ".join(FAMILIES)
            raise Expected(f"se esperan algunas de: {names}", f"some of these are expected: {names}")
        return text

    @field_validator("youtube_watch_url")
    @classmethod
    def _check_watch_url(cls, text: str) -> str:
        if "{id}" not in text or not text.startswith(("http://", "https://")):
            raise Expected(
                "se espera una URL http o https que contenga {id}",
                "an http or https URL that holds {id} is expected",
            )
        return text
