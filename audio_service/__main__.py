"""`python -m audio_service`: the API and the workers, until a signal."""

from __future__ import annotations

import asyncio
import sys
from datetime import timedelta
from functools import partial
from pathlib import Path

from audio_service.api.deps import ApiDeps
from audio_service.bootstrap import open_services
from audio_service.pipelines.registry import PIPELINES, Registry, available, chosen
from audio_service.retention import keep_within_limit
from audio_service.serving import open_listeners, serve_http
from audio_service.settings import AudioSettings
from audio_service.upload_sweep import keep_tidy
from audio_service.worker.worker import Worker
from common.certificates import certificate_files, watch_certificates
from common.launch import read_launch
from common.observability.dependencies import CHECK_EVERY, watch_dependencies
from common.observability.gauges import LAG_EVERY, Backlog, watch_backlogs, watch_loop
from common.observability.telemetry import configure_logging
from common.observability.tracing import tracing_or_exit
from common.runtime import run, until_stopped
from common.settings import load_or_exit, or_exit


def main(registry: Registry = PIPELINES) -> int:
    """Return the process's exit code. `registry` holds the pipelines that PIPELINES may name."""
    launch = read_launch()
    settings = load_or_exit(AudioSettings, Path(".env"))
    pipelines = or_exit(lambda: chosen(settings.pipelines, available(settings, registry)), Path(".env"))
    configure_logging(settings.log_level, settings.log_format)

    async def program(stop: asyncio.Event) -> None:
        with open_listeners(settings, launch.listener) as listeners:
            async with open_services(settings) as services, asyncio.TaskGroup() as tasks:
                api = serve_http(ApiDeps.of(services), listeners, stop)
                tasks.create_task(until_stopped(stop, "api", api))
                tasks.create_task(until_stopped(stop, "retention", keep_within_limit(services, stop)))
                tasks.create_task(until_stopped(stop, "upload sweep", keep_tidy(services, stop)))
                tasks.create_task(until_stopped(stop, "loop watch", watch_loop(services.registry, stop)))
                watched = {pipeline.request_topic(settings): pipeline.group for pipeline in pipelines}
                backlogs = {
                    topic: Backlog(
                        partial(services.broker.lag, topic, group), partial(services.broker.oldest_age, topic, group)
                    )
                    for topic, group in watched.items()
                }
                every = max(LAG_EVERY, settings.min_sampling_interval)
                lags = watch_backlogs(services.registry, backlogs, stop, every=every)
                tasks.create_task(until_stopped(stop, "lag watch", lags))
                checks = {
                    "broker": services.broker.health,
                    "database": services.repository.health,
                    "storage": services.blobs.health,
                }
                every = max(CHECK_EVERY, settings.min_sampling_interval)
                dependencies = watch_dependencies(services.registry, checks, settings.disk, stop, every=every)
                tasks.create_task(until_stopped(stop, "dependency watch", dependencies))
                renewal = watch_certificates(certificate_files(settings), stop)
                tasks.create_task(until_stopped(stop, "certificate watch", renewal))
                if settings.num_workers:
                    tasks.create_task(until_stopped(stop, "worker", Worker(services, pipelines).run(stop)))

    with tracing_or_exit(settings, "butakero-audio"):
        return run(program, drain=timedelta(seconds=settings.drain_seconds), lifeline=launch.lifeline)


if __name__ == "__main__":
    sys.exit(main())
