"""deploy.sh over what an earlier version of it, or a run that was cut off, has left."""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path

import pytest

from tests.deploy.cluster_place import PASSWORD, Place, make_place
from tests.deploy.fake_cluster import secret
from tests.deploy.fake_state import TEMPLATED, Cluster, chart_kinds

pytestmark = pytest.mark.slow
PREVIOUS = {
    "cert-manager": ("cert-manager", "v1.19.2"),
    "strimzi": ("oci://quay.io/strimzi-helm/strimzi-kafka-operator", "0.49.1"),
    "mongodb": ("mongodb-kubernetes", "1.6.1"),
    "keda": ("keda", "2.17.2"),
    "monitoring": ("kube-prometheus-stack", "78.2.1"),
}
"""What deploy.sh of 0.2.0 installed, without a mark of its own."""
NAMESPACES = {"strimzi": "kafka"}
COOKIES = "# Netscape HTTP Cookie File\n"


@pytest.fixture
def place(tmp_path: Path) -> Generator[Place]:
    with make_place(tmp_path) as place:
        yield place


def install_previous(cluster: Cluster, **versions: str) -> None:
    for name, (chart, pinned) in PREVIOUS.items():
        version, namespace = versions.get(name, pinned), NAMESPACES.get(name, name)
        metadata = {"name": namespace, "labels": {"app.kubernetes.io/part-of": "butakero"}}
        cluster.put({"apiVersion": "v1", "kind": "Namespace", "metadata": metadata})
        release = {"chart": chart, "version": version, "values": "", "namespace": namespace, "marked": False}
        cluster.releases[name] = release
        for crd, spec in chart_kinds(name, version).items():
            cluster.put_crd(crd, {**spec, "release": name if name in TEMPLATED else ""})


class TestUpgrading:
    def test_from_the_previous_pins_kinds_come_before_their_operators(self, place: Place) -> None:
        place.change_cluster(install_previous)
        assert place.cluster.crds["kafkas.kafka.strimzi.io"]["stored"] == ["v1beta2"]
        ran = place.run()
        assert ran.returncode == 0, ran.stderr
        assert "Strimzi 0.49.1: se actualiza a 1." in ran.stdout
        kafka = place.cluster.crds["kafkas.kafka.strimzi.io"]
        assert (kafka["versions"], kafka["stored"]) == (["v1"], ["v1"])
        for name in PREVIOUS:
            assert place.cluster.releases[name]["version"] != PREVIOUS[name][1]
        changes = place.cluster.changes
        for crd, name in (("kafkas.kafka.strimzi.io", "strimzi"),):
            assert changes.index(f"crd {crd}") < changes.index(f"helm {name}")

    def test_objects_are_stored_anew_before_their_old_version_goes(self, place: Place) -> None:
        place.change_cluster(install_previous)
        assert place.run().returncode == 0
        # Nothing was stored then: nothing had to be written again.
        assert not [call for call in place.calls if "kubectl replace" in call]
        patches = [call for call in place.calls if "patch crd kafkas." in call]
        assert '"path":"/spec/versions/0/storage","value":true' in patches[0]
        assert '"path":"/spec/versions/1/storage","value":false' in patches[0]
        assert "--subresource=status" in patches[1]

    def test_what_is_stored_there_is_written_again(self, place: Place) -> None:
        place.change_cluster(install_previous)
        topic = {"apiVersion": "kafka.strimzi.io/v1", "kind": "KafkaTopic"}
        metadata = {"name": "t", "namespace": "kafka"}
        place.change_cluster(lambda cluster: cluster.put({**topic, "metadata": metadata}))
        assert place.run().returncode == 0
        assert len([call for call in place.calls if "kubectl replace -f" in call]) == 1

    def test_a_strimzi_that_does_not_know_the_new_version_is_refused_with_the_way(self, place: Place) -> None:
        place.change_cluster(lambda cluster: install_previous(cluster, strimzi="0.48.0"))
        place.change_cluster(lambda cluster: cluster.releases["strimzi"].update(marked=True))
        ran = place.run()
        assert ran.returncode == 1
        assert "kafkas.kafka.strimzi.io guarda v1beta2" in ran.stderr
        assert "0.49.1" in ran.stderr
        assert place.cluster.releases["strimzi"]["version"] == "0.48.0"

    def test_pods_are_made_once(self, place: Place) -> None:
        assert place.run().returncode == 0
        deployed = [change for change in place.cluster.changes if "/deployment/" in change]
        assert len(deployed) == len(set(deployed)) == 3
        template = place.cluster.objects["backend/deployment/audio-api"]["applied"]["spec"]["template"]
        assert template["metadata"]["annotations"]["butakero/configuration"].startswith("v-")


