from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from audio_service.settings import AudioSettings
from common.settings import load
from tests.deploy.compose import ROOT, Config, config, image_environment, seconds

AUDIO = ("audio_processor", "audio_api")
BACKENDS = ("kafka", "mongodb")
OURS = {"butakero/audio:dev": (*AUDIO, "cookies"), "butakero/bot:dev": ("butakero_bot",)}
"""Our images, and who uses them; the first of these builds it."""
CLEAN_UP_SECONDS = 10
SECRETS = {"mongo_password"}
"""Come from /run/secrets, and stand nowhere in the file."""
DEFAULTS = {
    # The defaults are meant for production.
    *("locale", "log_level", "log_format", "drain_seconds", "http_port", "lease_seconds", "resolution_ttl_seconds"),
    *("service_max_attempts", "service_timeout", "retry_base_seconds", "retry_max_seconds"),
    *("pipelines", "network_timeout_seconds", "max_redirects", "max_duration_seconds", "max_download_bytes"),
    *("child_memory_bytes", "child_cpu_seconds", "opus_bitrate", "opus_complexity"),
    # Uploads are off.
    *(
        "uploads",
        "upload_max_bytes",
        "upload_families",
        "upload_url_seconds",
        "upload_open_limit",
        "upload_daily_limit",
    ),
    *("public_url", "topic_upload_requests", "topic_asset_status"),
    *("youtube_api_url", "youtube_watch_url"),
    # The volume's size is the operator's to say.
    *("max_stored_bytes", "retention_interval_seconds", "retention_grace_seconds"),
    # The host name, which Docker makes another one for each container.
    "instance_id",
    # Published on the host's loopback alone; whoever opens it further makes keys first (docs/access.md).
    *("api_keys_file", "oauth_issuer", "oauth_audience", "oauth_jwks_url", "cors_origins", "metrics_port"),
    *("rate_limit_per_minute", "rate_limit_burst", "forwarded_allow_ips"),
    # Media comes from public addresses alone; what is on the internal network stays out of reach.
    "network_allow",
    # One host, one port, found by the name of the replica set.
    *("mongo_port", "mongo_direct_connection", "mongo_collection_songs", "mongo_collection_assets"),
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
    "dynamodb_table_songs",
}
"""Settings that the Compose file deliberately leaves alone. A new setting goes here or into the file."""
MAY_BE_IN_ENV_FILE = {"YOUTUBE_API_KEY", "DISCORD_TOKEN", "COMMAND_PREFIX", "ALERT_DISCORD_WEBHOOK"}


@pytest.fixture(scope="module")
def compose() -> Config:
    return config()


@pytest.fixture(scope="module")
def services(compose: Config) -> dict[str, Config]:
    return compose["services"]


