"""deploy.sh against a cluster of tests' own (fake_cluster.py): order, waits, repetition, and every way to fail."""

from __future__ import annotations

import re
import shutil
import stat
import subprocess
from collections.abc import Generator
from pathlib import Path

import pytest

from tests.deploy.cluster_place import PASSWORD, ROOT, TOKEN, Place, make_place
from tests.deploy.fake_cluster import secret

pytestmark = pytest.mark.slow


@pytest.fixture
def place(tmp_path: Path) -> Generator[Place]:
    with make_place(tmp_path) as place:
        yield place


def positions(calls: list[str], *parts: str) -> list[int]:
    """Where each of these was first asked; fails when one was not."""
    return [next(number for number, call in enumerate(calls) if part in call) for part in parts]


def assert_no_secret_told(place: Place, ran: subprocess.CompletedProcess[str]) -> None:
    told = ran.stdout + ran.stderr + "\n".join(place.calls)
    assert PASSWORD not in told
    assert TOKEN not in told


class TestDeploying:
    def test_everything_comes_in_order_and_is_waited_for(self, place: Place) -> None:
        ran = place.run()
        assert (ran.returncode, ran.stderr) == (0, "")
        order = positions(
            place.calls,
            "kubectl get --raw=/readyz",
            "k8s/namespaces",
            "helm upgrade --install cert-manager",
            "helm upgrade --install strimzi",
            "helm upgrade --install mongodb",
            "helm upgrade --install keda",
            "helm upgrade --install monitoring",
            "kubectl create secret generic backend-secret",
            "kubectl create secret generic discord-bot-secrets",
            "kubectl create secret generic audio-password",
            "kubectl wait --for=condition=Established",
            "-l butakero/part!=application",
            "kubectl wait --for=condition=Ready --timeout=5s --namespace backend certificate --all",
            "--namespace kafka kafka/butakero",
            "--namespace kafka kafkatopic --all",
            "--namespace backend kafkauser --all",
            "--namespace mongodb mongodbcommunity/butakero-mongodb",
            "-l butakero/part=application,butakero/workload=true",
            "kubectl rollout status deployment/audio-processor",
            "kubectl rollout status deployment/audio-api",
            "kubectl rollout status deployment/discord-bot",
            "scaledobject/audio-processor",
            "kubectl port-forward svc/audio-processing-service",
        )
        assert order == sorted(order)
        for call in place.calls:
            waits = call.startswith(("helm upgrade", "kubectl wait", "kubectl rollout"))
            assert not waits or "--timeout" in call
        assert "/api/v1/health: 200" in ran.stdout
        assert_no_secret_told(place, ran)

    def test_the_secrets_are_the_contracts(self, place: Place) -> None:
        (place.directory / "yt-cookies.txt").write_text("# Netscape HTTP Cookie File\n")
        (place.directory / "k8s" / "secrets" / "api-keys.json").write_text("{}")
        with (place.directory / "k8s" / "secrets" / "backend.env").open("a") as file:
            file.write("YOUTUBE_API_KEY=a=b\n")
        assert place.run().returncode == 0
        assert secret(place.cluster, "backend", "backend-secret") == {
            "YOUTUBE_API_KEY": "a=b",
            "MONGO_USER": "audio",
            "MONGO_PASSWORD": PASSWORD,
            "YT_COOKIES": "# Netscape HTTP Cookie File\n",
        }
        assert secret(place.cluster, "backend", "discord-bot-secrets") == {"DISCORD_TOKEN": TOKEN}
        assert secret(place.cluster, "backend", "audio-api-keys") == {"api-keys.json": "{}"}
        assert secret(place.cluster, "mongodb", "audio-password") == {"password": PASSWORD}

    def test_the_password_of_mongodbs_metrics_is_made_once(self, place: Place) -> None:
        assert place.run().returncode == 0
        made = secret(place.cluster, "mongodb", "mongodb-metrics")
        assert made["username"] == "prometheus"
        assert re.fullmatch(r"[A-Za-z0-9+/]{32}", made["password"])
        assert place.run().returncode == 0
        assert secret(place.cluster, "mongodb", "mongodb-metrics") == made

    def test_a_second_run_changes_nothing(self, place: Place) -> None:
        assert place.run().returncode == 0
        before = place.cluster.changes
        ran = place.run()
        assert ran.returncode == 0
        assert place.cluster.changes == before

    def test_a_changed_secret_replaces_the_pods_and_nothing_else(self, place: Place) -> None:
        assert place.run().returncode == 0
        before = len(place.cluster.changes)
        place.fill_in(token="another")  # noqa: S106 - of no bot
        assert place.run().returncode == 0
        assert place.cluster.changes[before:] == [
            "backend/secret/discord-bot-secrets",
            *(f"backend/deployment/{name}" for name in ("audio-api", "audio-processor", "discord-bot")),
        ]

    def test_without_the_files_the_clusters_secrets_count(self, place: Place) -> None:
        assert place.run().returncode == 0
        before = place.cluster.changes
        for file in (place.directory / "k8s" / "secrets").glob("*.env"):
            file.unlink()
        ran = place.run()
        assert (ran.returncode, ran.stderr) == (0, "")
        assert place.cluster.changes == before

    def test_the_monitoring_can_be_left_out(self, place: Place) -> None:
        ran = place.run("--skip-monitoring")
        assert ran.returncode == 0
        assert "monitoring" not in place.cluster.releases
        assert not [call for call in place.calls if "base/monitoring" in call]
        assert "Grafana" not in ran.stdout

    def test_production_is_another_overlay(self, place: Place) -> None:
        for file in (place.directory / "k8s" / "overlays" / "prod").rglob("*.yaml"):
            file.write_text(file.read_text().replace("CHANGE_ME", "filled-in"))
        assert place.run("--overlay", "prod").returncode == 0
        pool = place.cluster.objects["kafka/kafkanodepool/node"]["applied"]
        assert pool["spec"]["replicas"] == 3

    def test_a_dry_run_changes_nothing_and_says_all_it_would_do(self, place: Place) -> None:
        ran = place.run("--dry-run")
        assert (ran.returncode, ran.stderr) == (0, "")
        changing = ("helm u", "helm r", "kubectl create", "kubectl patch", "kubectl delete", "kubectl port-forward")
        assert not [call for call in place.calls if call.startswith(changing)]
        assert all("--dry-run=server" in call for call in place.calls if call.startswith("kubectl apply"))
        assert place.cluster.objects == {}
        planned = [line.removeprefix("    + ") for line in ran.stdout.splitlines() if line.startswith("    + ")]
        order = positions(planned, "helm upgrade --install cert-manager", "backend-secret", "kafka/butakero", "rollout")
        assert order == sorted(order)
        assert "No se cambió nada" in ran.stdout
        assert_no_secret_told(place, ran)


