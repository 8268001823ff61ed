"""Authentication and authorisation over HTTP: every accepted credential, and every refusal."""

from __future__ import annotations

import io
import itertools
import json
import logging
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest
from structlog.testing import capture_logs

from audio_service.access.key_file import KeysUnusable, change_keys
from audio_service.access.keys import ApiKey, KeyList, new_key
from audio_service.access.scopes import SCOPES, Scope
from audio_service.api.app import create_app
from common.observability.telemetry import configure_logging
from tests.servers.issuer import Issuer, open_issuer
from tests.unit.audio_service.api.library import Api, add_song, open_api, open_deps

LOOK_UP = "/api/v1/media/?video_id=song"
ROUTES: list[tuple[str, Scope]] = [
    (LOOK_UP, "media:read"),
    ("/api/v1/media?video_id=song", "media:read"),
    ("/api/v1/media/search?title=canci", "media:read"),
    ("/api/v1/media/newest", "media:read"),
    ("/api/v1/media/song/audio", "media:read"),
    ("/api/v1/media/song/audio.ogg", "media:read"),
    ("/api/v1/sources/search?query=", "sources:read"),
    ("/api/v1/sources/playlist?url=", "sources:read"),
    ("/metrics", "metrics:read"),
]
WITHDRAWAL = "/api/v1/requests/r-1"
OPEN = ["/livez", "/readyz", "/api/v1/health", "/", "/web/library.js", "/docs", "/docs/swagger-ui.css", "/openapi.json"]


