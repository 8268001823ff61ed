from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client import CollectorRegistry, PlatformCollector, ProcessCollector

from audio_service.api.metrics import HttpMetrics
from audio_service.metrics import WorkerMetrics
from bot_service.metrics import BotMetrics
from common.http.connections import ConnectionMetrics
from common.observability.dependencies import dependency_up, disk_free_ratio
from common.observability.gauges import loop_lateness, queue_lag, queue_oldest
from tests.deploy.compose import ROOT, config
from tests.servers.prometheus import PROMTOOL_RUNS, promtool

MONITORING = ROOT / "monitoring"
DASHBOARDS = [MONITORING / "grafana" / "dashboards" / name for name in ("butakero.json", "bot.json")]
"""What Compose has. The first is where Grafana opens."""
ALL_DASHBOARDS = sorted((MONITORING / "grafana" / "dashboards").glob("*.json"))
RULES = MONITORING / "prometheus" / "rules.yml"
RUNBOOK = ROOT / "docs" / "runbook.md"
OF_PROMETHEUS = {"up": {"job", "instance", "service"}, "ALERTS": {"alertstate", "alertname"}}
ADDED_BY_SCRAPING = {"job", "instance", "service", "le"}
WORDS = {
    *("sum", "max", "count", "by", "rate", "increase", "and", "or", "unless", "offset", "absent"),
    *("histogram_quantile", "predict_linear", "min", "on", "vector", "time", "avg_over_time", "max_over_time"),
}
Json = dict[str, Any]


def known_metrics() -> dict[str, set[str]]:
    """Return every series that a process of either service shows, with the labels that tell its values apart."""
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    PlatformCollector(registry=registry)
    labels: dict[str, set[str]] = {}
    ours = (
        WorkerMetrics.on(registry),
        HttpMetrics.on(registry),
        BotMetrics.on(registry),
        ConnectionMetrics.on(registry),
    )
    collectors: list[Any] = [loop_lateness(registry), queue_lag(registry), queue_oldest(registry)]
    collectors += [dependency_up(registry), disk_free_ratio(registry)]
    collectors += [getattr(metrics, name) for metrics in ours for name in metrics.__slots__]
    for collector in collectors:
        for family in collector.describe():
            labels[family.name] = set(collector._labelnames)
    suffixes = {"counter": ("_total",), "histogram": ("_bucket", "_sum", "_count"), "gauge": ("",)}
    return {
        family.name + suffix: labels.get(family.name, set()) | ADDED_BY_SCRAPING
        for family in registry.collect()
        for suffix in suffixes.get(family.type, ("",))
    } | OF_PROMETHEUS


def of_exporters() -> dict[str, set[str]]:
    """Return the series that Kafka's and MongoDB's exporters show, with their labels."""
    listed: dict[str, dict[str, list[str]]] = yaml.safe_load((MONITORING / "prometheus" / "exporters.yml").read_text())
    return {name: {*labels, *ADDED_BY_SCRAPING} for shown in listed.values() for name, labels in shown.items()}


def expressions() -> Iterator[tuple[str, str]]:
    """Yield what is asked of Prometheus, and by whom."""
    for path in ALL_DASHBOARDS:
        dashboard: Json = json.loads(path.read_text())
        for panel in dashboard["panels"]:
            for target in panel["targets"]:
                yield panel["title"], target["expr"].replace("$__rate_interval", "5m")
        for annotation in dashboard["annotations"]["list"]:
            yield annotation["name"], annotation["expr"]
    for group in yaml.safe_load(RULES.read_text())["groups"]:
        for rule in group["rules"]:
            yield rule["alert"], rule["expr"]


def names_in(expression: str) -> set[str]:
    without_lists = re.sub(r"\bby\s*\([^)]*\)", "", re.sub(r"\{[^}]*\}|\"[^\"]*\"", "{}", expression))
    found = re.findall(r"[a-zA-Z_:][\w:]*", re.sub(r"\[[^\]]*\]|\b\d\w*", "", without_lists))
    return {name for name in found if name not in WORDS}


def labels_in(expression: str) -> set[str]:
    grouped = {label.strip() for labels in re.findall(r"\bby\s*\(([^)]*)\)", expression) for label in labels.split(",")}
    return grouped | set(re.findall(r"[{,]\s*(\w+)\s*(?:=~|!~|!=|=)", expression))


@pytest.mark.parametrize(("who", "expression"), list(expressions()))
def test_everything_that_is_asked_for_exists(who: str, expression: str) -> None:
    known, names = known_metrics() | of_exporters(), names_in(expression)
    assert names, who
    assert names <= set(known), f"{who}: no such metric"
    assert labels_in(expression) <= set().union(*(known[name] for name in names)), f"{who}: no such label"


@pytest.mark.parametrize("path", DASHBOARDS, ids=lambda path: path.stem)
def test_a_number_of_what_has_not_happened_yet_is_0(path: Path) -> None:
    panels = [panel for panel in json.loads(path.read_text())["panels"] if panel["type"] == "stat"]
    counting = [panel["targets"][0]["expr"] for panel in panels if re.search(r"increase|\bup\b", str(panel["targets"]))]
    assert len(counting) >= 3
    for expression in counting:
        assert expression.endswith("or vector(0)"), expression


def test_every_metric_of_ours_is_on_a_dashboard() -> None:
    shown = " ".join(expression for _, expression in expressions())
    ours = {re.sub(r"_(total|bucket|sum|count)$", "", name) for name in known_metrics() if name.startswith("butakero_")}
    assert {name for name in ours if name not in shown} == set()


@pytest.mark.parametrize("key", ["uid", "title"])
def test_dashboards_are_told_apart(key: str) -> None:
    assert len({json.loads(path.read_text())[key] for path in ALL_DASHBOARDS}) == len(ALL_DASHBOARDS) == 4


@pytest.mark.parametrize("path", ALL_DASHBOARDS, ids=lambda path: path.stem)
def test_the_dashboard_is_whole(path: Path) -> None:
    dashboard: Json = json.loads(path.read_text())
    (source,) = yaml.safe_load((MONITORING / "grafana" / "datasources" / "prometheus.yml").read_text())["datasources"]
    ids = [panel["id"] for panel in dashboard["panels"]]
    assert len(ids) == len(set(ids)) > 5
    for panel in dashboard["panels"]:
        assert panel["datasource"] == {"type": source["type"], "uid": source["uid"]}
        assert panel["title"]
        assert panel["gridPos"]["x"] + panel["gridPos"]["w"] <= 24
    taken = {
        (x, y)
        for panel in dashboard["panels"]
        for x in range(panel["gridPos"]["x"], panel["gridPos"]["x"] + panel["gridPos"]["w"])
        for y in range(panel["gridPos"]["y"], panel["gridPos"]["y"] + panel["gridPos"]["h"])
    }
    assert len(taken) == sum(panel["gridPos"]["w"] * panel["gridPos"]["h"] for panel in dashboard["panels"])


def test_what_is_provisioned_is_where_compose_mounts_it() -> None:
    services = config()["services"]
    targets = {mount["target"]: Path(mount["source"]) for mount in services["grafana"]["volumes"]}
    (provider,) = yaml.safe_load((MONITORING / "grafana" / "dashboards" / "provider.yml").read_text())["providers"]
    home = services["grafana"]["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]
    assert targets[home] == DASHBOARDS[0]
    assert set(DASHBOARDS) <= set(targets.values())
    assert {Path(target).parent for target, source in targets.items() if source in DASHBOARDS} == {Path(home).parent}
    assert str(Path(home).parent) == provider["options"]["path"]
    (source,) = yaml.safe_load((targets["/etc/grafana/provisioning/datasources"] / "prometheus.yml").read_text())[
        "datasources"
    ]
    assert source["url"] == "http://prometheus:9090"


def test_prometheus_scrapes_services_that_are_there_on_their_port() -> None:
    services = config()["services"]
    jobs = yaml.safe_load((MONITORING / "prometheus" / "prometheus.yml").read_text())["scrape_configs"]
    scraped = {job["job_name"]: job["dns_sd_configs"][0] for job in jobs if "dns_sd_configs" in job}
    assert {name: set(found["names"]) for name, found in scraped.items()} == {
        "audio": {"audio_processor", "audio_api"},
        "bot": {"butakero_bot"},
    }
    for found in scraped.values():
        assert set(found["names"]) <= set(services)
        assert found["port"] == services[found["names"][-1]]["ports"][0]["target"]


def test_nothing_is_listed_for_an_exporter_that_nobody_asks_for() -> None:
    asked = set[str]().union(*(names_in(expression) for _, expression in expressions()))
    assert set(of_exporters()) <= asked


def rules() -> list[Json]:
    return [rule for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]]


def test_every_alert_has_its_section_in_the_runbook_and_every_section_its_alert() -> None:
    sections = re.findall(r"^## (\w+)$", RUNBOOK.read_text(), re.MULTILINE)
    assert sorted(sections) == sorted(rule["alert"] for rule in rules())
    for rule in rules():
        assert rule["annotations"]["runbook"] == f"docs/runbook.md#{rule['alert'].lower()}"
        assert rule["annotations"]["summary"]
        assert rule["labels"]["severity"] in {"critical", "warning"}


def test_every_alert_is_seen_to_fire_and_to_be_silent() -> None:
    tests: list[Json] = yaml.safe_load(RULES.with_name("rules_test.yml").read_text())["tests"]
    expected = [(one["alertname"], bool(one["exp_alerts"])) for test in tests for one in test["alert_rule_test"]]
    for rule in rules():
        assert {(rule["alert"], True), (rule["alert"], False)} <= set(expected), rule["alert"]


@pytest.mark.slow
@pytest.mark.parametrize("arguments", PROMTOOL_RUNS, ids=" ".join)
def test_promtool_accepts_the_configuration_and_the_alerts_do_as_they_should(arguments: tuple[str, ...]) -> None:
    checked = subprocess.run(
        [promtool(), *arguments],
        cwd=MONITORING / "prometheus",
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr
