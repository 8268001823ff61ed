"""How long leases last whose renewals are paid for, as on AWS: they grow with the time for which they are held.

Work that takes long is done in few requests, and what it costs that a holder was killed (nothing before the lease's
end) stays in proportion to the time that its work has taken.
"""

from __future__ import annotations

RENEWED_AT = 1 / 3
"""Of the lease."""
_LONGEST = 4
"""Times the first lease."""
MAX_LEASE_SECONDS = 600.0
"""What settings allow for a first lease. To repositories one that ends later is void, as of before a clock step."""


def grown_lease(first_seconds: float, held_seconds: float) -> float:
    """Return the seconds of a lease that is renewed after it was held for so long; `first_seconds`: of the first."""
    return min(max(first_seconds, 2 * held_seconds), _LONGEST * first_seconds, MAX_LEASE_SECONDS)
