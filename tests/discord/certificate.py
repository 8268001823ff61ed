"""A certificate for Discord's host names, made by openssl for a test, and trusted by whoever gets SSL_CERT_FILE."""

from __future__ import annotations

import ssl
import subprocess
from pathlib import Path

_NAMES = ("discord.com", "*.discord.com", "*.discord.gg", "*.discord.media", "*.discordapp.com", "localhost")


def make_certificate(directory: Path) -> tuple[Path, Path]:
    """Make certificate and key (PEM files) in `directory`; good for two days."""
    certificate, key = directory / "discord.pem", directory / "discord.key"
    names = ",".join([*(f"DNS:{name}" for name in _NAMES), "IP:127.0.0.1"])
    command = [
        *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"),
        *("-keyout", str(key), "-out", str(certificate), "-days", "2", "-subj", "/O=tests/CN=discord"),
        *("-addext", f"subjectAltName={names}", "-addext", "extendedKeyUsage=serverAuth"),
        *("-addext", "keyUsage=critical,digitalSignature,keyCertSign"),
    ]
    subprocess.run(command, check=True, capture_output=True)
    return certificate, key


def server_context(certificate: Path, key: Path) -> ssl.SSLContext:
    """Return what the TLS server needs."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate, key)
    return context
