"""Tokens against a real issuer on loopback, and the attacks on checkers of JWTs."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from collections.abc import AsyncGenerator
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from jwt.algorithms import RSAAlgorithm

from audio_service.access.jwks import FRESH_SECONDS, RETRY_SECONDS, STALE_SECONDS, IssuerKeys, usable_keys
from audio_service.access.tokens import Tokens
from common.errors import AccessUnavailable, Unauthorized
from tests.servers.issuer import AUDIENCE, Issuer, open_issuer


class Clock:
    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
async def issuer() -> AsyncGenerator[Issuer]:
    async with open_issuer() as running:
        yield running


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def tokens(issuer: Issuer, clock: Clock) -> Tokens:
    return Tokens(issuer.name, AUDIENCE, IssuerKeys(issuer.jwks_url, clock))


def part(value: object) -> str:
    raw = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


@pytest.mark.parametrize("key_id", ["rsa", "ec"])
async def test_a_good_token_says_who_and_what_for(issuer: Issuer, tokens: Tokens, key_id: str) -> None:
    said = await tokens.check(issuer.token(key_id=key_id, sub="bot-7", scope="openid sources:read media:read"))
    assert said == ("bot-7", {"media:read", "sources:read"})


async def test_scopes_may_be_a_list(issuer: Issuer, tokens: Tokens) -> None:
    assert (await tokens.check(issuer.token(scope=None, scp=["media:read"]))).scopes == {"media:read"}
    assert (await tokens.check(issuer.token(scope=None))).scopes == frozenset()


Changes = dict[str, Any]


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"exp": int(time.time()) - 3600}, "expired"),
        ({"exp": None}, "claim missing"),
        ({"exp": "soon"}, "not valid"),
        ({"nbf": int(time.time()) + 3600}, "not yet valid"),
        ({"iss": "https://elsewhere.test"}, "wrong issuer"),
        ({"iss": None}, "claim missing"),
        ({"aud": "another-api"}, "wrong audience"),
        ({"aud": None}, "claim missing"),
        ({"sub": None}, "claim missing"),
    ],
)
async def test_a_token_whose_claims_do_not_hold_is_refused(
    issuer: Issuer, tokens: Tokens, changes: Changes, reason: str
) -> None:
    with pytest.raises(Unauthorized) as caught:
        await tokens.check(issuer.token(**changes))
    assert caught.value.detail == f"token: {reason}"


async def test_a_token_of_another_key_is_refused(issuer: Issuer, tokens: Tokens) -> None:
    other = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    forged = jwt.encode(issuer.claims(), other, "RS256", headers={"kid": "rsa"})
    with pytest.raises(Unauthorized, match="wrong signature"):
        await tokens.check(forged)


async def test_a_token_that_was_changed_is_refused(issuer: Issuer, tokens: Tokens) -> None:
    head, _, signature = issuer.token().split(".")
    with pytest.raises(Unauthorized, match="wrong signature"):
        await tokens.check(f"{head}.{part(issuer.claims(scope='media:read sources:read metrics:read'))}.{signature}")


@pytest.mark.parametrize("algorithm", ["none", "None", "NONE", "", "HS256", "RS512", "ES256", "unknown"])
async def test_a_token_cannot_choose_how_it_is_checked(issuer: Issuer, tokens: Tokens, algorithm: str) -> None:
    body = f"{part({'alg': algorithm, 'kid': 'rsa'})}.{part(issuer.claims())}"
    signature = hmac.new(issuer.public_pem(), body.encode(), hashlib.sha256).digest()
    for end in ("", part(signature)):
        with pytest.raises(Unauthorized):
            await tokens.check(f"{body}.{end}")


async def test_the_key_comes_from_the_issuer_and_never_from_the_token(issuer: Issuer, tokens: Tokens) -> None:
    own = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    headers = {"kid": "rsa", "jwk": RSAAlgorithm.to_jwk(own.public_key(), as_dict=True), "jku": "http://127.0.0.1:1/"}
    with pytest.raises(Unauthorized, match="wrong signature"):
        await tokens.check(jwt.encode(issuer.claims(), own, "RS256", headers=headers))


@pytest.mark.parametrize(
    "text", ["", "x", "a.b.c", "..", "e30.e30.e30", "eyJ" + "A" * 9000, "\x00", "eyJhbGciOiJub25lIn0.e30."]
)
async def test_what_is_no_token_is_refused(tokens: Tokens, text: str) -> None:
    with pytest.raises(Unauthorized):
        await tokens.check(text)


async def test_nothing_of_a_token_is_in_the_refusal(issuer: Issuer, tokens: Tokens) -> None:
    token = issuer.token(exp=1, sub="planted-secret")
    with pytest.raises(Unauthorized) as caught:
        await tokens.check(token)
    assert "planted" not in repr(caught.value)
    assert token[:20] not in repr(caught.value)
    assert caught.value.__cause__ is None


class TestIssuerKeys:
    async def test_they_are_fetched_once_and_again_when_they_are_old(self, issuer: Issuer, clock: Clock) -> None:
        keys = IssuerKeys(issuer.jwks_url, clock)
        for _ in range(5):
            assert await keys.find("rsa")
        assert issuer.asked == 1
        clock.seconds += FRESH_SECONDS
        assert await keys.find("rsa")
        assert issuer.asked == 2

    async def test_a_new_key_is_found(self, issuer: Issuer, clock: Clock) -> None:
        keys = IssuerKeys(issuer.jwks_url, clock)
        assert await keys.find("new") is None
        issuer.published.append({**issuer.published[0], "kid": "new"})
        assert await keys.find("new") is None
        clock.seconds += RETRY_SECONDS
        assert await keys.find("new")

    async def test_invented_key_ids_do_not_make_us_ask(self, issuer: Issuer, clock: Clock) -> None:
        keys = IssuerKeys(issuer.jwks_url, clock)
        for number in range(200):
            assert await keys.find(str(number)) is None
        assert issuer.asked == 1

    async def test_a_key_that_the_issuer_took_back_is_gone(self, issuer: Issuer, clock: Clock) -> None:
        keys = IssuerKeys(issuer.jwks_url, clock)
        assert await keys.find("rsa")
        del issuer.published[0]
        clock.seconds += FRESH_SECONDS
        assert await keys.find("rsa") is None

    @pytest.mark.parametrize("answer", [b"", b"[]", b"{}", b'{"keys": 1}', b"\xff", b" " * 300_000])
    async def test_while_the_issuer_is_not_well_its_last_keys_count_for_a_day(
        self, issuer: Issuer, clock: Clock, answer: bytes
    ) -> None:
        keys = IssuerKeys(issuer.jwks_url, clock)
        assert await keys.find("rsa")
        issuer.answer = answer
        clock.seconds += FRESH_SECONDS
        assert await keys.find("rsa")
        assert issuer.asked == 2
        clock.seconds += STALE_SECONDS
        with pytest.raises(AccessUnavailable):
            await keys.find("rsa")
        issuer.answer = None
        clock.seconds += RETRY_SECONDS
        assert await keys.find("rsa")

    @pytest.mark.parametrize("status", [302, 404, 500])
    async def test_without_any_keys_it_cannot_be_told(self, issuer: Issuer, clock: Clock, status: int) -> None:
        issuer.status = status
        with pytest.raises(AccessUnavailable):
            await IssuerKeys(issuer.jwks_url, clock).find("rsa")

    def test_keys_that_cannot_be_trusted_are_not_taken(self, issuer: Issuer) -> None:
        listed = [
            {"kty": "oct", "k": part(b"x" * 32), "kid": "symmetric", "alg": "HS256"},
            {**issuer.published[0], "kid": "for-encryption", "use": "enc"},
            {**issuer.published[0], "kid": "wrong-algorithm", "alg": "HS256"},
            {"kty": "RSA", "kid": "broken", "n": "!", "e": "!"},
            {"kid": "nothing"},
            "text",
            issuer.published[0],
        ]
        assert set(usable_keys(json.dumps({"keys": listed}).encode())) == {"rsa"}
