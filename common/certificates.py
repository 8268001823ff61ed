"""Notices renewed certificates: the files that the clients of Kafka and MongoDB were given, while the program runs.

Both clients read their files once. When the contents change, the program is told to stop: it drains, exits with code 0,
and its supervisor starts it again with the new ones (docs/adr/0026-renewed-certificates.md).

Refuses to act on half of a renewal: contents have to be the same in two looks, and a key has to fit its certificate.
"""

from __future__ import annotations

import asyncio
import hashlib
import random
import ssl
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path

from common.observability.telemetry import get_logger
from common.settings import SharedSettings
from common.tasks import pause

log = get_logger(__name__)

LOOK_EVERY = timedelta(minutes=1)
SPREAD = timedelta(minutes=5)
"""Replicas have the same files: each stops at a moment of its own within this time."""

Digests = Mapping[str, bytes]


def certificate_files(settings: SharedSettings) -> dict[str, Path]:
    """Return the files by the settings that name them, of the backends in use; none without TLS."""
    named: dict[str, Path | None] = {}
    if settings.messaging_backend == "kafka" and settings.kafka_enable_tls:
        named |= {
            "KAFKA_CA_FILE": settings.kafka_ca_file,
            "KAFKA_CERT_FILE": settings.kafka_cert_file,
            "KAFKA_KEY_FILE": settings.kafka_key_file,
        }
    if settings.database_backend == "mongodb" and settings.mongo_enable_tls:
        named |= {
            "MONGO_CA_FILE": settings.mongo_ca_file,
            "MONGO_CERT_FILE": settings.mongo_cert_file,
            "MONGO_KEY_FILE": settings.mongo_key_file,
        }
    return {key: path for key, path in named.items() if path is not None}


async def watch_certificates(
    files: Mapping[str, Path], stop: asyncio.Event, *, every: timedelta = LOOK_EVERY, spread: timedelta = SPREAD
) -> None:
    """Run until `stop` is set, and set it when the files were renewed; unreadable or unusable ones change nothing."""
    known = await asyncio.to_thread(_digests, files)
    seen = known
    while not stop.is_set():
        await pause(stop, every)
        before, seen = seen, await asyncio.to_thread(_digests, files)
        known = known or seen
        if stop.is_set() or known is None or seen is None or seen == known or seen != before:
            continue
        if (fault := await asyncio.to_thread(_fault, files)) is not None:
            log.warning("certificates.unusable", error=fault)
            continue
        changed = sorted(key for key in files if seen[key] != known[key])
        seconds = random.uniform(0, spread.total_seconds())  # noqa: S311 - not a secret
        log.info("certificates.renewed", settings=changed, restart_in_seconds=round(seconds, 1))
        await pause(stop, timedelta(seconds=seconds))
        stop.set()


def _digests(files: Mapping[str, Path]) -> Digests | None:
    """Return each file's digest; None while one cannot be read, as in the middle of a renewal."""
    try:
        return {key: hashlib.sha256(path.read_bytes()).digest() for key, path in files.items()}
    except OSError:
        return None


def _fault(files: Mapping[str, Path]) -> str | None:
    """Return why a program that starts now could not use them, or None."""
    for client in ("KAFKA", "MONGO"):
        authority, certificate, key = (files.get(f"{client}_{kind}_FILE") for kind in ("CA", "CERT", "KEY"))
        try:
            context = ssl.create_default_context(cafile=authority)
            if certificate is not None:
                context.load_cert_chain(certificate, key)
        except OSError as exc:  # ssl.SSLError is one
            return f"{client}_*_FILE: {exc}"
    return None
