"""Settings that both services share, and `load`, which turns a wrong environment into one readable line a key.

Nothing reads the environment at import: a program's `main` calls `load` once and hands the object down.
"""

from __future__ import annotations

import os
import re
import socket
import sys
from collections.abc import Callable, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import AliasChoices, Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from common.errors import Locale, Misconfigured, Text
from common.settings_errors import Expected, SettingsError, explain
from common.settings_secret import KEY as SECRET_KEY
from common.settings_secret import Secret, SecretSource, names_of, read_secret, settings_from

_ADDRESS = re.compile(r"[^\s:]+:\d{1,5}|\[[0-9A-Fa-f:]+\]:\d{1,5}")
DatabaseBackend = Literal["sqlite", "mongodb", "dynamodb"]

_FOREIGN_TLS = "KAFKA_TLS_"
_TOPIC = r"^[A-Za-z0-9._-]{1,200}$"
_ENDPOINT = r"^(https?://[^\s/]+/?)?$"
_QUEUE_URL = r"^(https?://[^\s/]+/[^\s]*[A-Za-z0-9_-])?$"
_SNS_ARN = r"^(arn:aws[a-z-]*:sns:[a-z0-9-]+:[0-9]{12}:[A-Za-z0-9_-]{1,256})?$"


def topic_setting(default: str, *, key: str, former: str) -> Any:  # noqa: ANN401 - stands where a field's default does
    """A topic's name, read from `key`, else from `former`, the key that existing deployments set."""
    return Field(default=default, pattern=_TOPIC, validation_alias=AliasChoices(key, former))


def renamed_setting(default: Any, *, key: str, former: str) -> Any:  # noqa: ANN401 - stands where a field's default does
    """Return a setting that is read from `key`, else from `former`, the key that existing deployments set."""
    return Field(default=default, validation_alias=AliasChoices(key, former))


_CONFIG = SettingsConfigDict(env_file_encoding="utf-8-sig", extra="ignore", frozen=True, env_ignore_empty=True)


class _AwsSettings(BaseSettings):
    """Where AWS is, and the secret that holds the rest of the settings."""

    model_config = _CONFIG

    aws_region: Annotated[str, Field(pattern=r"^[a-z0-9-]{1,40}$")] = "us-east-1"
    aws_endpoint_url: Annotated[str, Field(pattern=_ENDPOINT)] = ""
    aws_endpoint_url_s3: Annotated[str, Field(pattern=_ENDPOINT)] = ""
    aws_secret_name: Annotated[str, Field(max_length=2048)] = ""


