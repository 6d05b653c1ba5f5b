"""Ops on who may do what: what each does, seen through the queries."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing

import asyncpg
import pytest
from msgspec.structs import replace

from imageway.core.access import Budget
from imageway.core.ops import Committed, Refused, Store
from imageway.ledger import access, queries
from imageway.ledger.ops import CreateWorkspace, ReleaseBudget, RevokeKey, SpendBudget, TopUp
from imageway.storage.sqlite.store import SqliteStore
from tests.store.places import COMMITTED, HOLD, KEY, TOPUP, WORKSPACE, Place, commit, task, waiting

SCOPE = b'{"dialects":["unified"],"max_price_usd_micros":5}'
SETTINGS = b'{"aliases":{"picture":"draw-1"}}'
ADMIN = access.CreateAdminKey("adm_1", "ops", b"\x01" * 32, "wxyz", "admin", 5)
SIGNATURE = access.UseSignature(b"\x02" * 32, 300, 100)
CHANGE = access.RecordChange("adm_1", "keys.revoke", "key_1", b'{"revoked":false}', b'{"revoked":true}', 7)
ROTATED = replace(KEY, id="key_2", digest=bytes(32), root_id="key_1", at_ms=4)
DAY = access.SetBudget("key_1", "day", 500)


@pytest.fixture
async def store(store: Store) -> Store:
    """With a workspace and a key."""
    await commit(store, WORKSPACE, KEY)
    return store


async def key_of(store: Store, digest: bytes = KEY.digest) -> queries.Key:
    found = await store.read(queries.FindKey(digest))
    assert found is not None
    return found


# Keys


async def test_a_key_is_found_with_all_that_it_was_made_with(store: Store) -> None:
    made = replace(ROTATED, scope=SCOPE, expires_ms=99, signed=True)
    await commit(store, made)
    found = await key_of(store, made.digest)
    assert (found.scope, found.expires_ms, found.root_id, found.signed) == (SCOPE, 99, "key_1", True)
    plain = await key_of(store)
    assert (plain.scope, plain.expires_ms, plain.root_id, plain.signed) == (b"{}", 0, "key_1", False)
    assert await store.read(queries.ListKeys()) == (plain, found)


async def test_a_key_is_shown_by_its_id_as_by_its_digest(store: Store) -> None:
    """Revoked ones too, with the budgets of their root and their workspace's settings."""
    await commit(store, ROTATED, DAY, access.SetBudget("key_1", "total", 900))
    await commit(store, access.SetWorkspace("ws_1", SETTINGS, None), RevokeKey("key_1", 7))
    for made in (KEY, ROTATED):
        found = await store.read(queries.ShowKey(made.id))
        assert found == await key_of(store, made.digest)
        assert found is not None
        assert (found.id, found.settings) == (made.id, SETTINGS)
        assert found.budgets == (Budget("day", 500), Budget("total", 900))
        assert found.revoked_ms == (7 if made is KEY else None)
    assert await store.read(queries.ShowKey("key_3")) is None
    assert await store.read(queries.ShowKey("laptop")) is None


async def test_from_its_end_on_a_key_makes_no_task(store: Store) -> None:
    await commit(store, access.ExpireKey("key_1", 9))
    assert (await key_of(store)).expires_ms == 9
    await commit(store, task("req_1", created_ms=8), waiting("req_2", created_ms=8))
    for late in (task("req_3", created_ms=9), waiting("req_4", created_ms=9)):
        assert await store.commit(late) == Refused(late, "key_revoked")
    await commit(store, access.ExpireKey("key_1", 0), task("req_3", created_ms=9), waiting("req_4", created_ms=9))


async def test_a_key_is_changed(store: Store) -> None:
    await commit(store, access.ChangeKey("key_1", "desk", ("a-*",), SCOPE))
    found = await key_of(store)
    assert (found.name, found.models, found.scope) == ("desk", ("a-*",), SCOPE)
    assert (found.hint, found.created_ms) == (KEY.hint, KEY.at_ms)


async def test_keys_are_listed_page_by_page_with_their_budgets(store: Store) -> None:
    await commit(store, ROTATED, DAY, access.SetBudget("key_1", "total", 900))
    first = await store.read(queries.ListKeys("ws_1", limit=1))
    assert [row.id for row in first] == ["key_1"]
    rest = await store.read(queries.ListKeys(after=(first[0].created_ms, first[0].id), limit=1))
    assert [row.id for row in rest] == ["key_2"]
    assert first[0].budgets == rest[0].budgets == (Budget("day", 500), Budget("total", 900))
    assert await store.read(queries.ListKeys("ws_2")) == ()


# Budgets


