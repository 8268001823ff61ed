"""Rate limit: a token bucket per caller, of a bounded number of callers. Pure: the clock is an argument."""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable

MAX_CALLERS = 10_000


class RateLimit:
    """`per_minute` requests of each caller in the long run, `burst` at once. 0 per minute: no limit.

    Above MAX_CALLERS callers the least recently seen is evicted, which gives it a full bucket: many addresses can
    weaken the limit, but not fill the memory (about 2 MB).
    """

    def __init__(self, per_minute: int, burst: int, clock: Callable[[], float]) -> None:
        self._per_second = per_minute / 60
        self._burst = float(burst)
        self._clock = clock
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def __len__(self) -> int:
        """Return the number of callers that are remembered."""
        return len(self._buckets)

    def take(self, caller: str) -> int:
        """Count a request. Returns 0, or the whole seconds that `caller` has to wait."""
        if not self._per_second:
            return 0
        now = self._clock()
        left, seen = self._buckets.pop(caller, (self._burst, now))
        left = min(self._burst, left + (now - seen) * self._per_second)
        wait = 0 if left >= 1 else math.ceil((1 - left) / self._per_second)
        self._buckets[caller] = (left if wait else left - 1, now)
        if len(self._buckets) > MAX_CALLERS:
            self._buckets.popitem(last=False)
        return wait