class TestSettings:
    @pytest.mark.parametrize("service", AUDIO)
    def test_the_service_starts_with_its_environment(
        self, services: dict[str, Config], service: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for key, value in {**image_environment("audio"), **services[service]["environment"]}.items():
            if key != "PATH":
                monkeypatch.setenv(key, value)
        settings = load(AudioSettings)
        assert (settings.messaging_backend, settings.database_backend) == ("kafka", "mongodb")
        assert settings.http_host == "0.0.0.0"  # noqa: S104 - in a container, whose ports are published one by one
        assert settings.youtube_api_key.get_secret_value() == ""

    @pytest.mark.parametrize("service", AUDIO)
    def test_each_key_is_a_setting_and_each_setting_has_been_decided_on(
        self, services: dict[str, Config], service: str
    ) -> None:
        keys = {key.lower() for key in services[service]["environment"]}
        fields = set(AudioSettings.model_fields)
        of_the_image = {key.lower() for key in image_environment("audio")} & fields
        assert keys <= fields
        assert not DEFAULTS & (keys | of_the_image)
        assert fields - keys - of_the_image - SECRETS == DEFAULTS

    def test_the_two_differ_in_nothing_but_their_workers(self, services: dict[str, Config]) -> None:
        processor, api = (services[name]["environment"] for name in AUDIO)
        assert {key for key in processor if processor[key] != api[key]} == {"NUM_WORKERS"}
        assert api["NUM_WORKERS"] == "0"

    def test_nothing_but_the_contracts_keys_can_come_from_the_env_file(self) -> None:
        used = set(re.findall(r"(?<!\$)\$\{?([A-Z_]+)", (ROOT / "docker-compose.yml").read_text()))
        assert used <= MAY_BE_IN_ENV_FILE | {"BUTAKERO_VERSION"}

    def test_the_env_file_beside_it_is_read(self, tmp_path: Path) -> None:
        (tmp_path / ".env").write_text("YOUTUBE_API_KEY=key-of-a-test\nDISCORD_TOKEN=x\nCOMMAND_PREFIX=music\n")
        for name in AUDIO:
            assert config(tmp_path)["services"][name]["environment"]["YOUTUBE_API_KEY"] == "key-of-a-test"

    def test_no_secret_stands_in_the_file(self, services: dict[str, Config]) -> None:
        for service in services.values():
            for key, value in service.get("environment", {}).items():
                if re.search(r"PASSWORD|TOKEN|SECRET|API_KEY|WEBHOOK", key) and not key.startswith(
                    "GF_SECURITY_DISABLE"
                ):
                    assert value in ("", None), key


class TestNames:
    def test_the_contracts_services_are_there(self, services: dict[str, Config]) -> None:
        always = {name for name, service in services.items() if not service.get("profiles")}
        monitoring = {name for name, service in services.items() if service.get("profiles") == ["monitoring"]}
        assert always == {"butakero_bot", "audio_processor", "audio_api", "cookies", "kafka", "mongodb"}
        assert monitoring == {"prometheus", "alertmanager", "grafana"}

    def test_workers_can_be_scaled(self, services: dict[str, Config]) -> None:
        assert not {"ports", "container_name", "hostname"} & set(services["audio_processor"])

    def test_ports_are_this_machines_own_and_the_api_has_the_contracts(self, services: dict[str, Config]) -> None:
        published = {
            (name, port["host_ip"], port["published"])
            for name, service in services.items()
            for port in service.get("ports", [])
        }
        assert published == {
            ("audio_api", "127.0.0.1", "8080"),
            ("butakero_bot", "127.0.0.1", "8081"),
            ("prometheus", "127.0.0.1", "9090"),
            ("alertmanager", "127.0.0.1", "9093"),
            ("grafana", "127.0.0.1", "3000"),
        }

    def test_one_service_builds_each_image_and_the_others_wait_for_it(self, services: dict[str, Config]) -> None:
        ours = {name: service for name, service in services.items() if service["image"].startswith("butakero/")}
        assert {name: service["image"] for name, service in ours.items()} == {
            name: image for image, names in OURS.items() for name in names
        }
        builders = {names[0] for names in OURS.values()}
        assert {name for name, service in ours.items() if "build" in service} == builders
        assert {service["pull_policy"] for name, service in ours.items() if name not in builders} == {"never"}
        assert {services[name]["pull_policy"] for name in builders} == {"build"}

    def test_foreign_images_have_a_version(self, services: dict[str, Config]) -> None:
        for service in services.values():
            assert re.fullmatch(r"[a-z/]+:(v?\d+\.\d+(\.\d+)?|dev)", service["image"]), service["image"]

    def test_kafka_is_the_version_that_the_tests_run_against(self, services: dict[str, Config]) -> None:
        pom = (ROOT / "tests" / "servers" / "kafka" / "pom.xml").read_text()
        tested = re.search(r"<artifactId>kafka_2.13</artifactId>\s*<version>(.*?)</version>", pom)
        assert tested is not None
        assert services["kafka"]["image"] == f"apache/kafka:{tested[1]}"


class TestHardening:
    @pytest.mark.parametrize(
        "name",
        [
            "butakero_bot",
            "audio_processor",
            "audio_api",
            "cookies",
            "kafka",
            "mongodb",
            "prometheus",
            "alertmanager",
            "grafana",
        ],
    )
    def test_every_container_has_few_rights_and_limits(self, services: dict[str, Config], name: str) -> None:
        service = services[name]
        assert service["read_only"] is True
        assert service["cap_drop"] == ["ALL"]
        assert service.get("cap_add", []) == (["DAC_READ_SEARCH"] if name == "cookies" else [])
        assert service["security_opt"] == ["no-new-privileges:true"]
        assert service["restart"] == "unless-stopped"
        assert service["init"] is True
        assert service["logging"]["options"] == {"max-size": "10m", "max-file": "3"}
        limits = service["deploy"]["resources"]["limits"]
        assert {"cpus", "memory", "pids"} == set(limits)
        assert "privileged" not in service

    def test_what_reads_the_project_directory_has_no_network_and_writes_nothing_there(
        self, services: dict[str, Config]
    ) -> None:
        readers = {
            name
            for name, service in services.items()
            for mount in service.get("volumes", [])
            if mount["type"] == "bind" and Path(mount["source"]) == ROOT
        }
        assert readers == {"cookies"}
        assert services["cookies"]["network_mode"] == "none"

    def test_mounted_files_exist_and_are_read_only(self, services: dict[str, Config]) -> None:
        binds = [m for s in services.values() for m in s.get("volumes", []) if m["type"] == "bind"]
        assert len(binds) >= 6
        for mount in binds:
            assert Path(mount["source"]).exists(), mount["source"]
            assert mount["read_only"] is True

    def test_the_backends_can_be_reached_from_inside_alone(self, compose: Config) -> None:
        assert compose["networks"]["backend"]["internal"] is True
        for name in BACKENDS:
            assert list(compose["services"][name]["networks"]) == ["backend"]
        for name in AUDIO:
            assert "backend" in compose["services"][name]["networks"]


class TestLife:
    def test_the_services_wait_for_backends_that_work(self, services: dict[str, Config]) -> None:
        for name in AUDIO:
            depends = services[name]["depends_on"]
            assert {key: value["condition"] for key, value in depends.items()} == dict.fromkeys(
                BACKENDS, "service_healthy"
            )

    def test_work_in_hand_may_end_before_it_is_killed(self, services: dict[str, Config]) -> None:
        for name in AUDIO:
            assert seconds(services[name]["stop_grace_period"]) > AudioSettings().drain_seconds + CLEAN_UP_SECONDS

    def test_what_is_stored_is_in_volumes(self, services: dict[str, Config]) -> None:
        def volumes(name: str) -> dict[str, str]:
            return {m["target"]: m["source"] for m in services[name]["volumes"] if m["type"] == "volume"}

        for name in AUDIO:
            environment = services[name]["environment"]
            assert volumes(name)["/data"] == "data"
            assert {Path(environment[key]).parent for key in ("LOCAL_STORAGE_PATH", "TEMP_PATH")} == {Path("/data")}
            assert volumes(name)["/run/secrets"] == volumes("mongodb")["/data/configdb"]
            assert Path(environment["COOKIES_YOUTUBE"]).parent == Path("/run/cookies")
            assert volumes(name)["/run/cookies"] == volumes("cookies")["/handed"]
        assert volumes("mongodb")["/data/db"] == "mongodb_data"
        assert volumes("kafka")[services["kafka"]["environment"]["KAFKA_LOG_DIRS"]] == "kafka_data"

    def test_mongodb_makes_the_user_and_the_replica_set_that_the_service_expects(
        self, services: dict[str, Config]
    ) -> None:
        environment = services["audio_processor"]["environment"]
        role: dict[str, Any] = json.loads((ROOT / "docker" / "mongodb" / "role.json").read_text())
        assert environment["MONGO_USER"] == role["user"]
        assert role["roles"] == [{"role": "readWrite", "db": environment["MONGO_DATABASE"]}]
        name = environment["MONGO_REPLICA_SET_NAME"]
        assert f"--replSet {name} " in (ROOT / "docker" / "mongodb" / "start.sh").read_text()
        assert f'_id: "{name}"' in (ROOT / "docker" / "mongodb" / "initiate.js").read_text()

    def test_kafka_is_reached_where_it_says_it_is(self, services: dict[str, Config]) -> None:
        environment = services["kafka"]["environment"]
        brokers = services["audio_processor"]["environment"]["KAFKA_BROKERS"]
        assert environment["KAFKA_ADVERTISED_LISTENERS"] == f"PLAINTEXT://{brokers}"
        assert services["kafka"]["hostname"] == brokers.split(":")[0]


def test_every_file_that_the_images_copy_is_let_through_and_no_secret_is() -> None:
    allowed = [line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")]
    copied = {
        source
        for dockerfile in (ROOT / "docker").glob("Dockerfile.*")
        for line in re.findall(r"^COPY (?!--from)(.+)$", dockerfile.read_text(), re.MULTILINE)
        for source in line.split()[:-1]
    }
    assert sorted(copied) == sorted(allowed)
    assert all((ROOT / source).exists() for source in copied)
    assert (ROOT / ".dockerignore").read_text().splitlines()[1] == "*"