class KeyRing:
    """A key file and the keys that were made for it."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def make(self, *scopes: Scope, expires_in: float | None = None) -> str:
        now = datetime.now(UTC)
        expires_at = None if expires_in is None else now + timedelta(seconds=expires_in)
        made = new_key("test", scopes or SCOPES, now=now, expires_at=expires_at)
        change_keys(self.path, lambda kept: KeyList(keys=(*kept.keys, made.kept)))
        return made.text

    def revoke(self, text: str) -> None:
        def revoked(key: ApiKey) -> ApiKey:
            return key.model_copy(update={"revoked_at": datetime.now(UTC)}) if key.id in text else key

        change_keys(self.path, lambda kept: KeyList(keys=tuple(map(revoked, kept.keys))))


@pytest.fixture
def ring(tmp_path: Path) -> KeyRing:
    return KeyRing(tmp_path / "api-keys.json")


@pytest.fixture
async def locked(tmp_path: Path, ring: KeyRing) -> AsyncGenerator[Api]:
    ring.make()
    async with open_api(tmp_path, api_keys_file=ring.path) as opened:
        await add_song(opened.deps, "song")
        yield opened


@asynccontextmanager
async def opened_with(root: Path, issuer: Issuer, **changes: object) -> AsyncGenerator[Api]:
    async with open_api(root, **issuer.settings(), **changes) as opened:
        await add_song(opened.deps, "song")
        yield opened


@pytest.fixture
async def issuer() -> AsyncGenerator[Issuer]:
    async with open_issuer() as running:
        yield running


def bearer(secret: str) -> dict[str, str]:
    return {"authorization": f"Bearer {secret}"}


def refused(answer: httpx.Response, status: int, code: str) -> None:
    assert (answer.status_code, answer.json()["error"]["code"], answer.json()["success"]) == (status, code, False)
    assert answer.json()["error"]["message"]
    assert answer.headers["x-request-id"]


class TestKeys:
    @pytest.mark.parametrize(("route", "scope"), ROUTES)
    async def test_a_route_takes_a_key_with_its_scope(
        self, locked: Api, ring: KeyRing, route: str, scope: Scope
    ) -> None:
        refused(await locked.client.get(route), 401, "unauthorized")
        good = ring.make(scope)
        assert (await locked.client.get(route, headers=bearer(good))).status_code in {200, 400}
        assert (await locked.client.get(route, headers={"x-api-key": good})).status_code in {200, 400}
        others: list[Scope] = [other for other in SCOPES if other != scope]
        answer = await locked.client.get(route, headers=bearer(ring.make(*others)))
        refused(answer, 403, "forbidden")
        assert f'error="insufficient_scope", scope="{scope}"' in answer.headers["www-authenticate"]

    async def test_withdrawing_a_request_takes_a_key_with_its_scope(self, locked: Api, ring: KeyRing) -> None:
        refused(await locked.client.delete(WITHDRAWAL), 401, "unauthorized")
        reader = ring.make("media:read", "sources:read", "metrics:read")
        refused(await locked.client.delete(WITHDRAWAL, headers=bearer(reader)), 403, "forbidden")
        allowed = await locked.client.delete(WITHDRAWAL, headers=bearer(ring.make("requests:cancel")))
        assert allowed.status_code == 204

    @pytest.mark.parametrize("route", [route for route, _ in ROUTES])
    async def test_head_is_guarded_as_get_is(self, locked: Api, ring: KeyRing, route: str) -> None:
        assert (await locked.client.head(route)).status_code == 401
        assert (await locked.client.head(route, headers=bearer(ring.make()))).status_code in {200, 400}

    @pytest.mark.parametrize("route", OPEN)
    async def test_health_and_pages_stay_open(self, locked: Api, route: str) -> None:
        assert (await locked.client.get(route)).status_code == 200
        assert (await locked.client.get(route, headers=bearer("nonsense"))).status_code == 200

    async def test_every_route_is_in_one_of_these_lists(self, locked: Api) -> None:
        listed = {route.partition("?")[0].replace("/song/", "/{video_id}/") for route, _ in ROUTES} | set(OPEN)
        listed = {"/web/{name}" if route == "/web/library.js" else route for route in listed}
        document = locked.app.openapi()
        assert set(document["paths"]) - {WITHDRAWAL.replace("/r-1", "/{request_id}")} <= listed
        operations = [(path, each) for path, methods in document["paths"].items() for each in methods.values()]
        guarded = {path for path, operation in operations if operation.get("security")}
        assert guarded == {path for path in document["paths"] if path not in OPEN}
        assert set(document["components"]["securitySchemes"]) == {"bearer", "api_key"}

    async def test_the_challenge_tells_missing_credentials_from_invalid_ones(self, locked: Api) -> None:
        nothing = await locked.client.get(LOOK_UP)
        assert nothing.headers["www-authenticate"] == 'Bearer realm="butakero"'
        wrong = await locked.client.get(LOOK_UP, headers=bearer("bk_00000000_" + "A" * 43))
        assert wrong.headers["www-authenticate"] == 'Bearer realm="butakero", error="invalid_token"'
        english = await locked.client.get(LOOK_UP, headers={"accept-language": "en"})
        assert nothing.json()["error"]["message"] != english.json()["error"]["message"]

    async def test_credentials_are_checked_before_parameters(self, locked: Api) -> None:
        for route in ("/api/v1/media/search", "/api/v1/media/search?limit=x", "/api/v1/media/none/audio"):
            refused(await locked.client.get(route), 401, "unauthorized")

    async def test_an_expired_key_is_refused(self, locked: Api, ring: KeyRing) -> None:
        refused(await locked.client.get(LOOK_UP, headers=bearer(ring.make(expires_in=-1))), 401, "unauthorized")
        assert (await locked.client.get(LOOK_UP, headers=bearer(ring.make(expires_in=600)))).status_code == 200

    async def test_a_revoked_key_is_refused_from_the_next_request_on(self, locked: Api, ring: KeyRing) -> None:
        key = ring.make()
        assert (await locked.client.get(LOOK_UP, headers=bearer(key))).status_code == 200
        ring.revoke(key)
        with capture_logs() as logs:
            refused(await locked.client.get(LOOK_UP, headers=bearer(key)), 401, "unauthorized")
        assert logs[-1]["reason"].endswith("revoked")

    async def test_a_missing_key_file_refuses_every_key(self, locked: Api, ring: KeyRing) -> None:
        key = ring.make()
        ring.path.unlink()
        refused(await locked.client.get(LOOK_UP, headers=bearer(key)), 401, "unauthorized")

    async def test_a_secret_of_another_key_is_refused(self, locked: Api, ring: KeyRing) -> None:
        one, other = ring.make(), ring.make()
        refused(await locked.client.get(LOOK_UP, headers=bearer(one[:12] + other[12:])), 401, "unauthorized")

    @pytest.mark.parametrize(
        "headers",
        [
            {"authorization": "Basic {key}"},
            {"authorization": "{key}"},
            {"authorization": "Bearer"},
            {"authorization": "Bearer {key} {key}"},
            {"authorization": "Bearer {key}x"},
            {"authorization": "Bearer ñ"},
            {"x-api-key": "Bearer {key}"},
            {"x-api-key": "' OR 1=1 --"},
            {"cookie": "api_key={key}"},
            {"authorization": "Bearer wrong", "x-api-key": "{key}"},
        ],
    )
    async def test_a_malformed_key_is_refused(self, locked: Api, ring: KeyRing, headers: dict[str, str]) -> None:
        sent = [(name.encode(), value.format(key=ring.make()).encode("latin-1")) for name, value in headers.items()]
        refused(await locked.client.get(LOOK_UP, headers=sent), 401, "unauthorized")

    @pytest.mark.parametrize("name", ["api_key", "key", "access_token", "token", "x-api-key", "authorization"])
    async def test_a_key_in_a_url_is_ignored(self, locked: Api, ring: KeyRing, name: str) -> None:
        refused(await locked.client.get(f"{LOOK_UP}&{name}={ring.make()}"), 401, "unauthorized")

    async def test_the_scheme_is_case_insensitive(self, locked: Api, ring: KeyRing) -> None:
        assert (await locked.client.get(LOOK_UP, headers={"authorization": f"bEARER {ring.make()}"})).status_code == 200

    async def test_shared_caches_may_not_store_a_song(self, locked: Api, ring: KeyRing) -> None:
        """A shared cache would send it to clients without a key."""
        for end in ("audio", "audio.ogg"):
            answer = await locked.client.get(f"/api/v1/media/song/{end}", headers=bearer(ring.make()))
            assert answer.headers["cache-control"] == "private, max-age=3600"

    async def test_an_unreadable_key_file_stops_the_program_at_its_start(self, tmp_path: Path, ring: KeyRing) -> None:
        ring.path.write_text("{")
        async with open_deps(tmp_path, api_keys_file=ring.path) as deps:
            with pytest.raises(KeysUnusable, match="API_KEYS_FILE"):
                create_app(deps)


class TestTokens:
    async def test_a_token_with_the_scope_is_admitted(self, tmp_path: Path, issuer: Issuer) -> None:
        async with opened_with(tmp_path, issuer) as api:
            assert (await api.client.get(LOOK_UP, headers=bearer(issuer.token()))).status_code == 200
            assert (await api.client.get(LOOK_UP, headers=bearer(issuer.token(key_id="ec")))).status_code == 200
            refused(await api.client.get("/metrics", headers=bearer(issuer.token())), 403, "forbidden")
            refused(await api.client.get(LOOK_UP), 401, "unauthorized")
            refused(await api.client.get(LOOK_UP, headers={"x-api-key": issuer.token()}), 401, "unauthorized")
            refused(await api.client.get(LOOK_UP, headers=bearer(issuer.token(iss="x"))), 401, "unauthorized")
            refused(await api.client.get(LOOK_UP, headers=bearer(issuer.token(exp=1))), 401, "unauthorized")

    async def test_an_unreachable_issuer_is_access_unavailable(self, tmp_path: Path, issuer: Issuer) -> None:
        async with opened_with(tmp_path, issuer) as api:
            issuer.status = 500
            refused(await api.client.get(LOOK_UP, headers=bearer(issuer.token())), 503, "access_unavailable")
            assert (await api.client.get("/api/v1/health")).status_code == 200

    async def test_keys_and_tokens_may_both_be_used(self, tmp_path: Path, issuer: Issuer, ring: KeyRing) -> None:
        key = ring.make()
        async with opened_with(tmp_path, issuer, api_keys_file=ring.path) as api:
            issuer.status = 500
            assert (await api.client.get(LOOK_UP, headers=bearer(key))).status_code == 200
            issuer.status = 200
        async with opened_with(tmp_path / "other", issuer, api_keys_file=ring.path) as api:
            assert (await api.client.get(LOOK_UP, headers=bearer(issuer.token()))).status_code == 200

    async def test_a_key_is_refused_where_only_tokens_are_accepted(
        self, tmp_path: Path, issuer: Issuer, ring: KeyRing
    ) -> None:
        async with opened_with(tmp_path, issuer) as api:
            refused(await api.client.get(LOOK_UP, headers=bearer(ring.make())), 401, "unauthorized")


class TestLimits:
    async def test_the_rate_limit_answers_with_retry_after(self, tmp_path: Path) -> None:
        async with open_api(tmp_path, rate_limit_per_minute=1, rate_limit_burst=3) as api:
            answers = [await api.client.get(LOOK_UP) for _ in range(4)]
            assert [answer.status_code for answer in answers] == [404, 404, 404, 429]
            refused(answers[-1], 429, "rate_limited")
            assert 1 <= int(answers[-1].headers["retry-after"]) <= 60
            assert (await api.client.get("/livez")).status_code == 200
            assert (await api.client.get("/readyz")).status_code == 200

    async def test_each_key_has_a_limit_of_its_own(self, tmp_path: Path, ring: KeyRing) -> None:
        one, other = ring.make(), ring.make()
        changes = {"api_keys_file": ring.path, "rate_limit_per_minute": 1, "rate_limit_burst": 1}
        async with open_api(tmp_path, **changes) as api:
            assert (await api.client.get(LOOK_UP, headers=bearer(one))).status_code == 404
            refused(await api.client.get(LOOK_UP, headers=bearer(one)), 429, "rate_limited")
            assert (await api.client.get(LOOK_UP, headers=bearer(other))).status_code == 404

    async def test_guessing_is_limited_by_address(self, tmp_path: Path, ring: KeyRing) -> None:
        key = ring.make()
        changes = {"api_keys_file": ring.path, "rate_limit_per_minute": 1, "rate_limit_burst": 2}
        async with open_api(tmp_path, **changes) as api:
            answers = [await api.client.get(LOOK_UP, headers=bearer(f"bk_{number:08x}_")) for number in range(3)]
            assert [answer.status_code for answer in answers] == [401, 401, 429]
            assert (await api.client.get(LOOK_UP, headers=bearer(key))).status_code == 404


class TestSecrets:
    @pytest.fixture(autouse=True)
    def keep_pytests_handlers(self) -> Generator[None]:
        before = logging.getLogger().handlers[:]
        yield
        logging.getLogger().handlers[:] = before

    @pytest.mark.parametrize("log_format", ["json", "console"])
    async def test_they_are_in_no_log_response_or_metric(
        self, tmp_path: Path, ring: KeyRing, issuer: Issuer, log_format: str
    ) -> None:
        written = io.StringIO()
        configure_logging("debug", log_format, written)
        good, expired, poor = ring.make(), ring.make(expires_in=-1), ring.make("metrics:read")
        forged = issuer.token(exp=1, sub="planted-subject")
        secrets = [good, expired, poor, forged, issuer.token(iss="x"), "bk_12345678_" + "P" * 43, "planted-nonsense"]
        answers: list[httpx.Response] = []
        async with opened_with(tmp_path, issuer, api_keys_file=ring.path) as api:

            async def broken() -> None:
                token = good
                raise ZeroDivisionError(f"of {token}")

            api.app.add_api_route("/broken", broken)
            for secret, name in itertools.product(secrets, ("authorization", "x-api-key")):
                value = f"Bearer {secret}" if name == "authorization" else secret
                answers += [
                    await api.client.get(route, headers={name: value}) for route in (LOOK_UP, "/nowhere", "/broken")
                ]
            answers.append(await api.client.get("/metrics", headers=bearer(good)))
        assert {401, 403, 200, 404, 500} <= {answer.status_code for answer in answers}
        shown = written.getvalue() + "".join(answer.text + json.dumps(dict(answer.headers)) for answer in answers)
        assert "access.refused" in shown
        assert "http.crashed" in shown
        for secret in [*(secret.removeprefix(secret[:12]) for secret in secrets[:-1]), "planted"]:
            assert secret not in shown
