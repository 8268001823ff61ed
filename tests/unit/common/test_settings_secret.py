"""AWS_SECRET_NAME: settings from a secret of Secrets Manager, below every other source."""

from __future__ import annotations

import json
import subprocess
import sys
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import botocore.session
import pytest

from audio_service.settings import AudioSettings
from bot_service.settings import BotSettings
from common.settings import load, load_or_exit
from common.settings_errors import EX_CONFIG, EX_TEMPFAIL, SettingsError
from tests.servers.emulators import CREDENTIALS, REGION, Emulator
from tests.servers.ports import free_port
from tests.servers.reaper import child_environment
from tests.waiting import patience

Put = Callable[..., str]

REFERENCE_AUDIO = {
    "GIN_MODE": "release",
    "YOUTUBE_API_KEY": "planted-secret",
    "COOKIES_YOUTUBE": "yt-cookies.txt",
    "OAUTH2_ENABLED": True,
    "S3_BUCKET_NAME": "project-storage-prod",
    "DYNAMODB_TABLE_SONGS": "Songs_prod",
    "SERVICE_MAX_ATTEMPTS": 5,
    "SERVICE_TIMEOUT": "1",
    "NUM_WORKERS": "4",
    "SQS_BOT_DOWNLOAD_REQUESTS_URL": "https://sqs.us-east-1.amazonaws.com/123456789012/requests",
    "SQS_BOT_DOWNLOAD_STATUS_URL": "https://sqs.us-east-1.amazonaws.com/123456789012/status",
}
REFERENCE_BOT = {
    "COMMAND_PREFIX": "!musica",
    "DISCORD_TOKEN": "planted-secret",
    "AUDIO_PROCESSOR_URL": "http://alb.example",
    "SQS_MAX_MESSAGES": 10,
    "SQS_WAIT_TIME_SECONDS": 20,
    "S3_BUCKET_NAME": "project-storage-prod",
    "SQS_BOT_DOWNLOAD_REQUESTS_URL": "https://sqs.us-east-1.amazonaws.com/123456789012/requests",
    "SQS_BOT_DOWNLOAD_STATUS_URL": "https://sqs.us-east-1.amazonaws.com/123456789012/status",
}


@pytest.fixture
def manager(ministack: Emulator) -> Any:  # noqa: ANN401 - botocore's clients have no type of their own
    return botocore.session.get_session().create_client(
        "secretsmanager", region_name=REGION, endpoint_url=ministack.url
    )


