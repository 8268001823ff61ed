"""Public addresses, and the list of those that NETWORK_ALLOW permits besides. Nothing here connects; host names of
the list are looked up.

Public means: global unicast, not reserved for a purpose (IANA special-purpose registries, RFC 6890), and, where
an IPv6 form carries an IPv4 address, that one is public too. The addresses of cloud metadata services lie in
refused ranges (169.254.169.254, fd00:ec2::254, 100.100.100.200), but for Azure's, which has its own entry.
"""

from __future__ import annotations

import ipaddress
import re
import socket
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

from common.settings_errors import Expected

Address = IPv4Address | IPv6Address

_REFUSED_V4 = tuple(
    IPv4Network(text)
    for text in (
        "0.0.0.0/8",  # this network
        "10.0.0.0/8",
        "100.64.0.0/10",  # carrier-grade NAT, and Alibaba's metadata
        "127.0.0.0/8",
        "168.63.129.16/32",  # Azure's metadata
        "169.254.0.0/16",
        "172.16.0.0/12",
        "192.0.0.0/24",
        "192.0.2.0/24",  # documentation
        "192.88.99.0/24",  # 6to4 relays
        "192.168.0.0/16",
        "198.18.0.0/15",  # benchmarking
        "198.51.100.0/24",  # documentation
        "203.0.113.0/24",  # documentation
        "224.0.0.0/4",  # multicast
        "240.0.0.0/4",  # reserved, and broadcast
    )
)
_GLOBAL_V6 = IPv6Network("2000::/3")
_REFUSED_V6 = tuple(
    IPv6Network(text)
    for text in (
        "2001::/23",  # protocol assignments: Teredo, ORCHID, benchmarking
        "2001:db8::/32",  # documentation
        "3fff::/20",  # documentation
    )
)
_NAT64 = IPv6Network("64:ff9b::/96")
_RULE = re.compile(r"(?:\[(?P<v6>[^\]]+)\]|(?P<host>[^:\[\]]+))(?::(?P<port>\d{1,5}))?")
_HOST = re.compile(r"(?=.{1,253}$)(?:[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9])?\.)*[a-z](?:[a-z0-9-]{0,61}[a-z0-9])?")
_MAX_PORT = 65535


def is_public(address: Address) -> bool:
    """Whether an address belongs to the public Internet."""
    if isinstance(address, IPv4Address):
        return not any(address in network for network in _REFUSED_V4)
    if (carried := _carried(address)) is not None:
        return is_public(carried)
    return address in _GLOBAL_V6 and not any(address in network for network in _REFUSED_V6)


def _carried(address: IPv6Address) -> IPv4Address | None:
    """Return the IPv4 address inside a mapped, 6to4 or NAT64 address, which a packet to it may reach."""
    if address in _NAT64:
        return IPv4Address(address.packed[-4:])
    return address.ipv4_mapped or address.sixtofour


@dataclass(frozen=True, slots=True)
class AllowRule:
    """One entry of NETWORK_ALLOW: a network or a host name, at one port or (None) at any."""

    network: IPv4Network | IPv6Network | None
    host: str | None
    port: int | None

    def permits(self, address: Address, port: int) -> bool:
        """Whether a connection to `address` is covered. A host name is resolved at each call."""
        if self.port is not None and self.port != port:
            return False
        if self.network is not None:
            return address in self.network
        return str(address) in _look_up(self.host or "")


@dataclass(frozen=True, slots=True)
class AllowList:
    """The addresses that are reachable besides the public ones."""

    rules: tuple[AllowRule, ...] = ()

    def permits(self, address: Address, port: int) -> bool:
        """Whether a rule covers the address, or the IPv4 address that it maps."""
        plain = address.ipv4_mapped if isinstance(address, IPv6Address) and address.ipv4_mapped else address
        return any(rule.permits(plain, port) for rule in self.rules)


def parse_allow(text: str) -> AllowList:
    """Read NETWORK_ALLOW: comma-separated addresses, CIDR networks and host names, each with `:port` if wanted.

    Examples: `127.0.0.1:8099`, `10.0.0.0/8`, `[::1]:80`, `fd00::/8`, `nas.local`.

    Raises:
        ValueError: an entry is none of these; the message names it and what is expected.
    """
    return AllowList(tuple(_parse_rule(entry.strip()) for entry in text.split(",") if entry.strip()))


def _parse_rule(entry: str) -> AllowRule:
    if (network := _parse_network(entry)) is not None:
        return AllowRule(network, None, None)
    match = _RULE.fullmatch(entry)
    if match is None:
        raise _expected(entry)
    port = int(match["port"]) if match["port"] else None
    if port is not None and not 0 < port <= _MAX_PORT:
        raise _expected(entry)
    name = match["v6"] or match["host"]
    if (network := _parse_network(name)) is not None:
        return AllowRule(network, None, port)
    if match["v6"] or not _HOST.fullmatch(name.lower()):
        raise _expected(entry)
    return AllowRule(None, name.lower(), port)


def _parse_network(text: str) -> IPv4Network | IPv6Network | None:
    try:
        return ipaddress.ip_network(text)
    except ValueError:
        return None


def _expected(entry: str) -> Expected:
    return Expected(
        f"{entry!r} no es una dirección, red CIDR ni nombre de host, con :puerto si hace falta ([::1]:80 en IPv6)",
        f"{entry!r} is no address, CIDR network or host name, optionally followed by :port ([::1]:80 for IPv6)",
    )


def _look_up(host: str) -> frozenset[str]:
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except OSError:
        return frozenset()
    return frozenset(str(ipaddress.ip_address(str(entry[4][0]).partition("%")[0])) for entry in found)
