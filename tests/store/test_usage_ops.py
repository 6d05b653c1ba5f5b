"""Usage beyond the single row: pages by keyset, and sums that agree with the rows whatever happened to them."""

from __future__ import annotations

import dataclasses
from itertools import chain, product

import pytest
from msgspec.structs import replace

from imageway.core.ops import Store
from imageway.ledger import ops
from imageway.ledger.queries import ListUsage
from imageway.ledger.usage import DAY_MS, HOUR_MS, FindUsage, SumUsage, UsageDetail, UsageSum
from tests.store.places import COMMITTED, WORKSPACE, commit, usage

JANUARY_MS = 1_767_225_600_000  # 2026-01-01T00:00:00Z
FEBRUARY_MS = JANUARY_MS + 31 * DAY_MS
DETAILED = usage(
    dialect="unified",
    operation="edit",
    offering="draw-1@maker",
    size="1024x1024",
    input_text_tokens=10,
    input_image_tokens=20,
    output_text_tokens=30,
    output_image_tokens=40,
    queue_ms=5,
    upstream_ms=60,
    total_ms=70,
    warnings="ignored rounded",
    error="bad_response",
)


async def found(store: Store, query: FindUsage) -> list[str]:
    return [row.request_id for row in await store.read(query)]


async def test_a_row_is_told_as_it_was_recorded(store: Store) -> None:
    await commit(store, WORKSPACE, DETAILED)
    (row,) = await store.read(FindUsage())
    assert row == UsageDetail(
        seq=row.seq,
        request_id="req_1",
        workspace_id="ws_1",
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
        dialect="unified",
        operation="edit",
        offering="draw-1@maker",
        size="1024x1024",
        input_text_tokens=10,
        input_image_tokens=20,
        output_text_tokens=30,
        output_image_tokens=40,
        queue_ms=5,
        upstream_ms=60,
        total_ms=70,
        warnings="ignored rounded",
        error="bad_response",
    )


async def test_rows_of_a_workspace_that_is_gone_are_told_by_its_id(store: Store) -> None:
    await commit(store, usage())
    assert [row.workspace for row in await store.read(FindUsage())] == ["ws_1"]


async def test_rows_are_found_by_what_they_are_of(store: Store) -> None:
    others = {"key_id": "key_2", "workspace_id": "ws_2", "model": "draw-2", "outcome": "failed", "at_ms": 20}
    await commit(store, usage("req_0"), *(usage(f"req_{name}", **{name: value}) for name, value in others.items()))
    assert await found(store, FindUsage(key_id="key_2")) == ["req_key_id"]
    assert await found(store, FindUsage(workspace_id="ws_2")) == ["req_workspace_id"]
    assert await found(store, FindUsage(model="draw-2")) == ["req_model"]
    assert await found(store, FindUsage(outcome="failed")) == ["req_outcome"]
    assert await found(store, FindUsage(since_ms=20)) == ["req_at_ms"]
    assert "req_at_ms" not in await found(store, FindUsage(until_ms=20))
    assert await found(store, FindUsage(model="draw-2", outcome="failed")) == []
    assert len(await found(store, FindUsage())) == 6


@pytest.mark.parametrize("workspace_id", ["", "ws_1"])
async def test_pages_follow_each_other_newest_first_whatever_order_rows_came_in(
    store: Store, workspace_id: str
) -> None:
    times = [5, 9, 7, 9, 9, 1, 7]
    await commit(store, *(usage(f"req_{number}", at_ms=at_ms) for number, at_ms in enumerate(times)))
    pages: list[list[str]] = []
    before: tuple[int, int] | None = None
    while rows := await store.read(FindUsage(workspace_id=workspace_id, before=before, limit=2)):
        pages.append([row.request_id for row in rows])
        before = rows[-1].at_ms, rows[-1].seq
    assert pages == [["req_4", "req_3"], ["req_1", "req_6"], ["req_2", "req_0"], ["req_5"]]
    assert [row.request_id for row in await store.read(ListUsage())] == list(chain(*pages))


async def test_sums_say_what_rows_of_an_hour_came_to(store: Store) -> None:
    await commit(store, DETAILED, replace(DETAILED, request_id="req_2", at_ms=HOUR_MS - 1))
    (hour,) = await store.read(SumUsage(by=("hour", "model")))
    assert hour == UsageSum(
        group=("0", "draw-1"),
        requests=2,
        asked=4,
        delivered=2,
        price_usd_micros=40_000,
        refunded_usd_micros=0,
        cost_usd_micros=30_000,
        tokens=200,
        total_ms=140,
        upstream_ms=120,
    )


async def test_nothing_is_the_sum_of_nothing(store: Store) -> None:
    assert await store.read(SumUsage()) == ()
    assert await store.read(SumUsage(by=("day",))) == ()


