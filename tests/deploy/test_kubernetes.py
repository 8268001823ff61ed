"""What the code expects and what k8s/ gives it agree, in every overlay; and what it must not have, it has not."""

from __future__ import annotations

import copy
import ipaddress
import json
import os
import re
from pathlib import Path
from typing import Any

import pytest

from audio_service.pipelines.download import DOWNLOADS
from audio_service.settings import AudioSettings
from bot_service.settings import BotSettings
from butakero.dlq import GROUP as DLQ_GROUP
from common.broker.base import MAX_MESSAGE_BYTES
from common.broker.kafka.publisher import SLACK_BYTES
from common.settings import SharedSettings, load
from tests.deploy.compose import ROOT, config, image_environment
from tests.deploy.manifests import K8S, Manifest, kustomizations, problems, render
from tests.servers.mongo import TRANSACTION_SECONDS

OVERLAYS = sorted(path.parent.name for path in K8S.glob("overlays/*/kustomization.yaml"))
PROGRAMS: dict[str, tuple[str, type[SharedSettings]]] = {
    "audio-processor": ("audio", AudioSettings),
    "audio-api": ("audio", AudioSettings),
    "discord-bot": ("bot", BotSettings),
}
"""Each Deployment's image and settings."""
CLEAN_UP_SECONDS = 10
LEFT_TO_THEIR_DEFAULTS = {
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
    *("youtube_api_url", "youtube_watch_url", "network_allow"),
    *(
        "bot_database_backend",
        "dynamodb_table_bot",
        "bot_http_port",
        "discord_guilds",
        "discord_presence",
        "discord_proxy",
        "request_timeout_seconds",
        "playlist_limit",
        "queue_limit",
    ),
    *("idle_seconds", "alone_seconds", "resume_after_restart", "voice_reconnect_seconds", "player_update_seconds"),
    *("aws_region", "aws_endpoint_url", "aws_endpoint_url_s3", "s3_public_url", "aws_secret_name"),
    "s3_bucket_name",
    *("sqs_bot_download_requests_url", "sqs_bot_download_status_url", "sns_bot_download_status_arn"),
    *("sqs_max_messages", "sqs_wait_time_seconds"),
    "dynamodb_table_songs",
    *("broker_lease_seconds", "kafka_timeout_seconds", "kafka_max_poll_interval_seconds", "kafka_retention_hours"),
    *("mongo_port", "mongo_direct_connection", "mongo_collection_songs", "mongo_collection_assets"),
    # The volume's size is the operator's to say.
    *("max_stored_bytes", "retention_interval_seconds", "retention_grace_seconds"),
    # The NetworkPolicies let the bot and Prometheus reach the API, and nobody else.
    *("api_keys_file", "oauth_issuer", "oauth_audience", "oauth_jwks_url", "cors_origins"),
    *("rate_limit_per_minute", "rate_limit_burst", "forwarded_allow_ips"),
    # There is no collector of traces.
    "otel_exporter_otlp_endpoint",
    # A client certificate is the log-in.
    *("kafka_sasl_mechanism", "kafka_sasl_username", "kafka_sasl_password"),
    # Of the backends that are not in use.
    *("embedded_broker_max_backlog", "embedded_broker_max_bytes", "sqlite_path", "bot_sqlite_path"),
    *("embedded_broker_path",),
    # A pod's name tells workers apart.
    "instance_id",
}
"""Settings that the manifests leave alone. A new setting goes here, or into k8s/base/backend/settings.yaml."""


