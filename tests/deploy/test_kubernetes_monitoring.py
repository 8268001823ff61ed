"""What Kubernetes' Prometheus and Grafana are given is what Compose's are, and leads to ports that are there."""

from __future__ import annotations

import re
from typing import Any

import pytest
import yaml

from tests.deploy.compose import ROOT
from tests.deploy.manifests import render
from tests.deploy.test_monitoring import ALL_DASHBOARDS, RULES, of_exporters

BASE = ROOT / "k8s" / "base"
Json = dict[str, Any]


def manifests(*parts: str) -> list[Json]:
    """Read every document of the YAML files below k8s/base/<parts>."""
    files = sorted(BASE.joinpath(*parts).rglob("*.yaml"))
    return [one for path in files for one in yaml.safe_load_all(path.read_text()) if one]


def of_kind(kind: str, *parts: str) -> list[Json]:
    return [one for one in manifests(*parts) if one["kind"] == kind]


def relabelled(endpoint: Json) -> dict[str, str]:
    return {rule["targetLabel"]: rule["replacement"] for rule in endpoint["relabelings"]}


def test_the_alerts_are_the_same_as_composes() -> None:
    (rule,) = of_kind("PrometheusRule", "monitoring")
    assert rule["spec"]["groups"] == yaml.safe_load(RULES.read_text())["groups"]


def test_every_monitor_of_a_service_finds_one_and_its_port() -> None:
    services = of_kind("Service", "backend")
    monitors = [one for one in of_kind("ServiceMonitor", "monitoring") if one["metadata"]["name"] != "mongodb"]
    found: list[str] = []
    for monitor in monitors:
        wanted = monitor["spec"]["selector"]["matchLabels"].items()
        (service,) = [one for one in services if wanted <= one["metadata"]["labels"].items()]
        (endpoint,) = monitor["spec"]["endpoints"]
        assert endpoint["port"] in {port["name"] for port in service["spec"]["ports"]}
        assert monitor["spec"]["namespaceSelector"] == {"matchNames": ["backend"]}
        found.append(service["metadata"]["name"])
    assert len(found) == len(set(found))
    deployed = {one["metadata"]["name"] for one in of_kind("Deployment", "backend")}
    assert {monitor["metadata"]["name"] for monitor in monitors} == deployed


def test_jobs_and_services_are_called_as_in_compose() -> None:
    jobs = yaml.safe_load((RULES.parent / "prometheus.yml").read_text())["scrape_configs"]
    compose = {(job["job_name"], name) for job in jobs for sd in job.get("dns_sd_configs", []) for name in sd["names"]}
    ours: set[tuple[str, str]] = set()
    for monitor in of_kind("ServiceMonitor", "monitoring"):
        labels = relabelled(monitor["spec"]["endpoints"][0])
        if labels["job"] != "mongodb":
            ours.add((labels["job"], labels.get("service", "butakero_bot")))
    assert ours == compose


@pytest.mark.parametrize(("place", "port"), [("backend", 9091), ("backend", 8081), ("kafka", 9404), ("mongodb", 9216)])
def test_prometheus_may_reach_what_it_scrapes(place: str, port: int) -> None:
    rules = [rule for policy in of_kind("NetworkPolicy", place) for rule in policy["spec"].get("ingress", [])]
    reached = [rule for rule in rules if port in {open_port["port"] for open_port in rule["ports"]}]
    names = [peer.get("podSelector", {}).get("matchLabels", {}) for rule in reached for peer in rule.get("from", [])]
    assert {"app.kubernetes.io/name": "prometheus"} in names


def test_brokers_show_what_the_dashboard_asks_for_and_nothing_else() -> None:
    (kafka,) = of_kind("Kafka", "kafka")
    reference = kafka["spec"]["kafka"]["metricsConfig"]["valueFrom"]["configMapKeyRef"]
    (config,) = [one for one in of_kind("ConfigMap", "kafka") if one["metadata"]["name"] == reference["name"]]
    assert config["metadata"]["namespace"] == kafka["metadata"]["namespace"]
    rules = yaml.safe_load(config["data"][reference["key"]])["rules"]
    shown: dict[str, set[str]] = {}
    for rule in rules:
        choices = re.search(r"name=\(([A-Za-z|]+)\)", rule["pattern"])
        for name in choices[1].split("|") if choices else [""]:
            shown[rule["name"].replace("$1", name.lower())] = set(rule.get("labels", {}))
    listed = {name: labels for name, labels in of_exporters().items() if name.startswith("kafka_")}
    assert set(shown) == set(listed)
    assert all(labels <= listed[name] for name, labels in shown.items())


def test_the_monitor_of_kafka_finds_the_pods_of_our_cluster() -> None:
    (kafka,) = of_kind("Kafka", "kafka")
    (monitor,) = [one for one in of_kind("PodMonitor", "monitoring") if one["metadata"]["name"] == "kafka"]
    assert monitor["spec"]["selector"]["matchLabels"]["strimzi.io/cluster"] == kafka["metadata"]["name"]
    assert monitor["spec"]["namespaceSelector"] == {"matchNames": [kafka["metadata"]["namespace"]]}


def test_the_dashboards_are_those_of_the_repository() -> None:
    maps = [one for one in render(BASE / "monitoring") if one["kind"] == "ConfigMap"]
    given = {name: text for one in maps for name, text in one["data"].items()}
    assert given == {path.name: path.read_text() for path in ALL_DASHBOARDS}
    helm: Json = yaml.safe_load((ROOT / "k8s" / "helm" / "monitoring.yaml").read_text())
    label = helm["grafana"]["sidecar"]["dashboards"]["label"]
    assert all(label in one["metadata"]["labels"] for one in maps)
    assert {one["metadata"]["namespace"] for one in maps} == {"monitoring"}


def test_prometheus_takes_monitors_and_rules_whatever_their_labels() -> None:
    spec: Json = yaml.safe_load((ROOT / "k8s" / "helm" / "monitoring.yaml").read_text())["prometheus"]["prometheusSpec"]
    for kind in ("serviceMonitor", "podMonitor", "rule"):
        assert spec[f"{kind}SelectorNilUsesHelmValues"] is False
