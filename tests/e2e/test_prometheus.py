"""Prometheus itself scrapes the bot and the audio service, with our rules: what they ask for is there."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.deploy.test_monitoring import RULES, expressions, names_in, of_exporters
from tests.discord import open_fake_discord
from tests.discord.bot_process import bot_environment, open_bot_process
from tests.servers.media_files import make
from tests.servers.media_site import open_media_site
from tests.servers.ports import free_port
from tests.servers.prometheus import Prometheus, open_prometheus
from tests.servers.system import open_audio_process, settings_for
from tests.waiting import until

OF_PROMETHEUS = {"up", "ALERTS"}
# What has no value before it happened; that it is exposed all the same is the page's own test.
COUNTERS = ("butakero_answers_total", "butakero_bot_commands_total", "butakero_bot_frames_sent_total")


@dataclass(frozen=True, slots=True)
class Running:
    """Both services have played a song, and Prometheus scrapes them."""

    prometheus: Prometheus
    pages: dict[str, str]


def scraping(directory: Path, **ports: str) -> dict[str, Any]:
    """Return a configuration with our rules and jobs, for processes of this machine."""
    jobs = [
        {
            "job_name": "audio",
            "static_configs": [{"targets": [ports["audio"]], "labels": {"service": "audio_processor"}}],
        },
        {"job_name": "bot", "static_configs": [{"targets": [ports["bot"]]}]},
    ]
    rules = directory / "rules.yml"
    rules.write_text(RULES.read_text())
    every = {"scrape_interval": "1s", "evaluation_interval": "1s"}
    return {"global": every, "rule_files": [str(rules)], "scrape_configs": jobs}


@pytest.fixture
async def running(tmp_path: Path) -> AsyncGenerator[Running]:
    files = tmp_path / "files"
    files.mkdir()
    song = make("webm_opus", files, 3)
    async with open_media_site(files) as site, open_fake_discord() as discord:
        audio = settings_for(tmp_path, site.address, http_port=free_port())
        environment = bot_environment(discord, audio, tmp_path)
        guild = discord.guild("Casa")
        ana = guild.member("ana")
        ana.join(guild.voice_channel("Musica"))
        async with open_audio_process(audio) as service, open_bot_process(discord, environment) as bot:
            configuration = scraping(
                tmp_path, audio=service.url.removeprefix("http://"), bot=bot.url.removeprefix("http://")
            )
            async with open_prometheus(tmp_path, configuration) as prometheus:
                await ana.slash("music", "play", input=site.file(song))
                await guild.voice.sound(50)
                async with httpx.AsyncClient(trust_env=False) as http:
                    pages = {url: (await http.get(f"{url}/metrics")).text for url in (service.url, bot.url)}
                yield Running(prometheus, pages)


async def test_what_rules_and_dashboards_ask_for_is_exposed_and_scraped(running: Running) -> None:
    asked = set[str]().union(*(names_in(expression) for _, expression in expressions()))
    exposed = {line.split()[2] for page in running.pages.values() for line in page.splitlines() if "# TYPE" in line}
    series = exposed | {f"{name}{suffix}" for name in exposed for suffix in ("_bucket", "_sum", "_count")}
    assert asked - set(of_exporters()) - OF_PROMETHEUS <= series

    async def counted() -> bool:
        return set(COUNTERS) <= await running.prometheus.names()

    await until(counted)
    up = {sample["metric"]["job"]: sample["value"][1] for sample in await running.prometheus.query("up")}
    assert up == {"audio": "1", "bot": "1"}
    [answered] = await running.prometheus.query('sum(butakero_answers_total{outcome="success"})')
    assert answered["value"][1] == "1"
    lags = await running.prometheus.query("butakero_queue_lag")
    assert {sample["metric"]["topic"] for sample in lags} == {"bot.download.requests", "bot.download.status"}
    for _, expression in expressions():
        await running.prometheus.query(expression.replace("$__rate_interval", "5m"))
    firing = await running.prometheus.query('ALERTS{alertstate="firing"}')
    assert not firing
