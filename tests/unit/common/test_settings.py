"""Settings whose keys have a former name, and backends that a factory has no adapter for."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from audio_service.media.repository import open_repository
from audio_service.settings import AudioSettings
from bot_service.settings import BotSettings
from bot_service.store import open_store
from common.blobs import open_blobs
from common.broker import open_broker
from common.errors import Misconfigured
from common.settings import load, load_or_exit
from common.settings_errors import EX_CONFIG, SettingsError

TOPICS = ["REQUESTS", "STATUS", "PROGRESS"]


@pytest.mark.parametrize("topic", TOPICS)
def test_a_topic_is_named_by_its_former_key_too(monkeypatch: pytest.MonkeyPatch, topic: str) -> None:
    monkeypatch.setenv(f"KAFKA_BOT_DOWNLOAD_{topic}", "theirs")
    assert getattr(load(AudioSettings), f"topic_download_{topic.lower()}") == "theirs"
    monkeypatch.setenv(f"TOPIC_DOWNLOAD_{topic}", "ours")
    assert getattr(load(AudioSettings), f"topic_download_{topic.lower()}") == "ours"


@pytest.mark.parametrize("key", ["TOPIC_DOWNLOAD_STATUS", "KAFKA_BOT_DOWNLOAD_STATUS"])
def test_a_topic_that_no_broker_takes_is_refused_by_its_key(monkeypatch: pytest.MonkeyPatch, key: str) -> None:
    monkeypatch.setenv(key, "no spaces")
    with pytest.raises(SettingsError, match=rf"{key}.*: String should match"):
        load(AudioSettings)


def test_the_bot_may_have_a_database_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DISCORD_TOKEN", "token")
    monkeypatch.setenv("DATABASE_BACKEND", "mongodb")
    assert load(BotSettings).store_backend == "mongodb"
    monkeypatch.setenv("BOT_DATABASE_BACKEND", "sqlite")
    assert load(BotSettings).store_backend == "sqlite"


@pytest.mark.parametrize(
    ("opened", "key", "field"),
    [
        (open_broker, "MESSAGING_BACKEND", "messaging_backend"),
        (open_blobs, "STORAGE_BACKEND", "storage_backend"),
        (open_repository, "DATABASE_BACKEND", "database_backend"),
        (open_store, "BOT_DATABASE_BACKEND", "bot_database_backend"),
    ],
)
async def test_a_backend_without_an_adapter_is_refused_by_its_key(
    opened: Callable[[Any], AbstractAsyncContextManager[object]], key: str, field: str
) -> None:
    bot = opened is open_store
    plain = BotSettings(discord_token=SecretStr("token")) if bot else AudioSettings()
    settings = plain.model_copy(update={field: "papyrus"})
    with pytest.raises(Misconfigured) as caught:
        async with opened(settings):
            pass
    assert caught.value.detail.startswith(f"{key}=papyrus")
    assert caught.value.needs_operator


WRONG = {
    "NUM_WORKERS": ("many", "se espera un número entero"),
    "HTTP_PORT": ("70000", "se espera un número menor o igual a 65535"),
    "DATABASE_BACKEND": ("oracle", "se espera 'sqlite', 'mongodb' o 'dynamodb'"),
    "SERVICE_TIMEOUT": ("-1", "se espera un número mayor que 0"),
    "MONGO_ENABLE_TLS": ("perhaps", "se espera true o false"),
    "KAFKA_BROKERS": ("nowhere", "se espera host:puerto"),
    "NETWORK_ALLOW": ("999.1.1.1/99", "no es una dirección"),
}


@pytest.mark.parametrize("key", WRONG)
def test_what_is_wrong_is_said_in_both_languages(monkeypatch: pytest.MonkeyPatch, key: str) -> None:
    value, spanish = WRONG[key]
    monkeypatch.setenv(key, value)
    with pytest.raises(SettingsError) as caught:
        load(AudioSettings)
    assert caught.value.text.es.startswith(f"{key}: ")
    assert spanish in caught.value.text.es
    assert caught.value.text.en.startswith(f"{key}: ")
    assert spanish not in caught.value.text.en


@pytest.mark.parametrize(("locale", "spoken"), [("es", "se espera"), ("en", "valid integer"), ("wrong", "se espera")])
def test_the_programs_print_it_in_the_language_of_locale(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], locale: str, spoken: str
) -> None:
    monkeypatch.setenv("LOCALE", locale)
    monkeypatch.setenv("NUM_WORKERS", "many")
    with pytest.raises(SystemExit) as ended:
        load_or_exit(AudioSettings)
    assert ended.value.code == EX_CONFIG
    assert spoken in capsys.readouterr().err


def test_the_former_key_of_the_songs_directory_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOCAL_STORAGE_DIRECTORY", "/theirs")
    assert load(AudioSettings).local_storage_path == Path("/theirs")
    monkeypatch.setenv("LOCAL_STORAGE_PATH", "/ours")
    assert load(AudioSettings).local_storage_path == Path("/ours")


def test_tls_keys_of_other_programs_are_refused_by_name(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    env_file = tmp_path / ".env"
    env_file.write_text("KAFKA_TLS_CA_CERT=ca.pem\nKAFKA_TLS_EMPTY=\n")
    monkeypatch.setenv("KAFKA_TLS_ENABLED", "true")
    with pytest.raises(SettingsError) as caught:
        load(AudioSettings, env_file)
    assert [line.split(":")[0] for line in caught.value.text.es.splitlines()] == [
        "KAFKA_TLS_CA_CERT",
        "KAFKA_TLS_ENABLED",
    ]
    assert "KAFKA_ENABLE_TLS" in caught.value.text.en
