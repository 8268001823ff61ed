"""The network guard of a child process: nothing in it connects to an address that is neither public nor allowed.

An audit hook (PEP 578) sees every connection when it is made, with its address: redirects, changing DNS answers,
unusual spellings of an address and pages that point inside are all checked here. Only numeric addresses pass, because a
name would be resolved again after the check. Programs other than the listed ones cannot be started. Sockets that C
code opens by itself are not seen: no such code is given a URL (see docs/adr/0007-network-guard.md). The hook stays for
the life of the process, and is never installed in the service's own.
"""

from __future__ import annotations

import ipaddress
import os
import socket
import sys
from collections.abc import Generator, Iterable, Sequence
from contextlib import contextmanager
from typing import cast
from urllib.parse import urlsplit

from audio_service.addresses import Address, AllowList, is_public
from common.errors import UrlNotAllowed

_SCHEMES = frozenset({"http", "https"})
_CONNECTS = frozenset({"socket.connect", "socket.sendto", "socket.sendmsg"})
_STARTS = frozenset({"os.exec", "os.posix_spawn", "os.spawn", "os.startfile", "os.system", "subprocess.Popen"})


class AddressRefusedError(PermissionError):
    """A connection was about to be made to an address that is not allowed."""


class ProgramRefusedError(PermissionError):
    """A program was about to be started that is not on the list."""


class Guard:
    """The addresses and programs that this process may use. `refused` lists the refusals since the last `forget`."""

    def __init__(self, allow: AllowList, programs: Iterable[str] = ()) -> None:
        self._allow = allow
        self._programs = frozenset(programs)
        self._trusted: frozenset[tuple[str, int]] = frozenset()
        self.refused: list[str] = []

    @contextmanager
    def trusting(self, url: str) -> Generator[None]:
        """Permit connections to the server of a URL that our own service made, wherever it stands, in the block.

        Raises OSError when its name cannot be resolved.
        """
        parts = urlsplit(url)
        port = parts.port or {"https": 443}.get(parts.scheme, 80)
        found = socket.getaddrinfo(parts.hostname, port, type=socket.SOCK_STREAM)
        self._trusted = frozenset((str(peer[0]), port) for *_, peer in found)
        try:
            yield
        finally:
            self._trusted = frozenset()

    def install(self) -> None:
        """Install the audit hook; it cannot be removed."""
        sys.addaudithook(self._audit)

    def forget(self) -> None:
        """Clear `refused`, at the start of a job."""
        self.refused.clear()

    def check_url(self, url: str) -> None:
        """Raise UrlNotAllowed unless the URL's scheme is http or https."""
        scheme = urlsplit(url).scheme.lower()
        if scheme not in _SCHEMES:
            raise UrlNotAllowed(f"scheme {scheme[:20]!r} is not http or https")

    def check_address(self, host: str, port: int) -> None:
        """Raise AddressRefusedError unless a connection to this numeric address may be made."""
        if (host, port) in self._trusted:
            return
        address = _numeric(host)
        if address is not None and (is_public(address) or self._allow.permits(address, port)):
            return
        refusal = f"{host}:{port} is not a public address"
        self.refused.append(refusal)
        raise AddressRefusedError(refusal)

    def _audit(self, event: str, arguments: tuple[object, ...]) -> None:
        if event in _CONNECTS:
            self._check_peer(arguments[1])
        elif event in _STARTS:
            self._check_program(arguments[0])

    def _check_peer(self, peer: object) -> None:
        if peer is None:  # a datagram on a socket that is already connected
            return
        parts = cast("Sequence[object]", peer)
        if not isinstance(peer, tuple) or len(parts) < 2 or not isinstance(parts[1], int):  # noqa: PLR2004 - host, port
            refusal = f"{peer!r:.100} is not an Internet address"
            self.refused.append(refusal)
            raise AddressRefusedError(refusal)
        self.check_address(str(parts[0]), parts[1])

    def _check_program(self, program: object) -> None:
        name = os.fsdecode(program) if isinstance(program, str | bytes) else str(program)
        if name not in self._programs:
            raise ProgramRefusedError(f"this process does not start {name!r:.100}")


def _numeric(host: str) -> Address | None:
    try:
        return ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return None
