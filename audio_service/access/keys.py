"""API keys: their format, what is stored of them, and how one is compared. Pure: no files, no clock.

A key is `bk_<id>_<secret>`: the id (8 hex digits) is public and names the key in lists and logs; the secret is 32
random bytes. Stored is the SHA-256 of the whole key. A slow hash protects guessable passwords; 256 random bits
cannot be guessed, and every request would pay for it.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, NamedTuple

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from audio_service.access.scopes import Scope

PREFIX = "bk_"
MAX_KEYS = 1000
_SECRET_BYTES = 32
_KEY = re.compile(r"bk_([0-9a-f]{8})_[A-Za-z0-9_-]{43}")
_NO_KEY = hashlib.sha256(b"").hexdigest()


class ApiKey(BaseModel):
    """The stored part of one key. `expires_at` None: never; `revoked_at` None: not revoked."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: Annotated[str, Field(pattern=r"^[0-9a-f]{8}$")]
    name: Annotated[str, Field(min_length=1, max_length=60)]
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    scopes: Annotated[tuple[Scope, ...], Field(min_length=1)]
    created_at: AwareDatetime
    expires_at: AwareDatetime | None = None
    revoked_at: AwareDatetime | None = None

    def refusal(self, now: datetime) -> str:
        """Return why the key is not valid, in one word for the log; "" when it is valid."""
        if self.revoked_at is not None:
            return "revoked"
        return "expired" if self.expires_at is not None and self.expires_at <= now else ""


class KeyList(BaseModel):
    """The content of API_KEYS_FILE."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    keys: Annotated[tuple[ApiKey, ...], Field(max_length=MAX_KEYS)] = ()


class NewKey(NamedTuple):
    """A new key. `text` is shown once and stored nowhere."""

    text: str
    kept: ApiKey


def new_key(name: str, scopes: Sequence[Scope], *, now: datetime, expires_at: datetime | None) -> NewKey:
    """Make a key.

    Raises:
        ValueError: the name is empty or over 60 characters, or there is no scope.
    """
    key_id = secrets.token_hex(4)
    text = f"{PREFIX}{key_id}_{secrets.token_urlsafe(_SECRET_BYTES)}"
    kept = ApiKey(
        id=key_id, name=name, sha256=_digest(text), scopes=tuple(scopes), created_at=now, expires_at=expires_at
    )
    return NewKey(text, kept)


def key_id_of(text: str) -> str:
    """Return the public part of what looks like a key, "" of anything else."""
    match = _KEY.fullmatch(text)
    return match[1] if match else ""


def matches(text: str, kept: ApiKey | None) -> bool:
    """Whether `text` is the stored key, compared in constant time; False for none."""
    digest = kept.sha256 if kept is not None else _NO_KEY
    return hmac.compare_digest(_digest(text), digest) and kept is not None


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
