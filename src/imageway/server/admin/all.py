"""Every endpoint there is."""

from __future__ import annotations

from typing import Final

from imageway.server.admin import (
    admin_keys,
    audit,
    keys,
    prices,
    tasks,
    upstreams,
    usage,
    wallets,
    webhooks,
    workspaces,
)
from imageway.server.admin.endpoints import Endpoint

ENDPOINTS: Final[tuple[Endpoint, ...]] = (
    *workspaces.ENDPOINTS,
    *wallets.ENDPOINTS,
    *keys.ENDPOINTS,
    *prices.ENDPOINTS,
    *usage.ENDPOINTS,
    *tasks.ENDPOINTS,
    *upstreams.ENDPOINTS,
    *webhooks.ENDPOINTS,
    *admin_keys.ENDPOINTS,
    *audit.ENDPOINTS,
)