async def test_times_come_in_order_and_at_the_same_time_the_dearest_first(store: Store) -> None:
    rows = [
        (JANUARY_MS, "cheap", 5),
        (JANUARY_MS + DAY_MS - 1, "dear", 90),
        (JANUARY_MS + 3 * HOUR_MS, "cheap", 4),
        (FEBRUARY_MS - 1, "cheap", 1),
        (FEBRUARY_MS, "dear", 2),
    ]
    await commit(
        store,
        *(usage(f"req_{at_ms}", at_ms=at_ms, model=model, price_usd_micros=price) for at_ms, model, price in rows),
    )

    async def sums(query: SumUsage) -> list[tuple[tuple[str, ...], int]]:
        return [(row.group, row.price_usd_micros) for row in await store.read(query)]

    days = [str(JANUARY_MS), str(FEBRUARY_MS - DAY_MS), str(FEBRUARY_MS)]
    assert await sums(SumUsage(by=("day",))) == [((days[0],), 99), ((days[1],), 1), ((days[2],), 2)]
    assert await sums(SumUsage(by=("month",))) == [((days[0],), 100), ((days[2],), 2)]
    assert await sums(SumUsage(by=("model",))) == [(("dear",), 92), (("cheap",), 10)]
    assert await sums(SumUsage(by=("model",), limit=1)) == [(("dear",), 92)]
    assert await sums(SumUsage(by=("model", "month"), until_ms=FEBRUARY_MS)) == [
        (("dear", days[0]), 90),
        (("cheap", days[0]), 10),
    ]
    assert await sums(SumUsage()) == [((), 102)]
    assert len(await sums(SumUsage(by=("hour",)))) == 5


async def test_any_stretch_of_hours_is_the_sum_of_its_hours(store: Store) -> None:
    """Whole days are read as days; not one hour is counted twice or lost where they begin and end."""
    rows = [usage(f"req_{hour}", at_ms=hour * HOUR_MS + 7) for hour in range(72)]
    assert await store.commit(*rows) == COMMITTED
    for since_h, until_h in product([0, 1, 23, 24, 25, 47, 48, 71], [0, 1, 24, 25, 48, 70, 72, None]):
        stretch = SumUsage(since_ms=since_h * HOUR_MS, until_ms=None if until_h is None else until_h * HOUR_MS)
        wanted = len(range(since_h, 72 if until_h is None else until_h))
        totals = await store.read(stretch)
        assert [row.requests for row in totals] == [wanted] * (wanted > 0), (since_h, until_h)
        assert len(await store.read(dataclasses.replace(stretch, by=("hour",)))) == wanted


async def test_a_refund_is_told_in_the_hour_and_the_day_of_its_request(store: Store) -> None:
    await commit(store, usage(), usage("req_2", at_ms=2 * HOUR_MS), usage("req_3", delivery="refunded", at_ms=10))
    await commit(store, ops.MarkDelivery("req_1", "refunded", 5 * DAY_MS), ops.MarkDelivery("req_2", "stored", 9))
    hours = await store.read(SumUsage(by=("hour",)))
    assert [(row.price_usd_micros, row.refunded_usd_micros) for row in hours] == [(40_000, 40_000), (20_000, 0)]
    (day,) = await store.read(SumUsage(by=("day",)))
    assert (day.requests, day.price_usd_micros, day.refunded_usd_micros) == (3, 60_000, 40_000)


async def test_what_is_recorded_and_refunded_in_one_unit_is_in_the_sums(store: Store) -> None:
    await store.commit(usage(), ops.MarkDelivery("req_1", "refunded", 10))
    (total,) = await store.read(SumUsage())
    assert (total.requests, total.price_usd_micros, total.refunded_usd_micros) == (1, 20_000, 20_000)


async def test_a_refused_unit_leaves_nothing_in_the_sums(store: Store) -> None:
    await commit(store, usage())
    await store.commit(usage("req_2"), usage("req_1"))
    (total,) = await store.read(SumUsage())
    assert total.requests == 1


async def test_sums_are_of_one_workspace_key_or_model_where_that_is_asked(store: Store) -> None:
    await commit(
        store, usage(), usage("req_2", workspace_id="ws_2"), usage("req_3", key_id="key_2"), usage("req_4", model="m")
    )

    async def requests(query: SumUsage) -> list[int]:
        return [row.requests for row in await store.read(query)]

    assert await requests(SumUsage(workspace_id="ws_2")) == [1]
    assert await requests(SumUsage(key_id="key_2", by=("day",))) == [1]
    assert await requests(SumUsage(model="m", by=("hour",))) == [1]
    assert await requests(SumUsage(workspace_id="ws_1", key_id="key_1")) == [2]
    assert await requests(SumUsage(workspace_id="ws_3")) == []


async def test_tokens_that_nobody_can_have_used_are_cut(store: Store) -> None:
    """Nor can a provider that says so stop the sums of others."""
    for number in range(3):
        await commit(store, usage(f"req_{number}", output_image_tokens=2**62, input_text_tokens=-5))
    (total,) = await store.read(SumUsage())
    assert total.tokens == 3 * ops.MAX_TOKENS
