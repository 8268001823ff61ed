from __future__ import annotations

from audio_service.access.limits import MAX_CALLERS, RateLimit


class Clock:
    def __init__(self) -> None:
        self.seconds = 1000.0

    def __call__(self) -> float:
        return self.seconds


def test_a_burst_goes_through_and_then_one_at_a_time() -> None:
    clock = Clock()
    limit = RateLimit(60, 5, clock)
    assert [limit.take("a") for _ in range(7)] == [0, 0, 0, 0, 0, 1, 1]
    clock.seconds += 1
    assert [limit.take("a") for _ in range(2)] == [0, 1]
    clock.seconds += 3600
    assert [limit.take("a") for _ in range(6)] == [0, 0, 0, 0, 0, 1]


def test_whoever_waits_as_long_as_told_gets_through() -> None:
    clock = Clock()
    limit = RateLimit(7, 1, clock)
    for _ in range(50):
        wait = limit.take("a")
        clock.seconds += wait
        assert not wait or not limit.take("a")


def test_callers_have_a_limit_each() -> None:
    limit = RateLimit(1, 1, Clock())
    assert (limit.take("a"), limit.take("b")) == (0, 0)
    assert limit.take("a") > 0


def test_no_limit_remembers_nobody() -> None:
    limit = RateLimit(0, 1, Clock())
    assert not any(limit.take("a") for _ in range(1000))
    assert len(limit) == 0


def test_memory_is_bounded_and_the_silent_are_forgotten_first() -> None:
    limit = RateLimit(1, 1, Clock())
    limit.take("busy")
    for number in range(MAX_CALLERS + 50):
        limit.take(str(number))
        assert limit.take("busy") > 0
    assert len(limit) == MAX_CALLERS
    assert limit.take("0") == 0
