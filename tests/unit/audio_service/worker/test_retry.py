from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from audio_service.worker.retry import RetryPolicy
from common.blobs.s3.bucket import MisconfiguredStorage
from common.errors import MediaLive, SourceUnavailable

POLICY = RetryPolicy(max_attempts=4, budget_seconds=600, base_seconds=1, max_seconds=5)


def test_a_permanent_error_is_final_at_once() -> None:
    assert POLICY.next_delay(MediaLive(), attempt=1, elapsed_seconds=0) is None


def test_what_only_an_operator_mends_is_final_at_once() -> None:
    assert MisconfiguredStorage.retryable, "its message goes to the dead letters, from where it can be replayed"
    assert POLICY.next_delay(MisconfiguredStorage(), attempt=1, elapsed_seconds=0) is None


def test_the_last_attempt_is_final() -> None:
    assert POLICY.next_delay(SourceUnavailable(), attempt=3, elapsed_seconds=0) is not None
    assert POLICY.next_delay(SourceUnavailable(), attempt=4, elapsed_seconds=0) is None


def test_no_attempt_begins_after_the_budget() -> None:
    assert POLICY.next_delay(SourceUnavailable(), attempt=1, elapsed_seconds=600) is None


@given(st.integers(1, 3), st.floats(0, 500))
def test_the_delay_stays_below_its_doubling_ceiling(attempt: int, elapsed: float) -> None:
    delay = POLICY.next_delay(SourceUnavailable(), attempt, elapsed)
    assert delay is not None
    assert 0 <= delay.total_seconds() <= min(5, 2 ** (attempt - 1))


def test_delays_are_spread() -> None:
    delays = {POLICY.next_delay(SourceUnavailable(), 3, 0) for _ in range(50)}
    assert len(delays) > 10


def test_an_attempt_that_would_begin_after_the_budget_is_not_made() -> None:
    policy = RetryPolicy(max_attempts=4, budget_seconds=600, base_seconds=100, max_seconds=100)
    delays = [policy.next_delay(SourceUnavailable(), attempt=1, elapsed_seconds=550) for _ in range(200)]
    assert any(delay is None for delay in delays)
    assert all(delay is None or 550 + delay.total_seconds() < 600 for delay in delays)