FAILURES = [
    ("apply --server-side --force-conflicts --field-manager=deploy.sh -k K/namespaces", "Namespaces", "get namespaces"),
    ("helm upgrade --install cert-manager", "cert-manager", "helm status cert-manager"),
    ("helm upgrade --install strimzi", "Strimzi", "kubectl get pods -n kafka"),
    ("helm upgrade --install mongodb", "Operador de MongoDB", "helm status mongodb"),
    ("helm upgrade --install keda", "KEDA", "kubectl get pods -n keda"),
    ("helm upgrade --install monitoring", "Prometheus y Grafana", "kubectl get pods -n monitoring"),
    ("create secret generic backend-secret", "Secretos", "kubectl get secrets -n backend"),
    ("create secret generic discord-bot-secrets", "Secretos", "kubectl get secrets -n backend"),
    ("create secret generic audio-password", "Secretos", "kubectl get secret audio-password -n mongodb"),
    ("wait --for=condition=Established", "Certificados", "kubectl get certificates -A"),
    ("-l butakero/part!=application", "Certificados", "kubectl describe clusterissuer"),
    ("--namespace mongodb certificate", "Certificados", "kubectl get certificates -A"),
    ("kafka/butakero", "Kafka", "kubectl describe kafka butakero -n kafka"),
    ("kafkatopic --all", "Kafka", "kubectl get kafkatopics -n kafka"),
    ("kafkauser --all", "Kafka", "kubectl get kafkausers -n backend"),
    ("mongodbcommunity/butakero-mongodb", "MongoDB", "kubectl describe mongodbcommunity"),
    (
        "kubectl get --namespace backend -o jsonpath={.items",
        "Servicio de audio y bot",
        "kubectl get pods,pvc -n backend",
    ),
    (
        "-l butakero/part=application,butakero/workload=true",
        "Servicio de audio y bot",
        "kubectl describe pods -n backend",
    ),
    ("rollout status deployment/audio-processor", "Servicio de audio y bot", "logs -n backend deploy/audio-processor"),
    ("rollout status deployment/audio-api", "Servicio de audio y bot", "logs -n backend deploy/audio-api"),
    ("rollout status deployment/discord-bot", "Servicio de audio y bot", "logs -n backend deploy/discord-bot"),
    ("scaledobject/audio-processor", "Servicio de audio y bot", "kubectl get pods,pvc -n backend"),
    ("port-forward", "Verificar", "curl http://127.0.0.1:8080/api/v1/health"),
]


