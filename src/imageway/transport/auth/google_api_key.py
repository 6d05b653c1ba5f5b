"""`x-goog-api-key: KEY` (the vendor's API key guide)."""

from __future__ import annotations

from imageway.core.upstreams import Upstream
from imageway.transport.auth import Credential, secret


def credential(upstream: Upstream) -> Credential:
    return Credential(headers=(("x-goog-api-key", secret(upstream)),))
