from __future__ import annotations

import ipaddress

import pytest

from audio_service.addresses import AllowList, is_public, parse_allow
from audio_service.sources.guard import AddressRefusedError, Guard
from common.errors import UrlNotAllowed

PUBLIC = ("1.1.1.1", "8.8.8.8", "172.15.255.255", "172.32.0.1", "2606:4700::1111", "64:ff9b::808:808", "::ffff:8.8.8.8")
INSIDE = (
    "0.0.0.0",  # noqa: S104 - nothing is bound
    "10.1.2.3",
    "100.64.0.1",
    "100.100.100.200",
    "127.0.0.1",
    "127.255.255.254",
    "168.63.129.16",
    "169.254.169.254",
    "172.16.0.1",
    "172.31.255.255",
    "192.0.0.192",
    "192.0.2.1",
    "192.168.1.1",
    "198.18.0.1",
    "198.51.100.7",
    "203.0.113.9",
    "224.0.0.251",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::7f00:1",
    "::ffff:127.0.0.1",
    "::ffff:10.0.0.1",
    "64:ff9b::7f00:1",
    "64:ff9b::a9fe:a9fe",
    "64:ff9b:1::1",
    "2001::1",
    "2001:db8::1",
    "2002:7f00:1::",
    "2002:a00:1::1",
    "3fff::1",
    "fc00::1",
    "fd00:ec2::254",
    "fe80::1",
    "fec0::1",
    "ff02::1",
)


@pytest.mark.parametrize("address", PUBLIC)
def test_public_addresses_are_reachable(address: str) -> None:
    assert is_public(ipaddress.ip_address(address))
    Guard(AllowList()).check_address(address, 443)


@pytest.mark.parametrize("address", INSIDE)
def test_other_addresses_are_not(address: str) -> None:
    assert not is_public(ipaddress.ip_address(address))
    with pytest.raises(AddressRefusedError):
        Guard(AllowList()).check_address(address, 443)


@pytest.mark.parametrize("name", ["example.org", "localhost", "2130706433", "0x7f.1", "0177.0.0.1", "127.1", ""])
def test_what_is_not_numeric_would_be_looked_up_again_and_is_refused(name: str) -> None:
    with pytest.raises(AddressRefusedError):
        Guard(parse_allow("localhost")).check_address(name, 80)


@pytest.mark.parametrize(
    ("rules", "address", "port", "permitted"),
    [
        ("127.0.0.1:8099", "127.0.0.1", 8099, True),
        ("127.0.0.1:8099", "127.0.0.1", 8098, False),
        ("127.0.0.1:8099", "::ffff:127.0.0.1", 8099, True),
        ("127.0.0.1", "127.0.0.1", 1, True),
        ("127.0.0.1", "127.0.0.2", 1, False),
        ("10.0.0.0/8", "10.9.8.7", 80, True),
        ("10.0.0.0/8:80", "10.9.8.7", 81, False),
        ("10.0.0.0/8", "11.9.8.7", 80, False),
        ("[::1]:80", "::1", 80, True),
        ("[::1]:80", "::1", 81, False),
        ("fd00::/8", "fd12::1", 443, True),
        ("::1", "::1", 443, True),
        ("localhost:80", "127.0.0.1", 80, True),
        ("localhost:80", "127.0.0.2", 80, False),
        ("no-such-host.invalid", "10.0.0.1", 80, False),
        (" 192.168.1.2 , 10.0.0.1:1 ,", "10.0.0.1", 1, True),
        ("", "10.0.0.1", 1, False),
    ],
)
def test_an_allow_list_permits_what_it_names(rules: str, address: str, port: int, permitted: bool) -> None:  # noqa: FBT001 - a table's column
    assert parse_allow(rules).permits(ipaddress.ip_address(address), port) is permitted


@pytest.mark.parametrize(
    "entry",
    [
        *("10.0.0.0/33", "10.0.0.1/8", "300.1.1.1", "host name", "http://nas.local", "nas.local:0"),
        *("nas.local:70000", "[::1", "[nas.local]:80", ":80", "nas.local:http", "-nas"),
    ],
)
def test_an_entry_that_makes_no_sense_is_named(entry: str) -> None:
    with pytest.raises(ValueError, match="is no address") as raised:
        parse_allow(f"127.0.0.1,{entry}")
    assert repr(entry) in str(raised.value)


@pytest.mark.parametrize(
    "url", ["file:///etc/passwd", "ftp://example.org/x", "data:,x", "ws://example.org", "//x", "x"]
)
def test_other_schemes_are_refused(url: str) -> None:
    with pytest.raises(UrlNotAllowed):
        Guard(AllowList()).check_url(url)


def test_refusals_are_remembered_for_one_job() -> None:
    guard = Guard(AllowList())
    with pytest.raises(AddressRefusedError):
        guard.check_address("10.0.0.1", 80)
    assert guard.refused == ["10.0.0.1:80 is not a public address"]
    guard.forget()
    assert guard.refused == []
