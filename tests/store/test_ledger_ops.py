"""Ops on money, keys and usage: what each does, seen through the queries."""

from __future__ import annotations

from msgspec.structs import replace

from imageway.core.ops import Refused, Store
from imageway.ledger import ops, queries
from tests.store.places import CAPTURE, HOLD, KEY, TOPUP, WORKSPACE, commit, usage


async def balances(store: Store) -> tuple[int, int, int]:
    wallet = await store.read(queries.ShowWallet("ws_1"))
    assert wallet is not None
    return wallet.available, wallet.held, wallet.spent


async def moves(store: Store) -> list[tuple[str, int]]:
    return [(row.kind, row.usd_micros) for row in await store.read(queries.ListTransfers("ws_1"))]


async def holds(store: Store) -> list[tuple[str, int, int]]:
    return [(row.state, row.usd_micros, row.captured) for row in await store.read(queries.ListHolds())]


async def test_a_new_workspace_has_an_empty_wallet(store: Store) -> None:
    await commit(store, WORKSPACE)
    assert await store.read(queries.ListWorkspaces()) == (queries.Workspace("ws_1", "studio", 1),)
    assert await store.read(queries.ShowWallet("ws_1")) == queries.Wallet("ws_1", "studio", 0, 0, 0, 0, 0, 0)


async def test_a_topup_adds_to_what_is_available(store: Store) -> None:
    await commit(store, WORKSPACE, TOPUP, ops.TopUp("top_2", "ws_1", 5, 3))
    assert await balances(store) == (1_000_005, 0, 0)
    first, second = await store.read(queries.ListTransfers())
    assert first.seq < second.seq
    assert first == queries.Transfer(first.seq, "topup", "ws_1", None, "wallet", 1_000_000, 2)


async def sources(store: Store) -> tuple[int, int, int]:
    wallet = await store.read(queries.ShowWallet("ws_1"))
    assert wallet is not None
    return wallet.topped_up, wallet.granted, wallet.adjusted


async def test_a_wallet_knows_where_its_money_came_from(store: Store) -> None:
    given = ops.Grant("grant_1", "ws_1", 500, 3)
    up, down = ops.Adjust("adjust_1", "ws_1", 70, 4), ops.Adjust("adjust_2", "ws_1", -90, 5)
    await commit(store, WORKSPACE, TOPUP, given, up, down)
    assert await balances(store) == (1_000_480, 0, 0)
    assert await sources(store) == (1_000_000, 500, -20)
    assert (await moves(store))[1:] == [("grant", 500), ("adjust_up", 70), ("adjust_down", 90)]


async def test_spending_changes_nothing_about_where_money_came_from(store: Store) -> None:
    await commit(store, WORKSPACE, TOPUP, HOLD, CAPTURE, ops.Refund("req_1", 10))
    assert await sources(store) == (1_000_000, 0, 0)


async def test_an_adjustment_may_take_the_last_micro_dollar_but_nothing_that_is_held(store: Store) -> None:
    await commit(store, WORKSPACE, TOPUP, HOLD)
    everything = ops.Adjust("adjust_1", "ws_1", -970_000, 5)
    more = replace(everything, usd_micros=-970_001)
    assert await store.commit(more) == Refused(more, "insufficient_balance")
    await commit(store, everything)
    assert await balances(store) == (0, 30_000, 0)


async def test_a_hold_sets_money_aside(store: Store) -> None:
    await commit(store, WORKSPACE, TOPUP, HOLD)
    assert await balances(store) == (970_000, 30_000, 0)
    assert await holds(store) == [("open", 30_000, 0)]
    assert await moves(store) == [("topup", 1_000_000), ("hold", 30_000)]


async def test_a_hold_may_take_the_last_micro_dollar(store: Store) -> None:
    await commit(store, WORKSPACE, TOPUP, ops.Hold("req_1", "ws_1", 1_000_000, 4))
    assert await balances(store) == (0, 1_000_000, 0)


async def test_a_capture_of_a_part_gives_the_rest_back(store: Store) -> None:
    await commit(store, WORKSPACE, TOPUP, HOLD, CAPTURE)
    assert await balances(store) == (980_000, 0, 20_000)
    assert await holds(store) == [("captured", 30_000, 20_000)]
    assert (await moves(store))[2:] == [("capture", 20_000), ("void", 10_000)]


