"""From where and in which format a key may be used: looked at with the head of a request, before its body is read. What
it may do and spend, the engine decides."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final

from imageway.core.access import KeyScope
from imageway.core.errors import GatewayError
from imageway.server.routes import Head

Network = IPv4Network | IPv6Network
Address = IPv4Address | IPv6Address
FORWARDED: Final = "x-forwarded-for"
_KNOWN: Final = 1024  # sets of networks whose meaning is remembered


def networks_of(blocks: Iterable[str]) -> tuple[Network, ...]:
    """CIDR blocks of either kind; a single address is a block of one. Raises ValueError with a sentence."""
    found = []
    for block in blocks:
        try:
            found.append(_plain(ip_network(_without_zone(block.strip()))))
        except ValueError as error:
            hint = "write a CIDR block such as 203.0.113.0/24 or 2001:db8::/32"
            raise ValueError(f'"{block}" names no network ({error}); {hint}') from None
    return tuple(found)


def _plain(network: Network) -> Network:
    """IPv4 written as IPv6 (RFC 4291, section 2.5.5.2) as what it is: addresses are looked at like that too."""
    mapped = network.network_address.ipv4_mapped if isinstance(network, IPv6Network) else None
    return network if mapped is None or network.prefixlen < 96 else IPv4Network((mapped, network.prefixlen - 96))


def _without_zone(block: str) -> str:
    """Addresses of requests are looked at without theirs. Raises ValueError."""
    if "%" in block:
        raise ValueError("it has a zone")
    return block


def check_entry(scope: KeyScope, dialect: str, head: Head, proxies: tuple[Network, ...]) -> None:
    """Raises GatewayError 403."""
    if scope.dialects and dialect not in scope.dialects:
        message = f'this key may not be used in the format "{dialect}", only in {", ".join(scope.dialects)}'
        raise GatewayError("key_not_allowed", message)
    if scope.networks:
        address = client_address(head, proxies)
        if address is None or not _within(address, _networks(scope.networks)):
            came = f"this request came from {address}" if address else "nobody can say where this request came from"
            allowed = ", ".join(scope.networks)
            raise GatewayError("key_not_allowed", f"this key may only be used from {allowed}; {came}")


def client_address(head: Head, proxies: tuple[Network, ...]) -> Address | None:
    """Of whoever sent the request: the other end of the connection, or, where that is a proxy of ours, the last in
    `X-Forwarded-For` that is none. What stands before it anybody may have written. None: nobody can say."""
    address = _address(head.peer)
    if address is None or not _within(address, proxies):
        return address
    hops = head.headers.get(FORWARDED, "")
    for hop in reversed(hops.split(",")) if hops else ():
        address = _address(hop)
        if address is None or not _within(address, proxies):
            break
    return address


def _within(address: Address, networks: tuple[Network, ...]) -> bool:
    return any(address in network for network in networks)


@lru_cache(_KNOWN)
def _networks(blocks: tuple[str, ...]) -> tuple[Network, ...]:
    """A block that cannot be read, and was not refused when it was written, holds nobody."""
    found: list[Network] = []
    for block in blocks:
        try:
            found += networks_of((block,))
        except ValueError:
            continue
    return tuple(found)


def _address(text: str) -> Address | None:
    """`192.0.2.1`, `192.0.2.1:8080`, `2001:db8::1`, `[2001:db8::1]:8080`, `fe80::1%eth0`, `::ffff:192.0.2.1`."""
    host = text.strip()
    if host.startswith("["):
        host = host[1:].partition("]")[0]
    elif host.count(":") == 1:
        host = host.partition(":")[0]
    try:
        address = ip_address(host.partition("%")[0])
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address
