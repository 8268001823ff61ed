from __future__ import annotations

import pytest

from audio_service.media.repository.decision import LONGEST_LEASE_MS
from common.leases import RENEWED_AT, grown_lease


@pytest.mark.parametrize(("held", "lease"), [(0, 15), (5, 15), (10, 20), (20, 40), (30, 60), (3600, 60)])
def test_a_lease_grows_with_the_time_for_which_it_is_held(held: float, lease: float) -> None:
    assert grown_lease(15, held) == lease


def test_no_grown_lease_is_longer_than_what_repositories_take_for_one() -> None:
    assert grown_lease(300, 3600) * 1000 == LONGEST_LEASE_MS
    assert grown_lease(600, 3600) * 1000 == LONGEST_LEASE_MS


def test_four_minutes_of_work_are_few_renewals() -> None:
    held, lease, renewals = 0.0, 15.0, 0
    while (held := held + lease * RENEWED_AT) < 240:
        lease, renewals = grown_lease(15, held), renewals + 1
    assert renewals == 14