@pytest.fixture
def put(manager: Any, ministack: Emulator, monkeypatch: pytest.MonkeyPatch) -> Put:  # noqa: ANN401 - as above
    """Makes a secret, and names it in the environment."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", ministack.url)

    def make(value: object) -> str:
        name = f"butakero-{uuid.uuid4()}"
        content = {"SecretBinary": value} if isinstance(value, bytes) else {"SecretString": value}
        if not isinstance(value, (bytes, str)):
            content = {"SecretString": json.dumps(value)}
        manager.create_secret(Name=name, **content)
        monkeypatch.setenv("AWS_SECRET_NAME", name)
        return name

    return make


def test_the_secrets_of_existing_deployments_are_taken_as_they_stand(put: Put) -> None:
    put(REFERENCE_AUDIO)
    audio = load(AudioSettings)
    assert audio.youtube_api_key.get_secret_value() == "planted-secret"
    assert (audio.service_max_attempts, audio.service_timeout, audio.num_workers) == (5, 1.0, 4)
    assert audio.cookies_youtube == Path("yt-cookies.txt")
    put(REFERENCE_BOT)
    bot = load(BotSettings)
    assert bot.discord_token.get_secret_value() == "planted-secret"
    assert (bot.command_prefix, bot.audio_processor_url) == ("musica", "http://alb.example")
    assert "planted-secret" not in repr((audio, bot))


def test_every_other_source_wins_over_the_secret(put: Put, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    env_file, files = tmp_path / ".env", tmp_path / "secrets"
    files.mkdir()
    put(dict.fromkeys(["environment", "MONGO_USER", "MONGO_DATABASE", "MONGO_HOST"], "secret"))
    (files / "mongo_user").write_text("file")
    env_file.write_text("MONGO_DATABASE=dotenv\n")
    monkeypatch.setenv("MONGO_HOST", "environment")
    settings = load(AudioSettings, env_file, secrets=files)
    assert (settings.environment, settings.mongo_user, settings.mongo_database, settings.mongo_host) == (
        "secret",
        "file",
        "dotenv",
        "environment",
    )


def test_a_former_name_in_the_environment_wins_over_todays_in_the_secret(
    put: Put, monkeypatch: pytest.MonkeyPatch
) -> None:
    put({"TOPIC_DOWNLOAD_STATUS": "secret", "KAFKA_BOT_DOWNLOAD_PROGRESS": "former"})
    assert load(AudioSettings).topic_download_status == "secret"
    monkeypatch.setenv("KAFKA_BOT_DOWNLOAD_STATUS", "environment")
    assert load(AudioSettings).topic_download_status == "environment"
    assert load(AudioSettings).topic_download_progress == "former"


def test_the_secret_may_be_named_in_the_env_file_and_by_its_arn(
    put: Put,
    manager: Any,  # noqa: ANN401 - as above
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    arn = manager.describe_secret(SecretId=put({"NUM_WORKERS": 7}))["ARN"]
    monkeypatch.delenv("AWS_SECRET_NAME")
    env_file = tmp_path / ".env"
    env_file.write_text(f"AWS_SECRET_NAME={arn}\n")
    assert load(AudioSettings, env_file).num_workers == 7


def test_numbers_booleans_nothing_and_foreign_keys(put: Put) -> None:
    put(
        '\ufeff{"num_workers": 3, "MONGO_ENABLE_TLS": true, "MONGO_PORT": null, "MONGO_USER": "",'
        ' "SERVICE_TIMEOUT": 2.5, "THEIRS": {"a": [1]}, "AWS_SECRET_NAME": "another",'
        ' "AWS_SECRET_ACCESS_KEY": "none of our settings"}'
    )
    settings = load(AudioSettings)
    assert (settings.num_workers, settings.mongo_enable_tls, settings.mongo_port) == (3, True, 27017)
    assert (settings.mongo_user, settings.service_timeout) == ("", 2.5)
    assert not hasattr(settings, "aws_secret_access_key")


WRONG: dict[str, tuple[object, list[str]]] = {
    "not JSON": ("NUM_WORKERS=planted", ["AWS_SECRET_NAME: the secret is expected to be a JSON object"]),
    "a list": (["planted"], ["AWS_SECRET_NAME: the secret is expected to be a JSON object"]),
    "bytes": (b'{"NUM_WORKERS": 3}', ["AWS_SECRET_NAME: the secret is expected to be a JSON object"]),
    "nested": (
        {"NUM_WORKERS": {"planted": 1}, "MONGO_USER": ["planted"]},
        ["MONGO_USER (AWS_SECRET_NAME): a text", "NUM_WORKERS (AWS_SECRET_NAME): a text"],
    ),
    "a wrong value": ({"HTTP_PORT": "planted"}, ["HTTP_PORT (AWS_SECRET_NAME): Input should be a valid integer"]),
    "a wrong pattern": ({"MONGO_DATABASE": "planted planted"}, ["MONGO_DATABASE (AWS_SECRET_NAME): String should"]),
    "keys of other programs": ({"KAFKA_TLS_ENABLED": "planted"}, ["KAFKA_TLS_ENABLED: is not read"]),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_is_wrong_with_it_is_one_line_a_key_and_never_a_value(put: Put, case: str) -> None:
    value, expected = WRONG[case]
    put(value)
    with pytest.raises(SettingsError) as caught:
        load(AudioSettings)
    lines = str(caught.value).splitlines()
    assert len(lines) == len(expected)
    assert all(line.startswith(start) for line, start in zip(lines, expected, strict=True)), lines
    assert "planted" not in caught.value.text.es + caught.value.text.en
    assert caught.value.exit_code == EX_CONFIG


def test_a_wrong_value_of_a_higher_source_is_not_blamed_on_the_secret(
    put: Put, monkeypatch: pytest.MonkeyPatch
) -> None:
    put({"NUM_WORKERS": 3})
    monkeypatch.setenv("NUM_WORKERS", "many")
    with pytest.raises(SettingsError, match=r"^NUM_WORKERS: "):
        load(AudioSettings)


def test_a_secret_that_is_not_there_ends_the_program_with_one_line(
    put: Put,
    monkeypatch: pytest.MonkeyPatch,
    manager: Any,  # noqa: ANN401 - as above
    capsys: pytest.CaptureFixture[str],
) -> None:
    name = put({"LOCALE": "en"})
    manager.delete_secret(SecretId=name)
    endings = {"missing-planted": "no hay tal secreto", name: "marcado para borrarse"}
    for named, said in endings.items():
        monkeypatch.setenv("AWS_SECRET_NAME", named)
        with pytest.raises(SystemExit) as ended:
            load_or_exit(AudioSettings)
        assert ended.value.code == EX_CONFIG
        told = capsys.readouterr().err
        assert told.startswith("AWS_SECRET_NAME: ")
        assert said in told
        assert told.count("\n") == 1


def test_a_manager_that_does_not_answer_is_no_wrong_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    for key, value in CREDENTIALS.items():
        monkeypatch.setenv(key, value)
    monkeypatch.setattr("common.aws._ATTEMPTS", 1)
    monkeypatch.setenv("AWS_SECRET_NAME", "butakero")
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{free_port()}")
    with pytest.raises(SettingsError, match="AWS_SECRET_NAME: could not be read: EndpointConnectionError") as caught:
        load(AudioSettings)
    assert caught.value.exit_code == EX_TEMPFAIL


def test_without_credentials_the_chain_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for key in CREDENTIALS:
        monkeypatch.delenv(key, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    monkeypatch.setenv("AWS_SECRET_NAME", "butakero")
    with pytest.raises(SettingsError, match=r"AWS_SECRET_NAME: .*credentials") as caught:
        load(AudioSettings)
    assert caught.value.exit_code == EX_CONFIG


@pytest.mark.slow
def test_without_a_secret_the_sdk_is_not_imported() -> None:
    script = (
        "import sys; from common.settings import load; from audio_service.settings import AudioSettings;"
        "load(AudioSettings); sys.exit('botocore' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=Path(__file__).parents[3],
        env=child_environment(),
        timeout=patience(30),
        check=False,
    )
    assert done.returncode == 0