async def test_whoever_shares_a_root_shares_its_budgets(store: Store) -> None:
    await commit(store, ROTATED, DAY, access.SetBudget("key_1", "month", 9_000))
    budgets = (Budget("day", 500), Budget("month", 9_000))
    assert (await key_of(store)).budgets == (await key_of(store, ROTATED.digest)).budgets == budgets
    await commit(store, replace(DAY, limit_usd_micros=600), access.DropBudget("key_1", "month"))
    assert (await key_of(store, ROTATED.digest)).budgets == (Budget("day", 600),)


async def test_the_budgets_of_a_root_are_found_with_what_they_have_spent(store: Store) -> None:
    day_ms = 86_400_000
    await commit(store, DAY, access.SetBudget("key_1", "total", 900))
    await commit(store, SpendBudget("key_1", "day", day_ms, 120), SpendBudget("key_1", "total", 0, 120))
    await commit(store, ReleaseBudget("key_1", "day", day_ms, 20))
    assert await store.read(access.FindBudgets("key_1")) == (Budget("day", 500, 100, day_ms), Budget("total", 900, 120))
    assert await store.read(access.FindBudgets("key_2")) == ()


async def test_a_budget_stays_when_its_first_key_is_revoked(store: Store) -> None:
    await commit(store, ROTATED, RevokeKey("key_1", 9), DAY)
    assert (await key_of(store, ROTATED.digest)).budgets == (Budget("day", 500),)


@pytest.mark.parametrize("bad", [("week", 1), ("day", -1), ("day", 10**15 + 1)])
def test_a_budget_that_cannot_be_is_not_made(bad: tuple[str, int]) -> None:
    with pytest.raises(ValueError, match="no budget"):
        access.SetBudget("key_1", *bad)  # type: ignore[arg-type]


# Workspaces


async def test_what_a_workspace_has_set_comes_with_its_keys(store: Store) -> None:
    await commit(store, access.SetWorkspace("ws_1", SETTINGS, 70))
    found = queries.Workspace("ws_1", "studio", 1, SETTINGS, 70)
    assert await store.read(queries.FindWorkspace("studio")) == found
    assert await store.read(queries.ListWorkspaces()) == (found,)
    assert (await key_of(store)).settings == SETTINGS
    await commit(store, access.SetWorkspace("ws_1", b"{}", None))
    assert await store.read(queries.FindWorkspace("ws_1")) == queries.Workspace("ws_1", "studio", 1)


async def test_a_low_balance_is_told_once_until_it_is_above_again(store: Store) -> None:
    await commit(store, TOPUP, access.SetWorkspace("ws_1", b"{}", 1_000_000))
    assert await store.read(access.LowWallets()) == (), "as much as the threshold is not below it"
    await commit(store, HOLD)
    assert await store.read(access.LowWallets()) == (access.LowWallet("ws_1", "studio", 970_000, 1_000_000),)
    await commit(store, access.MarkAlerted("ws_1", 9), access.RearmAlerts(10))
    assert await store.read(access.LowWallets()) == ()
    again = access.MarkAlerted("ws_1", 10)
    assert await store.commit(again) == Refused(again, "not_low")
    await commit(store, TopUp("top_2", "ws_1", 30_000, 11), access.RearmAlerts(12))
    assert await store.commit(again) == Refused(again, "not_low")
    await commit(store, replace(HOLD, task_id="req_2"), again)


async def test_without_a_threshold_nothing_is_low_and_what_was_told_is_forgotten(store: Store) -> None:
    await commit(store, access.SetWorkspace("ws_1", b"{}", 1), access.MarkAlerted("ws_1", 9))
    await commit(store, access.SetWorkspace("ws_1", b"{}", None))
    assert await store.read(access.LowWallets()) == ()
    await commit(store, access.RearmAlerts(10), access.SetWorkspace("ws_1", b"{}", 1))
    assert len(await store.read(access.LowWallets())) == 1


async def test_of_two_replicas_one_tells_of_a_low_balance(durable_place: Place) -> None:
    stores = [await durable_place.open() for _ in range(2)]
    await commit(stores[0], WORKSPACE, access.SetWorkspace("ws_1", b"{}", 1))
    done = await asyncio.gather(*(each.commit(access.MarkAlerted("ws_1", 9)) for each in stores * 5))
    assert done.count(COMMITTED) == 1
    await asyncio.gather(*(each.close() for each in stores))


