"""A vault on a store, with a ring that is nowhere on disk."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from imageway.core.ops import Store
from imageway.core.ports import Random
from imageway.server.machine import SystemRandom
from imageway.server.sealing import RING_VARIABLE
from imageway.server.vault import RingVault

RING: Final[Mapping[str, str]] = {RING_VARIABLE: f"test:{b64encode(bytes(range(32))).decode()}"}
OTHER_RING: Final[Mapping[str, str]] = {RING_VARIABLE: f"other:{b64encode(bytes(32)).decode()}"}


def vault_on(
    store: Store,
    data: Path = Path("/nowhere"),
    *,
    ring: Mapping[str, str] = RING,
    random: Random | None = None,
) -> RingVault:
    return RingVault(store, data, ring, random or SystemRandom())
