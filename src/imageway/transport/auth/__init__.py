"""How credentials are put on a request: one module here per scheme, named as provider rows name it.

A scheme module exports `credential(upstream) -> Credential`; one that is granted tokens for its key also
`grant(upstream) -> Grant | None`. It is imported when the first upstream asks for it: one
that signs may bring heavier tools."""

from __future__ import annotations

import pkgutil
from collections.abc import Callable
from functools import lru_cache
from importlib import import_module
from typing import Final, cast

from msgspec import Struct

from imageway.core.upstreams import Upstream

KEY: Final = "key"
"""The name under which an upstream keeps the secret of the simple schemes."""


class Credential(Struct, frozen=True, kw_only=True):
    """What a scheme adds: header names in lower case, and query values."""

    headers: tuple[tuple[str, str], ...] = ()
    query: tuple[tuple[str, str], ...] = ()


class Grant(Struct, frozen=True):
    """What is posted to `url`, as the fields of a form, to be granted a token (RFC 6749, section 4)."""

    url: str
    form: tuple[tuple[str, str], ...]


Scheme = Callable[[Upstream], Credential]
Granting = Callable[[Upstream], Grant | None]


class MissingCredential(ValueError):
    """An upstream lacks what its scheme or its adapter asks for. The message never repeats a secret."""


@lru_cache(maxsize=64)
def scheme(name: str) -> Scheme:
    """The scheme of that name. Raises ValueError, naming those there are."""
    known = sorted(module.name for module in pkgutil.iter_modules(__path__))
    if name not in known:
        raise ValueError(f'"{name}" is not an authentication scheme: write one of {", ".join(known)}')
    return cast(Scheme, import_module(f"{__name__}.{name}").credential)


@lru_cache(maxsize=64)
def granting(name: str) -> Granting | None:
    """How a scheme asks for tokens; None: it needs none. Raises ValueError as `scheme` does."""
    scheme(name)
    return cast(Granting | None, getattr(import_module(f"{__name__}.{name}"), "grant", None))


def secret(upstream: Upstream, name: str = KEY) -> str:
    """One of the upstream's secrets, fit for a header."""
    found = upstream.secrets.get(name, "")
    if not found:
        raise MissingCredential(f'upstream "{upstream.id}" has no secret named "{name}"')
    if not (found.isascii() and found.isprintable()):
        raise MissingCredential(f'secret "{name}" of upstream "{upstream.id}" holds what no header can carry')
    return found


def value(upstream: Upstream, name: str) -> str:
    """One of the upstream's plain values that a scheme cannot do without."""
    found = upstream.values.get(name, "")
    if not found:
        raise MissingCredential(f'upstream "{upstream.id}" needs the value "{name}" for its scheme "{upstream.auth}"')
    return found
