"""An OAuth2 issuer on loopback: publishes its keys and signs tokens with the claims that a test chooses."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from functools import cache
from typing import Any

import jwt
from aiohttp import web
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from jwt.algorithms import ECAlgorithm, RSAAlgorithm

AUDIENCE = "butakero"


@cache
def _rsa_key() -> rsa.RSAPrivateKey:
    """Generate the key once: that takes a tenth of a second."""
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


class Issuer:
    """An issuer with an RSA key "rsa" and an EC key "ec". `asked` counts the fetches of its keys; `answer` replaces its
    JWKS, `status` its HTTP status.
    """

    def __init__(self) -> None:
        self.url = ""
        self.asked = 0
        self.status = 200
        self.answer: bytes | None = None
        self.rsa = _rsa_key()
        self.ec = ec.generate_private_key(ec.SECP256R1())
        self.published: list[dict[str, Any]] = [
            {**RSAAlgorithm.to_jwk(self.rsa.public_key(), as_dict=True), "kid": "rsa", "alg": "RS256", "use": "sig"},
            {**ECAlgorithm.to_jwk(self.ec.public_key(), as_dict=True), "kid": "ec"},
        ]

    @property
    def name(self) -> str:
        """The `iss` claim."""
        return f"{self.url}/realm"

    @property
    def jwks_url(self) -> str:
        """The address of its JWKS."""
        return f"{self.url}/jwks"

    def settings(self) -> dict[str, object]:
        """Return the settings that trust it."""
        return {"oauth_issuer": self.name, "oauth_audience": AUDIENCE, "oauth_jwks_url": self.jwks_url}

    def claims(self, **changes: object) -> dict[str, object]:
        """Return the claims of a good token; a change to None leaves the claim out."""
        now = int(time.time())
        good = {"iss": self.name, "aud": AUDIENCE, "sub": "somebody", "iat": now, "exp": now + 300}
        claims: dict[str, object] = {**good, "scope": "openid media:read", **changes}
        return {name: value for name, value in claims.items() if value is not None}

    def token(self, *, key_id: str = "rsa", **changes: object) -> str:
        """Return a signed token."""
        if key_id == "ec":
            return jwt.encode(self.claims(**changes), self.ec, "ES256", headers={"kid": key_id})
        return jwt.encode(self.claims(**changes), self.rsa, "RS256", headers={"kid": key_id})

    def public_pem(self) -> bytes:
        """Return the public key as PEM, which an algorithm-confusion attack passes off as an HMAC secret."""
        return self.rsa.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)

    async def serve_keys(self, _request: web.Request) -> web.Response:
        """Answer a fetch."""
        self.asked += 1
        if self.answer is not None:
            return web.Response(body=self.answer, status=self.status)
        return web.json_response({"keys": self.published}, status=self.status)


@asynccontextmanager
async def open_issuer() -> AsyncGenerator[Issuer]:
    """Run one on a free port."""
    issuer = Issuer()
    app = web.Application()
    app.router.add_get("/jwks", issuer.serve_keys)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        host, port = runner.addresses[0][:2]
        issuer.url = f"http://{host}:{port}"
        yield issuer
    finally:
        await runner.cleanup()
