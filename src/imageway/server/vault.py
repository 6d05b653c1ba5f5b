"""Secrets that the gateway signs or verifies with: sealed when they are made, opened when they are needed. What was
opened is remembered, because none ever changes: another one has another id."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from imageway.core.ops import Store
from imageway.core.ports import Random
from imageway.ledger.sealed import FindSecret, PutSecret
from imageway.server.earlier import earlier_secret, seal_earlier
from imageway.server.sealing import ring_of

REMEMBERED: Final = 4096


@dataclass(slots=True)
class RingVault:
    """The Vault of one process. The ring is read anew whenever it is needed: somebody may have added a key."""

    store: Store
    data: Path
    environment: Mapping[str, str] = field(repr=False)
    random: Random
    _opened: dict[tuple[str, str], str] = field(default_factory=dict, repr=False)

    def seal(self, kind: str, holder_id: str, *, plain: str, at_ms: int) -> PutSecret:
        """The ring is made when there is none. Raises SealingError."""
        ring = ring_of(self.data, self.environment, self.random)
        return ring.seal(kind, holder_id, plain=plain, random=self.random, at_ms=at_ms)

    async def open(self, kind: str, holder_id: str) -> str:
        """What an earlier Imageway made of its own key is found too. Raises SealingError, StoreFailed."""
        known = self._opened.get((kind, holder_id))
        if known is None:
            known = await self._find(kind, holder_id)
            if len(self._opened) >= REMEMBERED:
                del self._opened[next(iter(self._opened))]
            self._opened[kind, holder_id] = known
        return known

    async def seal_earlier(self, at_ms: int) -> int:
        """How many were sealed that had not been. Raises SealingError, StoreFailed."""
        return await seal_earlier(self.store, self.data, self, at_ms)

    async def _find(self, kind: str, holder_id: str) -> str:
        """The row before the ring: by then the ring holds the key that sealed it."""
        row = await self.store.read(FindSecret(kind, holder_id))
        if row is None:
            return earlier_secret(self.data, kind, holder_id)
        return ring_of(self.data, self.environment).open(row)
