"""When to try again: exponential backoff with full jitter, inside a number of attempts and a span of time.

Source of the formula: https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/ ("full jitter").
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from datetime import timedelta

from common.errors import AppError


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """Bounds for one request.

    Attributes:
        max_attempts: attempts in all, the first included.
        budget_seconds: no attempt begins later than this after the first began.
        base_seconds: the longest wait after the first attempt; doubles with each further one.
        max_seconds: the longest wait at all.
    """

    max_attempts: int
    budget_seconds: float
    base_seconds: float
    max_seconds: float

    def next_delay(self, error: AppError, attempt: int, elapsed_seconds: float) -> timedelta | None:
        """Return how long to wait before the next attempt, or None when this failure is final.

        Args:
            error: why the attempt failed.
            attempt: the number of the attempt that failed, from 1.
            elapsed_seconds: since the first attempt began.
        """
        if not error.retryable or error.needs_operator or attempt >= self.max_attempts:
            return None
        ceiling = min(self.max_seconds, self.base_seconds * 2 ** (attempt - 1))
        # Retries are spread over processes; predictability is no weakness here.
        delay = random.uniform(0, ceiling)  # noqa: S311 - not a secret
        if elapsed_seconds + delay >= self.budget_seconds:
            return None
        return timedelta(seconds=delay)
