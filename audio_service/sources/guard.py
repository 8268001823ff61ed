"""The network guard of a child process: nothing in it connects to an address that is neither public nor allowed.

It watches Python's own audit events, so it sees every connection at the moment it is made, with the address it is
made to: redirects, DNS answers that change, odd spellings of an address and pages that point inside all end here. It
takes numeric addresses only, because a name would be looked up again after the check. Programs other than the ones
it is told are not started. It cannot see sockets that C code opens by itself: no such code is given a URL (see
docs/adr/0007-network-guard.md), and it is installed once for the life of a process: never in the service's own.
"""

from __future__ import annotations

import ipaddress
import os
import sys
from collections.abc import Iterable, Sequence
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
    """What this process may reach. `refused` lists what was turned away since the last `forget`."""

    def __init__(self, allow: AllowList, programs: Iterable[str] = ()) -> None:
        self._allow = allow
        self._programs = frozenset(programs)
        self.refused: list[str] = []

    def install(self) -> None:
        """Watch this process from now on; there is no way back."""
        sys.addaudithook(self._audit)

    def forget(self) -> None:
        """Start a new job: what was refused in the last one does not count."""
        self.refused.clear()

    def check_url(self, url: str) -> None:
        """Raise UrlNotAllowed unless the URL's scheme is http or https."""
        scheme = urlsplit(url).scheme.lower()
        if scheme not in _SCHEMES:
            raise UrlNotAllowed(f"scheme {scheme[:20]!r} is not http or https")

    def check_address(self, host: str, port: int) -> None:
        """Raise AddressRefusedError unless a connection to this numeric address may be made."""
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
