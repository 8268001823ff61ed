"""A worker process that is killed (SIGKILL, by itself) right after a step, for crash tests.

`python -m tests.servers.crashing_worker MODULE:FUNCTION STEP TRACE` reads the service's settings from the environment;
the function makes the registry of pipelines, given a wrapper for ports that are not among the services. Every call
that passes between the worker and the real ports is a step when it returns; its name is appended to the file TRACE.
With STEP "never" it ends on SIGTERM like the service; with "raise" its consumer loop raises.
"""

from __future__ import annotations

import asyncio
import importlib
import inspect
import os
import signal
import sys
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

from audio_service.bootstrap import open_services
from audio_service.pipelines.registry import chosen
from audio_service.settings import AudioSettings
from audio_service.worker.worker import Worker
from common.broker.base import Delivery
from common.observability.telemetry import configure_logging
from common.runtime import run, until_stopped
from common.settings import load_or_exit

# They run concurrently with the job at no fixed point, or only read.
_NOT_STEPS = frozenset(
    {
        "broker.publish:progress",
        "broker.publish:processing",
        "repository.renew",
        "records.renew",
        "assets.renew",
        "blobs.read",
        "broker.health",
        "broker.lag",
        "broker.ensure_topic",
    }
)


class Tripwire:
    """Records steps, and kills the process after the first one of the given name."""

    def __init__(self, at: str, trace: Path) -> None:
        self.at = at
        self._trace = trace

    def passed(self, name: str) -> None:
        """Record a finished step."""
        if name in _NOT_STEPS:
            return
        with self._trace.open("a") as trace:
            trace.write(f"{name}\n")
        if name == self.at:
            os.kill(os.getpid(), signal.SIGKILL)


class Watched:
    """A real port, of which every awaited call passes the tripwire when it returns."""

    def __init__(self, port: object, name: str, wire: Tripwire) -> None:
        self._port = port
        self._name = name
        self._wire = wire

    def __getattr__(self, attribute: str) -> Any:  # noqa: ANN401 - stands for any port
        value = getattr(self._port, attribute)
        if not inspect.iscoroutinefunction(value):
            return value

        async def call(*args: Any, **options: Any) -> Any:  # noqa: ANN401 - as above
            result = await value(*args, **options)
            self._wire.passed(f"{self._name}.{attribute}{_which(attribute, args)}")
            return result

        return call


def _which(attribute: str, arguments: tuple[Any, ...]) -> str:
    """Tell apart the calls of one method that are different steps: topics, leases, jobs."""
    match attribute:
        case "publish" if b'"status":"processing"' in arguments[2]:
            return ":processing"
        case "publish":
            return f":{arguments[0].rsplit('.', 1)[-1]}"
        case "acquire" | "surrender":
            return f":{arguments[0].partition(':')[0]}"
        case _:
            return ""


class WatchedBroker(Watched):
    """As Watched; the deliveries it yields are watched too."""

    @asynccontextmanager
    async def consume(self, *args: Any, **options: Any) -> AsyncGenerator[AsyncIterator[Delivery]]:  # noqa: ANN401
        """Consume from the real broker."""
        if self._wire.at == "raise":
            raise RuntimeError("the consumer loop breaks")
        async with self._port.consume(*args, **options) as deliveries:  # pyright: ignore[reportAttributeAccessIssue,reportUnknownMemberType,reportUnknownVariableType] - any port

            async def watched() -> AsyncGenerator[Any]:
                async for delivery in deliveries:  # pyright: ignore[reportUnknownVariableType] - as above
                    self._wire.passed("broker.deliver")
                    yield Watched(delivery, "delivery", self._wire)  # pyright: ignore[reportUnknownArgumentType] - as above

            yield watched()


def main() -> int:
    """Run the worker."""
    settings = load_or_exit(AudioSettings)
    configure_logging(settings.log_level, "console")
    module, _, function = sys.argv[1].partition(":")
    make_registry = getattr(importlib.import_module(module), function)
    wire = Tripwire(sys.argv[2], Path(sys.argv[3]))

    watch: Callable[[Any, str], Any] = lambda port, name: Watched(port, name, wire)  # noqa: E731 - typed

    async def program(stop: asyncio.Event) -> None:
        async with open_services(settings) as services, asyncio.TaskGroup() as tasks:
            watched = replace(
                services,
                broker=WatchedBroker(services.broker, "broker", wire),  # pyright: ignore[reportArgumentType] - stands for it
                repository=watch(services.repository, "repository"),
                blobs=watch(services.blobs, "blobs"),
                source=watch(services.source, "source"),
                children=watch(services.children, "children"),
                assets=None if services.assets is None else watch(services.assets, "assets"),
            )
            worker = Worker(watched, chosen(settings.pipelines, make_registry(watch)))
            tasks.create_task(until_stopped(stop, "worker", worker.run(stop)))

    return run(program, drain=timedelta(seconds=settings.drain_seconds))


if __name__ == "__main__":
    sys.exit(main())
