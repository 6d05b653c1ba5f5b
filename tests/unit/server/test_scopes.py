"""From where a request comes, whoever passed it on, and whether its key may be used there and in this format."""

from __future__ import annotations

from ipaddress import ip_address, ip_network

import pytest

from imageway.core.access import KeyScope
from imageway.core.errors import GatewayError
from imageway.server.routes import Head
from imageway.server.scopes import check_entry, client_address, networks_of

PROXIES = networks_of(("10.0.0.0/8", "fd00::/8"))


def head(peer: str, forwarded: str | None = None) -> Head:
    headers = {} if forwarded is None else {"x-forwarded-for": forwarded}
    return Head("POST", "/v1/images/generations", {}, headers, "/v1/images/generations", peer)


@pytest.mark.parametrize(
    ("peer", "forwarded", "client"),
    [
        ("198.51.100.7", None, "198.51.100.7"),
        ("198.51.100.7", "203.0.113.9", "198.51.100.7"),  # no proxy of ours: its word is worth nothing
        ("10.0.0.1", "203.0.113.9", "203.0.113.9"),
        ("10.0.0.1", "192.0.2.1, 203.0.113.9", "203.0.113.9"),  # what stands before it anybody may have written
        ("10.0.0.1", "203.0.113.9, 10.0.0.2", "203.0.113.9"),
        ("10.0.0.1", "10.0.0.3,10.0.0.2", "10.0.0.3"),  # somebody within
        ("10.0.0.1", None, "10.0.0.1"),
        ("10.0.0.1", "", "10.0.0.1"),
        ("10.0.0.1", "203.0.113.9:4711", "203.0.113.9"),
        ("10.0.0.1", "[2001:db8::9]:4711", "2001:db8::9"),
        ("10.0.0.1", "2001:db8::9", "2001:db8::9"),
        ("fd00::1", "2001:db8::9", "2001:db8::9"),
        ("::ffff:10.0.0.1", "203.0.113.9", "203.0.113.9"),
        ("::ffff:203.0.113.9", None, "203.0.113.9"),
        ("fe80::1%eth0", None, "fe80::1"),
    ],
)
def test_the_client_is_the_last_hop_that_is_no_proxy_of_ours(peer: str, forwarded: str | None, client: str) -> None:
    assert client_address(head(peer, forwarded), PROXIES) == ip_address(client)


@pytest.mark.parametrize(("peer", "forwarded"), [("", None), ("10.0.0.1", "203.0.113.9, unknown"), ("10.0.0.1", "a,")])
def test_where_nobody_can_say_nobody_is_believed(peer: str, forwarded: str | None) -> None:
    assert client_address(head(peer, forwarded), PROXIES) is None
    with pytest.raises(GatewayError, match="nobody can say"):
        check_entry(KeyScope(networks=("0.0.0.0/0", "::/0")), "any", head(peer, forwarded), PROXIES)


@pytest.mark.parametrize(
    ("networks", "peer", "let_in"),
    [
        (("203.0.113.0/24",), "203.0.113.255", True),
        (("203.0.113.0/24",), "203.0.114.0", False),
        (("203.0.113.7",), "203.0.113.7", True),
        (("::ffff:203.0.113.0/120",), "203.0.113.7", True),  # the same network, as some tools write it
        (("::ffff:203.0.113.7",), "::ffff:203.0.113.7", True),
        (("::ffff:203.0.113.0/120",), "203.0.114.7", False),
        (("203.0.113.7",), "203.0.113.8", False),
        (("2001:db8::/32",), "2001:db8:1::1", True),
        (("2001:db8::/32",), "203.0.113.7", False),
        (("203.0.113.0/24", "2001:db8::/32"), "2001:db8::1", True),
        (("203.0.113.0/24",), "::ffff:203.0.113.7", True),
        (("what is this",), "203.0.113.7", False),  # cannot be written; once it is there it lets nobody in
        ((), "203.0.113.7", True),
    ],
)
def test_a_key_may_be_used_from_its_networks(networks: tuple[str, ...], peer: str, let_in: bool) -> None:
    scope = KeyScope(networks=networks)
    if let_in:
        check_entry(scope, "any", head(peer), ())
        return
    with pytest.raises(GatewayError) as refused:
        check_entry(scope, "any", head(peer), ())
    assert refused.value.code == "key_not_allowed"
    assert refused.value.kind.status == 403
    assert ", ".join(networks) in refused.value.message
    assert str(ip_address(peer)) in refused.value.message or "203.0.113" in refused.value.message


def test_a_key_may_be_used_in_its_formats() -> None:
    scope = KeyScope(dialects=("ark", "omixa"))
    check_entry(scope, "omixa", head("203.0.113.7"), ())
    with pytest.raises(GatewayError) as refused:
        check_entry(scope, "gemini", head("203.0.113.7"), ())
    assert refused.value.message == 'this key may not be used in the format "gemini", only in ark, omixa'


def test_networks_are_read_or_refused_by_a_sentence() -> None:
    assert networks_of(["203.0.113.0/24", " ::1 "]) == (ip_network("203.0.113.0/24"), ip_network("::1/128"))
    for wrong in ("203.0.113.9/24", "203.0.113.0/33", "office", ""):
        with pytest.raises(ValueError, match="names no network"):
            networks_of([wrong])
