"""The public keys of an OAuth2 issuer (JWKS, RFC 7517), fetched when needed and kept for a while.

Fetched again when they are stale or a token names an unknown key, at most every RETRY_SECONDS: invented key ids cannot
make this service call the issuer. While the issuer is unavailable, its last keys count. Symmetric keys are ignored:
with one, every reader of the JWKS could sign.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, cast

import httpx
import jwt
import orjson

from common.errors import AccessUnavailable
from common.observability.telemetry import get_logger
from common.tasks import time_limit

log = get_logger(__name__)

FRESH_SECONDS = 600.0
RETRY_SECONDS = 30.0
STALE_SECONDS = 24 * 3600.0
_TIMEOUT_SECONDS = 5.0
_MAX_BYTES = 256 * 1024
_MAX_KEYS = 100
_FAMILIES = frozenset({"RSA", "EC", "OKP"})
ALGORITHMS = frozenset({"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"})
"""Asymmetric ones alone (RFC 8725 §3.1): `none` and HMACs are never valid."""


class IssuerKeys:
    """The keys behind OAUTH_JWKS_URL, by their ids. `clock` is monotonic seconds."""

    def __init__(self, url: str, clock: Callable[[], float]) -> None:
        self._url = url
        self._clock = clock
        self._keys: dict[str, jwt.PyJWK] = {}
        self._fetched = -STALE_SECONDS
        self._tried = -RETRY_SECONDS
        self._fetching = asyncio.Lock()

    async def find(self, key_id: str) -> jwt.PyJWK | None:
        """Return a key, None when the issuer has no such key.

        Raises:
            AccessUnavailable: the issuer does not answer, and its last answer is too old or missing.
        """
        if self._needs_refresh(key_id):
            async with self._fetching:
                if self._needs_refresh(key_id):
                    await self._refresh()
        if self._clock() - self._fetched >= STALE_SECONDS:
            raise AccessUnavailable("OAUTH_JWKS_URL gives no keys")
        return self._keys.get(key_id)

    def _needs_refresh(self, key_id: str) -> bool:
        now = self._clock()
        old = now - self._fetched >= FRESH_SECONDS
        return (old or key_id not in self._keys) and now - self._tried >= RETRY_SECONDS

    async def _refresh(self) -> None:
        self._tried = self._clock()
        try:
            self._keys = usable_keys(await _fetch(self._url))
        except (httpx.HTTPError, TimeoutError, ValueError) as exc:
            log.warning("access.no_issuer_keys", url=self._url, error=type(exc).__name__)
        else:
            self._fetched = self._clock()


def usable_keys(document: bytes) -> dict[str, jwt.PyJWK]:
    """Return the keys of a JWKS that can check signatures of ours.

    Raises:
        ValueError: it is no JWKS.
    """
    loaded: Any = orjson.loads(document)
    listed: object = cast("dict[str, object]", loaded).get("keys") if isinstance(loaded, dict) else None
    if not isinstance(listed, list):
        raise ValueError("not a JWKS")  # noqa: TRY004 - what a document holds is its value
    entries = [cast("dict[str, Any]", entry) for entry in cast("list[Any]", listed) if isinstance(entry, dict)]
    found: dict[str, jwt.PyJWK] = {}
    for entry in entries[:_MAX_KEYS]:
        if entry.get("kty") not in _FAMILIES or entry.get("use", "sig") != "sig":
            continue
        try:
            key = jwt.PyJWK(entry)
        except jwt.PyJWTError:
            continue
        if key.algorithm_name in ALGORITHMS:
            found[str(key.key_id or "")] = key
    return found


async def _fetch(url: str) -> bytes:
    body = bytearray()
    async with (
        time_limit(_TIMEOUT_SECONDS),
        httpx.AsyncClient(trust_env=False, timeout=_TIMEOUT_SECONDS, follow_redirects=False) as client,
        client.stream("GET", url, headers={"Accept": "application/json"}) as response,
    ):
        response.raise_for_status()
        if response.is_redirect:
            raise ValueError("a redirect")
        async for block in response.aiter_bytes():
            body += block
            if len(body) > _MAX_BYTES:
                raise ValueError("too large")
    return bytes(body)
