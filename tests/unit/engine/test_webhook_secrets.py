"""Which of the secrets of an endpoint sign a message: told by the moment, and by whether they open."""

from __future__ import annotations

import random
from collections.abc import Mapping

import pytest

from imageway.engine.webhook_secrets import WebhookSecrets
from imageway.ledger.sealed import SealingError
from imageway.storage.memory import MemoryStore
from imageway.tasks.webhooks import AddSecret, RotateSecret
from tests.sim.machine import SimRandom
from tests.store.places import ENDPOINT, KEY, WORKSPACE, commit
from tests.vaults import OTHER_RING, RING, vault_on


def secrets_of(store: MemoryStore, ring: Mapping[str, str] = RING) -> WebhookSecrets:
    return WebhookSecrets(store, vault_on(store, ring=ring), SimRandom(random.Random(*ring.values())))


@pytest.fixture
async def store() -> MemoryStore:
    made = MemoryStore()
    await commit(made, WORKSPACE, KEY, ENDPOINT)
    return made


async def plain(secrets: WebhookSecrets, now_ms: int, holder_id: str = "end_1") -> list[str]:
    return [each for _, each in await secrets.signing(holder_id, now_ms)]


async def test_an_older_one_signs_until_its_time_is_over(store: MemoryStore) -> None:
    """To the millisecond; the current one comes first."""
    secrets = secrets_of(store)
    old, new = secrets.make(1), secrets.make(5)
    await commit(store, AddSecret(old.id, "end_1", old.hint, 1), old.put)
    await commit(store, RotateSecret(new.id, "end_1", new.hint, 5, 50), new.put)
    assert await plain(secrets, 49) == [new.plain, old.plain]
    assert await plain(secrets, 50) == [new.plain]


@pytest.mark.parametrize("lost", ["old", "new"])
async def test_one_that_does_not_open_signs_nothing_and_only_the_current_one_is_missed(
    store: MemoryStore, lost: str
) -> None:
    secrets, elsewhere = secrets_of(store), secrets_of(store, OTHER_RING)
    old = (elsewhere if lost == "old" else secrets).make(1)
    new = (elsewhere if lost == "new" else secrets).make(5)
    await commit(store, AddSecret(old.id, "end_1", old.hint, 1), old.put)
    await commit(store, RotateSecret(new.id, "end_1", new.hint, 5, 50), new.put)
    if lost == "old":
        assert await plain(secrets, 49) == [new.plain]
    else:
        with pytest.raises(SealingError, match='sealed with the key "other"'):
            await plain(secrets, 49)


async def test_who_has_none_gets_one_that_stays(store: MemoryStore) -> None:
    (made,) = await plain(secrets_of(store), 7, "ws_1")
    assert await plain(secrets_of(store), 8, "ws_1") == [made]
