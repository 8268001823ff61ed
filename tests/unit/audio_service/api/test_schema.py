"""Requests made from the OpenAPI document by schemathesis, right and wrong ones, to a running service: no 500, and no
answer that the document does not name.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Generator
from datetime import UTC, datetime
from typing import Any, cast

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis.strategies import SearchStrategy
from schemathesis import GenerationMode, checks, openapi

from audio_service.access.key_file import change_keys
from audio_service.access.keys import KeyList, new_key
from audio_service.access.scopes import SCOPES
from tests.unit.audio_service.api.library import add_failure, add_song, open_api, served
from tests.unit.audio_service.api.test_openapi import OPERATIONS

# What HTTP itself refuses is the same for every operation, and has the document's `default`.
EVERYWHERE = {404, 405}
WITH_PARAMETERS = OPERATIONS[:6]
SOURCES = "/api/v1/sources"
"""No question is let out to a source: each gets a limit that is refused. Their answers have tests of their own."""
EXAMPLES = 15
# The first takes every text for an id, the second knows no 414, the third is stricter below.
LEFT_OUT: Any = [
    checks.positive_data_acceptance,
    checks.negative_data_rejection,
    checks.not_a_server_error,  # pyright: ignore[reportUnknownMemberType] - generic without its argument in the library
]
QUICK = [HealthCheck.too_slow, HealthCheck.filter_too_much]


class Running:
    """The service on a port, in a thread of its own; `document` is what it says of itself, `key` lets in."""

    def __init__(self, url: str, document: dict[str, Any], key: str) -> None:
        self.url = url
        self.key = key
        self.schema = openapi.from_dict(document)


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Generator[Running]:
    root = tmp_path_factory.mktemp("library")
    made = new_key("test", SCOPES, now=datetime.now(UTC), expires_at=None)
    change_keys(root / "keys.json", lambda _: KeyList(keys=(made.kept,)))
    changes: dict[str, object] = {"network_timeout_seconds": 1.0, "api_keys_file": root / "keys.json"}
    found: list[Running] = []
    loop = asyncio.new_event_loop()
    stop, ready = asyncio.Event(), threading.Event()

    async def serve() -> None:
        async with open_api(root, **changes) as api, served(api.app) as (host, port):
            await add_song(api.deps, "k2qgadSvNyU", "Dua Lipa - New Rules")
            await add_failure(api.deps, "failed", "Dua Lipa - Private")
            found.append(Running(f"http://{host}:{port}", api.app.openapi(), made.text))
            ready.set()
            await stop.wait()

    thread = threading.Thread(target=lambda: loop.run_until_complete(serve()))
    thread.start()
    assert ready.wait(60)
    yield found[0]
    loop.call_soon_threadsafe(stop.set)
    thread.join(60)
    loop.close()


def send(running: Running, path: str, mode: GenerationMode, *, key: str) -> set[int]:
    """Send requests of one operation; return the statuses they got."""
    operation = cast("Any", running.schema[path]["GET"])
    documented = {int(status) for status in operation.definition.raw["responses"] if status != "default"}
    strategy: SearchStrategy[Any] = operation.as_strategy(generation_mode=mode)
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    seen: set[int] = set()

    @settings(max_examples=EXAMPLES, derandomize=True, database=None, suppress_health_check=QUICK)
    @given(case=strategy)
    def each(case: Any) -> None:  # noqa: ANN401 - a Case of a type that only schemathesis knows
        if path.startswith(SOURCES):
            case.query = {**(case.query or {}), "limit": 0}
        response = case.call(base_url=running.url, headers=headers)
        case.validate_response(response, headers=headers, excluded_checks=LEFT_OUT)
        assert response.status_code in documented | EVERYWHERE
        assert response.status_code < 500
        seen.add(response.status_code)

    each()
    return seen


@pytest.mark.parametrize("path", OPERATIONS)
def test_no_right_request_is_answered_with_what_is_not_documented(running: Running, path: str) -> None:
    assert 401 not in send(running, path, GenerationMode.POSITIVE, key=running.key)


@pytest.mark.parametrize("path", WITH_PARAMETERS)
def test_no_wrong_request_is_answered_with_what_is_not_documented(running: Running, path: str) -> None:
    assert send(running, path, GenerationMode.NEGATIVE, key=running.key) & {400, 404, 405, 414}


@pytest.mark.parametrize("path", WITH_PARAMETERS)
def test_nothing_is_answered_to_who_has_no_key(running: Running, path: str) -> None:
    assert send(running, path, GenerationMode.POSITIVE, key="") <= {401, 404}
