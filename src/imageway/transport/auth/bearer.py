"""`Authorization: Bearer KEY` (RFC 6750)."""

from __future__ import annotations

from imageway.core.upstreams import Upstream
from imageway.transport.auth import Credential, secret


def credential(upstream: Upstream) -> Credential:
    return Credential(headers=(("authorization", f"Bearer {secret(upstream)}"),))