async def test_a_capture_of_the_whole_hold_is_one_transfer(store: Store) -> None:
    await commit(store, WORKSPACE, TOPUP, HOLD, ops.Capture("req_1", 30_000, 9))
    assert await balances(store) == (970_000, 0, 30_000)
    assert (await moves(store))[2:] == [("capture", 30_000)]


async def test_a_capture_of_nothing_is_a_capture(store: Store) -> None:
    await commit(store, WORKSPACE, TOPUP, HOLD, ops.Capture("req_1", 0, 9))
    assert await balances(store) == (1_000_000, 0, 0)
    assert await holds(store) == [("captured", 30_000, 0)]


async def test_a_void_gives_everything_back(store: Store) -> None:
    await commit(store, WORKSPACE, TOPUP, HOLD, ops.Void("req_1", 9))
    assert await balances(store) == (1_000_000, 0, 0)
    assert await holds(store) == [("voided", 30_000, 0)]
    assert (await moves(store))[2:] == [("void", 30_000)]


async def test_a_refund_gives_back_what_was_captured(store: Store) -> None:
    await commit(store, WORKSPACE, TOPUP, HOLD, CAPTURE, ops.Refund("req_1", 10))
    assert await balances(store) == (1_000_000, 0, 0)
    assert await holds(store) == [("refunded", 30_000, 20_000)]
    assert (await moves(store))[4:] == [("refund", 20_000)]


async def test_costs_and_overruns_are_the_operators_and_touch_no_wallet(store: Store) -> None:
    await commit(store, WORKSPACE, TOPUP)
    await commit(store, ops.BookCost("req_1", "up_1", 7, 8), ops.BookOverrun("req_1", 3, 9))
    assert await balances(store) == (1_000_000, 0, 0)
    assert await moves(store) == [("topup", 1_000_000)]
    _, cost, overrun = await store.read(queries.ListTransfers())
    assert cost == queries.Transfer(cost.seq, "cost", None, "req_1", "cost:up_1", 7, 8)
    assert overrun == queries.Transfer(overrun.seq, "overrun", None, "req_1", "overrun", 3, 9)


async def test_a_cost_that_nobody_knows_is_kept_apart(store: Store) -> None:
    await commit(store, ops.BookCost("req_1", "up_1", 7, 8, known=False))
    (unknown,) = await store.read(queries.ListTransfers())
    assert unknown == queries.Transfer(unknown.seq, "unknown", None, "req_1", "unknown:up_1", 7, 8)


async def test_a_key_is_found_by_its_digest(store: Store) -> None:
    await commit(store, WORKSPACE, KEY)
    key = queries.Key("key_1", "ws_1", "studio", "laptop", "wxyz", ("draw-*", "other"), 3, None, root_id="key_1")
    assert await store.read(queries.FindKey(KEY.digest)) == key
    assert await store.read(queries.FindKey(bytes(32))) is None
    assert await store.read(queries.ListKeys("ws_1")) == (key,)
    assert await store.read(queries.ListKeys("ws_2")) == ()


async def test_a_revoked_key_is_found_and_says_so(store: Store) -> None:
    await commit(store, WORKSPACE, KEY, ops.RevokeKey("key_1", 11))
    key = await store.read(queries.FindKey(KEY.digest))
    assert key is not None
    assert key.revoked_ms == 11


async def test_usage_is_told_with_the_workspace_by_name_newest_first(store: Store) -> None:
    later = usage("req_2", model="draw-2", delivery="none", outcome="failed")
    await commit(store, WORKSPACE, usage(), later)
    newest, oldest = await store.read(queries.ListUsage())
    assert (newest.request_id, newest.model, newest.outcome, newest.delivery) == ("req_2", "draw-2", "failed", "none")
    assert oldest == queries.UsageRow(
        request_id="req_1",
        workspace="studio",
        key_id="key_1",
        model="draw-1",
        outcome="succeeded",
        n=2,
        delivered=1,
        price_usd_micros=20_000,
        cost_usd_micros=15_000,
        lines=b'[{"what": "image"}]',
        delivery="undelivered",
        upstream_id="up_1",
        at_ms=9,
    )
    assert await store.read(queries.ListUsage(limit=1)) == (newest,)
    assert await store.read(queries.ListUsage("ws_1")) == (newest, oldest)
    assert await store.read(queries.ListUsage("ws_2")) == ()


