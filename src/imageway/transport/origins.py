"""Whom a URL names: the part of it that decides which connection is used, and the part that is asked for there."""

from __future__ import annotations

from functools import lru_cache
from ipaddress import ip_address
from urllib.parse import urlsplit

from msgspec import Struct


class Origin(Struct, frozen=True):
    """`host` without brackets, lower case; `authority` is what the Host header says; `literal`: the host is an address
    already."""

    host: str
    port: int
    secure: bool
    authority: str
    literal: bool


def locate(url: str) -> tuple[Origin, str]:
    """Origin and request target of an absolute URL. Raises ValueError for what is none."""
    at = url.find("/", url.find("://") + 3)
    return (_origin(url), "/") if at < 0 else (_origin(url[:at]), url[at:])


@lru_cache(maxsize=1024)
def _origin(text: str) -> Origin:
    parts = urlsplit(text)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
        raise ValueError("the URL names no host to ask")
    secure = parts.scheme == "https"
    usual = 443 if secure else 80
    port = usual if parts.port is None else parts.port
    host = parts.hostname
    written = f"[{host}]" if ":" in host else host
    return Origin(host, port, secure, written if port == usual else f"{written}:{port}", _is_address(host))


def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True
