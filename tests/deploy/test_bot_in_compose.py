"""The bot in docker-compose.yml: its settings, what it shares with the audio service, and its start without a token."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import uuid
from pathlib import Path

import pytest

from bot_service.settings import BotSettings
from common.settings import load
from tests.deploy.compose import ROOT, Config, config, image_environment, seconds
from tests.servers.reaper import child_environment
from tests.waiting import patience

CLEAN_UP_SECONDS = 10
SECRETS = {"mongo_password"}
"""Come from /run/secrets, and stand nowhere in the file."""
DEFAULTS = {
    # The defaults are meant for production.
    *("locale", "log_level", "log_format", "drain_seconds", "bot_http_port", "request_timeout_seconds"),
    *(
        "bot_database_backend",
        "dynamodb_table_bot",
        "playlist_limit",
        "queue_limit",
        "idle_seconds",
        "alone_seconds",
        "resume_after_restart",
    ),
    *("voice_reconnect_seconds", "player_update_seconds"),
    # Nobody but this machine reaches the audio service's API.
    "audio_processor_api_key",
    # Commands are registered everywhere; Discord is reached without a proxy.
    *("discord_guilds", "discord_presence", "discord_proxy"),
    # One host, one port, found by the name of the replica set.
    *("mongo_port", "mongo_direct_connection"),
    # The contract's topic names; one broker has one copy of each partition.
    *("topic_download_requests", "topic_download_status", "topic_download_progress"),
    *("kafka_partitions", "kafka_replication_factor", "kafka_retention_hours"),
    *("kafka_timeout_seconds", "kafka_max_poll_interval_seconds"),
    # Nothing but the containers of this project reaches the internal network.
    *("kafka_enable_tls", "kafka_ca_file", "kafka_cert_file", "kafka_key_file"),
    *("kafka_sasl_mechanism", "kafka_sasl_username", "kafka_sasl_password"),
    *("mongo_enable_tls", "mongo_ca_file", "mongo_cert_file", "mongo_key_file"),
    # Traces are sent nowhere: there is no collector here.
    "otel_exporter_otlp_endpoint",
    # Of the backends that are not in use.
    *("embedded_broker_max_backlog", "embedded_broker_max_bytes", "broker_lease_seconds"),
    *("aws_region", "aws_endpoint_url", "aws_endpoint_url_s3", "s3_public_url", "aws_secret_name"),
    "s3_bucket_name",
    *("sqs_bot_download_requests_url", "sqs_bot_download_status_url", "sns_bot_download_status_arn"),
    *("sqs_max_messages", "sqs_wait_time_seconds"),
}
"""Settings that the Compose file deliberately leaves alone. A new setting goes here or into the file."""
SCRIPT = ROOT / "docker" / "bot" / "once-set-up.sh"


@pytest.fixture(scope="module")
def services() -> dict[str, Config]:
    return config()["services"]


@pytest.fixture(scope="module")
def bot(services: dict[str, Config]) -> Config:
    return services["butakero_bot"]


def test_the_bot_starts_with_its_environment_and_a_token(bot: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    for key, value in {**image_environment("bot"), **bot["environment"], "DISCORD_TOKEN": "a-token"}.items():
        if key != "PATH":
            monkeypatch.setenv(key, value)
    settings = load(BotSettings)
    assert (settings.messaging_backend, settings.database_backend) == ("kafka", "mongodb")
    assert settings.bot_http_host == "0.0.0.0"  # noqa: S104 - in a container, whose ports are published one by one
    assert settings.command_prefix == BotSettings.model_fields["command_prefix"].default


def test_each_key_is_a_setting_and_each_setting_has_been_decided_on(bot: Config) -> None:
    fields = set(BotSettings.model_fields)
    keys = {key.lower() for key in bot["environment"]}
    of_the_image = {key.lower() for key in image_environment("bot")} & fields
    assert keys <= fields
    assert not DEFAULTS & (keys | of_the_image)
    assert fields - keys - of_the_image - SECRETS == DEFAULTS


def test_bot_and_audio_service_mean_the_same_broker_database_and_store(services: dict[str, Config]) -> None:
    bot, audio = (services[name]["environment"] for name in ("butakero_bot", "audio_processor"))
    shared = set(bot) & set(audio)
    assert {key: bot[key] for key in shared} == {key: audio[key] for key in shared}
    assert shared >= {"KAFKA_BROKERS", "MONGO_HOST", "MONGO_DATABASE", "STORAGE_BACKEND", "LOCAL_STORAGE_PATH"}


def test_songs_are_read_from_the_volume_that_they_are_put_into(services: dict[str, Config]) -> None:
    def mounted(name: str, target: str) -> Config:
        (found,) = (mount for mount in services[name]["volumes"] if mount["target"] == target)
        return found

    songs = mounted("butakero_bot", "/data")
    assert songs["source"] == mounted("audio_processor", "/data")["source"]
    assert mounted("butakero_bot", "/run/secrets")["source"] == mounted("mongodb", "/data/configdb")["source"]
    assert all(mount["read_only"] for mount in services["butakero_bot"]["volumes"])


def test_the_audio_services_api_is_asked_where_it_is(services: dict[str, Config]) -> None:
    host, port = services["butakero_bot"]["environment"]["AUDIO_PROCESSOR_URL"].removeprefix("http://").split(":")
    assert set(services[host]["networks"]) & set(services["butakero_bot"]["networks"])
    assert int(port) == services[host]["ports"][0]["target"]


def test_discord_can_be_reached_and_the_backends_too(bot: Config) -> None:
    networks = config()["networks"]
    assert {name: bool(networks[name].get("internal")) for name in bot["networks"]} == {
        "backend": True,
        "internet": False,
    }


def test_its_health_is_published_on_its_port(bot: Config) -> None:
    (port,) = bot["ports"]
    assert port["target"] == BotSettings.model_fields["bot_http_port"].default
    assert f":{port['target']}/livez" in bot["healthcheck"]["test"][1]


def test_it_waits_for_the_backends_alone(bot: Config) -> None:
    conditions = {name: depends["condition"] for name, depends in bot["depends_on"].items()}
    assert conditions == {
        **dict.fromkeys(("kafka", "mongodb"), "service_healthy"),
        **dict.fromkeys(("audio_processor", "audio_api"), "service_started"),
    }


def test_positions_may_be_saved_before_it_is_killed(bot: Config) -> None:
    drain = BotSettings.model_fields["drain_seconds"].default
    assert seconds(bot["stop_grace_period"]) > drain + CLEAN_UP_SECONDS


def test_its_name_outlives_a_container(bot: Config) -> None:
    assert bot["environment"]["INSTANCE_ID"]


@pytest.mark.parametrize(("prefix", "expected"), [(None, "music"), ("!musica", "!musica")])
def test_the_env_file_beside_it_is_read(tmp_path: Path, prefix: str | None, expected: str) -> None:
    token = uuid.uuid4().hex
    chosen = f"COMMAND_PREFIX={prefix}\n" if prefix else ""
    (tmp_path / ".env").write_text(f"DISCORD_TOKEN={token}\n{chosen}")
    environments = {name: service.get("environment", {}) for name, service in config(tmp_path)["services"].items()}
    assert environments["butakero_bot"]["DISCORD_TOKEN"] == token
    assert environments["butakero_bot"]["COMMAND_PREFIX"] == expected
    assert [name for name, keys in environments.items() if "DISCORD_TOKEN" in keys] == ["butakero_bot"]


def test_without_a_token_it_is_healthy_and_with_one_it_has_to_answer(bot: Config) -> None:
    kind, command = bot["healthcheck"]["test"]
    assert kind == "CMD-SHELL"

    def well(token: str) -> bool:
        # `config` escapes what Compose unescapes. The port is one at which nothing answers.
        script = command.replace("$$", "$").replace(":8081/", ":9/").replace("python", sys.executable)
        ran = subprocess.run(
            ["sh", "-c", script], check=False, capture_output=True, env={"DISCORD_TOKEN": token}, timeout=patience(30)
        )
        return ran.returncode == 0

    assert well("")
    assert not well("a-token")


async def until_line(stream: asyncio.StreamReader | None, part: str) -> str:
    assert stream is not None
    said = ""
    async with asyncio.timeout(patience(60)):
        while part not in said:
            line = (await stream.readline()).decode()
            assert line, said
            said += line
    return said


async def test_without_a_token_it_says_one_line_and_is_not_started_again(bot: Config) -> None:
    assert bot["entrypoint"] == [SCRIPT.name]
    assert bot["command"] == ["python", "-m", "bot_service"]
    process = await asyncio.create_subprocess_exec(
        *(str(SCRIPT), sys.executable, *bot["command"][1:]),
        stderr=asyncio.subprocess.PIPE,
        cwd=ROOT / "docker",
        env=child_environment({"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "DISCORD_TOKEN": ""}),
    )
    try:
        said = await until_line(process.stderr, "Not started again")
        assert process.returncode is None
    finally:
        process.send_signal(signal.SIGTERM)
        assert await process.wait() == 0
    first, last = said.splitlines()
    assert first.startswith("DISCORD_TOKEN: ")
    assert "docker compose up -d" in last


async def test_any_other_end_is_passed_on_and_so_is_a_signal() -> None:
    crashed = await asyncio.create_subprocess_exec(str(SCRIPT), "sh", "-c", "exit 1", env=child_environment())
    assert await crashed.wait() == 1
    slow = "trap 'echo ending; exit 7' TERM; echo ready; while :; do sleep 0.1; done"
    process = await asyncio.create_subprocess_exec(
        str(SCRIPT), "sh", "-c", slow, stdout=asyncio.subprocess.PIPE, env=child_environment()
    )
    await until_line(process.stdout, "ready")
    process.send_signal(signal.SIGTERM)
    await until_line(process.stdout, "ending")
    assert await process.wait() == 7
