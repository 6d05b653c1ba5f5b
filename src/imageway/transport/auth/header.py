"""The key, bare, in the header that the upstream's value `auth_header` names."""

from __future__ import annotations

from imageway.core.upstreams import Upstream
from imageway.transport.auth import Credential, secret, value


def credential(upstream: Upstream) -> Credential:
    return Credential(headers=((value(upstream, "auth_header").lower(), secret(upstream)),))
