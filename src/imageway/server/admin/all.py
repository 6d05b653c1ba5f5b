"""Every endpoint there is."""

from __future__ import annotations

from typing import Final

from imageway.server.admin import audit, keys, prices, tasks, usage, wallets, workspaces
from imageway.server.admin.endpoints import Endpoint

ENDPOINTS: Final[tuple[Endpoint, ...]] = (
    *workspaces.ENDPOINTS,
    *wallets.ENDPOINTS,
    *keys.ENDPOINTS,
    *prices.ENDPOINTS,
    *usage.ENDPOINTS,
    *tasks.ENDPOINTS,
    *audit.ENDPOINTS,
)