async def test_undelivered_usage_is_found_by_owner_until_it_is_marked(store: Store) -> None:
    await commit(store, WORKSPACE, usage(), usage("req_2", delivery="delivered"), usage("req_3", owner="process_b"))

    async def found(*owners: str) -> list[str]:
        return [row.request_id for row in await store.read(queries.Undelivered(owners))]

    assert await found("process_a") == ["req_1"]
    assert await found("process_a", "process_b") == ["req_1", "req_3"]
    assert await found() == []
    await commit(store, ops.MarkDelivery("req_1", "stored", 12))
    assert await found("process_a") == []
    assert {row.delivery for row in await store.read(queries.ListUsage())} == {"stored", "delivered", "undelivered"}


async def test_a_workspace_is_found_by_name_and_by_id_and_the_id_wins(store: Store) -> None:
    await commit(store, WORKSPACE, ops.CreateWorkspace("ws_2", "ws_1", 2))
    assert await store.read(queries.FindWorkspace("studio")) == queries.Workspace("ws_1", "studio", 1)
    assert await store.read(queries.FindWorkspace("ws_1")) == queries.Workspace("ws_1", "studio", 1)
    assert await store.read(queries.FindWorkspace("ws_2")) == queries.Workspace("ws_2", "ws_1", 2)
    assert await store.read(queries.FindWorkspace("nobody")) is None


async def test_lists_are_in_the_order_of_creation_then_by_id(store: Store) -> None:
    for name, at_ms in (("Zoo", 2), ("apfel", 2), ("Äpfel", 1)):
        await commit(store, ops.CreateWorkspace(f"ws_{name}", name, at_ms))
    assert [row.name for row in await store.read(queries.ListWorkspaces())] == ["Äpfel", "Zoo", "apfel"]


async def test_holds_and_transfers_are_told_by_workspace(store: Store) -> None:
    other = ops.CreateWorkspace("ws_2", "other", 2)
    await commit(
        store, WORKSPACE, TOPUP, HOLD, other, ops.TopUp("top_2", "ws_2", 9, 3), ops.Hold("req_2", "ws_2", 9, 4)
    )
    assert [row.task_id for row in await store.read(queries.ListHolds())] == ["req_1", "req_2"]
    assert [row.task_id for row in await store.read(queries.ListHolds("ws_2"))] == ["req_2"]
    assert [row.usd_micros for row in await store.read(queries.ListTransfers("ws_2"))] == [9, 9]
    assert len(await store.read(queries.ListTransfers())) == 4


async def test_no_list_is_longer_than_asked_for_and_the_next_page_begins_where_it_ended(store: Store) -> None:
    for number in range(5):
        name = f"ws_{number}"
        await commit(store, ops.CreateWorkspace(name, name, number), ops.TopUp(name, name, 9, number))
        await commit(
            store,
            ops.Hold(f"req_{number}", name, 9, number),
            replace(KEY, id=name, workspace_id=name, digest=name.encode()),
        )
    assert [row.id for row in await store.read(queries.ListWorkspaces(limit=2))] == ["ws_0", "ws_1"]
    assert [row.id for row in await store.read(queries.ListKeys(limit=2))] == ["ws_0", "ws_1"]
    assert [row.id for row in await store.read(queries.ListWorkspaces(after=(1, "ws_1"), limit=2))] == ["ws_2", "ws_3"]
    assert [row.id for row in await store.read(queries.ListKeys(after=(KEY.at_ms, "ws_3")))] == ["ws_4"]
    assert await store.read(queries.ListWorkspaces(after=(4, "ws_4"))) == ()
    first = await store.read(queries.ListTransfers(limit=4))
    rest = await store.read(queries.ListTransfers(after_seq=first[-1].seq))
    assert len(first) == 4
    assert (*first, *rest) == await store.read(queries.ListTransfers())
    holds = await store.read(queries.ListHolds(after_task="req_1", limit=2))
    assert [row.task_id for row in holds] == ["req_2", "req_3"]
    assert [row.kind for row in await store.read(queries.ListTransfers("ws_3", limit=1))] == ["topup"]


async def test_a_wallet_that_is_not_there_is_none(store: Store) -> None:
    assert await store.read(queries.ShowWallet("ws_1")) is None
