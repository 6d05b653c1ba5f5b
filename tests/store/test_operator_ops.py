"""Ops on what operators keep: price rules, upstreams and secrets; and what a store remembers of keys they change."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from imageway.core.access import Budget
from imageway.core.ops import Op, Store
from imageway.ledger import access, queries, sealed, terms
from imageway.ledger.ops import RevokeKey, SpendBudget
from imageway.tasks.webhooks import RemoveEndpoint
from tests.store.places import ENDPOINT, KEY, ROTATION, RULE, SEALED, SECRET, UPSTREAM, WORKSPACE, Place, commit

# Price rules


async def test_price_rules_are_listed_in_the_order_they_were_made(store: Store) -> None:
    early = replace(RULE, id="rule_0", workspace_id="", at_ms=3)
    await commit(store, WORKSPACE, RULE, early)
    made = terms.PriceRule("rule_1", "ws_1", "draw-*", 1_200_000, 5, b'[{"per":"image"}]', 10, None, "by hand", 4)
    first, second = await store.read(terms.ListPriceRules())
    assert (first.id, first.workspace_id) == ("rule_0", "")
    assert second == made


async def test_a_price_rule_ends(store: Store) -> None:
    await commit(store, WORKSPACE, RULE, terms.EndPriceRule("rule_1", 50))
    for since_ms, known in ((0, True), (50, True), (51, False)):
        rules = await store.read(terms.ListPriceRules(since_ms))
        assert [rule.until_ms for rule in rules] == [50] * known


# Upstreams and secrets


async def test_an_upstream_is_put_replaced_and_dropped(store: Store) -> None:
    await commit(store, replace(UPSTREAM, id="up_2", enabled=False), UPSTREAM)
    one = sealed.StoredUpstream("up_1", "maker", b'{"weight":2}', True, 5)
    assert await store.read(sealed.ListUpstreams()) == (
        one,
        sealed.StoredUpstream("up_2", "maker", b'{"weight":2}', False, 5),
    )
    await commit(store, replace(UPSTREAM, provider="other", document=b"{}", enabled=False, at_ms=6))
    await commit(store, sealed.DropUpstream("up_2"))
    assert await store.read(sealed.ListUpstreams()) == (sealed.StoredUpstream("up_1", "other", b"{}", False, 6),)


async def test_a_secret_is_replaced_and_sealed_anew(store: Store) -> None:
    await commit(store, SEALED, replace(SEALED, kind="webhook"), replace(SEALED, holder_id="up_2"))
    assert [(row.kind, row.holder_id) for row in await store.read(sealed.ListSecrets())] == [
        ("upstream", "up_1"),
        ("upstream", "up_2"),
        ("webhook", "up_1"),
    ]
    await commit(store, sealed.ResealSecret("upstream", "up_1", "k2", b"\x00other", SEALED.sealed))
    first, second = await store.read(sealed.ListSecrets("upstream"))
    assert first == sealed.Secret("upstream", "up_1", "k2", b"\x00other", 5)
    assert second.sealed == SEALED.sealed
    await commit(store, replace(SEALED, sealed=b"third", at_ms=8), sealed.DropSecret("upstream", "up_2"))
    (left,) = await store.read(sealed.ListSecrets("upstream"))
    assert left == sealed.Secret("upstream", "up_1", "k1", b"third", 8)


async def test_secrets_are_found_counted_and_listed_by_page(store: Store) -> None:
    """What is under another key than one that is named is what a rotation has still to do."""
    old = [replace(SEALED, holder_id=f"up_{number}") for number in range(3)]
    new = replace(SEALED, kind="webhook", holder_id="whs_1", key_id="k2")
    await commit(store, *old, new)
    assert await store.read(sealed.FindSecret("webhook", "whs_1")) == sealed.Secret(
        "webhook", "whs_1", "k2", SEALED.sealed, 5
    )
    assert await store.read(sealed.FindSecret("upstream", "whs_1")) is None
    assert await store.read(sealed.CountSecrets()) == (
        sealed.SecretCount("upstream", "k1", 3),
        sealed.SecretCount("webhook", "k2", 1),
    )
    for query, found in (
        (sealed.ListSecrets(limit=2), ["up_0", "up_1"]),
        (sealed.ListSecrets(after=("upstream", "up_1")), ["up_2", "whs_1"]),
        (sealed.ListSecrets("upstream", after=("upstream", "up_2")), []),
        (sealed.ListSecrets(not_under="k1"), ["whs_1"]),
        (sealed.ListSecrets(not_under="k2", limit=1), ["up_0"]),
    ):
        assert [row.holder_id for row in await store.read(query)] == found, query


async def test_what_has_no_sealed_secret_is_listed(store: Store) -> None:
    """Of webhooks, and of keys that are signed and that nobody has revoked; page by page."""
    signed = [replace(KEY, id=f"key_{number}", digest=bytes([number]) * 32, signed=True) for number in (2, 3, 4)]
    await commit(store, WORKSPACE, KEY, *signed, RevokeKey("key_4", 9), ENDPOINT, SECRET)
    keys = [sealed.Unsealed("signing", key_id, "") for key_id in ("key_2", "key_3")]
    hook = sealed.Unsealed("webhook", "whs_1", "abc=")
    assert await store.read(sealed.ListUnsealed()) == (*keys, hook)
    assert await store.read(sealed.ListUnsealed(limit=1)) == (keys[0],)
    assert await store.read(sealed.ListUnsealed(after=("signing", "key_2"))) == (keys[1], hook)
    await commit(store, replace(SEALED, kind="webhook", holder_id="whs_1"))
    await commit(store, replace(SEALED, kind="webhook", holder_id="key_2"))
    assert await store.read(sealed.ListUnsealed()) == tuple(keys)


async def test_what_is_sealed_goes_with_its_owner(store: Store) -> None:
    """Rotated out, removed with its endpoint, revoked with its key; others of that name stay."""
    others = [replace(SEALED, kind="upstream", holder_id=name) for name in ("whs_1", "key_1")]
    ids = ("whs_1", "whs_2", "whs_3")
    hooks = [replace(SEALED, kind="webhook", holder_id=name) for name in (*ids, "whs_other")]
    await commit(store, WORKSPACE, KEY, ENDPOINT, SECRET, ROTATION, *others, *hooks)
    await commit(store, replace(SEALED, kind="signing", holder_id="key_1"))
    await commit(store, access.ExpireKey("key_1", 70))
    assert len(await store.read(sealed.ListSecrets())) == 7
    await commit(store, replace(ROTATION, id="whs_3", at_ms=6))
    assert await store.read(sealed.FindSecret("webhook", "whs_1")) is None
    await commit(store, RemoveEndpoint("end_1"), RevokeKey("key_1", 9))
    assert [(row.kind, row.holder_id) for row in await store.read(sealed.ListSecrets())] == [
        ("upstream", "key_1"),
        ("upstream", "whs_1"),
        ("webhook", "whs_other"),
    ]


# Remembered keys


@pytest.mark.parametrize(
    "op",
    [
        access.ExpireKey("key_1", 9),
        access.ChangeKey("key_1", "desk", (), b"{}"),
        access.SetBudget("key_1", "day", 500),
        access.SetWorkspace("ws_1", b'{"watermark":true}', None),
    ],
    ids=lambda op: type(op).__name__,
)
async def test_what_changes_a_key_is_seen_by_the_next_question(durable_place: Place, op: Op) -> None:
    """Through the store that remembers it as well as through another one."""
    ours, theirs = await durable_place.open(), await durable_place.open()
    await commit(ours, WORKSPACE, KEY)
    before = [await store.read(queries.FindKey(KEY.digest)) for store in (ours, theirs)]
    await commit(ours, op)
    after = [await store.read(queries.FindKey(KEY.digest)) for store in (ours, theirs)]
    assert after[0] == after[1] != before[0] == before[1]
    await ours.close()
    await theirs.close()


async def test_what_a_key_has_spent_is_seen_by_the_next_question(store: Store) -> None:
    await commit(store, WORKSPACE, KEY, access.SetBudget("key_1", "day", 500))
    for used in (0, 200):
        found = await store.read(queries.FindKey(KEY.digest))
        assert found is not None
        assert found.budgets == (Budget("day", 500, used, 7 if used else 0),)
        await commit(store, SpendBudget("key_1", "day", 7, 200))
    await commit(store, SpendBudget("key_1", "day", 8, 0))
    found = await store.read(queries.FindKey(KEY.digest))
    assert found is not None
    assert found.budgets == (Budget("day", 500, 0, 8),)