async def test_members_are_listed_by_name_and_their_roles_change(store: Store) -> None:
    await commit(store, CreateWorkspace("ws_2", "agency", 1))
    for workspace_id, name, role in (("ws_1", "zoe", "viewer"), ("ws_1", "ada", "owner"), ("ws_2", "zoe", "admin")):
        await commit(store, access.AddMember(workspace_id, name, role, 4))
    await commit(store, access.AddMember("ws_1", "zoe", "admin", 9))
    ada, zoe = access.Member("ws_1", "ada", "owner", 4), access.Member("ws_1", "zoe", "admin", 4)
    assert await store.read(access.ListMembers("ws_1")) == (ada, zoe)
    await commit(store, access.RemoveMember("ws_1", "zoe"))
    assert await store.read(access.ListMembers("ws_1")) == (ada,)
    assert await store.read(access.ListMembers("ws_2")) == (access.Member("ws_2", "zoe", "admin", 4),)


def test_a_role_that_there_is_not_is_not_given() -> None:
    with pytest.raises(ValueError, match='"king" is none of admin, member, owner, viewer'):
        access.AddMember("ws_1", "zoe", "king", 4)
    with pytest.raises(ValueError, match='"owner" is none of admin, viewer'):
        replace(ADMIN, role="owner")


# Operators


async def test_an_operators_key_is_found_by_its_digest_and_by_its_id(store: Store) -> None:
    viewer = replace(ADMIN, id="adm_0", digest=bytes(32), role="viewer", at_ms=6)
    await commit(store, viewer, ADMIN)
    first, second = (
        access.AdminKey("adm_1", "ops", "wxyz", "admin", 5, None),
        access.AdminKey("adm_0", "ops", "wxyz", "viewer", 6, None),
    )
    assert await store.read(access.FindAdminKey(ADMIN.digest)) == first
    assert await store.read(access.FindAdminKey(b"\x09" * 32)) is None
    assert await store.read(access.ListAdminKeys()) == (first, second)
    assert await store.read(access.ShowAdminKey("adm_0")) == second
    assert await store.read(access.ShowAdminKey("adm_2")) is None
    await commit(store, access.RevokeAdminKey("adm_1", 8))
    found = await store.read(access.FindAdminKey(ADMIN.digest))
    assert found is not None
    assert found.revoked_ms == 8
    assert await store.read(access.ShowAdminKey("adm_1")) == found


async def test_a_signature_is_good_once_until_it_is_over(store: Store) -> None:
    await commit(store, SIGNATURE)
    for at_ms in (101, 300):
        again = replace(SIGNATURE, at_ms=at_ms)
        assert await store.commit(again) == Refused(again, "replayed")
    await commit(store, replace(SIGNATURE, digest=bytes(32), at_ms=301), replace(SIGNATURE, at_ms=302, until_ms=500))


async def test_of_many_that_bring_a_signature_at_once_one_gets_in(durable_place: Place) -> None:
    """Over two replicas, beside others that are forgotten meanwhile."""
    stores = [await durable_place.open() for _ in range(2)]
    old = [access.UseSignature(bytes([number]) * 32, 50, 10) for number in range(100, 130)]
    await asyncio.gather(*(stores[0].commit(each) for each in old))
    done = await asyncio.gather(*(each.commit(SIGNATURE) for each in stores * 10))
    assert sum(isinstance(outcome, Committed) for outcome in done) == 1
    await asyncio.gather(*(each.close() for each in stores))


async def test_changes_are_listed_newest_first_page_by_page(store: Store) -> None:
    for number in range(5):
        await commit(store, replace(CHANGE, target=f"key_{number % 2}", at_ms=number))
    found = await store.read(access.ListChanges(limit=3))
    assert [row.at_ms for row in found] == [4, 3, 2]
    assert found[0] == access.Change(found[0].seq, "adm_1", "keys.revoke", "key_0", CHANGE.before, CHANGE.after, 4)
    rest = await store.read(access.ListChanges(before_seq=found[-1].seq))
    assert [row.at_ms for row in rest] == [1, 0]
    assert [row.at_ms for row in await store.read(access.ListChanges("key_0", before_seq=found[0].seq))] == [2, 0]


async def test_what_was_changed_is_never_rewritten(durable_place: Place) -> None:
    store = await durable_place.open()
    await commit(store, CHANGE)
    for statement in ("UPDATE changes SET actor = 'nobody'", "DELETE FROM changes"):
        if isinstance(store, SqliteStore):
            path = durable_place.url.removeprefix("sqlite://")
            with closing(sqlite3.connect(path)) as other, pytest.raises(sqlite3.IntegrityError, match="never rewr"):
                other.execute(statement)
        else:
            connection = await asyncpg.connect(durable_place.url)
            with pytest.raises(asyncpg.IntegrityConstraintViolationError, match="never rewritten"):
                await connection.execute(statement)
            await connection.close()
    await store.close()
