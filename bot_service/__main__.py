"""`python -m bot_service`: run the Discord bot until a signal."""

from __future__ import annotations

import asyncio
import logging
import resource
import sys
from datetime import timedelta
from functools import partial
from pathlib import Path

from bot_service.bootstrap import open_services
from bot_service.player.voice.paced import SWITCH_SECONDS
from bot_service.running import run_bot
from bot_service.services import Services
from bot_service.settings import BotSettings
from common.certificates import certificate_files, watch_certificates
from common.http.server import listen
from common.launch import read_launch
from common.observability.dependencies import CHECK_EVERY, watch_dependencies
from common.observability.gauges import LAG_EVERY, Backlog, watch_backlogs, watch_loop
from common.observability.telemetry import configure_logging
from common.observability.tracing import tracing_or_exit
from common.runtime import run, until_stopped
from common.settings import load_or_exit
from common.tasks import running_alongside

_DESCRIPTORS = 65_536


def main() -> int:
    """Run the bot; return the exit code."""
    launch = read_launch()
    settings = load_or_exit(BotSettings, Path(".env"))
    configure_logging(settings.log_level, settings.log_format)
    sys.setswitchinterval(SWITCH_SECONDS)
    _allow_descriptors()
    # Verbose at "info"; our own events cover what matters.
    for talkative in ("discord", "uvicorn.error"):
        logging.getLogger(talkative).setLevel(logging.WARNING)

    async def program(stop: asyncio.Event) -> None:
        address = settings.bot_http_host, settings.bot_http_port
        with listen(*address, prefix="BOT_", inherited=launch.listener) as listener:
            async with open_services(settings) as services, running_alongside(_watch(services, stop)):
                await run_bot(services, listener, stop)

    with tracing_or_exit(settings, "butakero-bot"):
        return run(program, drain=timedelta(seconds=settings.drain_seconds), lifeline=launch.lifeline)


def _allow_descriptors() -> None:
    """Allow as many open files as the system lets us: each voice connection has two, and shells often give 1,024."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _DESCRIPTORS if hard == resource.RLIM_INFINITY else min(hard, _DESCRIPTORS)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


async def _watch(services: Services, stop: asyncio.Event) -> None:
    topic, registry = services.settings.topic_download_status, services.registry
    broker, group = services.broker, services.pending.group
    backlog = Backlog(partial(broker.lag, topic, group), partial(broker.oldest_age, topic, group))
    checks = {"broker": services.broker.health, "database": services.store.health, "storage": services.blobs.health}
    floor, disk = services.settings.min_sampling_interval, services.settings.disk
    dependencies = watch_dependencies(registry, checks, disk, stop, every=max(CHECK_EVERY, floor))
    lags = watch_backlogs(registry, {topic: backlog}, stop, every=max(LAG_EVERY, floor))
    renewal = watch_certificates(certificate_files(services.settings), stop)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(until_stopped(stop, "certificate watch", renewal))
        tasks.create_task(until_stopped(stop, "dependency watch", dependencies))
        tasks.create_task(until_stopped(stop, "loop watch", watch_loop(registry, stop)))
        tasks.create_task(until_stopped(stop, "lag watch", lags))


if __name__ == "__main__":
    sys.exit(main())