class TestFailing:
    @pytest.mark.parametrize(("call", "step", "look"), FAILURES, ids=[f"{step}: {call}" for call, step, _ in FAILURES])
    def test_a_failed_step_is_named_with_where_to_look(self, place: Place, call: str, step: str, look: str) -> None:
        place.plan(fail={call.replace("K/", f"{place.directory}/k8s/"): "planned trouble"})
        ran = place.run()
        assert ran.returncode == 1
        assert "planned trouble" in ran.stderr
        failed = ran.stderr[ran.stderr.index("Falló el paso") :]
        assert step in failed.splitlines()[0]
        assert look in failed
        assert_no_secret_told(place, ran)

    def test_after_a_failure_the_same_command_goes_on(self, place: Place) -> None:
        for trouble in ("helm upgrade --install mongodb", "kafka/butakero", "deployment/audio-api"):
            place.plan(fail={trouble: "planned trouble"})
            assert place.run().returncode == 1
        place.plan()
        assert place.run().returncode == 0
        assert len(place.cluster.changes) == len(set(place.cluster.changes))

    def test_a_system_that_is_not_well_fails_the_verification(self, place: Place) -> None:
        place.plan(health=503)
        ran = place.run("--timeout", "1")
        assert ran.returncode == 1
        assert "/api/v1/health responde 503" in ran.stderr
        assert "«Verificar»" in ran.stderr

    @pytest.mark.parametrize("tool", ["kubectl", "helm", "curl"])
    def test_a_missing_tool_is_named(self, place: Place, tool: str) -> None:
        place.without(tool)
        ran = place.run()
        assert ran.returncode == 1
        assert f"no encuentro {tool} en el PATH" in ran.stderr
        assert place.cluster.changes == []

    def test_a_cluster_that_does_not_answer_is_named(self, place: Place) -> None:
        place.plan(fail={"get --raw": "connection refused"})
        ran = place.run()
        assert ran.returncode == 1
        assert "contexto «fake») no responde: connection refused" in ran.stderr

    def test_too_few_rights_are_named(self, place: Place) -> None:
        place.plan(fail={"auth can-i": "no"})
        ran = place.run()
        assert ran.returncode == 1
        assert "no tenés permiso" in ran.stderr

    def test_all_that_is_missing_is_said_at_once(self, place: Place) -> None:
        place.without("helm")
        place.plan(fail={"get --raw": "connection refused"})
        for file in (place.directory / "k8s" / "secrets").glob("*.env"):
            file.unlink()
        ran = place.run("--overlay", "prod")
        assert ran.returncode == 1
        lines = [line for line in ran.stderr.splitlines() if line.startswith("  - ")]
        assert len(lines) == 6
        assert "quedan valores en CHANGE_ME en k8s/overlays/prod" in ran.stderr
        assert "storageClassName" in ran.stderr
        assert "copiá k8s/secrets/backend.env.example a backend.env y completalo" in ran.stderr
        for word in ("helm", "no responde", "MONGO_USER", "MONGO_PASSWORD", "DISCORD_TOKEN"):
            assert word in "\n".join(lines)
        assert place.cluster.changes == []

    @pytest.mark.parametrize("name", ["backend", "discord-bot"])
    def test_the_examples_are_refused_as_they_are(self, place: Place, name: str) -> None:
        secrets = place.directory / "k8s" / "secrets"
        shutil.copy(secrets / f"{name}.env.example", secrets / f"{name}.env")
        ran = place.run()
        assert ran.returncode == 1
        assert "sigue en CHANGE_ME" in ran.stderr
        assert place.cluster.changes == []

    def test_an_empty_secret_is_refused(self, place: Place) -> None:
        place.fill_in(token="")
        ran = place.run()
        assert ran.returncode == 1
        assert "falta DISCORD_TOKEN en k8s/secrets/discord-bot.env" in ran.stderr

    def test_a_user_that_the_database_does_not_have_is_refused(self, place: Place) -> None:
        place.fill_in(user="somebody")
        ran = place.run()
        assert ran.returncode == 1
        assert "MONGO_USER tiene que ser" in ran.stderr

    def test_an_overlay_that_is_not_there_is_refused_with_those_that_are(self, place: Place) -> None:
        ran = place.run("--overlay", "staging")
        assert ran.returncode == 1
        assert "no existe k8s/overlays/staging. Hay: local prod" in ran.stderr

    def test_an_overlay_that_does_not_render_is_refused(self, place: Place) -> None:
        (place.directory / "k8s" / "overlays" / "local" / "kustomization.yaml").write_text("resources: [nowhere]")
        ran = place.run()
        assert ran.returncode == 1
        assert "k8s/overlays/local no se puede armar" in ran.stderr

    @pytest.mark.parametrize(
        ("arguments", "words"),
        [
            (["--nonsense"], "no conozco la opción --nonsense"),
            (["--overlay"], "falta el valor después de --overlay"),
            (["--overlay", "../x"], "no es el nombre de un overlay"),
            (["--timeout", "soon"], "quiere segundos"),
            (["--delete-data"], "va con --uninstall"),
        ],
    )
    def test_wrong_usage_is_code_2(self, place: Place, arguments: list[str], words: str) -> None:
        ran = place.run(*arguments)
        assert (ran.returncode, place.calls) == (2, [])
        assert words in ran.stderr

    def test_help_asks_nobody(self, place: Place) -> None:
        place.without("kubectl")
        ran = place.run("--help")
        assert (ran.returncode, ran.stderr) == (0, "")
        for option in ("--overlay", "--skip-monitoring", "--dry-run", "--uninstall", "--delete-data", "--timeout"):
            assert option in ran.stdout

    def test_nothing_is_left_behind_that_holds_a_secret(self, place: Place) -> None:
        place.plan(fail={"kubectl wait": "planned trouble"})
        assert place.run().returncode == 1
        assert any("create secret" in call for call in place.calls)
        assert list((place.directory / "tmp").iterdir()) == []


