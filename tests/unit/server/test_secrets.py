"""What operators do about secrets at rest: every kind is counted, opened and sealed anew, while others work."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from imageway.catalog import load
from imageway.core.ops import Committed, Op, Refused
from imageway.ledger.ops import CreateKey, CreateWorkspace
from imageway.ledger.sealed import SIGNING, UPSTREAM, WEBHOOK, ListSecrets, PutSecret, ResealSecret
from imageway.server.administration.office import Office
from imageway.server.administration.secrets import (
    Closed,
    SecretsCounted,
    count_secrets,
    find_closed,
    list_secrets,
    rotate_secrets,
)
from imageway.server.configuration import Settings
from imageway.server.earlier import KEY_FILE, earlier_secret
from imageway.server.machine import SystemClock, SystemRandom
from imageway.server.sealing import RING_FILE, with_new_key
from imageway.server.upstreams import Installation
from imageway.storage.memory import MemoryStore
from tests.vaults import vault_on

CATALOG = load()
CHANCE = SystemRandom()
MANY = 1203  # more than one page
OF_EACH = ((UPSTREAM, "up_1", "sk-test-1"), (WEBHOOK, "whs_1", "whsec_AAAA"), (SIGNING, "key_1", "iwsig_00"))


class Killed(BaseException):
    """SIGKILL, as far as a function can notice."""


class Machine(MemoryStore):
    """Dies after so many commits."""

    left: int | None = None

    async def commit(self, *ops: Op) -> Committed | Refused:
        if self.left is not None:
            if self.left == 0:
                raise Killed
            self.left -= 1
        return await super().commit(*ops)


@pytest.fixture
def store() -> Machine:
    return Machine()


@pytest.fixture
def office(store: Machine) -> Office:
    return Office(store, SystemClock(), CHANCE, "cli")


@pytest.fixture
def installation(tmp_path: Path) -> Installation:
    return Installation(Settings(data=tmp_path), CATALOG, {}, CHANCE)


async def keep(office: Office, installation: Installation, *kept: tuple[str, str, str]) -> None:
    for kind, holder_id, plain in kept or OF_EACH:
        put = installation.ring().seal(kind, holder_id, plain=plain, random=CHANCE, at_ms=1)
        await office.store.commit(put)


async def opened(office: Office, installation: Installation) -> dict[tuple[str, str], str]:
    ring = installation.opening_ring()
    rows = await office.store.read(ListSecrets(limit=10_000))
    return {(row.kind, row.holder_id): ring.open(row) for row in rows}


async def test_a_rotation_seals_every_kind_anew_and_changes_none(office: Office, installation: Installation) -> None:
    await keep(office, installation)
    old = installation.ring().current
    done = await rotate_secrets(office, installation)
    assert (done.resealed, done.faulty) == (3, ())
    assert {row.key for row in await list_secrets(office)} == {done.key} != {old}
    assert await opened(office, installation) == {(kind, holder): plain for kind, holder, plain in OF_EACH}


async def test_however_many_there_are_none_is_left_under_the_old_key(
    office: Office, installation: Installation
) -> None:
    await keep(office, installation, *((SIGNING, f"key_{number}", f"iwsig_{number}") for number in range(MANY)))
    assert (await rotate_secrets(office, installation)).resealed == MANY
    assert await count_secrets(office.store, installation) == (
        SecretsCounted(kind=SIGNING, key=installation.ring().current, secrets=MANY, state="current"),
    )
    assert len(await list_secrets(office)) == MANY


@pytest.mark.parametrize("commits", range(6))
async def test_wherever_a_rotation_is_killed_all_opens_and_the_next_one_ends_it(
    office: Office, store: Machine, installation: Installation, commits: int
) -> None:
    """With the key that it had begun with, where any was left under the one before; nothing is lost. The first commit
    seals what is of the key file, four move on to the new key, the last one is the record."""
    (installation.settings.data / KEY_FILE).write_text("33" * 32)
    await store.commit(CreateWorkspace("ws_1", "w", 1), signed_key("key_9"))
    await keep(office, installation)
    store.left = commits
    with pytest.raises(Killed):
        await rotate_secrets(office, installation)
    store.left = None
    plain = {(kind, holder): text for kind, holder, text in OF_EACH}
    earlier = {(SIGNING, "key_9"): earlier_secret(installation.settings.data, SIGNING, "key_9")}
    assert (await opened(office, installation)).items() <= (plain | earlier).items()
    assert len(await opened(office, installation)) >= 3
    begun = installation.ring().current
    done = await rotate_secrets(office, installation)
    assert done.faulty == ()
    assert await opened(office, installation) == plain | earlier
    assert {row.key for row in await list_secrets(office)} == {done.key}
    assert (done.key == begun) == (0 < commits < 5)


def signed_key(key_id: str) -> CreateKey:
    return CreateKey(key_id, "ws_1", "", key_id.encode().ljust(32), "", (), 1, signed=True)


async def test_a_rotation_meets_secrets_that_are_made_meanwhile(
    store: Machine, installation: Installation, office: Office
) -> None:
    """By a gateway that has read the ring just before the new key was there, and whose commit comes late."""
    await keep(office, installation)
    late = installation.ring().seal(SIGNING, "aaa", plain="iwsig_late", random=CHANCE, at_ms=1)
    replaced = installation.ring().seal(WEBHOOK, "whs_1", plain="whsec_AAAA", random=CHANCE, at_ms=1)
    done = await rotate_secrets(Office(Meddled(store, [late, replaced]), SystemClock(), CHANCE, "cli"), installation)
    assert done.faulty == ()
    assert {row.key for row in await list_secrets(office)} == {done.key}
    assert (await opened(office, installation))[SIGNING, "aaa"] == "iwsig_late"


class Meddled:
    """Somebody else's commits come just before the first secret is sealed anew."""

    def __init__(self, store: Machine, others: list[PutSecret]) -> None:
        self.store, self.others = store, others

    async def commit(self, *ops: Op) -> Committed | Refused:
        if isinstance(ops[0], ResealSecret):
            while self.others:
                await self.store.commit(self.others.pop())
        return await self.store.commit(*ops)

    async def read(self, query: Any) -> Any:
        return await self.store.read(query)

    async def close(self) -> None: ...


