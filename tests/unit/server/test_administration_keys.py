"""Operations on one key, an API key or an operator's own: what they ask the store, however many keys there are."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from imageway.core.errors import GatewayError
from imageway.core.ops import Op, Query, Store
from imageway.ledger.access import ExpireKey, ListAdminKeys
from imageway.ledger.queries import FindWorkspace, ListKeys
from imageway.server.administration import admin_keys, keys
from imageway.server.administration.admin_keys import AdminKeyAsked
from imageway.server.administration.keys import KeyAsked, KeyChange
from imageway.server.administration.office import Office
from imageway.server.machine import SystemClock, SystemRandom
from imageway.storage.memory import MemoryStore
from tests.vaults import vault_on


@dataclass
class Watched:
    """A store that notes what it is asked."""

    store: Store
    asked: list[Query[Any]] = field(default_factory=list)

    async def read(self, query: Query[Any]) -> Any:
        self.asked.append(query)
        return await self.store.read(query)

    async def commit(self, *ops: Op) -> Any:
        return await self.store.commit(*ops)

    async def close(self) -> None:
        await self.store.close()


@pytest.fixture
def watched() -> Watched:
    return Watched(MemoryStore())


class Busy(SystemClock):
    """In which no two things happen at once."""

    past_ms = 0

    def now_ms(self) -> int:
        self.past_ms = max(self.past_ms + 1, super().now_ms())
        return self.past_ms


@pytest.fixture
def office(watched: Watched) -> Office:
    return Office(watched, Busy(), SystemRandom(), "cli")


OPERATIONS: dict[str, Callable[[Office, str], Awaitable[object]]] = {
    "show": keys.show_key,
    "change": lambda office, key_id: keys.update_key(office, key_id, KeyChange(name="other")),
    "rotate": lambda office, key_id: keys.rotate_key(office, vault_on(office.store), key_id, "1h"),
    "budgets": lambda office, key_id: keys.change_budgets(office, key_id, {"day": "5"}),
    "revoke": keys.revoke_key,
}


@pytest.mark.parametrize("operation", OPERATIONS)
async def test_what_is_done_to_one_key_reads_no_other(office: Office, watched: Watched, operation: str) -> None:
    made = [await keys.create_key(office, vault_on(watched), KeyAsked(name=name)) for name in "abc"]
    watched.asked.clear()
    await OPERATIONS[operation](office, made[1].id)
    assert watched.asked
    assert not [query for query in watched.asked if isinstance(query, ListKeys)]
    with pytest.raises(GatewayError, match='there is no key "b"') as raised:
        await OPERATIONS[operation](office, "b")
    assert raised.value.code == "not_found"


async def test_a_workspace_that_somebody_made_meanwhile_takes_the_key(
    office: Office, watched: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two who make the first key of a workspace at once: neither is told that it is there already."""
    first = await keys.create_key(office, vault_on(watched), KeyAsked(workspace="shared"))
    read, looks = watched.read, 0

    async def blind_once(query: Query[Any]) -> Any:
        nonlocal looks
        looks += isinstance(query, FindWorkspace)
        return None if isinstance(query, FindWorkspace) and looks == 1 else await read(query)

    monkeypatch.setattr(watched, "read", blind_once)
    second = await keys.create_key(office, vault_on(watched), KeyAsked(workspace="shared"))
    assert (first.workspace, second.workspace, looks) == ("shared", "shared", 2)
    assert len(await keys.list_keys(office, "shared")) == 2


async def test_an_operators_key_is_revoked_without_a_look_at_the_others(office: Office, watched: Watched) -> None:
    made = [await admin_keys.create_admin_key(office, AdminKeyAsked(name=name)) for name in "abc"]
    watched.asked.clear()
    await admin_keys.revoke_admin_key(office, made[1].id)
    assert watched.asked
    assert not [query for query in watched.asked if isinstance(query, ListAdminKeys)]
    listed = await admin_keys.list_admin_keys(office)
    assert {one.id: one.revoked is None for one in listed} == {one.id: one is not made[1] for one in made}
    for wrong in (made[1].id, "b"):
        with pytest.raises(GatewayError, match="there is no admin key"):
            await admin_keys.revoke_admin_key(office, wrong)


async def test_a_key_that_was_rotated_already_hands_on_the_end_it_had_before(office: Office, watched: Watched) -> None:
    """Whoever has lost the new key rotates the old one once more, and does not get one that ends with the overlap."""
    vault = vault_on(watched)
    lasting, ending = [await keys.create_key(office, vault, KeyAsked(expires=end)) for end in (None, "90d")]
    for key in (lasting, ending):
        before = await keys.show_key(office, key.id)
        made = [await keys.rotate_key(office, vault, key.id, overlap) for overlap in ("1h", "30m")]
        made.append(await keys.rotate_key(office, vault, made[0].id, "10m"))
        shown = [await keys.show_key(office, one.id) for one in (key, *made)]
        assert [one.expires for one in shown] == [made[1].old_until, made[2].old_until, before.expires, before.expires]
        assert {one.root for one in shown} == {key.id}


async def test_what_has_ended_is_not_made_anew_only_to_have_ended(office: Office, watched: Watched) -> None:
    """A key whose own end is over has nothing to hand on; one whose overlap is over has."""
    vault = vault_on(watched)
    ended = await keys.create_key(office, vault, KeyAsked())
    await keys.rotate_key(office, vault, ended.id, "0s")
    again = await keys.rotate_key(office, vault, ended.id, "1h")
    assert (await keys.show_key(office, again.id)).expires is None
    over = await keys.create_key(office, vault, KeyAsked())
    await watched.commit(ExpireKey(over.id, 1))
    with pytest.raises(GatewayError, match="ended at 1970-01-01T00:00:00") as raised:
        await keys.rotate_key(office, vault, over.id, "1h")
    assert raised.value.code == "not_found"
