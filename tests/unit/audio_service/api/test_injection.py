"""Every query is text: no database, shell, file system or page interprets it."""

from __future__ import annotations

from urllib.parse import quote

import pytest
from structlog.testing import capture_logs

from tests.unit.audio_service.api.library import Api, add_song

PAYLOADS = [
    "' OR '1'='1",
    "'; DROP TABLE media; --",
    "%' UNION SELECT sha256 FROM keys --",
    "a* OR title:b* NEAR(a b)",
    '"canción" AND NOT x',
    "%%%",
    "___",
    "{$ne: null}",
    '{"$where": "sleep(9999)"}',
    ".*(a+)+$",
    "../../../../etc/passwd",
    "..\\..\\windows",
    "$(touch /tmp/planted)",
    "`id`; cat /etc/passwd |",
    "<script>alert(1)</script>",
    "{{7*7}}${7*7}",
    "a\r\nSet-Cookie: planted=1",
    "a\x00b",
    "\u202eevil",
    "file:///etc/passwd",
    "http://169.254.169.254/latest/meta-data/",
]
QUERIES: list[tuple[str, str, dict[str, str]]] = [
    ("/api/v1/media/", "video_id", {}),
    ("/api/v1/media/search", "title", {}),
    ("/api/v1/media/search", "limit", {"title": "canción"}),
    ("/api/v1/media/search", "cursor", {"title": "canción"}),
    ("/api/v1/sources/search", "limit", {"query": "x"}),
    ("/api/v1/sources/playlist", "limit", {"url": "https://example.com"}),
]


@pytest.mark.parametrize("payload", PAYLOADS, ids=range(len(PAYLOADS)))
async def test_a_query_is_never_more_than_text(api: Api, payload: str) -> None:
    await add_song(api.deps, "song", "Canción")
    with capture_logs() as logs:
        for path, name, rest in QUERIES:
            answer = await api.client.get(path, params={**rest, name: payload})
            assert answer.status_code in {200, 400, 404}
            assert answer.headers["content-type"] == "application/json"
            assert "set-cookie" not in answer.headers
            if answer.status_code == 200:
                assert answer.json()["data"] == []
        for ending in ("audio", "audio.ogg"):
            encoded = quote(payload, safe="")
            answer = await api.client.get(f"/api/v1/media/{encoded}/{ending}")
            assert answer.status_code in {400, 404}
    assert not logs
    assert (await api.client.get("/api/v1/media/?video_id=song")).json()["data"]["title_lower"] == "canción"
    assert len((await api.client.get("/api/v1/media/search?title=canci")).json()["data"]) == 1
