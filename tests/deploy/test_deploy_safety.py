"""deploy.sh asks before it changes a cluster, takes nothing over, and removes its own things alone."""

from __future__ import annotations

import subprocess
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

from tests.deploy.cluster_place import Place, make_place
from tests.deploy.fake_cluster import secret
from tests.deploy.fake_state import Cluster, chart_kinds

pytestmark = pytest.mark.slow
CONFIG_MAP = {"apiVersion": "v1", "kind": "ConfigMap", "data": {"theirs": "1"}}


@pytest.fixture
def place(tmp_path: Path) -> Generator[Place]:
    with make_place(tmp_path) as place:
        yield place


def theirs(cluster: Cluster, kind: str, name: str, namespace: str | None = None, **more: Any) -> None:  # noqa: ANN401 - JSON
    """Put an object of another team into the cluster."""
    metadata: dict[str, Any] = {"name": name, **more.pop("metadata", {})}
    if namespace:
        if f"/namespace/{namespace}" not in cluster.objects:
            theirs(cluster, "Namespace", namespace)
        metadata["namespace"] = namespace
    cluster.put({"apiVersion": "v1", "kind": kind, "metadata": metadata, **more}, "another-team")


def changing(place: Place) -> list[str]:
    verbs = ("upgrade", "uninstall", "rollback", "apply", "delete", "patch", "replace")
    return [call for call in place.calls if call.split()[1] in verbs and "--dry-run=server" not in call]


def assert_refused(place: Place, ran: subprocess.CompletedProcess[str], *words: str) -> None:
    assert ran.returncode == 1
    assert changing(place) == []
    for word in words:
        assert word in ran.stderr


class TestAsking:
    @pytest.mark.parametrize("typed", ["s\n", "sí\n", "YES\n"])
    def test_it_names_the_cluster_and_goes_on_after_a_yes(self, place: Place, typed: str) -> None:
        place.plan(context="shared-prod", fail={"k8s/namespaces": "planned end"})
        ran = place.run(yes=False, typed=typed)
        assert "¿Desplegar en «shared-prod» (https://fake.example:6443)?" in ran.stderr
        assert "planned end" in ran.stderr

    @pytest.mark.parametrize("typed", ["", "\n", "n\n", "x\n"])
    def test_anything_else_changes_nothing(self, place: Place, typed: str) -> None:
        assert_refused(place, place.run(yes=False, typed=typed), "no se confirmó", "--yes")

    def test_every_call_goes_to_the_context_that_was_named(self, place: Place) -> None:
        place.plan(context="shared-prod", contexts=["mine"])
        assert place.run("--context", "mine").returncode == 0
        for call in place.calls:
            if not call.startswith(("kubectl config", "kubectl kustomize")):
                assert "context=mine" in call, call

    def test_a_context_that_is_not_there_is_refused(self, place: Place) -> None:
        assert_refused(place, place.run("--context", "elsewhere"), "no conoce el contexto «elsewhere»")

    @pytest.mark.parametrize(
        ("arguments", "typed", "deletes"),
        [
            ([], "fake\n", True),
            ([], "s\n", False),
            ([], "", False),
            (["--yes"], "", False),
            (["--yes", "--context", "fake"], "", True),
            (["--context", "fake"], "", False),
        ],
    )
    def test_deleting_data_wants_the_contexts_name(
        self, place: Place, arguments: list[str], typed: str, *, deletes: bool
    ) -> None:
        place.change_cluster(lambda cluster: theirs(cluster, "Namespace", "kafka", metadata=OURS))
        ran = place.run("--uninstall", "--delete-data", *arguments, yes=False, typed=typed)
        assert (ran.returncode == 0) == deletes
        assert ("/namespace/kafka" not in place.cluster.objects) == deletes

    def test_english_is_spoken_where_the_locale_says_so(self, place: Place) -> None:
        ran = place.run(yes=False, LOCALE="en_GB.UTF-8")
        assert 'Deploy into "fake"' in ran.stderr
        assert "not confirmed" in ran.stderr
        assert place.run("--help", LOCALE="en").stdout.startswith("Usage:")
        assert place.run("--help").stdout.startswith("Uso:")


OURS = {"labels": {"app.kubernetes.io/part-of": "butakero"}}


