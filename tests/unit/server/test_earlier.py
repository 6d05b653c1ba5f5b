"""What an earlier Imageway made of its key file: it stays what it is, and comes under the ring."""

from __future__ import annotations

from pathlib import Path

import pytest
from msgspec.structs import replace

from imageway.ledger.ops import CreateKey, CreateWorkspace, RevokeKey
from imageway.ledger.sealed import SIGNING, WEBHOOK, ListSecrets, ListUnsealed, SealingError
from imageway.server.earlier import KEY_FILE, earlier_secret, first_entry
from imageway.server.machine import SystemRandom
from imageway.server.sealing import RING_FILE, ring_of
from imageway.storage.memory import MemoryStore
from imageway.tasks.signatures import hint_of
from imageway.tasks.webhooks import AddSecret
from tests.vaults import RING, vault_on

KEY = bytes(range(32)).hex()
HOOK = "whsec_C4XjJn+SBEZl34X8ndgfWywdQ9Zxxcrt42oDi3dJdNo="
SIGNS = "iwsig_80540a7be075550a16e051ffdad0102328565890412071b7ce20f942cf456370"
"""Of `whs_1` and `key_1`, as the release before computed them under that key."""
MADE = CreateKey("key_1", "ws_1", "", bytes(32), "", (), 1, signed=True)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A data directory of that time."""
    (tmp_path / KEY_FILE).write_text(KEY)
    return tmp_path


@pytest.fixture
async def store() -> MemoryStore:
    """With what has no sealed secret: a signed key, one that was revoked, one that is not signed, and an endpoint's."""
    made = MemoryStore()
    keys = [replace(MADE, id=f"key_{number}", digest=bytes([number]) * 32) for number in (1, 2, 3)]
    keys[2] = replace(keys[2], signed=False)
    await made.commit(CreateWorkspace("ws_1", "studio", 1), *keys, RevokeKey("key_2", 2))
    await made.commit(AddSecret("whs_1", "end_1", hint_of(HOOK), 1))
    return made


def test_it_is_made_as_it_was(data: Path) -> None:
    assert earlier_secret(data, WEBHOOK, "whs_1") == HOOK
    assert earlier_secret(data, SIGNING, "key_1") == SIGNS


def test_without_the_file_it_is_told_what_is_missing(tmp_path: Path) -> None:
    with pytest.raises(SealingError, match=rf'webhook "whs_1" is not in the database.*{KEY_FILE}.*put that file back'):
        earlier_secret(tmp_path, WEBHOOK, "whs_1")
    (tmp_path / KEY_FILE).write_text("nonsense")
    with pytest.raises(SealingError, match="does not hold a key"):
        earlier_secret(tmp_path, WEBHOOK, "whs_1")


async def test_it_opens_before_it_is_sealed_and_is_the_same_afterwards(data: Path, store: MemoryStore) -> None:
    vault = vault_on(store, data, ring={})
    assert [await vault.open(WEBHOOK, "whs_1"), await vault.open(SIGNING, "key_1")] == [HOOK, SIGNS]
    assert await vault.seal_earlier(7) == 2
    assert {(row.kind, row.holder_id) for row in await store.read(ListSecrets())} == {
        (SIGNING, "key_1"),
        (WEBHOOK, "whs_1"),
    }
    (data / KEY_FILE).unlink()
    later = vault_on(store, data, ring={})
    assert [await later.open(WEBHOOK, "whs_1"), await later.open(SIGNING, "key_1")] == [HOOK, SIGNS]
    assert await later.seal_earlier(8) == 0


async def test_of_the_wrong_file_nothing_is_sealed_that_can_be_told(data: Path, store: MemoryStore) -> None:
    """By the end that its owner was shown; it stays for the right file, or for a rotation."""
    (data / KEY_FILE).write_text("11" * 32)
    assert await vault_on(store, data).seal_earlier(7) == 1
    assert [one.holder_id for one in await store.read(ListUnsealed())] == ["whs_1"]


async def test_the_right_file_counts_as_soon_as_it_is_back(data: Path, store: MemoryStore) -> None:
    """What was made of a wrong one is not remembered: nothing proves a file but the secrets that it makes."""
    vault = vault_on(store, data, ring={})
    (data / KEY_FILE).write_text("77" * 32)
    assert await vault.open(WEBHOOK, "whs_1") != HOOK
    (data / KEY_FILE).write_text(KEY)
    assert await vault.open(WEBHOOK, "whs_1") == HOOK


async def test_however_many_there_are_all_are_sealed(data: Path) -> None:
    store = MemoryStore()
    await store.commit(CreateWorkspace("ws_1", "studio", 1))
    for number in range(1203):
        await store.commit(replace(MADE, id=f"key_{number}", digest=number.to_bytes(32, "big")))
    assert await vault_on(store, data).seal_earlier(7) == 1203
    assert await store.read(ListUnsealed()) == ()


def test_replicas_that_had_the_file_in_common_have_a_ring_in_common(tmp_path: Path) -> None:
    """Each in a directory of its own; whoever opens first makes it too. Later keys are chance."""
    rings = []
    for name, chance in (("one", SystemRandom()), ("two", None)):
        (tmp_path / name).mkdir()
        (tmp_path / name / KEY_FILE).write_text(f"{KEY}\n")
        rings.append(ring_of(tmp_path / name, {}, chance))
        assert (tmp_path / name / RING_FILE).read_text() == first_entry(tmp_path / name)
        (tmp_path / name / KEY_FILE).unlink()
        assert ring_of(tmp_path / name, {}).keys == rings[-1].keys
    assert rings[0].keys == rings[1].keys
    assert bytes.fromhex(KEY) not in rings[0].keys.values()
    (tmp_path / "one" / KEY_FILE).write_text("22" * 32)
    assert ring_of(tmp_path / "one", {}).keys == rings[0].keys, "a ring that is there is left alone"


def test_a_ring_of_the_environment_is_not_touched_by_the_file(data: Path) -> None:
    assert list(ring_of(data, RING, SystemRandom()).keys) == ["test"]
    assert not (data / RING_FILE).exists()
