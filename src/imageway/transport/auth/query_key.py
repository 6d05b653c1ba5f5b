"""The key in the query string, as `key` or as the upstream's value `auth_query` names it."""

from __future__ import annotations

from imageway.core.upstreams import Upstream
from imageway.transport.auth import Credential, secret


def credential(upstream: Upstream) -> Credential:
    return Credential(query=((upstream.values.get("auth_query", "key"), secret(upstream)),))
