"""Our rules and Alertmanager's configuration on the servers themselves, a minute made a second.

promtool's tests (monitoring/prometheus/rules_test.yml) have the numbers; here are the conditions that only a server
makes: a target that is not found any more, one that answers one scrape in three, NaN, and the way to a webhook.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from aiohttp import web

from tests.deploy.test_monitoring import RULES
from tests.servers.ports import free_port
from tests.servers.prometheus import START_ALERTMANAGER, Prometheus, open_alertmanager, open_prometheus
from tests.waiting import patience, until

CONFIGURATION = START_ALERTMANAGER.with_name("alertmanager.yml")
WELL = """\
butakero_dependency_up{dependency="broker"} 1
butakero_queue_lag{topic="requests"} 2
butakero_queue_oldest_seconds{topic="requests"} 60
butakero_disk_free_ratio 0.5
certmanager_certificate_expiration_timestamp_seconds{name="client"} 4e9
"""
ILL = """\
butakero_dependency_up{dependency="broker"} 0
butakero_queue_lag{topic="requests"} NaN
butakero_queue_oldest_seconds{topic="requests"} 1000
butakero_disk_free_ratio 0.05
certmanager_certificate_expiration_timestamp_seconds{name="client"} 1
"""
OF_CONDITIONS = {
    *("ApiReplicaGone", "ScrapesFail", "DependencyDown", "LagUnknown", "QueueStuck", "DiskFills", "CertificateExpires")
}


@dataclass(slots=True)
class Site:
    """What is scraped, and a webhook. `address` is host:port."""

    address: str
    metrics: str = WELL
    answers_one_in_three: bool = False
    scrapes: int = 0
    messages: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    heard: asyncio.Event = field(default_factory=asyncio.Event)

    async def scrape(self, request: web.Request) -> web.Response:
        """Answer GET /{process}/metrics; the bot's is the one that may not answer."""
        if request.match_info["process"] != "bot":
            return web.Response(text=self.metrics)
        self.scrapes += 1
        return web.Response(status=500 if self.answers_one_in_three and self.scrapes % 3 else 200)

    async def webhook(self, request: web.Request) -> web.Response:
        """Answer POST /webhook/… as Discord does."""
        self.messages.append(await request.json())
        self.heard.set()
        return web.Response(status=204)


@pytest.fixture
async def site() -> AsyncGenerator[Site]:
    found = Site(f"127.0.0.1:{free_port()}")
    application = web.Application()
    application.add_routes([web.get("/{process}/metrics", found.scrape), web.post("/webhook/{token}", found.webhook)])
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=0)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", int(found.address.partition(":")[2])).start()
        yield found
    finally:
        await runner.cleanup()