class TestCutOff:
    def test_an_installation_that_was_cut_off_is_begun_again(self, place: Place) -> None:
        assert place.run().returncode == 0
        place.change_cluster(lambda cluster: cluster.releases["keda"].update(status="pending-install"))
        ran = place.run()
        assert ran.returncode == 0, ran.stderr
        assert "KEDA quedó a medias (pending-install)" in ran.stdout
        assert place.cluster.changes[-2:] == ["-helm keda", "helm keda"] or "-helm keda" in place.cluster.changes

    @pytest.mark.parametrize("status", ["pending-upgrade", "pending-rollback"])
    def test_an_upgrade_that_was_cut_off_is_rolled_back_first(self, place: Place, status: str) -> None:
        assert place.run().returncode == 0

        def cut_off(cluster: Cluster) -> None:
            before = dict(cluster.releases["strimzi"])
            cluster.releases["strimzi"] = {**before, "status": status, "before": before, "version": "1.0.0"}

        place.change_cluster(cut_off)
        ran = place.run()
        assert ran.returncode == 0, ran.stderr
        assert "rolled back strimzi" in place.cluster.changes
        assert "status" not in place.cluster.releases["strimzi"]


class TestSecrets:
    def test_cookies_stay_when_the_file_is_not_there_any_more(self, place: Place) -> None:
        cookies = place.directory / "yt-cookies.txt"
        cookies.write_text(COOKIES)
        assert place.run().returncode == 0
        cookies.unlink()
        ran = place.run()
        assert ran.returncode == 0
        assert secret(place.cluster, "backend", "backend-secret")["YT_COOKIES"] == COOKIES
        assert "quedan las cookies" in ran.stdout

    def test_cookies_are_given_where_the_other_secrets_are_in_the_cluster(self, place: Place) -> None:
        assert place.run().returncode == 0
        (place.directory / "k8s" / "secrets" / "backend.env").unlink()
        (place.directory / "yt-cookies.txt").write_text(COOKIES)
        assert place.run().returncode == 0
        assert secret(place.cluster, "backend", "backend-secret")["YT_COOKIES"] == COOKIES
        assert secret(place.cluster, "backend", "backend-secret")["MONGO_PASSWORD"] == PASSWORD

    def test_an_empty_file_of_cookies_is_said(self, place: Place) -> None:
        (place.directory / "yt-cookies.txt").write_text("")
        assert "yt-cookies.txt está vacío" in place.run().stdout

    def test_values_are_read_as_compose_reads_them(self, place: Place) -> None:
        place.fill_in()
        (place.directory / "k8s" / "secrets" / "discord-bot.env").write_text(
            "export DISCORD_TOKEN='a#b\"c' # the bot's\nAUDIO_PROCESSOR_API_KEY=\n"
        )
        assert place.run().returncode == 0
        assert secret(place.cluster, "backend", "discord-bot-secrets") == {"DISCORD_TOKEN": 'a#b"c'}

    def test_a_line_that_is_none_is_named_before_anything_is_done(self, place: Place) -> None:
        (place.directory / "k8s" / "secrets" / "discord-bot.env").write_text('DISCORD_TOKEN "x"\n')
        ran = place.run()
        assert ran.returncode == 1
        assert "k8s/secrets/discord-bot.env, línea 1" in ran.stderr

    def test_a_proxy_is_not_asked_for_the_forwarded_port(self, place: Place) -> None:
        nowhere = "http://127.0.0.1:9"
        ran = place.run(http_proxy=nowhere, HTTP_PROXY=nowhere, all_proxy=nowhere)
        assert ran.returncode == 0, ran.stderr
