"""Which IP addresses a stranger's URL may lead to: our own table, because the standard library's lets some through.

Sources: the IANA special-purpose registries for IPv4 and IPv6 (RFC 6890 and its updates), multicast (RFC 5771, 4291),
and the well-known addresses of cloud hosts that lie in public space. Checked 2026-11-20."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network, IPv6Network, ip_address
from typing import Final

_REFUSED_V4: Final = tuple(
    IPv4Network(block)
    for block in (
        "0.0.0.0/8",  # "this network"; 0.0.0.0 reaches the own machine on many systems
        "10.0.0.0/8",
        "100.64.0.0/10",  # shared address space; some clouds serve metadata from it
        "127.0.0.0/8",
        "168.63.129.16/32",  # a cloud's host agent, in public space
        "169.254.0.0/16",  # link local, the usual metadata address
        "172.16.0.0/12",
        "192.0.0.0/24",  # protocol assignments, 192.0.0.192 is a cloud's metadata address
        "192.0.2.0/24",
        "192.31.196.0/24",
        "192.52.193.0/24",
        "192.88.99.0/24",  # 6to4 relays
        "192.168.0.0/16",
        "192.175.48.0/24",
        "198.18.0.0/15",
        "198.51.100.0/24",
        "203.0.113.0/24",
        "224.0.0.0/4",
        "240.0.0.0/4",  # reserved, and the broadcast address
    )
)

# Everything outside is special: loopback, mapped and compatible IPv4, NAT64 (64:ff9b::/96, 64:ff9b:1::/48), discard,
# fc00::/7, fe80::/10, fec0::/10, ff00::/8, 5f00::/16, and what nobody was ever given.
_GLOBAL_V6: Final = IPv6Network("2000::/3")
_REFUSED_V6: Final = tuple(
    IPv6Network(block)
    for block in (
        "2001::/23",  # protocol assignments; Teredo (2001::/32) carries an IPv4 address inside
        "2001:db8::/32",
        "2002::/16",  # 6to4 carries an IPv4 address inside
        "2620:4f:8000::/48",
        "3fff::/20",
    )
)


def is_public(address: str) -> bool:
    """Whether `address`, spelled as in a socket address, is ordinary public unicast. Anything unreadable is not."""
    try:
        parsed = ip_address(address)
    except ValueError:
        return False
    if isinstance(parsed, IPv4Address):
        return not any(parsed in block for block in _REFUSED_V4)
    return parsed.scope_id is None and parsed in _GLOBAL_V6 and not any(parsed in block for block in _REFUSED_V6)


def is_certainly_inside(host: str) -> bool:
    """Whether a URL's host is an address that is not public, or a name of this very machine (RFC 6761, 6.3). What
    other names lead to is seen when they are connected."""
    try:
        ip_address(host)
    except ValueError:
        return f".{host.rstrip('.')}".endswith(".localhost")
    return not is_public(host)