class TestTakingNothingOver:
    def test_the_labels_of_an_existing_namespace_stay(self, place: Place) -> None:
        labels = {"labels": {"pod-security.kubernetes.io/enforce": "baseline", "team": "other"}}
        place.change_cluster(lambda cluster: theirs(cluster, "Namespace", "kafka", metadata=labels))
        ran = place.run()
        assert ran.returncode == 0, ran.stderr
        assert "namespace kafka: ya existe" in ran.stdout
        assert place.cluster.objects["/namespace/kafka"]["applied"]["metadata"]["labels"] == labels["labels"]

    @pytest.mark.parametrize(("name", "needed"), [("monitoring", "privileged"), ("kafka", "baseline")])
    def test_one_that_allows_too_little_is_said_and_not_changed(self, place: Place, name: str, needed: str) -> None:
        labels = {"labels": {"pod-security.kubernetes.io/enforce": "restricted"}}
        place.change_cluster(lambda cluster: theirs(cluster, "Namespace", name, metadata=labels))
        assert_refused(place, place.run(), f"namespace {name}", "«restricted»", f"«{needed}»")

    def test_what_others_made_under_one_of_our_names_is_not_overwritten(self, place: Place) -> None:
        place.change_cluster(lambda cluster: theirs(cluster, "ConfigMap", "butakero-config", "backend", data={}))
        place.change_cluster(lambda cluster: theirs(cluster, "Secret", "backend-secret", "backend", data={"A": ""}))
        ran = place.run()
        assert_refused(place, ran, "ConfigMap backend/butakero-config", "Secret backend/backend-secret")

    def test_a_secret_that_a_person_made_is_used_where_there_is_no_file(self, place: Place) -> None:
        values = {"MONGO_USER": "YXVkaW8=", "MONGO_PASSWORD": "cGFzcw=="}
        place.change_cluster(lambda cluster: theirs(cluster, "Secret", "backend-secret", "backend", data=values))
        (place.directory / "k8s" / "secrets" / "backend.env").unlink()
        assert place.run().returncode == 0
        assert secret(place.cluster, "mongodb", "audio-password") == {"password": "pass"}

    @pytest.mark.parametrize(
        ("name", "chart", "version", "words"),
        [
            ("cert-manager", "cert-manager", "v1.14.0", "cert-manager v1.14.0 en cert-manager"),
            ("keda", "keda", "2.12.0", "--use-existing keda"),
            ("monitoring", "loki-stack", "2.1.0", "--use-existing monitoring"),
            ("monitoring", "kube-prometheus-stack", "99.0.0", "--use-existing monitoring"),
        ],
    )
    def test_a_release_of_the_same_name_is_left_alone(
        self, place: Place, name: str, chart: str, version: str, words: str
    ) -> None:
        release = {"chart": chart, "version": version, "values": "", "namespace": name, "marked": False}
        place.change_cluster(lambda cluster: cluster.releases.update({name: release}))
        assert_refused(place, place.run(), words)
        assert place.cluster.releases[name] == release

    def test_cert_manager_from_static_manifests_is_seen_before_anything_is_done(self, place: Place) -> None:
        place.change_cluster(static_cert_manager)
        assert_refused(place, place.run(), "--use-existing cert-manager")
        ran = place.run("--use-existing", "cert-manager")
        assert ran.returncode == 0, ran.stderr
        assert "cert-manager" not in place.cluster.releases
        assert "namespace cert-manager: " not in ran.stdout
        assert "backend/certificate/backend-client" in place.cluster.objects

    def test_an_operator_that_is_said_to_be_there_must_be(self, place: Place) -> None:
        ran = place.run("--use-existing", "cert-manager,keda")
        assert_refused(place, ran, "certificates.cert-manager.io", "scaledobjects.keda.sh", "el namespace cert-manager")

    def test_an_operator_in_another_namespace_is_seen(self, place: Place) -> None:
        place.change_cluster(
            lambda cluster: theirs(cluster, "Deployment", "strimzi-cluster-operator", "platform", spec={})
        )
        assert_refused(place, place.run(), "platform/strimzi-cluster-operator", "--use-existing strimzi")

    def test_a_dry_run_says_what_would_happen(self, place: Place) -> None:
        assert place.run().returncode == 0
        place.change_cluster(lambda cluster: cluster.releases["keda"].update(version="2.17.2"))
        place.change_cluster(lambda cluster: cluster.releases["strimzi"].update(status="pending-upgrade"))
        place.change_cluster(lambda cluster: cluster.releases.pop("monitoring"))
        ran = place.run("--dry-run")
        assert ran.returncode == 0
        for words in ("KEDA 2.17.2: se actualiza a ", "Strimzi quedó a medias (pending-upgrade)", "Grafana 8"):
            assert words in ran.stdout
        assert changing(place) == []

    def test_production_over_local_is_refused_before_anything_is_applied(self, place: Place) -> None:
        assert place.run().returncode == 0
        for file in (place.directory / "k8s" / "overlays" / "prod").rglob("*.yaml"):
            file.write_text(file.read_text().replace("CHANGE_ME", "filled-in"))
        assert_refused(place, place.run("--overlay", "prod"), "k8s/overlays/prod", "immutable")

    def test_an_old_cluster_is_refused(self, place: Place) -> None:
        place.plan(cluster="v1.33.9-gke.100")
        assert_refused(place, place.run(), "1.33", "1.34")

    def test_an_unknown_operator_is_wrong_usage(self, place: Place) -> None:
        ran = place.run("--use-existing", "cert-manager,nothing")
        assert ran.returncode == 2
        assert "«nothing»" in ran.stderr


