"""What a gateway must know before it serves anybody."""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

import pytest

from imageway.core.failures import StoreFailed
from imageway.core.ops import Query, Store
from imageway.ledger.terms import ListPriceRules
from imageway.server import bootstrap
from imageway.server.configuration import Settings
from imageway.storage.memory import MemoryStore

T = TypeVar("T")


class Forgetful(MemoryStore):
    """Answers everything but what things are sold for."""

    async def read(self, query: Query[T]) -> T:
        if isinstance(query, ListPriceRules):
            raise StoreFailed("not just now")
        return await MemoryStore.read(self, query)


async def test_whoever_does_not_know_the_operators_prices_sells_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """He would sell at the catalog's, and nobody would see it."""

    async def opened(_: str) -> Store:
        return Forgetful()

    monkeypatch.setattr(bootstrap, "open_store", opened)
    settings = Settings(data=tmp_path, sandbox=True)
    with pytest.raises(StoreFailed, match="not just now"):
        async with bootstrap.open_gateway(settings, public_url="http://127.0.0.1", environment={}):
            pytest.fail("it serves")