class TestRemoving:
    def test_the_services_go_and_the_data_stays(self, place: Place) -> None:
        assert place.run().returncode == 0
        ran = place.run("--uninstall")
        assert (ran.returncode, ran.stderr) == (0, "")
        left = set(place.cluster.objects)
        assert {"backend/persistentvolumeclaim/songs", "kafka/kafka/butakero"} <= left
        assert {"mongodb/mongodbcommunity/butakero-mongodb", "backend/secret/backend-secret"} <= left
        assert len([key for key in left if "/kafkatopic/" in key]) == 6
        assert not [key for key in left if "/deployment/" in key or "/service/" in key or "/scaledobject/" in key]
        assert set(place.cluster.releases) == {"cert-manager", "strimzi", "mongodb", "keda"}
        assert "--delete-data" in ran.stdout

    def test_it_can_be_deployed_again(self, place: Place) -> None:
        assert place.run().returncode == 0
        assert place.run("--uninstall").returncode == 0
        assert place.run().returncode == 0
        assert "backend/deployment/discord-bot" in place.cluster.objects

    def test_with_the_data_nothing_is_left_and_operators_go_after_what_they_look_after(self, place: Place) -> None:
        assert place.run().returncode == 0
        ran = place.run("--uninstall", "--delete-data", "--context", "fake")
        assert (ran.returncode, ran.stderr) == (0, "")
        assert place.cluster.objects == {}
        assert place.cluster.releases == {}
        data, strimzi, namespace = positions(
            place.calls, "kubectl delete kafkas", "helm uninstall strimzi", "kubectl delete namespace kafka"
        )
        assert data < strimzi < namespace

    def test_it_can_be_repeated_and_needs_no_secrets(self, place: Place) -> None:
        for file in (place.directory / "k8s" / "secrets").glob("*.env"):
            file.unlink()
        for _ in range(2):
            assert place.run("--uninstall", "--delete-data", "--context", "fake").returncode == 0

    def test_what_cannot_be_deleted_is_said(self, place: Place) -> None:
        assert place.run().returncode == 0
        place.plan(fail={"kubectl delete": "planned trouble"})
        ran = place.run("--uninstall")
        assert ran.returncode == 1
        assert "planned trouble" in ran.stderr
        assert "«Quitar el servicio de audio y el bot»" in ran.stderr

    def test_a_dry_run_removes_nothing(self, place: Place) -> None:
        assert place.run().returncode == 0
        before = place.cluster.objects
        ran = place.run("--uninstall", "--delete-data", "--dry-run")
        assert (ran.returncode, ran.stderr) == (0, "")
        assert not [call for call in place.calls if call.startswith(("helm u", "kubectl delete"))]
        assert place.cluster.objects == before


def test_the_script_may_be_run() -> None:
    assert (ROOT / "deploy.sh").stat().st_mode & stat.S_IXUSR
