"""OAuth2 bearer tokens: JWTs (RFC 9068, RFC 7519) of one issuer for one audience, checked against the issuer's keys.

The algorithm is the key's, never the token's: a token cannot choose how it is checked (RFC 8725 §2.1).
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jwt

from audio_service.access.jwks import IssuerKeys
from audio_service.access.scopes import Scope, known_scopes
from common.errors import Unauthorized

MAX_TOKEN = 8 * 1024
_LEEWAY_SECONDS = 30

_REASONS: tuple[tuple[type[jwt.PyJWTError], str], ...] = (
    (jwt.ExpiredSignatureError, "expired"),
    (jwt.ImmatureSignatureError, "not yet valid"),
    (jwt.InvalidIssuerError, "wrong issuer"),
    (jwt.InvalidAudienceError, "wrong audience"),
    (jwt.MissingRequiredClaimError, "claim missing"),
    (jwt.InvalidAlgorithmError, "wrong algorithm"),
    (jwt.InvalidSignatureError, "wrong signature"),
)


class Bearer(NamedTuple):
    """The subject of a token, and its scopes."""

    subject: str
    scopes: frozenset[Scope]


class Tokens:
    """Checks tokens of `issuer` for `audience`."""

    def __init__(self, issuer: str, audience: str, keys: IssuerKeys) -> None:
        self._issuer = issuer
        self._audience = audience
        self._keys = keys

    async def check(self, token: str) -> Bearer:
        """Return a token's subject and scopes when its signature and claims are valid.

        Raises:
            Unauthorized: they are not; the detail says why, and quotes nothing.
            AccessUnavailable: the issuer's keys are not available.
        """
        if len(token) > MAX_TOKEN:
            raise Unauthorized("token: too long")
        key = await self._keys.find(_key_id_of(token))
        if key is None:
            raise Unauthorized("token: of an unknown key")
        try:
            claims: dict[str, Any] = jwt.decode(
                token,
                key,
                algorithms=[key.algorithm_name],
                issuer=self._issuer,
                audience=self._audience,
                leeway=_LEEWAY_SECONDS,
                options={"require": ["exp", "iss", "aud", "sub"]},
            )
        except jwt.PyJWTError as exc:
            raise Unauthorized(f"token: {_reason(exc)}") from None
        return Bearer(str(claims["sub"])[:200], known_scopes(claims.get("scope", claims.get("scp"))))


def _key_id_of(token: str) -> str:
    try:
        return str(jwt.get_unverified_header(token).get("kid", ""))
    except jwt.PyJWTError:
        raise Unauthorized("token: not a JWT") from None


def _reason(exc: jwt.PyJWTError) -> str:
    return next((reason for kind, reason in _REASONS if isinstance(exc, kind)), "not valid")
