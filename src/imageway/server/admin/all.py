"""Every endpoint there is."""

from __future__ import annotations

from typing import Final

from imageway.server.admin import prices, usage, wallets
from imageway.server.admin.endpoints import Endpoint

ENDPOINTS: Final[tuple[Endpoint, ...]] = (*prices.ENDPOINTS, *usage.ENDPOINTS, *wallets.ENDPOINTS)
