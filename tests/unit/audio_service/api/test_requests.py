"""A request that no one waits for any more is withdrawn."""

from __future__ import annotations

from datetime import timedelta

from audio_service.media.repository.base import Joined, Owned, Waiter
from common.messages.downloads import PlatformMetadata
from tests.unit.audio_service.api.library import Api

URL = "/api/v1/requests/r-1"
LEASE = timedelta(minutes=1)


async def test_a_withdrawn_request_is_not_begun(api: Api) -> None:
    for _ in range(2):
        assert (await api.client.delete(URL)).status_code == 204
    claim = await api.deps.repository.claim("song", Waiter("r-1", "1"), PlatformMetadata(), LEASE)
    assert isinstance(claim, Joined)


async def test_the_record_that_only_it_waited_for_is_claimable(api: Api) -> None:
    for request_id in ("r-1", "r-2"):
        claim = await api.deps.repository.claim(
            "song", Waiter(request_id, "1"), PlatformMetadata(), timedelta(minutes=1)
        )
        assert isinstance(claim, Owned)
        assert (await api.client.delete(f"/api/v1/requests/{request_id}")).status_code == 204


async def test_an_id_that_none_can_have_is_refused(api: Api) -> None:
    refused = await api.client.delete(f"/api/v1/requests/{'r' * 101}")
    assert refused.status_code == 400
    assert refused.json()["error"]["code"] == "invalid_input"