class SharedSettings(_AwsSettings):
    """The keys that mean the same thing in every service. Field names are the environment's, in lower case."""

    environment: str = "local"
    instance_id: Annotated[str, Field(min_length=1, max_length=60)] = Field(default_factory=socket.gethostname)
    locale: Locale = "es"
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    log_format: Literal["console", "json"] = "json"
    drain_seconds: Annotated[float, Field(ge=0, le=600)] = 20.0
    otel_exporter_otlp_endpoint: str = ""

    messaging_backend: Literal["embedded", "kafka", "sqs"] = "embedded"
    embedded_broker_path: Path = Path("data/broker.db")
    embedded_broker_max_backlog: Annotated[int, Field(ge=1)] = 100_000
    embedded_broker_max_bytes: Annotated[int, Field(ge=1_000_000)] = 256 * 1024 * 1024
    broker_lease_seconds: Annotated[float, Field(ge=0.5, le=600)] = 15.0
    kafka_brokers: str = "localhost:9092"
    kafka_enable_tls: bool = False
    kafka_ca_file: Path | None = None
    kafka_cert_file: Path | None = None
    kafka_key_file: Path | None = None
    kafka_sasl_mechanism: Literal["", "PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = ""
    kafka_sasl_username: str = ""
    kafka_sasl_password: SecretStr = SecretStr("")
    kafka_partitions: Annotated[int, Field(ge=1, le=1000)] = 8
    kafka_replication_factor: Annotated[int, Field(ge=1, le=10)] = 1
    kafka_retention_hours: Annotated[int, Field(ge=1)] = 7 * 24
    kafka_timeout_seconds: Annotated[float, Field(ge=1, le=300)] = 10.0
    kafka_max_poll_interval_seconds: Annotated[float, Field(ge=1, le=86_400)] = 300.0
    topic_download_requests: str = topic_setting(
        "bot.download.requests", key="topic_download_requests", former="kafka_bot_download_requests"
    )
    topic_download_status: str = topic_setting(
        "bot.download.status", key="topic_download_status", former="kafka_bot_download_status"
    )
    topic_download_progress: str = topic_setting(
        "bot.download.progress", key="topic_download_progress", former="kafka_bot_download_progress"
    )

    database_backend: DatabaseBackend = "sqlite"
    mongo_host: Annotated[str, Field(min_length=1)] = "localhost"
    mongo_port: Annotated[int, Field(ge=1, le=65535)] = 27017
    mongo_user: str = ""
    mongo_password: SecretStr = SecretStr("")
    mongo_database: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,60}$")] = "butakero"
    mongo_replica_set_name: str = ""
    mongo_direct_connection: bool = False
    mongo_enable_tls: bool = False
    mongo_ca_file: Path | None = None
    mongo_cert_file: Path | None = None
    mongo_key_file: Path | None = None

    storage_backend: Literal["local", "s3"] = "local"
    local_storage_path: Path = renamed_setting(
        Path("data/storage"), key="local_storage_path", former="local_storage_directory"
    )
    s3_public_url: Annotated[str, Field(pattern=_ENDPOINT)] = ""
    s3_bucket_name: Annotated[str, Field(pattern=r"^([A-Za-z0-9][A-Za-z0-9._-]{1,61}[A-Za-z0-9])?$")] = ""

    sqs_bot_download_requests_url: Annotated[str, Field(pattern=_QUEUE_URL)] = ""
    sqs_bot_download_status_url: Annotated[str, Field(pattern=_QUEUE_URL)] = ""
    sns_bot_download_status_arn: Annotated[str, Field(pattern=_SNS_ARN)] = ""
    sqs_max_messages: Annotated[int, Field(ge=1, le=10)] = 10
    sqs_wait_time_seconds: Annotated[int, Field(ge=1, le=20)] = 20

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Return the sources of settings, each above the next."""
        return init_settings, env_settings, dotenv_settings, file_secret_settings, SecretSource(settings_cls)

    @property
    def min_sampling_interval(self) -> timedelta:
        """How often metrics may ask dependencies: each question to AWS costs."""
        backends = {self.messaging_backend, self.database_backend, self.storage_backend}
        return timedelta(seconds=60 if backends & {"sqs", "dynamodb", "s3"} else 0)

    @field_validator("otel_exporter_otlp_endpoint")
    @classmethod
    def _check_endpoint(cls, text: str) -> str:
        if text and not text.startswith(("http://", "https://")):
            raise Expected("se espera una URL http o https", "an http or https URL is expected")
        return text

    @field_validator("kafka_brokers")
    @classmethod
    def _check_kafka_brokers(cls, text: str) -> str:
        if not all(_ADDRESS.fullmatch(address.strip()) for address in text.split(",")):
            raise Expected(
                "se espera host:puerto, varios separados por comas",
                "host:port is expected, several separated by commas",
            )
        return text


def unsupported(key: str, value: object) -> Misconfigured:
    """Return the error of an `open_*` factory for a backend that it has no adapter for."""
    return Misconfigured(f"{key}={value}: there is no such backend here")


S = TypeVar("S", bound=BaseSettings)
T = TypeVar("T")

SECRETS = Path("/run/secrets")
"""Where Compose and Kubernetes mount secrets, one file a key, named as the key in lower case."""


def load(settings_class: type[S], env_file: Path | None = None, *, secrets: Path = SECRETS) -> S:
    """Read settings from the environment; below it, from `env_file`; below that, from the files in `secrets`; below
    that, from the secret of AWS Secrets Manager that AWS_SECRET_NAME names in one of the others.

    None of them needs to exist. A secret in a file is in no process list and in no description of a container.

    Raises:
        SettingsError: a value is missing or wrong, `env_file` is not UTF-8, or the secret cannot be read. Names the key
            and what is expected, never the value (it may be a secret).
    """
    _check_encoding(env_file)
    _refuse_foreign_tls(_pairs_of(env_file), os.environ)
    sources: dict[str, Any] = {"_env_file": env_file, "_secrets_dir": secrets if secrets.is_dir() else None}
    secret = Secret()
    if issubclass(settings_class, SharedSettings):
        aws = _validated(_AwsSettings, secret, sources)
        if aws.aws_secret_name:
            keys = {name for names in names_of(settings_class) for name in names}
            secret = read_secret(aws.aws_secret_name, aws, keys)
            _refuse_foreign_tls(secret.values)
    return _validated(settings_class, secret, sources)


def _validated(settings_class: type[S], secret: Secret, sources: Mapping[str, Any]) -> S:
    try:
        with settings_from(secret):
            return settings_class(**sources)
    except ValidationError as exc:
        names = _keys_of(settings_class)
        from_secret = {name: f"{names.get(name, name.upper())} ({SECRET_KEY})" for name in secret.used}
        raise SettingsError(explain(exc.errors(include_input=False), names | from_secret)) from exc


def load_locale(env_file: Path | None = None) -> Locale:
    """Return LOCALE, whatever else is wrong with the settings; the default where it is wrong itself."""
    try:
        return load(_Language, env_file).locale
    except SettingsError:
        return "es"


def load_or_exit(settings_class: type[S], env_file: Path | None = None) -> S:
    """`load`, or print why not to stderr and exit with the error's code."""
    return or_exit(lambda: load(settings_class, env_file), env_file)


