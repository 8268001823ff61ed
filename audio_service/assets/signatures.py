"""The signed PUT of our own, for stores that cannot presign one: who has its URL may send one file, as announced.

The key is the asset's own secret, kept in its record: every process checks it alike, and a signature is of no use for
another asset.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from datetime import UTC, datetime

from audio_service.assets.model import Asset, Upload
from common.errors import UploadRefused

_SECRET_BYTES = 32


def new_secret() -> str:
    """Return the secret of a new asset."""
    return secrets.token_hex(_SECRET_BYTES)


def sign(asset_id: str, upload: Upload) -> str:
    """Return the signature of an upload: HMAC-SHA256 of everything it must keep to, in hex."""
    fields = ("PUT", asset_id, str(int(upload.expires_at.timestamp())), str(upload.size), upload.content_type)
    return hmac.new(bytes.fromhex(upload.secret), "\n".join(fields).encode(), hashlib.sha256).hexdigest()


def check(asset: Asset, expires: str, signature: str, now: datetime | None = None) -> None:
    """Raise UploadRefused unless the signature is this upload's and has not expired."""
    upload = asset.upload
    if expires != str(int(upload.expires_at.timestamp())):
        raise UploadRefused("another expiry")
    if not hmac.compare_digest(signature.encode(), sign(asset.asset_id, upload).encode()):
        raise UploadRefused("a wrong signature")
    if (now or datetime.now(UTC)) > upload.expires_at:
        raise UploadRefused("expired")
