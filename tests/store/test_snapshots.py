"""One moment of a database: what is written meanwhile is not seen, and nobody waits for who looks."""

from __future__ import annotations

import pytest

from imageway.ledger.ops import TopUp
from imageway.ledger.queries import ListTransfers, ShowWallet
from imageway.storage import StorageError
from imageway.storage.snapshots import open_snapshot
from tests.store.places import TOPUP, WORKSPACE, Place, commit


async def test_all_answers_are_of_the_moment_of_the_first(durable_place: Place) -> None:
    store = await durable_place.open()
    await commit(store, WORKSPACE, TOPUP)
    async with open_snapshot(durable_place.url) as moment:
        before = await moment.read(ShowWallet("ws_1"))
        await commit(store, TopUp("top_2", "ws_1", 5, 3))
        assert await moment.read(ShowWallet("ws_1")) == before
        assert len(await moment.read(ListTransfers("ws_1"))) == 1
    async with open_snapshot(durable_place.url) as later:
        assert len(await later.read(ListTransfers("ws_1"))) == 2
    await store.close()


async def test_nothing_is_made_where_nothing_is(durable_place: Place) -> None:
    with pytest.raises(StorageError, match="run `imageway serve` once"):
        async with open_snapshot(durable_place.url):
            pass


@pytest.mark.parametrize("url", ["memory://", "mysql://host/db", "sqlite://relative.db"])
async def test_what_is_no_database_is_a_sentence(url: str) -> None:
    with pytest.raises(StorageError, match="is no database that could be looked at"):
        async with open_snapshot(url):
            pass
