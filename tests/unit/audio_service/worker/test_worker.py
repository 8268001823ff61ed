"""What the worker does with a delivery, whatever the pipeline; on the embedded broker and a SQLite library."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from audio_service.services import Services
from common.broker.base import dead_letter_topic
from tests.unit.audio_service.conftest import open_embedded_services
from tests.unit.audio_service.worker.echoing import Echo, working
from tests.waiting import until

LONG = timedelta(days=1)


@pytest.fixture
def echo() -> Echo:
    return Echo("echo")


async def end_of(services: Services, echo: Echo, order: str) -> list[tuple[str, str]]:
    """Have one request done; return the statuses."""
    async with working(services, echo):
        await echo.ask(services, order, request_id="r")
        await until(lambda: echo.runs)
        await until(lambda: echo.finished(services))
    return await echo.statuses(services)


async def dead_letters(services: Services) -> list[str]:
    letters = await services.broker.peek(dead_letter_topic("echo.requests"))
    return [letter.headers["error_code"] for letter in letters]


async def test_a_request_is_done_and_answered_once(services: Services, echo: Echo) -> None:
    assert await end_of(services, echo, "echo") == [("r", "")]
    assert echo.runs == ["r"]
    assert await services.repository.is_answered("r")


async def test_a_request_that_was_answered_before_is_acked_without_a_run(services: Services, echo: Echo) -> None:
    await services.repository.mark_answered("r", keep=LONG)
    await echo.ask(services, request_id="r")
    async with working(services, echo):
        await until(lambda: echo.finished(services))
    assert (echo.runs, await echo.statuses(services)) == ([], [])


async def test_a_copy_waits_until_the_first_is_answered_and_is_acked_then(services: Services, echo: Echo) -> None:
    async with working(services, echo):
        await echo.ask(services, "wait", request_id="r")
        await echo.entered.wait()
        await echo.ask(services, "wait", request_id="r")
        handed_back = {"pipeline": "echo", "reason": "request_in_progress"}
        await until(lambda: services.registry.get_sample_value("butakero_deliveries_handed_back_total", handed_back))
        echo.gate.set()
        await until(lambda: echo.finished(services))
    assert echo.runs == ["r"]
    assert await echo.statuses(services) == [("r", "")]


async def test_a_retryable_failure_is_tried_again_and_its_claim_is_yielded(services: Services, echo: Echo) -> None:
    assert await end_of(services, echo, "unavailable once") == [("r", "")]
    assert echo.runs == ["r", "r"]
    assert echo.yielded == [("record", 7)]


@pytest.mark.parametrize(
    ("order", "code", "runs"),
    [("missing", "media_not_found", 1), ("unavailable", "source_unavailable", 3), ("defect", "internal_error", 3)],
)
async def test_a_final_failure_is_answered(services: Services, echo: Echo, order: str, code: str, runs: int) -> None:
    assert await end_of(services, echo, order) == [("r", code)]
    assert len(echo.runs) == runs


async def test_only_what_a_replay_may_help_is_archived(services: Services, echo: Echo) -> None:
    async with working(services, echo):
        for order in ("missing", "unavailable", "defect"):
            await echo.ask(services, order)
        await until(lambda: len(echo.runs) == 7)
        await until(lambda: echo.finished(services))
    assert sorted(await dead_letters(services)) == ["internal_error", "source_unavailable"]


@pytest.mark.parametrize("order", ["not mine once", "lease lost once"])
async def test_what_is_no_failure_of_the_request_costs_no_attempt(tmp_path: Path, echo: Echo, order: str) -> None:
    async with open_embedded_services(tmp_path, service_max_attempts=1, lease_seconds=0.5) as services:
        assert await end_of(services, echo, order) == [("r", "")]
    assert len(echo.runs) == 2


async def test_a_request_that_another_job_answers_is_acked_without_a_status(services: Services, echo: Echo) -> None:
    assert await end_of(services, echo, "joined") == []
    assert not await services.repository.is_answered("r")


async def test_requests_that_join_while_statuses_are_published_are_answered_too(services: Services, echo: Echo) -> None:
    echo.late = ["late-1", "late-2"]
    assert await end_of(services, echo, "waiting list") == [("r", ""), ("late-1", ""), ("late-2", "")]


async def test_a_message_that_does_not_parse_is_archived_and_its_sender_is_answered(
    services: Services, echo: Echo
) -> None:
    for body in (b"\xff", b'{"request_id": "r", "order": 1}'):
        await services.broker.publish("echo.requests", "key", body, {})
    async with working(services, echo):
        await until(lambda: echo.finished(services))
    assert echo.runs == []
    assert await echo.statuses(services) == [("r", "invalid_message")]
    assert await dead_letters(services) == ["invalid_message"] * 2


async def test_a_claim_is_renewed_while_the_job_runs(tmp_path: Path, echo: Echo) -> None:
    async with open_embedded_services(tmp_path, lease_seconds=0.5) as services, working(services, echo):
        await echo.ask(services, "wait")
        await echo.renewed.wait()
        echo.gate.set()
        await until(lambda: echo.finished(services))


async def test_renewals_that_are_paid_for_become_fewer(tmp_path: Path, echo: Echo) -> None:
    async with open_embedded_services(tmp_path, lease_seconds=0.5) as services:
        paid = replace(services, settings=services.settings.model_copy(update={"database_backend": "dynamodb"}))
        async with working(paid, echo):
            await echo.ask(services, "wait")
            await until(lambda: echo.leases and echo.leases[-1] == timedelta(seconds=2))
            echo.gate.set()
            await until(lambda: echo.finished(services))
    assert echo.leases == sorted(echo.leases)


async def test_an_attempt_may_take_what_is_left_of_the_service_timeout(tmp_path: Path, echo: Echo) -> None:
    async with open_embedded_services(tmp_path, service_timeout=2) as services:
        await end_of(services, echo, "unavailable once")
    first, second = echo.deadlines
    assert second < first == 120


async def test_the_pipelines_share_the_slots_of_a_process(tmp_path: Path) -> None:
    one, two = Echo("one"), Echo("two")
    async with open_embedded_services(tmp_path, num_workers=1) as services, working(services, one, two):
        await one.ask(services, "wait")
        await one.entered.wait()
        await two.ask(services)
        no_slot = {"pipeline": "two", "reason": "no_slot"}
        await until(lambda: services.registry.get_sample_value("butakero_deliveries_handed_back_total", no_slot))
        assert two.runs == []
        one.gate.set()
        await until(lambda: two.finished(services))
        assert len(two.runs) == 1


async def test_no_more_jobs_run_at_a_time_than_there_are_slots(tmp_path: Path, echo: Echo) -> None:
    async with open_embedded_services(tmp_path, num_workers=2) as services, working(services, echo):
        for _ in range(5):
            await echo.ask(services, "wait")
        await until(lambda: len(echo.runs) == 2)
        echo.gate.set()
        await until(lambda: echo.finished(services))
    assert (len(echo.runs), echo.most) == (5, 2)


async def test_a_user_who_has_all_slots_makes_room_for_another(tmp_path: Path, echo: Echo) -> None:
    async with open_embedded_services(tmp_path, num_workers=2) as services, working(services, echo):
        greedy = [await echo.ask(services, "wait", request_id=f"greedy-{number}", user="a") for number in range(10)]
        await until(lambda: len(echo.runs) == 2)
        await echo.ask(services, request_id="modest", user="b")
        await until(lambda: "modest" in echo.runs)
        await until(lambda: services.repository.is_answered("modest"))
        # The older of the two goes on, and the younger has not cost an attempt.
        assert echo.runs[:3] == ["greedy-0", "greedy-1", "modest"]
        assert ("record", 7) in echo.yielded
        shared = {"pipeline": "echo", "reason": "user_share"}
        assert services.registry.get_sample_value("butakero_deliveries_handed_back_total", shared)
        echo.gate.set()
        await until(lambda: echo.finished(services))
        answered = [request_id for request_id, _ in await echo.statuses(services)]
    assert sorted(answered) == sorted([*greedy, "modest"])
    assert echo.most == 2


async def test_two_users_who_have_a_slot_each_keep_it(tmp_path: Path, echo: Echo) -> None:
    async with open_embedded_services(tmp_path, num_workers=2) as services, working(services, echo):
        for user in ("a", "b"):
            await echo.ask(services, "wait", request_id=user, user=user)
        await until(lambda: len(echo.runs) == 2)
        await echo.ask(services, request_id="late", user="c")
        await echo.renewed.wait()
        assert echo.runs == ["a", "b"]
        echo.gate.set()
        await until(lambda: echo.finished(services))
    assert echo.yielded == []


async def test_a_job_that_has_the_only_slot_keeps_it(tmp_path: Path, echo: Echo) -> None:
    async with open_embedded_services(tmp_path, num_workers=1) as services, working(services, echo):
        for number in range(5):
            await echo.ask(services, "wait", request_id=f"greedy-{number}", user="a")
        await echo.entered.wait()
        await echo.ask(services, request_id="modest", user="b")
        handed_back = {"pipeline": "echo", "reason": "no_slot"}
        await until(lambda: services.registry.get_sample_value("butakero_deliveries_handed_back_total", handed_back))
        echo.gate.set()
        await until(lambda: echo.finished(services))
    assert echo.yielded == []


async def test_a_withdrawn_request_ends_without_a_status(services: Services, echo: Echo) -> None:
    async with working(services, echo):
        await echo.ask(services, "wait", request_id="r")
        await echo.entered.wait()
        await services.repository.withdraw("r", keep=LONG)
        await until(lambda: echo.finished(services))
        assert (echo.runs, await echo.statuses(services)) == (["r"], [])
        assert echo.yielded == [("record", 7)]


async def test_stopping_finishes_the_jobs_in_hand_and_takes_no_more(services: Services, echo: Echo) -> None:
    async with working(services, echo) as stop:
        await echo.ask(services, "wait", request_id="in hand")
        await echo.entered.wait()
        stop.set()
        await echo.ask(services, request_id="later")
    assert await echo.statuses(services) == [("in hand", "")]
    assert await services.broker.lag("echo.requests", "workers") == 1


async def test_a_settled_claim_is_not_renewed_any_more(services: Services, echo: Echo) -> None:
    await end_of(services, echo, "waiting list")
    assert [job.fence for job in echo.jobs] == [None]


async def test_a_request_whose_attempts_all_killed_their_worker_is_not_tried_again(tmp_path: Path, echo: Echo) -> None:
    async with open_embedded_services(tmp_path, service_max_attempts=2) as services:
        await echo.ask(services, request_id="deadly")
        async with services.broker.consume("echo.requests", "workers") as deliveries:
            for _ in range(2):
                await (await anext(deliveries)).retry(timedelta(0))
        async with working(services, echo):
            await until(lambda: echo.finished(services))
        assert await echo.statuses(services) == [("deadly", "processing_crashed")]
        assert await dead_letters(services) == ["processing_crashed"]
    assert echo.runs == []
