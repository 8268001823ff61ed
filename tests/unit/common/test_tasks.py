from __future__ import annotations

import asyncio

import pytest

from common.errors import LeaseLost, MediaLive
from common.tasks import RevocableTimeLimit, running_alongside, time_limit


async def test_the_companion_ends_with_the_body() -> None:
    started, ended = asyncio.Event(), asyncio.Event()

    async def companion() -> None:
        started.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    async with running_alongside(companion()):
        await started.wait()
    assert ended.is_set()


async def test_the_bodys_error_comes_out_by_its_type() -> None:
    with pytest.raises(MediaLive):
        async with running_alongside(asyncio.Event().wait()):  # pyright: ignore[reportArgumentType] - the result is unused
            raise MediaLive


async def test_the_companions_error_cancels_the_body() -> None:
    async def companion() -> None:
        raise LeaseLost

    cancelled = asyncio.Event()

    async def body() -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.set()
            raise

    with pytest.raises(LeaseLost):
        async with running_alongside(companion()):
            await body()
    assert cancelled.is_set()


async def test_cancellation_from_outside_stays_a_cancellation() -> None:
    started = asyncio.Event()

    async def companion() -> None:
        started.set()
        await asyncio.Event().wait()

    async def body() -> None:
        async with running_alongside(companion()):
            await asyncio.Event().wait()

    task = asyncio.create_task(body())
    await started.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_time_limit_that_is_made_to_pass_ends_its_body() -> None:
    limit, started = RevocableTimeLimit(1000), asyncio.Event()

    async def body() -> None:
        async with limit.running():
            started.set()
            await asyncio.Event().wait()

    running = asyncio.create_task(body())
    await started.wait()
    limit.expire()
    with pytest.raises(TimeoutError):
        await running


async def test_a_time_limit_may_be_made_to_pass_at_any_time() -> None:
    limit, passed, go = RevocableTimeLimit(1000), asyncio.Event(), asyncio.Event()
    limit.expire()  # nothing runs yet

    async def slow_to_end() -> None:
        async with limit.running():
            try:
                await asyncio.Event().wait()
            finally:
                passed.set()
                await go.wait()

    running = asyncio.create_task(slow_to_end())
    await asyncio.sleep(0)
    limit.expire()
    await passed.wait()
    limit.expire()  # it has passed, and the body is still ending
    go.set()
    with pytest.raises(TimeoutError):
        await running
    with pytest.raises(LeaseLost):
        async with limit.running():
            raise LeaseLost
    limit.expire()  # its body has failed
    async with limit.running():
        await asyncio.sleep(0)


async def test_a_time_limit_is_up_also_for_a_cancelled_task_that_cleans_up() -> None:
    """`asyncio.timeout` of Python 3.11.2 ends this task as cancelled, before it has cleaned up."""
    started, cleaned = asyncio.Event(), asyncio.Event()

    async def body() -> None:
        started.set()
        try:
            await asyncio.Event().wait()
        finally:
            try:
                async with time_limit(0):
                    await asyncio.Event().wait()
            except TimeoutError:
                cleaned.set()

    running = asyncio.create_task(body())
    await started.wait()
    running.cancel()
    await asyncio.wait({running})
    assert running.cancelled()
    assert cleaned.is_set()


async def test_a_task_that_is_cancelled_within_its_time_limit_is_cancelled() -> None:
    started = asyncio.Event()

    async def body() -> None:
        async with time_limit(1000):
            started.set()
            await asyncio.Event().wait()

    running = asyncio.create_task(body())
    await started.wait()
    running.cancel()
    await asyncio.wait({running})
    assert running.cancelled()


async def test_a_time_limit_cancels_nothing_beyond_its_body() -> None:
    with pytest.raises(TimeoutError):
        async with time_limit(0):
            await asyncio.Event().wait()
    task = asyncio.current_task()
    assert task is not None
    assert not task.cancelling()
    async with time_limit(None) as scope:
        await asyncio.sleep(0)
    assert not scope.expired()
