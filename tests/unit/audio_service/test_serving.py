"""The program's own start: the warning, the second port, and settings that do not fit together."""

from __future__ import annotations

import asyncio
from pathlib import Path

import httpx
import pytest
from structlog.testing import capture_logs

from audio_service.serving import is_loopback, open_listeners, serve_http, warn_if_open
from audio_service.settings import AudioSettings
from common.http.server import AddressInUse
from common.settings import load
from common.settings_errors import SettingsError
from common.tasks import running_alongside
from tests.unit.audio_service.api.library import open_deps

EVERYWHERE = "0.0.0.0"  # noqa: S104 - named, not bound


def warned(**settings: object) -> list[str]:
    with capture_logs() as logs:
        warn_if_open(AudioSettings.model_validate(settings))
    return [f"{line['log_level']} {line['event']} {line['detail']}" for line in logs]


def test_an_open_address_without_access_control_is_told_loudly() -> None:
    (line,) = warned(http_host=EVERYWHERE)
    assert line.startswith("warning access.open WITHOUT ACCESS CONTROL")
    assert "API_KEYS_FILE" in line
    assert warned(http_host=EVERYWHERE, rate_limit_per_minute=5)


def test_loopback_and_a_controlled_address_are_not() -> None:
    assert not warned(http_host="127.0.0.1")
    assert not warned(http_host=EVERYWHERE, api_keys_file=Path("keys.json"))
    oauth = {"oauth_issuer": "https://id.example", "oauth_audience": "x", "oauth_jwks_url": "https://id.example/jwks"}
    assert not warned(http_host=EVERYWHERE, **oauth)


@pytest.mark.parametrize(
    ("host", "loopback"),
    [
        ("127.0.0.1", True),
        ("127.9.9.9", True),
        ("::1", True),
        ("localhost", True),
        (EVERYWHERE, False),
        ("::", False),
        ("", False),
        ("10.0.0.1", False),
        ("localhost.example", False),
    ],
)
def test_only_this_machines_addresses_are_loopback(host: str, loopback: bool) -> None:  # noqa: FBT001 - a table's column
    assert is_loopback(host) is loopback


async def test_metrics_have_a_port_of_their_own_where_nobody_is_asked(tmp_path: Path) -> None:
    changes = {"http_port": 0, "metrics_port": 0, "api_keys_file": tmp_path / "keys.json"}
    async with open_deps(tmp_path, **changes) as deps, httpx.AsyncClient() as http:
        with open_listeners(deps.settings) as listeners:
            assert listeners.metrics is not None
            api, metrics = (f"http://127.0.0.1:{s.getsockname()[1]}" for s in (listeners.api, listeners.metrics))
            stop = asyncio.Event()
            async with running_alongside(serve_http(deps, listeners, stop)):
                assert (await http.get(f"{api}/metrics")).status_code == 404
                assert (await http.get(f"{api}/api/v1/media/?video_id=x")).status_code == 401
                shown = await http.get(f"{metrics}/metrics")
                assert shown.status_code == 200
                assert 'butakero_http_requests_total{method="GET",route="unmatched",status="404"} 1.0' in shown.text
                for path in ("/", "/docs", "/openapi.json", "/api/v1/media/?video_id=x", "/livez"):
                    answer = await http.get(f"{metrics}{path}")
                    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "route_not_found")


@pytest.mark.parametrize(("trusted", "limited"), [("", True), ("10.0.0.0/8", True), ("127.0.0.0/8", False)])
async def test_a_forwarded_address_is_believed_from_configured_proxies_only(
    tmp_path: Path,
    trusted: str,
    limited: bool,  # noqa: FBT001 - a table's column
) -> None:
    changes = {
        "http_port": 0,
        "rate_limit_per_minute": 1,
        "rate_limit_burst": 1,
        "forwarded_allow_ips": trusted,
    }
    async with open_deps(tmp_path, **changes) as deps, httpx.AsyncClient() as http:
        with open_listeners(deps.settings) as listeners:
            url = f"http://127.0.0.1:{listeners.api.getsockname()[1]}/api/v1/media/?video_id=x"
            async with running_alongside(serve_http(deps, listeners, asyncio.Event())):
                codes = [
                    (await http.get(url, headers={"X-Forwarded-For": f"192.0.2.{number}"})).status_code
                    for number in range(3)
                ]
    assert codes == ([404, 429, 429] if limited else [404, 404, 404])


def test_a_taken_metrics_port_names_its_key(tmp_path: Path) -> None:
    with open_listeners(AudioSettings(http_port=0)) as listeners:
        assert listeners.metrics is None
        taken = listeners.api.getsockname()[1]
        with (
            pytest.raises(AddressInUse, match="METRICS_PORT"),
            open_listeners(AudioSettings(http_port=0, metrics_port=taken)),
        ):
            pass
    del tmp_path


@pytest.mark.parametrize(
    ("environment", "key"),
    [
        ({"OAUTH_ISSUER": "https://id.example"}, "OAUTH_ISSUER"),
        ({"OAUTH_ISSUER": "https://id.example", "OAUTH_AUDIENCE": "x"}, "OAUTH_ISSUER"),
        ({"OAUTH_JWKS_URL": "http://id.example/jwks"}, "OAUTH_JWKS_URL"),
        ({"OAUTH_JWKS_URL": "http://localhost.example/jwks"}, "OAUTH_JWKS_URL"),
        ({"RATE_LIMIT_PER_MINUTE": "-1"}, "RATE_LIMIT_PER_MINUTE"),
    ],
)
def test_half_an_issuer_stops_the_program(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], key: str
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError, match=f"^{key}: "):
        load(AudioSettings)
