from __future__ import annotations

import re
from datetime import date

import yaml

from tests.deploy.compose import ROOT, config
from tests.deploy.pins import old, read, vulnerable

LISTED = read()


def test_each_version_stands_where_it_is_said_to_stand() -> None:
    for pin in LISTED["pins"]:
        assert re.search(rf"[:= ]{re.escape(pin['version'])}\b", (ROOT / pin["file"]).read_text()), pin


def test_every_chart_and_every_foreign_image_is_listed() -> None:
    versions = {pin["version"] for pin in LISTED["pins"]}
    charts = re.findall(r" version=(\S+)", (ROOT / "scripts" / "deploy" / "pins.sh").read_text())
    images = {one["image"].rpartition(":")[2] for one in config()["services"].values()} - {"dev"}
    assert len(charts) == 5
    assert {*charts, *images} <= versions


def test_no_pin_has_a_known_advisory() -> None:
    assert vulnerable(LISTED) == []


def test_an_advisory_is_seen_from_its_first_version_to_the_one_before_the_fix() -> None:
    def found(version: str) -> bool:
        pin = {"name": "MongoDB", "version": version, "released": "2026-01-01", "file": "x"}
        return bool(vulnerable({"pins": [pin], "advisories": LISTED["advisories"]}))

    assert [found(one) for one in ("7.0.30", "8.0.0", "8.0.12", "8.0.16", "8.0.17")] == [False, True, True, True, False]


def test_what_is_older_than_six_months_is_said() -> None:
    pin = {"name": "x", "version": "1.0", "released": "2026-01-01", "file": "f"}
    assert old({"pins": [pin]}, date(2026, 7, 3)) == []
    assert old({"pins": [pin]}, date(2026, 7, 4)) == ["x 1.0 (f) is 184 days old"]


def test_nothing_reports_to_its_makers() -> None:
    helm = ROOT / "k8s" / "helm"
    values = {name: yaml.safe_load((helm / f"{name}.yaml").read_text()) for name in ("monitoring", "mongodb")}
    analytics = values["monitoring"]["grafana"]["grafana.ini"]["analytics"]
    assert set(analytics.values()) == {False}
    telemetry = values["mongodb"]["operator"]["telemetry"]
    assert telemetry["enabled"] is telemetry["send"]["enabled"] is False


def test_alerts_have_a_place_to_go() -> None:
    values = yaml.safe_load((ROOT / "k8s" / "helm" / "monitoring.yaml").read_text())["alertmanager"]
    assert values["enabled"] is True
    assert values["config"]["route"]["receiver"] in {one["name"] for one in values["config"]["receivers"]}
