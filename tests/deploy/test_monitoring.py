from __future__ import annotations

import json
import re
import shutil
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
from tests.deploy.compose import ROOT, config

MONITORING = ROOT / "monitoring"
DASHBOARDS = [MONITORING / "grafana" / "dashboards" / name for name in ("butakero.json", "bot.json")]
"""The first is where Grafana opens."""
OF_PROMETHEUS = {"up": {"job", "instance", "service"}, "ALERTS": {"alertstate", "alertname"}}
ADDED_BY_SCRAPING = {"job", "instance", "service", "le"}
WORDS = {"sum", "max", "by", "rate", "increase", "and", "absent", "histogram_quantile"}
Json = dict[str, Any]


def known_metrics() -> dict[str, set[str]]:
    """Return every series that a process of either service shows, with the labels that tell its values apart."""
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    PlatformCollector(registry=registry)
    labels: dict[str, set[str]] = {}
    for metrics in (WorkerMetrics.on(registry), HttpMetrics.on(registry), BotMetrics.on(registry)):
        for name in metrics.__slots__:
            collector = getattr(metrics, name)
            for family in collector.describe():
                labels[family.name] = set(collector._labelnames)
    suffixes = {"counter": ("_total",), "histogram": ("_bucket", "_sum", "_count"), "gauge": ("",)}
    return {
        family.name + suffix: labels.get(family.name, set()) | ADDED_BY_SCRAPING
        for family in registry.collect()
        for suffix in suffixes.get(family.type, ("",))
    } | OF_PROMETHEUS


def expressions() -> Iterator[tuple[str, str]]:
    """Yield what is asked of Prometheus, and by whom."""
    for path in DASHBOARDS:
        dashboard: Json = json.loads(path.read_text())
        for panel in dashboard["panels"]:
            for target in panel["targets"]:
                yield panel["title"], target["expr"].replace("$__rate_interval", "5m")
        for annotation in dashboard["annotations"]["list"]:
            yield annotation["name"], annotation["expr"]
    for group in yaml.safe_load((MONITORING / "prometheus" / "rules.yml").read_text())["groups"]:
        for rule in group["rules"]:
            yield rule["alert"], rule["expr"]


def names_in(expression: str) -> set[str]:
    without_lists = re.sub(r"\bby\s*\([^)]*\)", "", re.sub(r"\{[^}]*\}|\"[^\"]*\"", "{}", expression))
    found = re.findall(r"[a-zA-Z_:][\w:]*", re.sub(r"\[[^\]]*\]", "", without_lists))
    return {name for name in found if name not in WORDS}


def labels_in(expression: str) -> set[str]:
    grouped = {label.strip() for labels in re.findall(r"\bby\s*\(([^)]*)\)", expression) for label in labels.split(",")}
    return grouped | set(re.findall(r"[{,]\s*(\w+)\s*(?:=~|!~|!=|=)", expression))


@pytest.mark.parametrize(("who", "expression"), list(expressions()))
def test_everything_that_is_asked_for_exists(who: str, expression: str) -> None:
    known, names = known_metrics(), names_in(expression)
    assert names, who
    assert names <= set(known), f"{who}: no such metric"
    assert labels_in(expression) <= set().union(*(known[name] for name in names)), f"{who}: no such label"


def test_every_metric_of_ours_is_on_a_dashboard() -> None:
    shown = " ".join(expression for _, expression in expressions())
    ours = {re.sub(r"_(total|bucket|sum|count)$", "", name) for name in known_metrics() if name.startswith("butakero_")}
    assert {name for name in ours if name not in shown} == set()


@pytest.mark.parametrize("key", ["uid", "title"])
def test_dashboards_are_told_apart(key: str) -> None:
    assert len({json.loads(path.read_text())[key] for path in DASHBOARDS}) == len(DASHBOARDS)


@pytest.mark.parametrize("path", DASHBOARDS, ids=lambda path: path.stem)
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


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed")
def test_promtool_accepts_the_configuration() -> None:
    checked = subprocess.run(
        ["promtool", "check", "config", str(MONITORING / "prometheus" / "prometheus.yml")],
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr
