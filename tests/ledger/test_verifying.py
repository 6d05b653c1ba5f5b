"""What does not fit together in the books is named, and nothing else is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from msgspec import structs

from imageway.core.ops import Op
from imageway.ledger import ops
from imageway.ledger.queries import Transfer
from imageway.ledger.usage import DAY_MS, HOUR_MS, sum_key
from imageway.ledger.verifying import Finding, verify
from imageway.storage.memory import MemoryStore
from imageway.storage.memory.tables import Tables
from tests.store.places import CAPTURE, COMMITTED, HOLD, TOPUP, WORKSPACE, usage

LIFE: tuple[Op, ...] = (
    WORKSPACE,
    TOPUP,
    ops.Grant("grant_1", "ws_1", 500, 3),
    ops.Adjust("adjust_1", "ws_1", -40, 3),
    HOLD,
    CAPTURE,
    ops.BookCost("req_1", "up_1", 9_000, 9),
    ops.BookCost("req_1", "up_2", 6_000, 9, known=False),
    usage(),
    ops.Hold("req_2", "ws_1", 70, 10),
    ops.Void("req_2", 11),
    usage("req_2", outcome="failed", delivery="none", price_usd_micros=0, cost_usd_micros=0),
    ops.Hold("req_3", "ws_1", 80, 12),
    ops.Capture("req_3", 80, 13),
    usage("req_3", price_usd_micros=80, cost_usd_micros=0),
    ops.MarkDelivery("req_3", "refunded", 14),
    ops.Refund("req_3", 14),
    ops.Hold("req_4", "ws_1", 90, 15),
    ops.CreateWorkspace("ws_2", "other", 16),
    ops.TopUp("top_2", "ws_2", 5, 16),
)
HOUR = "3600000 0 ws_1 key_1 draw-1 up_1 succeeded"
DAY = "86400000 0 ws_1 key_1 draw-1 up_1 succeeded"


async def lived() -> MemoryStore:
    store = MemoryStore()
    assert await store.commit(*LIFE) == COMMITTED
    return store


async def test_in_sound_books_there_is_nothing_to_find() -> None:
    store = await lived()
    assert await verify(store) == ()
    assert await verify(store, "ws_1") == ()
    assert await verify(MemoryStore()) == ()


def available_grows(tables: Tables) -> None:
    tables.wallets["ws_1"] = replace(tables.wallets["ws_1"], available=tables.wallets["ws_1"].available + 1)


def a_grant_looks_paid(tables: Tables) -> None:
    tables.wallets["ws_1"] = replace(tables.wallets["ws_1"], granted=0, topped_up=1_000_500)


def a_void_comes_twice(tables: Tables) -> None:
    seq = len(tables.transfers) + 1
    tables.transfers[seq] = Transfer(seq, "void", "ws_1", "req_2", "wallet", 70, 20)
    wallet = tables.wallets["ws_1"]
    tables.wallets["ws_1"] = replace(wallet, available=wallet.available + 70, held=wallet.held - 70)


def a_capture_is_above_its_hold(tables: Tables) -> None:
    tables.holds["req_1"] = replace(tables.holds["req_1"], captured=20_001)


def a_transfer_is_lost(tables: Tables) -> None:
    (seq,) = [seq for seq, row in tables.transfers.items() if (row.kind, row.task_id) == ("capture", "req_3")]
    del tables.transfers[seq]


def a_hold_was_never_resolved(tables: Tables) -> None:
    tables.holds["req_2"] = replace(tables.holds["req_2"], state="open")


def a_price_is_another_in_the_usage(tables: Tables) -> None:
    tables.usage["req_1"] = structs.replace(tables.usage["req_1"], price_usd_micros=19_999)


def a_usage_row_is_missing(tables: Tables) -> None:
    del tables.usage["req_3"]


def a_cost_was_not_booked(tables: Tables) -> None:
    (seq,) = [seq for seq, row in tables.transfers.items() if row.kind == "unknown"]
    del tables.transfers[seq]


def the_hour_was_forgotten(tables: Tables) -> None:
    key = sum_key(tables.usage["req_1"], HOUR_MS)
    tables.sums[key] = (1, 2, 1, 80, 80, 0, 0, 0, 0)


def the_day_is_missing(tables: Tables) -> None:
    del tables.sums[sum_key(tables.usage["req_2"], DAY_MS)]


FOUND: list[tuple[Callable[[Tables], None], list[Finding]]] = [
    (available_grows, [Finding("wallet", "ws_1", "available", 980_370, 980_371)]),
    (
        a_grant_looks_paid,
        [Finding("wallet", "ws_1", "granted", 500, 0), Finding("wallet", "ws_1", "topped_up", 1_000_000, 1_000_500)],
    ),
    (a_void_comes_twice, [Finding("hold", "req_2", "void", 140, 70)]),
    (
        a_capture_is_above_its_hold,
        [
            Finding("hold", "req_1", "capture", 20_000, 20_001),
            Finding("hold", "req_1", "void", 10_000, 9_999),
            Finding("price", "req_1", "captured", 20_001, 20_000),
        ],
    ),
    (
        a_transfer_is_lost,
        [
            Finding("hold", "req_3", "capture", 0, 80),
            Finding("wallet", "ws_1", "held", 170, 90),
            Finding("wallet", "ws_1", "spent", 19_920, 20_000),
        ],
    ),
    (a_hold_was_never_resolved, [Finding("hold", "req_2", "void", 70, 0)]),
    (
        a_price_is_another_in_the_usage,
        [
            Finding("price", "req_1", "captured", 20_000, 19_999),
            Finding("sum", HOUR, "price_usd_micros", 20_079, 20_080),
            Finding("sum", DAY, "price_usd_micros", 20_079, 20_080),
        ],
    ),
    (a_cost_was_not_booked, [Finding("cost", "req_1", "cost", 9_000, 15_000)]),
    (
        the_hour_was_forgotten,
        [
            Finding("sum", HOUR, "asked", 4, 2),
            Finding("sum", HOUR, "cost_usd_micros", 15_000, 0),
            Finding("sum", HOUR, "delivered", 2, 1),
            Finding("sum", HOUR, "price_usd_micros", 20_080, 80),
            Finding("sum", HOUR, "requests", 2, 1),
        ],
    ),
]


@pytest.mark.parametrize(("plant", "findings"), FOUND, ids=[plant.__name__ for plant, _ in FOUND])
async def test_what_differs_is_named_with_both_figures(
    plant: Callable[[Tables], None], findings: list[Finding]
) -> None:
    store = await lived()
    plant(store._tables)
    assert list(await verify(store)) == findings


@pytest.mark.parametrize(
    ("plant", "law"), [(a_usage_row_is_missing, "price"), (the_day_is_missing, "sum"), (a_cost_was_not_booked, "cost")]
)
async def test_rows_that_are_missing_are_found(plant: Callable[[Tables], None], law: str) -> None:
    store = await lived()
    plant(store._tables)
    assert law in {finding.law for finding in await verify(store)}


async def test_one_workspace_is_looked_at_alone_and_without_the_operators_costs() -> None:
    store = await lived()
    a_cost_was_not_booked(store._tables)
    available_grows(store._tables)
    assert await verify(store, "ws_2") == ()
    assert [finding.law for finding in await verify(store, "ws_1")] == ["wallet"]


async def test_two_differences_do_not_make_up_for_each_other() -> None:
    """What one wallet has too much and another too little, in the same breath."""
    store = await lived()
    for workspace_id, by in (("ws_1", 1), ("ws_2", -1)):
        wallet = store._tables.wallets[workspace_id]
        store._tables.wallets[workspace_id] = replace(wallet, available=wallet.available + by)
    assert [finding.name for finding in await verify(store)] == ["ws_1", "ws_2"]
