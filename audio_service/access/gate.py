"""Access control of the API: authentication, scopes, rate limit.

A client's secret is never logged, raised or stored; a key's public id is.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, NamedTuple

from audio_service.access.key_file import KeyFile
from audio_service.access.keys import PREFIX, key_id_of, matches
from audio_service.access.limits import RateLimit
from audio_service.access.scopes import Scope
from audio_service.settings import AudioSettings
from common.errors import AccessError, Forbidden, RateLimited, Unauthorized
from common.observability.telemetry import get_logger

if TYPE_CHECKING:
    from audio_service.access.tokens import Tokens

log = get_logger(__name__)

_BEARER = "bearer "


class Caller(NamedTuple):
    """An authenticated caller. `name` identifies it for the rate limit."""

    name: str
    scopes: frozenset[Scope]


class Gate:
    """Keys, tokens and limits as the settings say. `clock` is monotonic seconds, `now` the time of day."""

    def __init__(
        self,
        settings: AudioSettings,
        *,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._now = now
        self._keys = KeyFile(settings.api_keys_file) if settings.api_keys_file else None
        self._tokens: Tokens | None = None
        if settings.oauth_issuer:
            self._tokens = _tokens(settings, clock)
        self._limit = RateLimit(settings.rate_limit_per_minute, settings.rate_limit_burst, clock)
        self.closed = settings.access_controlled
        self.needed = self.closed or settings.rate_limit_per_minute > 0

    def check(self) -> None:
        """Check API_KEYS_FILE at start. Raises KeysUnusable."""
        if self._keys is not None:
            self._keys.check()

    async def admit(self, authorization: str, api_key: str, address: str, needs: Scope | None) -> str:
        """Admit a request or raise; return its caller's name, "" for one that was not asked. `needs` None: no
        authentication needed.

        A refused caller counts as its address, so that guessing is rate-limited as well.

        Raises:
            Unauthorized: no valid key or token; Forbidden: the scope is missing.
            RateLimited: too many requests; AccessUnavailable: the issuer's keys are not available.
        """
        anonymous = f"address {address}"
        if needs is None or not self.closed:
            self._count(anonymous)
            return ""
        try:
            caller = await self._recognise(authorization, api_key)
        except AccessError as exc:
            self._count(anonymous)
            log.info("access.refused", code=exc.code, reason=exc.detail)
            raise
        self._count(caller.name)
        if needs not in caller.scopes:
            log.info("access.refused", code=Forbidden.code, reason=f"no scope {needs}")
            raise Forbidden(f"the scope {needs} is needed", scope=needs)
        return caller.name

    async def _recognise(self, authorization: str, api_key: str) -> Caller:
        secret = api_key.strip()
        if authorization:
            if not authorization.lower().startswith(_BEARER):
                raise Unauthorized("not a bearer token")
            secret = authorization[len(_BEARER) :].strip()
        if not secret:
            raise Unauthorized
        if self._keys is not None and secret.startswith(PREFIX):
            return self._by_key(self._keys, secret)
        if self._tokens is not None and authorization:
            bearer = await self._tokens.check(secret)
            return Caller(f"subject {bearer.subject}", bearer.scopes)
        raise Unauthorized("neither a key nor a token")

    def _by_key(self, keys: KeyFile, secret: str) -> Caller:
        key_id = key_id_of(secret)
        kept = keys.find(key_id)
        if not matches(secret, kept) or kept is None:
            raise Unauthorized("key: unknown")
        if refusal := kept.refusal(self._now()):
            raise Unauthorized(f"key {key_id}: {refusal}")
        return Caller(f"key {key_id}", frozenset(kept.scopes))

    def _count(self, caller: str) -> None:
        if wait := self._limit.take(caller):
            raise RateLimited("too many requests", retry_after_seconds=wait)


def _tokens(settings: AudioSettings, clock: Callable[[], float]) -> Tokens:
    """Imported only where tokens are taken: JWTs and their cryptography cost memory and start-up time."""
    from audio_service.access.jwks import IssuerKeys  # noqa: PLC0415 - as the docstring says
    from audio_service.access.tokens import Tokens  # noqa: PLC0415 - as the docstring says

    return Tokens(settings.oauth_issuer, settings.oauth_audience, IssuerKeys(settings.oauth_jwks_url, clock))