class Deployed:
    """An overlay's objects."""

    def __init__(self, manifests: list[Manifest]) -> None:
        self.manifests = manifests

    @classmethod
    def by(cls, overlay: str) -> Deployed:
        return cls(render(K8S / "overlays" / overlay))

    def every(self, kind: str) -> list[Manifest]:
        return [one for one in self.manifests if one["kind"] == kind]

    def one(self, kind: str, name: str) -> Manifest:
        (found,) = [one for one in self.every(kind) if one["metadata"]["name"] == name]
        return found

    def pod(self, name: str) -> Manifest:
        return self.one("Deployment", name)["spec"]["template"]

    def container(self, name: str) -> Manifest:
        (container,) = self.pod(name)["spec"]["containers"]
        return container

    def environment(self, name: str) -> dict[str, str]:
        """Return what the manifests put into the container's environment."""
        container = self.container(name)
        found: dict[str, str] = {}
        for source in container["envFrom"]:
            found |= self.one("ConfigMap", source["configMapRef"]["name"])["data"]
        return found | {one["name"]: one["value"] for one in container.get("env", [])}

    def files(self, name: str) -> dict[str, tuple[str, str]]:
        """Return the Secret and key behind each mounted file that is named one by one."""
        volumes = {volume["name"]: volume for volume in self.pod(name)["spec"]["volumes"]}
        found: dict[str, tuple[str, str]] = {}
        for mount in self.container(name)["volumeMounts"]:
            volume = volumes[mount["name"]]
            sources = [source["secret"] for source in volume.get("projected", {}).get("sources", [])]
            if "secret" in volume:
                sources.append({**volume["secret"], "name": volume["secret"]["secretName"]})
            for source in sources:
                whole = [{"key": key, "path": key} for key in ("ca.crt", "tls.crt", "tls.key")]
                for item in source.get("items", whole):
                    found[f"{mount['mountPath']}/{item['path']}"] = (source["name"], item["key"])
        return found


@pytest.fixture(scope="module", params=OVERLAYS)
def deployed(request: pytest.FixtureRequest) -> Deployed:
    return Deployed.by(request.param)


program = pytest.mark.parametrize("name", list(PROGRAMS))


class TestSchemas:
    @pytest.mark.parametrize("directory", kustomizations(), ids=lambda path: str(path.relative_to(K8S)))
    def test_a_cluster_would_take_every_object(self, directory: Path) -> None:
        manifests = render(directory)
        assert manifests
        assert [line for manifest in manifests for line in problems(manifest)] == []
        assert all(one["metadata"]["labels"]["app.kubernetes.io/part-of"] == "butakero" for one in manifests)

    @pytest.mark.parametrize(
        "kind", ["Deployment", "NetworkPolicy", "Kafka", "KafkaUser", "MongoDBCommunity", "Certificate"]
    )
    def test_a_field_that_nobody_knows_is_refused(self, kind: str) -> None:
        manifest = copy.deepcopy(Deployed.by("local").every(kind)[0])
        manifest["spec"]["replikas"] = 3
        assert problems(manifest)

    def test_a_kind_that_nobody_knows_is_refused(self) -> None:
        unknown = {"apiVersion": "example.org/v1", "kind": "Thing", "metadata": {"name": "x"}, "spec": {}}
        assert problems(unknown)

    def test_no_secret_is_among_them(self, deployed: Deployed) -> None:
        assert deployed.every("Secret") == []