def static_cert_manager(cluster: Cluster) -> None:
    theirs(cluster, "Deployment", "cert-manager", "cert-manager", spec={})
    for name, crd in chart_kinds("cert-manager", "v1.18.0").items():
        cluster.put_crd(name, {**crd, "release": ""})


class TestRemoving:
    def test_what_others_put_into_our_namespaces_stays_with_the_namespace(self, place: Place) -> None:
        assert place.run().returncode == 0
        for namespace in ("backend", "kafka", "monitoring"):
            place.change_cluster(
                lambda cluster, here=namespace: cluster.put(
                    {**CONFIG_MAP, "metadata": {"name": "theirs", "namespace": here}}, "another-team"
                )
            )
        ran = place.run("--uninstall", "--delete-data", "--context", "fake")
        assert ran.returncode == 0, ran.stderr
        assert "el namespace kafka queda" in ran.stdout
        left = {"/namespace/backend", "/namespace/kafka", "/namespace/monitoring"}
        left |= {f"{namespace}/configmap/theirs" for namespace in ("backend", "kafka", "monitoring")}
        assert set(place.cluster.objects) == left

    def test_a_namespace_that_was_there_before_stays(self, place: Place) -> None:
        place.change_cluster(lambda cluster: theirs(cluster, "Namespace", "backend"))
        assert place.run().returncode == 0
        assert place.run("--uninstall", "--delete-data", "--context", "fake").returncode == 0
        assert set(place.cluster.objects) == {"/namespace/backend"}

    def test_operators_of_others_stay(self, place: Place) -> None:
        place.change_cluster(static_cert_manager)
        assert place.run("--use-existing", "cert-manager").returncode == 0
        ran = place.run("--uninstall", "--delete-data", "--context", "fake")
        assert ran.returncode == 0, ran.stderr
        assert set(place.cluster.objects) == {"/namespace/cert-manager", "cert-manager/deployment/cert-manager"}

    def test_the_monitoring_can_be_kept(self, place: Place) -> None:
        assert place.run().returncode == 0
        assert place.run("--uninstall", "--skip-monitoring").returncode == 0
        assert "monitoring" in place.cluster.releases
        assert "monitoring/servicemonitor/audio-api" in place.cluster.objects

    def test_topics_go_before_the_kafka_that_lets_them_go(self, place: Place) -> None:
        assert place.run().returncode == 0
        assert place.run("--uninstall", "--delete-data", "--context", "fake").returncode == 0
        deleting = [call for call in place.calls if "kubectl delete" in call]
        topics = next(number for number, call in enumerate(deleting) if "kafkatopics" in call)
        kafka = next(number for number, call in enumerate(deleting) if "kafkas.kafka" in call)
        assert topics < kafka

    def test_topics_whose_kafka_is_gone_are_let_go(self, place: Place) -> None:
        assert place.run().returncode == 0
        place.change_cluster(lambda cluster: cluster.remove("kafka/kafka/butakero"))
        ran = place.run("--uninstall", "--delete-data", "--context", "fake")
        assert ran.returncode == 0, ran.stderr
        assert "finalizer" in ran.stdout
        assert place.cluster.objects == {}