def quicker(text: str) -> str:
    """Make seconds of the minutes that rules wait, look back and step, and of the hour that one waits.

    How far a subquery looks back stays: a starved server must not forget what was before.
    """
    text = text.replace("for: 1h", "for: 5s")
    return re.sub(r"(for: |\[|:)(\d+)m(?=\]|$)", r"\1\2s", text, flags=re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Scraped:
    """Prometheus and the file from which it knows the replicas of the API."""

    prometheus: Prometheus
    replicas: Path

    async def firing(self) -> set[str]:
        """Return the alerts that fire."""
        found = await self.prometheus.query('ALERTS{alertstate="firing"}')
        return {one["metric"]["alertname"] for one in found}


@asynccontextmanager
async def scraping(directory: Path, site: Site, alertmanager: str) -> AsyncGenerator[Scraped]:
    rules, replicas = directory / "rules.yml", directory / "replicas.json"
    rules.write_text(quicker(RULES.read_text()))
    find(replicas, site, "one", "two")

    def job(name: str, **discovery: object) -> dict[str, object]:
        path = {"source_labels": ["process"], "target_label": "__metrics_path__", "replacement": "/$1/metrics"}
        return {"job_name": name, "relabel_configs": [path], **discovery}

    def static(service: str, process: str) -> dict[str, Any]:
        labels = {"service": service, "process": process, "instance": process}
        return {"static_configs": [{"targets": [site.address], "labels": labels}]}

    audio = {"file_sd_configs": [{"files": [str(replicas)], "refresh_interval": "1s"}]}
    configuration = {
        "global": {"scrape_interval": "500ms", "evaluation_interval": "500ms"},
        "rule_files": [str(rules)],
        "alerting": {"alertmanagers": [{"static_configs": [{"targets": [alertmanager]}]}]},
        "scrape_configs": [
            job("audio", **audio, **static("audio_processor", "worker")),
            job("bot", **static("", "bot")),
        ],
    }
    async with open_prometheus(directory, configuration) as prometheus:
        yield Scraped(prometheus, replicas)


def find(replicas: Path, site: Site, *names: str) -> None:
    """Let discovery find these replicas of the API, as Compose's DNS would."""
    found = [
        {"targets": [site.address], "labels": {"service": "audio_api", "process": name, "instance": name}}
        for name in names
    ]
    made = replicas.with_suffix(".new")
    made.write_text(json.dumps(found))
    made.rename(replicas)


@pytest.mark.slow
async def test_the_conditions_that_a_server_makes_fire_their_alerts(tmp_path: Path, site: Site) -> None:
    """Also without Alertmanager, to which Prometheus goes on trying to deliver them."""
    async with scraping(tmp_path, site, f"127.0.0.1:{free_port()}") as scraped:

        async def all_scraped() -> bool:
            return len(await scraped.prometheus.query("up == 1")) == 4

        async def replica_counted() -> bool:
            counted = await scraped.prometheus.query('max_over_time(count(up{service="audio_api"} == 1)[30s:1s])')
            return bool(counted) and counted[0]["value"][1] == "2"

        await until(all_scraped)
        await until(replica_counted)
        # A machine that is too busy to be scraped has the other alerts for a reason.
        assert not await scraped.firing() & (OF_CONDITIONS - {"ApiReplicaGone", "ScrapesFail"})
        site.metrics, site.answers_one_in_three = ILL, True
        find(scraped.replicas, site, "one")

        seen: set[str] = set()

        async def all_fire() -> bool:
            seen.update(await scraped.firing())
            return seen >= OF_CONDITIONS

        try:
            await until(all_fire)
        finally:
            assert OF_CONDITIONS - seen == set()
        find(scraped.replicas, site)

        async def no_api() -> bool:
            return "NoAudioApi" in await scraped.firing()

        await until(no_api)


@pytest.mark.slow
async def test_an_alert_reaches_the_discord_webhook_and_the_one_behind_it_is_held_back(
    tmp_path: Path, site: Site
) -> None:
    configuration = tmp_path / "alertmanager.yml"
    configuration.write_text(CONFIGURATION.read_text().replace("group_wait: 30s", "group_wait: 1s"))
    webhook = {"ALERT_DISCORD_WEBHOOK": f"http://{site.address}/webhook/a-token_of-the.test"}
    async with open_alertmanager(tmp_path, configuration, webhook) as alertmanager:
        rule = next(
            one
            for group in yaml.safe_load(RULES.read_text())["groups"]
            for one in group["rules"]
            if one["alert"] == "DependencyDown"
        )
        down = {
            "labels": {"alertname": "DependencyDown", "dependency": "broker", **rule["labels"]},
            "annotations": {"summary": "The broker does not work", "runbook": rule["annotations"]["runbook"]},
        }
        stuck = {"labels": {"alertname": "QueueStuck", "severity": "warning"}, "annotations": {"summary": "Stuck"}}
        async with httpx.AsyncClient(trust_env=False) as http:
            (await http.post(f"{alertmanager.url}/api/v2/alerts", json=[down, stuck])).raise_for_status()
        async with asyncio.timeout(patience()):
            await site.heard.wait()
        (embed,) = site.messages[0]["embeds"]
        assert embed["title"] == "FIRING: DependencyDown"
        assert embed["description"].strip() == ("The broker does not work (critical, docs/runbook.md#dependencydown)")

        async def held_back() -> bool:
            states = {one["labels"]["alertname"]: one["status"]["state"] for one in await alertmanager.alerts()}
            return states == {"DependencyDown": "active", "QueueStuck": "suppressed"}

        await until(held_back)
        assert "a-token_of-the.test" not in alertmanager.log.read_text()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("webhook", "said"),
    [("", "not set"), ("discord.com/api/webhooks/1/x", "no https"), ('https://x.test/"\n  - bad: 1', "character")],
    ids=["none", "no address", "another line"],
)
async def test_alertmanager_runs_without_a_webhook_and_with_a_wrong_one(
    tmp_path: Path, webhook: str, said: str
) -> None:
    async with open_alertmanager(tmp_path, CONFIGURATION, {"ALERT_DISCORD_WEBHOOK": webhook}) as alertmanager:
        assert await alertmanager.alerts() == []
        assert said in alertmanager.log.read_text()
    receivers = yaml.safe_load((tmp_path / "made.yml").read_text())["receivers"]
    assert receivers == [{"name": "operators"}]