def or_exit(read: Callable[[], T], env_file: Path | None = None) -> T:
    """Return what `read` returns, or print its SettingsError in the user's language and exit with its code."""
    try:
        return read()
    except SettingsError as exc:
        sys.stderr.write(f"{exc.text.to(load_locale(env_file))}\n")
        raise SystemExit(exc.exit_code) from exc


def _keys_of(settings_class: type[BaseSettings]) -> dict[str, str]:
    """Return how a message names each setting that has a former key."""
    choices = (field.validation_alias for field in settings_class.model_fields.values())
    pairs = [alias.choices for alias in choices if isinstance(alias, AliasChoices)]
    return {str(key): f"{str(key).upper()} (formerly {str(former).upper()})" for key, former in pairs}


def _refuse_foreign_tls(*sources: Mapping[str, str]) -> None:
    """Refuse the TLS keys of other programs: ignored, they would mean connections in clear that were wanted encrypted.

    Raises:
        SettingsError: there is one.
    """
    found = {name.strip().upper() for given in sources for name, text in given.items() if text.strip()}
    if foreign := sorted(name for name in found if name.startswith(_FOREIGN_TLS)):
        ours = "KAFKA_ENABLE_TLS, KAFKA_CA_FILE, KAFKA_CERT_FILE, KAFKA_KEY_FILE"
        raise SettingsError(
            Text(
                "\n".join(f"{name}: no se lee; usá {ours}" for name in foreign),
                "\n".join(f"{name}: is not read; use {ours}" for name in foreign),
            )
        )


def _pairs_of(env_file: Path | None) -> dict[str, str]:
    lines = env_file.read_text("utf-8-sig").splitlines() if env_file is not None and env_file.is_file() else []
    pairs = [line.strip().removeprefix("export ").partition("=") for line in lines]
    return {name: text for name, _, text in pairs}


def _check_encoding(env_file: Path | None) -> None:
    """Refuse a file that is no UTF-8 text: Windows' editors and shells write UTF-16 and Latin-1.

    Raises:
        SettingsError: its encoding is another one.
    """
    if env_file is None or not env_file.is_file():
        return
    try:
        is_text = "\0" not in env_file.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        is_text = False
    if not is_text:
        raise SettingsError(
            Text(
                f"{env_file}: no está en UTF-8 (¿UTF-16 o Latin-1?); guardalo de nuevo como UTF-8",
                f"{env_file}: is not UTF-8 (UTF-16 or Latin-1?); save it again as UTF-8",
            )
        )


class _Language(BaseSettings):
    model_config = SettingsConfigDict(env_file_encoding="utf-8-sig", extra="ignore", env_ignore_empty=True)
    locale: Locale = "es"
