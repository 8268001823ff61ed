"""How the CPU time of a piece of work grows with its input: a limit on the order of growth, not on the time itself."""

from __future__ import annotations

import time
from collections.abc import Callable
from itertools import pairwise
from typing import TypeVar

T = TypeVar("T")

# Small steps first: exponential work becomes visible at the fourth, cubic work at the seventh, before it takes minutes.
SIZES = (8, 16, 20, 24, 28, 128, 1024, 16_384)
FACTOR = 2.0
"""Linear work takes as much more time as its input is longer; this times as much is still taken for linear."""
_NOTICEABLE_SECONDS = 0.005
"""Below it the clock's noise decides. Quadratic work of the largest size takes many times as long."""
_REPETITIONS = 3


def superlinear_size(make: Callable[[int], T], work: Callable[[T], object]) -> int | None:
    """Return the first size at which the work grew faster than its input, None where it never did.

    `make` returns an input whose length is proportional to the size.
    """
    before = _cpu_seconds(work, make(SIZES[0]))
    for smaller, size in pairwise(SIZES):
        value = make(size)
        seconds = _cpu_seconds(work, value)
        if seconds > _NOTICEABLE_SECONDS:
            allowed = FACTOR * size / smaller
            before = min(before, *(_cpu_seconds(work, make(smaller)) for _ in range(_REPETITIONS)))
            if seconds > allowed * before:
                seconds = min(seconds, *(_cpu_seconds(work, value) for _ in range(_REPETITIONS)))
                if seconds > max(allowed * before, _NOTICEABLE_SECONDS):
                    return size
        before = seconds
    return None


def _cpu_seconds(work: Callable[[T], object], value: T) -> float:
    began = time.process_time()
    work(value)
    return time.process_time() - began
