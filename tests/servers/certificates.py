"""An authority, and a server's and a client's certificate for 127.0.0.1, made by the openssl program for a test."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Certificates:
    """PEM files. A `pair` is a certificate with its key behind it in one file."""

    authority: Path
    server_pair: Path
    client_pair: Path
    client_certificate: Path
    client_key: Path
    stranger: Path
    """An authority that has signed none of these."""


def have_openssl() -> bool:
    """Whether certificates can be made here."""
    return shutil.which("openssl") is not None


def make_certificates(directory: Path) -> Certificates:
    """Make them in `directory`; they are good for two days."""
    authority = _authority(directory, "authority")
    server, server_key = _signed(directory, "server", authority)
    client, client_key = _signed(directory, "client", authority)
    return Certificates(
        authority=authority,
        server_pair=_pair(directory / "server.pair", server, server_key),
        client_pair=_pair(directory / "client.pair", client, client_key),
        client_certificate=client,
        client_key=client_key,
        stranger=_authority(directory, "stranger"),
    )


def renew_client(certificates: Certificates, directory: Path) -> tuple[Path, Path]:
    """Return another certificate of the same client by the same authority, and its key, which is new too."""
    return _signed(directory, "client", certificates.authority)


def _authority(directory: Path, name: str) -> Path:
    certificate = directory / f"{name}.pem"
    _openssl(
        *("req", "-x509", *_new_key(directory / f"{name}.key"), "-out", str(certificate), "-days", "2"),
        *("-subj", f"/CN={name}", "-addext", "basicConstraints=critical,CA:TRUE"),
        *("-addext", "keyUsage=critical,keyCertSign"),
    )
    return certificate


def _signed(directory: Path, name: str, authority: Path) -> tuple[Path, Path]:
    request, certificate, key = (directory / f"{name}.{kind}" for kind in ("csr", "pem", "key"))
    extensions = directory / f"{name}.ext"
    extensions.write_text("subjectAltName=IP:127.0.0.1,DNS:localhost\nextendedKeyUsage=serverAuth,clientAuth\n")
    _openssl("req", "-new", *_new_key(key), "-out", str(request), "-subj", f"/O=tests/CN={name}")
    _openssl(
        *("x509", "-req", "-in", str(request), "-out", str(certificate), "-days", "2", "-CAcreateserial"),
        *("-CA", str(authority), "-CAkey", str(authority.with_suffix(".key")), "-extfile", str(extensions)),
    )
    return certificate, key


def _new_key(path: Path) -> tuple[str, ...]:
    return ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", str(path))


def _pair(path: Path, certificate: Path, key: Path) -> Path:
    path.write_text(certificate.read_text() + key.read_text())
    path.chmod(0o600)
    return path


def _openssl(*arguments: str) -> None:
    subprocess.run(["openssl", *arguments], check=True, capture_output=True)
