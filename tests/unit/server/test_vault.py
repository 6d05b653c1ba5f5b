"""What signs: sealed for its own row, opened when it is needed, and remembered, but not without end."""

from __future__ import annotations

from pathlib import Path

import pytest
from msgspec.structs import replace

from imageway.core.ops import Committed
from imageway.ledger.sealed import SIGNING, WEBHOOK, DropSecret, FindSecret, PutSecret, SealingError
from imageway.server import vault as vaults
from imageway.server.machine import SystemRandom
from imageway.server.sealing import RING_FILE, ring_of, with_new_key
from imageway.server.vault import RingVault
from imageway.storage.memory import MemoryStore
from tests.vaults import OTHER_RING, vault_on

PLAIN = "iwsig_" + "5" * 64


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


async def keep(vault: RingVault, holder_id: str = "key_1", *, kind: str = SIGNING, plain: str = PLAIN) -> PutSecret:
    put = vault.seal(kind, holder_id, plain=plain, at_ms=1)
    assert isinstance(await vault.store.commit(put), Committed)
    return put


async def test_what_is_sealed_opens_in_another_process_and_is_not_to_be_read(store: MemoryStore) -> None:
    put = await keep(vault_on(store))
    assert PLAIN.encode() not in put.sealed
    assert bytes.fromhex(PLAIN[6:]) not in put.sealed
    assert await vault_on(store).open(SIGNING, "key_1") == PLAIN


@pytest.mark.parametrize(("kind", "holder_id"), [(SIGNING, "key_2"), (WEBHOOK, "key_1")])
async def test_what_lies_in_another_row_does_not_open(store: MemoryStore, kind: str, holder_id: str) -> None:
    """Whoever can write to the tables cannot give one key the secret of another."""
    put = await keep(vault_on(store))
    await store.commit(replace(put, kind=kind, holder_id=holder_id))
    with pytest.raises(SealingError, match=f'the secret of {kind} "{holder_id}" does not open'):
        await vault_on(store).open(kind, holder_id)


async def test_without_its_key_nothing_opens_and_nothing_is_remembered(store: MemoryStore) -> None:
    await keep(vault_on(store))
    with pytest.raises(SealingError, match='sealed with the key "test", which IMAGEWAY_SECRETS_KEYS does not hold'):
        await vault_on(store, ring=OTHER_RING).open(SIGNING, "key_1")
    with pytest.raises(SealingError, match=r"is not in the database.*rotate the secret"):
        await vault_on(store).open(SIGNING, "key_9")


async def test_a_key_that_was_added_meanwhile_opens_in_a_vault_that_lives(store: MemoryStore, tmp_path: Path) -> None:
    vault = vault_on(store, tmp_path, ring={})
    await keep(vault, "key_1")
    ring = with_new_key(ring_of(tmp_path, {}), SystemRandom())
    row = await store.read(FindSecret(SIGNING, "key_1"))
    assert row is not None
    anew = ring.reseal(row, SystemRandom())
    assert anew is not None
    await store.commit(anew)
    assert await vault.open(SIGNING, "key_1") == PLAIN
    assert vault.seal(SIGNING, "key_2", plain=PLAIN, at_ms=1).key_id == ring.current


async def test_the_ring_is_made_to_seal_with_and_never_to_open_with(store: MemoryStore, tmp_path: Path) -> None:
    vault = vault_on(store, tmp_path / "new", ring={})
    await keep(vault)
    (tmp_path / "new" / RING_FILE).unlink()
    with pytest.raises(SealingError, match="cannot be read"):
        await vault_on(store, tmp_path / "new", ring={}).open(SIGNING, "key_1")
    assert not (tmp_path / "new" / RING_FILE).exists()


async def test_what_was_opened_is_remembered_up_to_a_number(
    store: MemoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The longest known goes first."""
    monkeypatch.setattr(vaults, "REMEMBERED", 2)
    vault = vault_on(store)
    for number in range(3):
        await keep(vault, f"key_{number}", plain=f"plain {number}")
        await vault.open(SIGNING, f"key_{number}")
    for number in range(3):
        await store.commit(DropSecret(SIGNING, f"key_{number}"))
    assert [await vault.open(SIGNING, name) for name in ("key_1", "key_2")] == ["plain 1", "plain 2"]
    with pytest.raises(SealingError):
        await vault.open(SIGNING, "key_0")
    assert "plain" not in repr(vault)
