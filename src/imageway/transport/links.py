"""URLs that strangers wrote, read strictly: one spelling per meaning, so that what was checked is what is connected."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import AddressValueError, IPv4Address, IPv6Address
from typing import Final
from urllib.parse import quote

from imageway.core.failures import FetchRefused

DEFAULT_PORTS: Final = {"http": 80, "https": 443}
_URL_CHARS: Final = 8192
_FORBIDDEN: Final = re.compile(r"[\x00-\x20\x7f\\\ud800-\udfff]")
_LINK: Final = re.compile(
    r"(?P<scheme>https?)://(?P<host>\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(?::(?P<port>[0-9]{1,5}))?"
    r"(?P<path>/[^?#]*)?(?P<query>\?[^#]*)?(?:#.*)?",
    re.I,
)
_NAME: Final = re.compile(r"(?:[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?\.)*[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?\.?")
_WHO: Final = re.compile(r"//[^/]*@")  # a user, and often a password
_NUMBER: Final = re.compile(r"[0-9]+|0x[0-9a-f]*")


@dataclass(frozen=True, slots=True)
class Link:
    """An http(s) URL without user information. `host` is lower case, an IPv6 address without brackets."""

    url: str
    scheme: str
    host: str
    port: int

    @property
    def authority(self) -> str:
        """`host:port` with the port always written: how operators name a host they allow."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def origin(self) -> str:
        return f"{self.scheme}://{self.authority}"


def read_link(text: str) -> Link:
    """Raises FetchRefused("invalid_image_url") for every URL that two readers could read differently."""
    if len(text) > _URL_CHARS:
        raise _invalid(f"the URL is {len(text)} characters long, the limit is {_URL_CHARS}")
    if _FORBIDDEN.search(text):
        raise _invalid(
            "the URL holds a blank, a control character, a backslash or half a character: percent-encode them"
        )
    match = _LINK.fullmatch(text)
    if match is None:
        raise _invalid(
            "a URL is http:// or https://, a host in ASCII (xn-- for other scripts), no user and no password"
        )
    scheme, host = match["scheme"].lower(), _host(match["host"].lower())
    port = int(match["port"]) if match["port"] else DEFAULT_PORTS[scheme]
    if not 0 < port < 65_536:
        raise _invalid(f'"{port}" is not a port')
    written_host = f"[{host}]" if ":" in host else host
    # What the writer escaped stays as it is, for it may be signed; what he should have escaped is.
    rest = quote((match["path"] or "/") + (match["query"] or ""), safe="!#$%&'()*+,/:;=?@[]~")
    written_port = "" if port == DEFAULT_PORTS[scheme] else f":{port}"
    return Link(f"{scheme}://{written_host}{written_port}{rest}", scheme, host, port)


@lru_cache(maxsize=256)
def origin_of(base_url: str) -> str:
    """The origin of an operator's URL in the spelling of `Link.origin`. Raises ValueError when it has none."""
    return _of_operator(base_url, base_url).origin


def authorities(host: str) -> tuple[str, ...]:
    """An operator's `host:port`, or `host` for both usual ports, in the spelling of `Link.authority`."""
    plain, secure = _of_operator(host, f"http://{host}"), _of_operator(host, f"https://{host}")
    return tuple({plain.authority: None, secure.authority: None})


def _of_operator(written: str, url: str) -> Link:
    try:
        return read_link(url)
    except FetchRefused as refusal:
        raise ValueError(f'"{_WHO.sub("//…@", written)}" cannot be used: {refusal.message}') from None


def _host(written: str) -> str:
    """A name, or an address in its one canonical spelling."""
    try:
        if written.startswith("["):
            return str(IPv6Address(written[1:-1]))
        if _NUMBER.fullmatch(written.removesuffix(".").rpartition(".")[2]):
            return str(IPv4Address(written))
    except AddressValueError:
        raise _invalid(f'"{written}" is not an IP address in its usual spelling') from None
    if len(written) > 254 or _NAME.fullmatch(written) is None:
        raise _invalid(f'"{written[:100]}" is not a host name')
    return written


def _invalid(why: str) -> FetchRefused:
    return FetchRefused("invalid_image_url", why)
