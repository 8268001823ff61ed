"""Jobs that run one after another."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

from structlog.testing import capture_logs

from bot_service.player.serial_executor import SerialExecutor
from common.errors import DatabaseUnavailable

LIMIT = 200


class Ran:
    """Jobs that note their number."""

    def __init__(self) -> None:
        self.numbers: list[int] = []

    def job(self, number: int) -> Callable[[], Coroutine[Any, Any, None]]:
        async def run() -> None:
            self.numbers.append(number)

        return run


async def test_jobs_run_in_order_and_a_job_with_a_key_replaces_the_waiting_one() -> None:
    executor, ran = SerialExecutor("test"), Ran()
    executor.submit(ran.job(1), key="save")
    executor.submit(ran.job(2))
    executor.submit(ran.job(3), key="save")
    await executor.drain()
    assert ran.numbers == [3, 2]


async def test_the_oldest_of_too_many_is_dropped() -> None:
    executor, ran = SerialExecutor("test"), Ran()
    for number in range(LIMIT + 2):
        executor.submit(ran.job(number))
    await executor.drain()
    assert ran.numbers == list(range(2, LIMIT + 2))


async def test_a_job_that_fails_is_logged_and_the_next_one_runs() -> None:
    executor, ran = SerialExecutor("test"), Ran()

    async def fail() -> None:
        raise DatabaseUnavailable("away")

    async def crash() -> None:
        raise ValueError

    for job in (fail, crash, ran.job(1)):
        executor.submit(job)
    with capture_logs() as logs:
        await executor.drain()
    assert ran.numbers == [1]
    assert [(line["event"], line["log_level"]) for line in logs] == [
        ("player.effect_failed", "warning"),
        ("player.effect_failed", "error"),
    ]