async def test_of_two_rotations_at_once_both_end_and_nothing_is_left_behind(
    office: Office, installation: Installation
) -> None:
    await keep(office, installation)
    done = await asyncio.gather(*(rotate_secrets(office, installation) for _ in range(2)))
    assert [one.faulty for one in done] == [(), ()]
    assert {row.key for row in await list_secrets(office)} == {installation.opening_ring().current}


async def test_what_cannot_be_opened_does_not_keep_the_rest_from_a_new_key(
    office: Office, installation: Installation
) -> None:
    await keep(office, installation)
    lost = vault_on(office.store).seal(WEBHOOK, "whs_9", plain="whsec_BBBB", at_ms=1)
    await office.store.commit(lost)
    keys = [(await rotate_secrets(office, installation)).key for _ in range(2)]
    assert len({*keys, "test"}) == 3
    counted = await count_secrets(office.store, installation)
    assert {(row.kind, row.key, row.state) for row in counted} == {
        *((kind, keys[1], "current") for kind in (UPSTREAM, WEBHOOK, SIGNING)),
        (WEBHOOK, "test", "missing"),
    }
    (closed,) = await find_closed(office.store, installation)
    assert (closed.kind, closed.count) == (WEBHOOK, 1)
    assert 'sealed with the key "test"' in closed.why


async def test_what_is_under_which_key_is_counted_by_kind(office: Office, installation: Installation) -> None:
    (installation.settings.data / KEY_FILE).write_text("33" * 32)
    await office.store.commit(CreateWorkspace("ws_1", "w", 1), signed_key("key_9"))
    await keep(office, installation)
    old = installation.ring().current
    new = with_new_key(installation.ring(), CHANCE)
    await keep(office, installation, (WEBHOOK, "whs_2", "whsec_CCCC"))
    counted = await count_secrets(office.store, installation)
    assert sorted((row.kind, row.key, row.secrets, row.state) for row in counted[:-1]) == sorted(
        [
            *((kind, old, 1, "older") for kind in (UPSTREAM, WEBHOOK, SIGNING)),
            (WEBHOOK, new.current, 1, "current"),
        ]
    )
    assert counted[-1] == SecretsCounted(kind=SIGNING, key=None, secrets=1, state="unsealed")
    await rotate_secrets(office, installation)
    states = {row.state for row in await count_secrets(office.store, installation)}
    assert states == {"current"}


async def test_without_the_ring_all_are_closed_and_none_is_made(office: Office, installation: Installation) -> None:
    await keep(office, installation)
    (installation.settings.data / RING_FILE).unlink()
    closed = await find_closed(office.store, installation)
    assert [(one.kind, one.count) for one in closed] == [(SIGNING, 1), (UPSTREAM, 1), (WEBHOOK, 1)]
    assert all(isinstance(one, Closed) and "cannot be read" in one.why for one in closed)
    assert {row.state for row in await count_secrets(office.store, installation)} == {"missing"}
    assert not (installation.settings.data / RING_FILE).exists()
