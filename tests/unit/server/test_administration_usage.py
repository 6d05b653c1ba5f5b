"""Usage as operators read it, on a store in memory."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from imageway.catalog import load
from imageway.catalog.terms import day_of
from imageway.core.errors import InvalidRequest
from imageway.core.money import format_usd
from imageway.core.ops import Committed, Store
from imageway.ledger.ops import BookCost, BookOverrun, Capture, CreateWorkspace, Grant, Hold, RecordUsage, Refund, TopUp
from imageway.ledger.usage import FindUsage, SumUsage
from imageway.server.administration import reconciliation, usage
from imageway.server.administration.office import Office
from imageway.server.administration.reconciliation import InvoiceRow, read_invoice, reconcile
from imageway.server.administration.statements import span_ms, statement
from imageway.server.machine import SystemRandom
from imageway.storage import open_store
from imageway.tasks.ops import EndAttempt
from tests.store.places import KEY, WORKSPACE, attempt, finish, task

NOVEMBER_MS, DECEMBER_MS = span_ms("2026-11")
DAY_MS = 86_400_000


class Clock:
    def now_ms(self) -> int:
        return NOVEMBER_MS + 5 * DAY_MS

    def monotonic_s(self) -> float:
        return 0.0

    async def sleep(self, seconds: float) -> None:
        raise AssertionError(seconds)


@pytest.fixture
async def office() -> AsyncIterator[Office]:
    store = await open_store("memory://")
    yield Office(store, Clock(), SystemRandom(), "cli")
    await store.close()


async def commit(store: Store, *ops: Any) -> None:
    assert isinstance(await store.commit(*ops), Committed)


def row(name: str, at_ms: int, **about: Any) -> RecordUsage:
    said = {
        "request_id": name,
        "workspace_id": "ws_1",
        "key_id": "key_1",
        "model": "gpt-image-2",
        "outcome": "succeeded",
        "n": 1,
        "delivered": 1,
        "price_usd_micros": 40_000,
        "cost_usd_micros": 30_000,
        "lines": b'{"price":[{"what":"image","quantity":"1","unit":"image","unit_usd":"0.04"}]}',
        "delivery": "delivered",
        "owner": "proc",
        "upstream_id": "up_1",
        "at_ms": at_ms,
    }
    return RecordUsage(**(said | about))


async def a_month(store: Store) -> None:
    """$10 in October; in November $5 and $1 granted, two captures, one of them given back, and an overrun."""
    inside = NOVEMBER_MS + DAY_MS
    await commit(store, CreateWorkspace("ws_1", "studio", 0), TopUp("a", "ws_1", 10_000_000, NOVEMBER_MS - 1))
    await commit(store, TopUp("b", "ws_1", 5_000_000, inside), Grant("c", "ws_1", 1_000_000, inside))
    for name in ("req_1", "req_2"):
        await commit(store, Hold(name, "ws_1", 50_000, inside))
        await commit(
            store,
            Capture(name, 40_000, inside),
            BookCost(name, "up_1", 30_000, inside),
            row(name, inside, total_ms=3_000, queue_ms=1_000, upstream_ms=1_500, warnings="size_adjusted n_adjusted"),
        )
    await commit(store, Refund("req_2", inside), BookOverrun("req_1", 7, inside))
    await commit(store, BookCost("req_3", "up_1", 20_000, inside, known=False))
    await commit(store, row("req_4", DECEMBER_MS, model="=SUM(A1)", outcome="failed", delivered=0, price_usd_micros=0))


async def test_a_row_has_both_sides_lines_and_where_the_time_went(office: Office) -> None:
    await a_month(office.store)
    (shown,), following = await usage.page(office.store, FindUsage(until_ms=DECEMBER_MS, limit=1))
    assert (shown.workspace, shown.price_usd, shown.cost_usd) == ("studio", "0.040000", "0.030000")
    assert shown.lines["price"][0]["unit_usd"] == "0.04"
    assert (shown.latency.queue_ms, shown.latency.upstream_ms, shown.latency.gateway_ms) == (1_000, 1_500, 500)
    assert shown.warnings == ("size_adjusted", "n_adjusted")
    assert following is not None


async def test_pages_follow_each_other_to_the_end(office: Office) -> None:
    await a_month(office.store)
    seen: list[str] = []
    following: str | None = None
    while True:
        rows, following = await usage.page(office.store, FindUsage(before=usage.place(following), limit=2))
        seen += [one.request_id for one in rows]
        if following is None:
            break
    assert seen == ["req_4", "req_2", "req_1"]
    with pytest.raises(InvalidRequest):
        usage.place("yesterday")


async def test_an_export_has_every_row_and_no_formula(office: Office) -> None:
    await a_month(office.store)
    content = b"".join([chunk async for chunk in usage.export(office.store, FindUsage(), "csv").chunks()])
    rows = list(csv.DictReader(io.StringIO(content.decode())))
    assert [one["request_id"] for one in rows] == ["req_4", "req_2", "req_1"]
    assert rows[0]["model"] == "'=SUM(A1)"
    assert (rows[1]["price_usd"], rows[1]["upstream"]) == ("0.040000", "up_1")
    lines = b"".join([chunk async for chunk in usage.export(office.store, FindUsage(), "jsonl").chunks()])
    told = [json.loads(line) for line in lines.splitlines()]
    assert [one["request_id"] for one in told] == ["req_4", "req_2", "req_1"]
    spent = [{name: int(row[name]) for name in one["latency"]} for row, one in zip(rows, told, strict=True)]
    assert spent == [one["latency"] for one in told]  # how long who took is the same in both


async def test_an_export_goes_on_beyond_one_page(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(usage, "PAGE_ROWS", 2)
    await a_month(office.store)
    chunks = [chunk async for chunk in usage.export(office.store, FindUsage(), "jsonl").chunks()]
    assert [chunk.count(b"\n") for chunk in chunks] == [2, 1]


async def test_sums_say_what_is_left(office: Office) -> None:
    await a_month(office.store)
    (one,) = await usage.sums(office.store, SumUsage(until_ms=DECEMBER_MS, by=("model",)))
    assert one.group == {"model": "gpt-image-2"}
    assert (one.requests, one.delivered, one.price_usd, one.cost_usd) == (2, 2, "0.080000", "0.060000")
    assert (one.margin_usd, one.mean_ms) == ("0.020000", 3_000)
    (day, _) = await usage.sums(office.store, SumUsage(by=("day",)))
    assert day.group == {"day": "2026-11-02T00:00:00+00:00"}


async def test_a_statement_leads_from_one_balance_to_the_next(office: Office) -> None:
    await a_month(office.store)
    shown = await statement(office, "studio", "2026-11")
    assert (shown.opening_usd, shown.topped_up_usd, shown.granted_usd) == ("10.000000", "5.000000", "1.000000")
    assert (shown.captured_usd, shown.refunded_usd, shown.closing_usd) == ("0.080000", "0.040000", "15.960000")
    december = await statement(office, "ws_1", "2026-12")
    assert (december.opening_usd, december.closing_usd) == ("15.960000", "15.960000")


@pytest.mark.parametrize("month", ["2026-13", "2026", "26-01", "2026-1", "2026-01-01"])
async def test_a_month_that_is_none_is_refused(office: Office, month: str) -> None:
    with pytest.raises(InvalidRequest, match=month):
        await statement(office, "studio", month)


async def test_reconciliation_holds_costs_against_what_was_paid(office: Office) -> None:
    await a_month(office.store)
    found = await reconcile(office, load(), "2026-11")
    (route,) = found.upstreams
    assert (route.upstream, route.cost_usd, route.unknown_cost_usd) == ("up_1", "0.060000", "0.020000")
    assert found.overrun_usd == "0.000007"


async def test_all_that_ended_unknown_in_a_month_is_told_whatever_came_later(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Page by page, two to a page here; a task of a month before or after is in none of them."""
    monkeypatch.setattr(reconciliation, "PAGE_TASKS", 2)
    ends = {f"req_{number}": NOVEMBER_MS + number // 3 * DAY_MS for number in range(5)}
    others = {"req_x": NOVEMBER_MS - 1, **{f"req_y{number}": DECEMBER_MS + number for number in range(5)}}
    await commit(office.store, WORKSPACE, KEY)
    for task_id, at_ms in (ends | others).items():
        lost = f"att_{task_id}"
        await commit(office.store, task(task_id), attempt(lost, task_id), attempt(f"{lost}b", task_id, part=1))
        await commit(office.store, EndAttempt(lost, "unknown", "cut", 8), EndAttempt(f"{lost}b", "proved", "", 8))
        await commit(office.store, finish(task_id, at_ms=at_ms))
    found = (await reconcile(office, load(), "2026-11")).unknown
    assert [one.task for one in found] == ["req_4", "req_3", "req_2", "req_1", "req_0"]
    assert {(one.upstreams, one.detail) for one in found} == {(("up_1",), "cut")}
    assert [one.task for one in (await reconcile(office, load(), "2026-10")).unknown] == ["req_x"]
    assert len((await reconcile(office, load(), "2026-12")).unknown) == 5
    assert (await reconcile(office, load(), "2027-01")).unknown == ()


INVOICE = """Date,SKU,Quantity,Amount
2026-11-02,gpt-image-2,2,$0.06
2026-11-02T08:00:00Z,gpt-image-2,1,0.02
2026-11-03,nobody knows,1,1
2026-12-01,gpt-image-2,1,9
"""


async def test_an_invoice_is_compared_by_day_and_model(office: Office) -> None:
    await a_month(office.store)
    invoice = read_invoice("up_1", INVOICE.splitlines())
    found = await reconcile(office, load(), "2026-11", invoice)
    day, model = "2026-11-02", "gpt-image-2"
    assert found.invoice == (
        InvoiceRow(day=day, model=model, invoiced_usd="0.080000", booked_usd="0.060000", difference_usd="0.020000"),
        InvoiceRow(
            day="2026-11-03",
            model="nobody knows",
            invoiced_usd="1.000000",
            booked_usd="0.000000",
            difference_usd="1.000000",
        ),
    )


@pytest.mark.parametrize(
    ("content", "params"),
    [
        ("a,b\n1,2\n", ["date", "model", "amount"]),
        ("day,model,cost\n2026-11-02,x,1\nsoon,x,1\n2026-11-02,x,much\n", ["line 3", "line 4"]),
        (
            "day,model,cost\n2026-11-02,x,1e999999999\n2026-11-02,x,Infinity\n2026-11-02,x,1e30\n2026-11-02,x,NaN\n",
            ["line 2", "line 3", "line 4", "line 5"],
        ),
        (f"day,model,cost\n2026-11-02,{'x' * 200_000},1\n", ["invoice"]),
    ],
)
def test_everything_wrong_with_an_invoice_is_told_at_once(content: str, params: list[str]) -> None:
    with pytest.raises(InvalidRequest) as caught:
        read_invoice("up_1", content.splitlines())
    assert [problem.param for problem in caught.value.details] == params


def test_a_line_that_is_wrong_is_told_with_what_it_says() -> None:
    with pytest.raises(InvalidRequest, match=r'line 2: the day is "soon", the amount "1,5"; accepted: a day such as'):
        read_invoice("up_1", ["day,model,cost", 'soon,x,"1,5"'])


def test_shares_of_a_micro_dollar_are_added_up_before_they_are_rounded() -> None:
    """A cloud's export has a row for every few tokens, each of which is nothing by itself."""
    rows = ["2026-11-02,x,0.0000004"] * 1000 + ["2026-11-03,x,0.0000004"]
    sums = read_invoice("up_1", ["day,model,cost", *rows]).usd_micros
    assert sums == {("2026-11-02", "x"): 400, ("2026-11-03", "x"): 0}


YUAN = """date,model,amount,currency
2026-11-02,qwen-image,0.25,CNY
2026-11-02,qwen-image,0.25,rmb
2026-11-02,qwen-image,¥0.50,
2026-11-02,qwen-image,0.10,USD
2026-11-02,qwen-image,$0.10,
"""


async def test_yuan_of_an_invoice_are_converted_by_the_rate_of_their_day(office: Office) -> None:
    """As the costs that they are compared with were."""
    catalog = load()
    (row,) = (await reconcile(office, catalog, "2026-11", read_invoice("up_1", YUAN.splitlines()))).invoice
    assert row.invoiced_usd == format_usd(200_000 + round(1_000_000 * catalog.on(day_of("2026-11-02")).usd_per_cny))


@pytest.mark.parametrize("said", ["1,EUR", "€1,", "$1,CNY", "¥1,USD"])
def test_an_amount_of_another_currency_is_no_amount(said: str) -> None:
    """What nobody here can convert, or what contradicts itself, is never taken for dollars."""
    with pytest.raises(InvalidRequest, match=r"line 2: the day is .* in USD or CNY"):
        read_invoice("up_1", ["day,model,cost,currency", f"2026-11-02,x,{said}"])