class TestSettings:
    @program
    def test_the_service_starts_with_what_it_is_given(
        self, deployed: Deployed, name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        image, settings_class = PROGRAMS[name]
        for key, value in {**image_environment(image), **deployed.environment(name)}.items():
            if key != "PATH":
                monkeypatch.setenv(key, value)
        for path in deployed.files(name):
            if path.startswith("/run/secrets/"):
                (tmp_path / Path(path).name).write_text("planted")
        settings = load(settings_class, secrets=tmp_path)
        assert (settings.messaging_backend, settings.database_backend) == ("kafka", "mongodb")
        assert settings.kafka_enable_tls
        assert settings.mongo_enable_tls
        assert settings.mongo_password.get_secret_value() == "planted"
        if isinstance(settings, BotSettings):
            assert settings.discord_token.get_secret_value() == "planted"

    @program
    def test_each_key_is_a_setting_and_each_setting_has_been_decided_on(self, deployed: Deployed, name: str) -> None:
        image, settings_class = PROGRAMS[name]
        fields = set(settings_class.model_fields)
        keys = {key.lower() for key in deployed.environment(name)}
        secrets = {Path(path).name for path in deployed.files(name) if path.startswith("/run/secrets/")}
        of_the_image = {key.lower() for key in image_environment(image)} & fields
        # Both services are told what both may be told; neither has a key that no service knows.
        assert keys | secrets <= fields
        assert not (keys | secrets) & (LEFT_TO_THEIR_DEFAULTS - {"instance_id"})
        assert fields - keys - secrets - of_the_image <= LEFT_TO_THEIR_DEFAULTS

    def test_nothing_is_left_to_its_default_that_is_no_setting(self) -> None:
        assert set(AudioSettings.model_fields) | set(BotSettings.model_fields) >= LEFT_TO_THEIR_DEFAULTS

    @program
    def test_compose_and_kubernetes_tell_the_same_keys(self, name: str) -> None:
        composed = {"audio-processor": "audio_processor", "audio-api": "audio_api", "discord-bot": "butakero_bot"}
        deployed = Deployed.by("prod")
        there = {key for key, value in config()["services"][composed[name]]["environment"].items() if value is not None}
        here = set(deployed.environment(name)) | {
            Path(path).name.upper() for path in deployed.files(name) if path.startswith("/run/secrets/")
        }
        only_here = {key for key in here if re.match(r"(KAFKA|MONGO)_.*(FILE|TLS)$", key)} | {
            *(
                "KAFKA_PARTITIONS",
                "KAFKA_REPLICATION_FACTOR",
                "MONGO_PASSWORD",
                "METRICS_PORT",
                "AUDIO_PROCESSOR_API_KEY",
            ),
            *("TOPIC_DOWNLOAD_REQUESTS", "TOPIC_DOWNLOAD_STATUS", "TOPIC_DOWNLOAD_PROGRESS"),
        }
        assert here - only_here == there

    @program
    def test_the_files_that_settings_name_are_mounted(self, deployed: Deployed, name: str) -> None:
        environment = deployed.environment(name)
        files = deployed.files(name)
        named = {value for key, value in environment.items() if key.endswith("_FILE") or key == "COOKIES_YOUTUBE"}
        assert named <= set(files)
        mounted = {mount["mountPath"]: mount for mount in deployed.container(name)["volumeMounts"]}
        assert environment["LOCAL_STORAGE_PATH"].startswith("/data/")
        assert mounted["/data"].get("readOnly", False) is (name == "discord-bot")

    def test_the_secrets_that_are_mounted_are_those_that_somebody_makes(self, deployed: Deployed) -> None:
        made = {one["spec"]["secretName"] for one in deployed.every("Certificate")}
        made |= {one["metadata"]["name"] for one in deployed.every("KafkaUser")}
        examples = {
            "backend-secret": {"YT_COOKIES", *keys_of("backend")},
            "discord-bot-secrets": keys_of("discord-bot"),
        }
        used: dict[str, set[str]] = {}
        for name in PROGRAMS:
            for secret, key in deployed.files(name).values():
                used.setdefault(secret, set()).add(key)
        assert {secret: keys for secret, keys in used.items() if secret not in made} == examples
        assert examples["backend-secret"] == {"YOUTUBE_API_KEY", "MONGO_USER", "MONGO_PASSWORD", "YT_COOKIES"}

    def test_secrets_are_files_and_never_in_the_environment(self, deployed: Deployed) -> None:
        for name in PROGRAMS:
            assert all("valueFrom" not in one for one in deployed.container(name).get("env", []))
            assert not [key for key in deployed.environment(name) if re.search(r"PASSWORD|TOKEN|API_KEY", key)]

    def test_the_bot_does_not_get_the_audio_services_secrets_nor_it_the_bots(self, deployed: Deployed) -> None:
        assert "YOUTUBE_API_KEY" not in {key for _, key in deployed.files("discord-bot").values()}
        for name in ("audio-processor", "audio-api"):
            assert "discord-bot-secrets" not in {secret for secret, _ in deployed.files(name).values()}


def keys_of(example: str) -> set[str]:
    text = (K8S / "secrets" / f"{example}.env.example").read_text()
    return set(re.findall(r"^([A-Z_]+)=", text, re.MULTILINE))


def test_keys_for_the_api_can_be_asked_for(tmp_path: Path) -> None:
    parts = {"resources": ["overlays/local"], "components": ["components/api-keys"]}
    relative = {name: [os.path.relpath(K8S / part, tmp_path) for part in those] for name, those in parts.items()}
    (tmp_path / "kustomization.yaml").write_text(json.dumps(relative))
    manifests = render(tmp_path)
    assert [line for manifest in manifests for line in problems(manifest)] == []
    deployed = Deployed(manifests)
    for name in ("audio-api", "audio-processor"):
        path = Path(deployed.environment(name)["API_KEYS_FILE"])
        (mount,) = [one for one in deployed.container(name)["volumeMounts"] if one["mountPath"] == str(path.parent)]
        (volume,) = [one for one in deployed.pod(name)["spec"]["volumes"] if one["name"] == mount["name"]]
        assert f"put_secret backend {volume['secret']['secretName']} " in (ROOT / "deploy.sh").read_text()
        assert f"k8s/secrets/{path.name}" in (ROOT / "deploy.sh").read_text()


class TestNames:
    def test_the_contracts_are_there(self, deployed: Deployed) -> None:
        namespaces = {one["metadata"]["name"] for one in render(K8S / "namespaces")}
        assert {"backend", "kafka", "mongodb", "monitoring", "cert-manager"} <= namespaces
        used = {one["metadata"].get("namespace") for one in deployed.manifests} - {None}
        assert used <= namespaces
        service = deployed.one("Service", "audio-processing-service")
        assert service["metadata"]["namespace"] == "backend"
        assert {port["name"]: port["port"] for port in service["spec"]["ports"]}["http"] == 8080
        assert deployed.one("ConfigMap", "discord-bot-config")["data"]["COMMAND_PREFIX"] == "music"

    def test_what_the_bot_asks_is_that_service(self, deployed: Deployed) -> None:
        url = deployed.environment("discord-bot")["AUDIO_PROCESSOR_URL"]
        assert url == "http://audio-processing-service.backend.svc.cluster.local:8080"

    def test_every_selector_finds_pods(self, deployed: Deployed) -> None:
        pods = [deployed.pod(name)["metadata"]["labels"] for name in PROGRAMS]
        for service in deployed.every("Service"):
            assert any(service["spec"]["selector"].items() <= labels.items() for labels in pods)
        for kind in ("Deployment", "PodDisruptionBudget"):
            for one in deployed.every(kind):
                if one["metadata"]["namespace"] == "backend":
                    wanted = one["spec"]["selector"]["matchLabels"].items()
                    assert [wanted <= labels.items() for labels in pods].count(True) == 1
        protected = {one["metadata"]["name"] for one in deployed.every("PodDisruptionBudget")}
        assert set(PROGRAMS) <= protected

    @program
    def test_ports_and_probes_are_those_of_the_program(self, deployed: Deployed, name: str) -> None:
        container = deployed.container(name)
        image, _ = PROGRAMS[name]
        port = BotSettings.model_fields["bot_http_port"].default if image == "bot" else AudioSettings().http_port
        ports = {one["name"]: one["containerPort"] for one in container["ports"]}
        metrics = deployed.environment(name).get("METRICS_PORT")
        assert ports == {"http": port} | ({"metrics": int(metrics)} if metrics else {})
        policy = deployed.one("NetworkPolicy", "prometheus-scrapes-the-services")
        (rule,) = policy["spec"]["ingress"]
        assert ports.get("metrics", port) in {one["port"] for one in rule["ports"]}
        assert f"EXPOSE {port}\n" in (ROOT / "docker" / f"Dockerfile.{image}").read_text()
        asked = {kind: container[kind]["httpGet"] for kind in ("startupProbe", "livenessProbe", "readinessProbe")}
        assert {kind: get["path"] for kind, get in asked.items()} == {
            "startupProbe": "/livez",
            "livenessProbe": "/livez",
            "readinessProbe": "/readyz",
        }
        assert {get["port"] for get in asked.values()} == {"http"}

    def test_workers_work_and_the_api_answers(self, deployed: Deployed) -> None:
        assert deployed.environment("audio-api")["NUM_WORKERS"] == "0"
        assert int(deployed.environment("audio-processor")["NUM_WORKERS"]) > 0
        assert deployed.one("Deployment", "discord-bot")["spec"]["replicas"] == 1
        assert deployed.one("Deployment", "discord-bot")["spec"]["strategy"] == {"type": "Recreate"}


class TestHardening:
    @program
    def test_a_container_has_no_rights_and_limits(self, deployed: Deployed, name: str) -> None:
        pod, container = deployed.pod(name)["spec"], deployed.container(name)
        assert pod["automountServiceAccountToken"] is False
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        user = pod["securityContext"]["runAsUser"]
        assert f"USER {user}:{pod['securityContext']['runAsGroup']}" in (
            (ROOT / "docker" / f"Dockerfile.{PROGRAMS[name][0]}").read_text()
        )
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert {"cpu", "memory", "ephemeral-storage"} == set(container["resources"]["limits"])
        assert set(container["resources"]["requests"]) == set(container["resources"]["limits"])
        assert not {"hostNetwork", "hostPID", "hostIPC"} & set(pod)
        assert len(pod["topologySpreadConstraints"]) == 2

    @program
    def test_an_image_is_pulled_only_from_where_an_overlay_says(self, deployed: Deployed, name: str) -> None:
        container = deployed.container(name)
        named = "/" in container["image"].removeprefix("butakero/")
        assert container["imagePullPolicy"] == ("IfNotPresent" if named else "Never")

    @program
    def test_work_in_hand_may_end_before_it_is_killed(self, deployed: Deployed, name: str) -> None:
        pause = deployed.container(name)["lifecycle"]["preStop"]["sleep"]["seconds"]
        drain = AudioSettings().drain_seconds
        assert deployed.pod(name)["spec"]["terminationGracePeriodSeconds"] > pause + drain + CLEAN_UP_SECONDS

    def test_the_services_may_do_nothing_in_the_cluster(self, deployed: Deployed) -> None:
        assert deployed.every("ClusterRole") + deployed.every("ClusterRoleBinding") == []
        for binding in deployed.every("RoleBinding"):
            assert {subject["kind"] for subject in binding["subjects"]} == {"Group"}
        for role in deployed.every("Role"):
            for rule in role["rules"]:
                assert not {"*", "secrets", "pods/exec"} & {*rule["resources"], *rule["verbs"]}
        assert all(one["automountServiceAccountToken"] is False for one in deployed.every("ServiceAccount"))


def allowed_addresses(deployed: Deployed, labels: dict[str, str], address: str) -> bool:
    """Say whether a policy lets a pod of `backend` with these labels out to an address."""
    wanted = ipaddress.ip_address(address)
    for policy in deployed.every("NetworkPolicy"):
        if policy["metadata"]["namespace"] != "backend" or not selects(policy["spec"]["podSelector"], labels):
            continue
        for rule in policy["spec"].get("egress", []):
            if "to" not in rule:
                return True
            for peer in rule["to"]:
                block = peer.get("ipBlock")
                if block and wanted in ipaddress.ip_network(block["cidr"]):
                    excluded = [ipaddress.ip_network(one) for one in block.get("except", [])]
                    if not any(wanted in network for network in excluded):
                        return True
    return False


def selects(selector: Manifest, labels: dict[str, str]) -> bool:
    exact = selector.get("matchLabels", {}).items() <= labels.items()
    return exact and all(
        labels.get(one["key"]) in one["values"]
        for one in selector.get("matchExpressions", [])
        if one["operator"] == "In"
    )


class TestNetwork:
    @program
    @pytest.mark.parametrize(
        "address",
        [
            *("169.254.169.254", "10.96.0.1", "10.244.0.7", "172.20.0.1", "192.168.1.1", "100.64.0.1", "127.0.0.1"),
            *("fd00:ec2::254", "fe80::1", "::1", "::ffff:169.254.169.254"),
        ],
    )
    def test_neither_the_cluster_nor_the_clouds_credentials_can_be_reached(
        self, deployed: Deployed, name: str, address: str
    ) -> None:
        assert not allowed_addresses(deployed, deployed.pod(name)["metadata"]["labels"], address)

    @program
    def test_public_addresses_can(self, deployed: Deployed, name: str) -> None:
        for address in ("93.184.215.14", "2606:2800:21f::1"):
            assert allowed_addresses(deployed, deployed.pod(name)["metadata"]["labels"], address)

    def test_our_pods_are_closed_in_every_namespace_unless_said_otherwise(self, deployed: Deployed) -> None:
        closed = {
            (one["metadata"]["namespace"], *one["spec"]["policyTypes"]): one["spec"]["podSelector"]["matchLabels"]
            for one in deployed.every("NetworkPolicy")
            if not {"ingress", "egress"} & set(one["spec"])
        }
        assert set(closed) == {("backend", "Ingress", "Egress"), ("kafka", "Ingress"), ("mongodb", "Ingress")}
        for name in PROGRAMS:
            assert closed["backend", "Ingress", "Egress"].items() <= deployed.pod(name)["metadata"]["labels"].items()

    def test_no_policy_is_about_pods_of_others(self, deployed: Deployed) -> None:
        for policy in deployed.every("NetworkPolicy"):
            assert set(policy["spec"]["podSelector"]) & {"matchLabels", "matchExpressions"}, policy["metadata"]["name"]

    def test_names_are_found_behind_nodelocal_and_openshifts_dns_too(self, deployed: Deployed) -> None:
        rules = deployed.one("NetworkPolicy", "names")["spec"]["egress"]
        asked = [(peer, port["port"]) for rule in rules for peer in rule["to"] for port in rule["ports"]]
        assert ({"ipBlock": {"cidr": "169.254.20.10/32"}}, 53) in asked
        openshift = [port for peer, port in asked if "openshift-dns" in json.dumps(peer)]
        assert openshift == [5353, 5353]

    def test_the_services_reach_the_ports_of_kafka_and_mongodb_and_are_let_in_there(self, deployed: Deployed) -> None:
        (listener,) = deployed.one("Kafka", "butakero")["spec"]["kafka"]["listeners"]
        environment = deployed.environment("audio-api")
        assert environment["KAFKA_BROKERS"].endswith(f":{listener['port']}")
        policy = deployed.one("NetworkPolicy", "queue-and-library")
        ports = {port["port"] for rule in policy["spec"]["egress"] for port in rule["ports"]}
        assert ports == {listener["port"], AudioSettings().mongo_port}
        let_in = [listener["networkPolicyPeers"][0]]
        let_in += deployed.one("NetworkPolicy", "members-and-services")["spec"]["ingress"][0]["from"][1:]
        for peer in let_in:
            assert peer["namespaceSelector"]["matchLabels"]["kubernetes.io/metadata.name"] == "backend"
            for name in PROGRAMS:
                assert selects(peer["podSelector"], deployed.pod(name)["metadata"]["labels"])


class TestKafka:
    def test_the_topics_are_made_as_the_services_would_make_them(self, deployed: Deployed) -> None:
        settings = deployed.environment("audio-processor")
        names = {value for key, value in settings.items() if key.startswith("TOPIC_DOWNLOAD_")}
        assert {one["spec"]["topicName"] for one in deployed.every("KafkaTopic")} == names | {
            f"{one}.dlq" for one in names
        }
        for topic in deployed.every("KafkaTopic"):
            assert topic["spec"]["partitions"] == int(settings["KAFKA_PARTITIONS"])
            assert topic["spec"]["replicas"] == int(settings["KAFKA_REPLICATION_FACTOR"])
            assert topic["spec"]["config"] == {
                "retention.ms": AudioSettings().kafka_retention_hours * 3_600_000,
                "max.message.bytes": MAX_MESSAGE_BYTES + SLACK_BYTES,
            }

    def test_the_names_are_the_defaults_which_are_the_contracts(self, deployed: Deployed) -> None:
        settings = AudioSettings()
        for key in ("topic_download_requests", "topic_download_status", "topic_download_progress"):
            assert deployed.environment("discord-bot")[key.upper()] == getattr(settings, key)

    def test_the_cluster_can_hold_that_many_copies(self, deployed: Deployed) -> None:
        copies = int(deployed.environment("audio-api")["KAFKA_REPLICATION_FACTOR"])
        kafka: dict[str, Any] = deployed.one("Kafka", "butakero")["spec"]["kafka"]
        assert deployed.one("KafkaNodePool", "node")["spec"]["replicas"] >= copies
        factors = {value for key, value in kafka["config"].items() if key.endswith("replication.factor")}
        minimums = {value for key, value in kafka["config"].items() if key.endswith(("min.isr", "min.insync.replicas"))}
        assert (factors, minimums) == ({copies}, {max(1, copies - 1)})
        assert kafka["version"] in (ROOT / "tests" / "servers" / "kafka" / "pom.xml").read_text()

    def test_the_autoscaler_looks_at_the_workers_group_and_never_asks_for_idle_ones(self, deployed: Deployed) -> None:
        scaled = deployed.one("ScaledObject", "audio-processor")["spec"]
        settings = deployed.environment("audio-processor")
        (trigger,) = scaled["triggers"]
        topic = settings["TOPIC_DOWNLOAD_REQUESTS"]
        assert trigger["metadata"]["topic"] == topic
        assert trigger["metadata"]["consumerGroup"] == f"{DOWNLOADS.group}.{topic}"
        assert trigger["metadata"]["bootstrapServers"] == settings["KAFKA_BROKERS"]
        assert scaled["minReplicaCount"] <= scaled["maxReplicaCount"] <= int(settings["KAFKA_PARTITIONS"])
        assert scaled["scaleTargetRef"]["name"] == "audio-processor"
        assert "replicas" not in deployed.one("Deployment", "audio-processor")["spec"]

    @pytest.mark.parametrize(
        ("user", "kind", "name", "operation"),
        [
            *[
                ("audio-service", "topic", topic, do)
                for topic in ("requests", "status", "progress", "requests.dlq")
                for do in ("Read", "Write")
            ],
            ("audio-service", "group", f"{DOWNLOADS.group}.bot.download.requests", "Read"),
            ("audio-service", "group", f"{DLQ_GROUP}.bot.download.requests.dlq", "Read"),
            ("audio-service", "group", "butakero.request.1.bot.download.status", "Delete"),
            ("discord-bot", "topic", "requests", "Write"),
            ("discord-bot", "topic", "status", "Read"),
            ("discord-bot", "topic", "progress", "Read"),
            ("discord-bot", "group", "bot-kubernetes.bot.download.status", "Read"),
            ("discord-bot", "group", "bot-kubernetes.progress.bot.download.progress", "Delete"),
            ("autoscaler", "topic", "requests", "Describe"),
            ("autoscaler", "group", f"{DOWNLOADS.group}.bot.download.requests", "Describe"),
        ],
    )
    def test_users_may_do_what_they_do(self, user: str, kind: str, name: str, operation: str) -> None:
        name = f"bot.download.{name}" if kind == "topic" else name
        assert may(Deployed.by("prod"), user, kind, name, operation)

    @pytest.mark.parametrize(
        ("user", "kind", "name", "operation"),
        [
            ("discord-bot", "topic", "bot.download.requests", "Read"),
            ("discord-bot", "topic", "bot.download.status", "Write"),
            ("discord-bot", "group", f"{DOWNLOADS.group}.bot.download.requests", "Read"),
            ("autoscaler", "topic", "bot.download.requests", "Read"),
            ("autoscaler", "group", f"{DOWNLOADS.group}.bot.download.requests", "Read"),
            ("audio-service", "topic", "other", "Read"),
            ("audio-service", "group", "bot-kubernetes.bot.download.status", "Read"),
        ],
    )
    def test_users_may_do_no_more(self, user: str, kind: str, name: str, operation: str) -> None:
        assert not may(Deployed.by("prod"), user, kind, name, operation)


def may(deployed: Deployed, user: str, kind: str, name: str, operation: str) -> bool:
    for rule in deployed.one("KafkaUser", user)["spec"]["authorization"]["acls"]:
        resource = rule["resource"]
        fits = name.startswith(resource["name"]) if resource["patternType"] == "prefix" else name == resource["name"]
        if resource["type"] == kind and fits and operation in rule["operations"]:
            return True
    return False


class TestMongoDB:
    def test_it_has_the_user_and_the_rights_that_compose_gives(self, deployed: Deployed) -> None:
        role = json.loads((ROOT / "docker" / "mongodb" / "role.json").read_text())
        spec = deployed.one("MongoDBCommunity", "butakero-mongodb")["spec"]
        (user,) = spec["users"]
        assert user["name"] == role["user"]
        assert f"MONGO_USER={user['name']}\n" in (K8S / "secrets" / "backend.env.example").read_text()
        database = deployed.environment("audio-api")["MONGO_DATABASE"]
        assert {(one["db"], one["name"]) for one in user["roles"]} == {
            (database, "readWrite"),
            ("admin", role["role"]),
        }
        (made,) = spec["security"]["roles"]
        assert made["privileges"] == role["privileges"]

    def test_it_gives_up_transactions_that_lost_their_client_as_soon_as_compose_does(self, deployed: Deployed) -> None:
        configuration = deployed.one("MongoDBCommunity", "butakero-mongodb")["spec"]["additionalMongodConfig"]
        assert configuration["setParameter.transactionLifetimeLimitSeconds"] == TRANSACTION_SECONDS

    def test_it_is_where_the_services_look_and_shows_a_certificate_of_that_name(self, deployed: Deployed) -> None:
        environment = deployed.environment("discord-bot")
        resource = deployed.one("MongoDBCommunity", "butakero-mongodb")
        name = resource["metadata"]["name"]
        assert environment["MONGO_REPLICA_SET_NAME"] == name
        assert environment["MONGO_HOST"] == f"{name}-svc.mongodb.svc.cluster.local"
        certificate = deployed.one("Certificate", "mongodb-members")["spec"]
        assert {environment["MONGO_HOST"], f"*.{environment['MONGO_HOST']}"} <= set(certificate["dnsNames"])
        assert resource["spec"]["security"]["tls"]["certificateKeySecretRef"]["name"] == certificate["secretName"]

    def test_kafka_too(self, deployed: Deployed) -> None:
        host = deployed.environment("discord-bot")["KAFKA_BROKERS"].rpartition(":")[0]
        certificate = deployed.one("Certificate", "kafka-listener")["spec"]
        assert host in certificate["dnsNames"]
        (listener,) = deployed.one("Kafka", "butakero")["spec"]["kafka"]["listeners"]
        assert listener["tls"] is True
        assert listener["configuration"]["brokerCertChainAndKey"]["secretName"] == certificate["secretName"]
