from __future__ import annotations

import asyncio

import pytest
from structlog.testing import capture_logs

from audio_service.api.errors import HTTP_STATUS, preferred_locale
from common.errors import DatabaseUnavailable, Locale, all_errors
from common.observability.telemetry import correlation_id
from tests.unit.audio_service.api.library import Api, add_song

LOOK_UP = "/api/v1/media/?video_id=song"

# CONTRACTS.md: "codes and HTTP statuses already in use".
CONTRACT = {
    "invalid_input": 400,
    "invalid_video_id": 400,
    "media_not_found": 404,
    "provider_not_found": 404,
    "duplicate_record": 409,
    "youtube_api_error": 503,
    "search_video_id_failed": 500,
    "get_media_details_failed": 500,
    "db_connection_failed": 500,
}


def test_every_error_has_a_status_and_every_status_an_error() -> None:
    assert set(HTTP_STATUS) == {error.code for error in all_errors()}


def test_the_contracts_statuses_are_kept() -> None:
    assert {code: HTTP_STATUS[code] for code in CONTRACT} == CONTRACT


def test_all_statuses_are_errors() -> None:
    assert all(400 <= status < 600 for status in HTTP_STATUS.values())


async def test_an_unknown_address_has_the_same_shape(api: Api) -> None:
    answer = await api.client.get("/api/v2/media")
    assert answer.status_code == 404
    assert answer.json()["error"]["code"] == "route_not_found"
    assert answer.json()["success"] is False


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "OPTIONS", "BREW"])
async def test_nothing_can_be_changed_over_http(api: Api, method: str) -> None:
    answer = await api.client.request(method, LOOK_UP)
    assert (answer.status_code, answer.json()["error"]["code"]) == (405, "method_not_allowed")
    assert answer.headers["allow"] == "GET, HEAD"


@pytest.mark.parametrize(
    ("accept_language", "message"),
    [
        ("", "Media no encontrado"),
        ("en", "Media not found"),
        ("en-GB,en;q=0.9,es;q=0.8", "Media not found"),
        ("fr, es;q=0.5, en;q=0.4", "Media no encontrado"),
    ],
)
async def test_errors_are_in_the_clients_language(api: Api, accept_language: str, message: str) -> None:
    answer = await api.client.get(LOOK_UP, headers={"accept-language": accept_language})
    assert answer.json()["error"]["message"] == message
    assert answer.headers["vary"] == "Accept-Language"
    assert answer.headers["content-language"] == ("en" if message == "Media not found" else "es")


@pytest.mark.parametrize(
    ("header", "default", "expected"),
    [
        ("", "en", "en"),
        ("fr", "en", "en"),
        ("es-AR", "en", "es"),
        ("en;q=0, es;q=0.1", "en", "es"),
        ("en;q=0.5, es;q=0.5", "es", "en"),
        ("*, en;q=0.9", "es", "es"),
        ("EN", "es", "en"),
        ("english", "es", "es"),
        ("en;q=2", "es", "es"),
        (";;;,,,", "es", "es"),
        ("fr," * 5000 + "en", "es", "es"),
    ],
)
def test_the_preferred_language_is_the_one_with_the_highest_quality(
    header: str, default: Locale, expected: Locale
) -> None:
    assert preferred_locale(header, default) == expected


async def test_a_failing_database_is_a_500_without_its_path(api: Api) -> None:
    await add_song(api.deps, "song")
    await _destroy_database(api)
    with capture_logs() as logs:
        answer = await api.client.get(LOOK_UP)
    assert (answer.status_code, answer.json()["error"]["code"]) == (500, "db_connection_failed")
    assert answer.json()["error"]["message"] == DatabaseUnavailable().message("es")
    assert str(api.root) not in answer.text
    assert [(line["event"], line["code"]) for line in logs] == [("http.failed", "db_connection_failed")]


async def test_a_defect_is_an_internal_error_and_its_traceback_is_only_logged(api: Api) -> None:
    seen: list[str] = []

    async def broken() -> None:
        seen.append(correlation_id())
        raise ZeroDivisionError("secret of /home/operator")

    api.app.add_api_route("/broken", broken)
    with capture_logs() as logs:
        answer = await api.client.get("/broken", headers={"x-request-id": "abc-1"})
    assert answer.status_code == 500
    assert answer.json()["error"]["code"] == "internal_error"
    assert "secret" not in answer.text
    assert answer.headers["x-request-id"] == "abc-1"
    assert seen == ["abc-1"]
    crashed = next(line for line in logs if line["event"] == "http.crashed")
    assert isinstance(crashed["exc_info"], ZeroDivisionError)
    assert (await api.client.get("/livez")).status_code == 200


async def _destroy_database(api: Api) -> None:
    """Overwrite the database under the open connection: SQLite finds out when it next reads a page."""
    path = api.deps.settings.sqlite_path

    def overwrite() -> None:
        for suffix in ("-wal", "-shm"):
            journal = path.with_name(path.name + suffix)
            if journal.exists():
                journal.write_bytes(b"\xff" * journal.stat().st_size)
        path.write_bytes(b"\xff" * path.stat().st_size)

    await asyncio.to_thread(overwrite)
