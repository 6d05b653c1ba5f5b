"""Secrets that the gateway signs or verifies with: sealed when they are made, opened when they are needed. What was
unsealed is remembered, because none ever changes: another one has another id."""

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
        """What an earlier Imageway made of its own key is found too, and made anew each time: nothing proves that key,
        and the right one may be put back. Raises SealingError, StoreFailed."""
        known = self._opened.get((kind, holder_id))
        if known is not None:
            return known
        row = await self.store.read(FindSecret(kind, holder_id))  # before the ring, which by then holds its key
        if row is None:
            return earlier_secret(self.data, kind, holder_id)
        return self._remember(kind, holder_id, ring_of(self.data, self.environment).open(row))

    async def seal_earlier(self, at_ms: int) -> int:
        """How many were sealed that had not been. Raises SealingError, StoreFailed."""
        return await seal_earlier(self.store, self.data, self, at_ms)

    def _remember(self, kind: str, holder_id: str, plain: str) -> str:
        if len(self._opened) >= REMEMBERED:
            del self._opened[next(iter(self._opened))]
        self._opened[kind, holder_id] = plain
        return plain
