"""Whether the books are right, from the rows alone. Nearly everything is written twice: a balance and the transfers
that made it, a hold and its transfers, a price captured and the price in the usage row, sums and the rows they are of.
A row becomes statements of what it says, on one of two sides; where both say the same, there is nothing to tell."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Literal, Protocol, TypeVar

from imageway.core.ops import Query
from imageway.ledger.accounts import WALLET, entries
from imageway.ledger.queries import (
    HoldRow,
    ListHolds,
    ListTransfers,
    ListWorkspaces,
    ShowWallet,
    Transfer,
    Wallet,
)
from imageway.ledger.usage import (
    DAY_MS,
    HOUR_MS,
    SPANS_MS,
    SUM_COLUMNS,
    By,
    FindUsage,
    SumKey,
    Sums,
    SumUsage,
    UsageDetail,
    UsageSum,
    sum_key,
    sums_of,
)

T = TypeVar("T")
Law = Literal["wallet", "hold", "price", "cost", "sum"]
Fact = tuple[Law, str, str]
"""The law, whose it is (a workspace, a task, a stretch of time), and what of it."""
Statement = tuple[Fact, int, int]
"""What is said of a fact, by which side: 0 the single rows, 1 what was made of them."""

ROWS: Final = 0
MADE: Final = 1
PAGE: Final = 1000
BUCKETS: Final = 4096
_INSIDE: Final = frozenset({"available", "held", "spent"})
_SPENDING: Final = frozenset({"hold", "capture", "void", "refund"})
_COSTS: Final = frozenset({"cost", "unknown"})
_SUMMED: Final[tuple[By, ...]] = ("workspace", "key", "model", "upstream", "outcome")


class Reader(Protocol):
    """A store, or one moment of it."""

    async def read(self, query: Query[T]) -> T: ...


@dataclass(frozen=True, slots=True, order=True)
class Finding:
    """Two sides that differ. Both figures are micro-dollars, in sums of usage also counts and milliseconds."""

    law: Law
    name: str
    what: str
    rows: int
    made: int


def of_transfer(row: Transfer) -> Iterator[Statement]:
    """Every account of a wallet, every hold and every cost is what the transfers say; where money comes from, a wallet
    tells what has left there."""
    for entry in entries(row.kind, row.workspace_id, row.account, row.usd_micros):
        if entry.workspace_id is not None:
            balance = entry.usd_micros if entry.account in _INSIDE else -entry.usd_micros
            yield ("wallet", entry.workspace_id, entry.account), balance, ROWS
    if row.kind in _SPENDING:
        yield ("hold", row.task_id or "", row.kind), row.usd_micros, ROWS
    elif row.kind in _COSTS:
        yield ("cost", row.task_id or "", "cost"), row.usd_micros, ROWS


def of_wallet(row: Wallet) -> Iterator[Statement]:
    for account in WALLET:
        yield ("wallet", row.workspace_id, account), getattr(row, account), MADE


def of_hold(row: HoldRow) -> Iterator[Statement]:
    """A hold resolves once, whole; and what it captured is the price of its request."""
    taken = {"captured": row.captured, "refunded": row.captured}.get(row.state, 0)
    moved = {
        "hold": row.usd_micros,
        "capture": taken,
        "void": 0 if row.state == "open" else row.usd_micros - taken,
        "refund": taken if row.state == "refunded" else 0,
    }
    for kind, usd_micros in moved.items():
        yield ("hold", row.task_id, kind), usd_micros, MADE
    yield ("price", row.task_id, "captured"), taken, ROWS
    yield ("price", row.task_id, "refunded"), moved["refund"], ROWS


def of_usage(rows: Sequence[UsageDetail], *, costs: bool) -> Iterator[Statement]:
    """`costs`: whether the operator's transfers are looked at as well."""
    sums: dict[SumKey, list[Sums]] = {}
    for row in rows:
        yield ("price", row.request_id, "captured"), row.price_usd_micros, MADE
        yield ("price", row.request_id, "refunded"), row.price_usd_micros if row.delivery == "refunded" else 0, MADE
        if costs:
            yield ("cost", row.request_id, "cost"), row.cost_usd_micros, MADE
        for span_ms in SPANS_MS:
            sums.setdefault(sum_key(row, span_ms), []).append(sums_of(row))
    for key, many in sums.items():
        yield from _of_sums(_stretch(key), map(sum, zip(*many, strict=True)), ROWS)


def of_sum(row: UsageSum, span_ms: int) -> Iterator[Statement]:
    """`row` is grouped by its time and then by all else that sums are kept for."""
    begin_ms, *named = row.group
    key = f"{span_ms} {begin_ms} {' '.join(named)}"
    yield from _of_sums(key, (getattr(row, column) for column in SUM_COLUMNS), MADE)


def _stretch(key: SumKey) -> str:
    return " ".join(map(str, key))


def _of_sums(key: str, values: Iterable[int], side: int) -> Iterator[Statement]:
    for column, value in zip(SUM_COLUMNS, values, strict=True):
        yield ("sum", key, column), value, side


class Tally:
    """In which of a few buckets the sides differ, in little room however many rows there are: each fact weighs as much
    as its hash says, so that two differences do not make up for each other."""

    def __init__(self) -> None:
        self._weights = [0] * BUCKETS

    def add(self, statements: Iterable[Statement]) -> None:
        weights = self._weights
        for fact, said, side in statements:
            if said:
                mark = hash(fact)
                weights[mark % BUCKETS] += -mark * said if side else mark * said

    def suspects(self) -> frozenset[int]:
        return frozenset(bucket for bucket, weight in enumerate(self._weights) if weight)


class Differences:
    """The facts of suspect buckets, one by one."""

    def __init__(self, suspects: frozenset[int]) -> None:
        self._suspects = suspects
        self._sides: dict[Fact, list[int]] = {}

    def add(self, statements: Iterable[Statement]) -> None:
        for fact, said, side in statements:
            if hash(fact) % BUCKETS in self._suspects:
                self._sides.setdefault(fact, [0, 0])[side] += said

    def findings(self) -> tuple[Finding, ...]:
        return tuple(sorted(Finding(*fact, *sides) for fact, sides in self._sides.items() if sides[0] != sides[1]))


async def verify(reader: Reader, workspace_id: str | None = None) -> tuple[Finding, ...]:
    """All that differs in the books, or in those of one workspace (the operator's costs are nobody's, and left out
    then). `reader` should be one moment of the store: it is read twice where something differs."""
    tally = Tally()
    async for statements in _statements(reader, workspace_id):
        tally.add(statements)
    suspects = tally.suspects()
    if not suspects:
        return ()
    differences = Differences(suspects)
    async for statements in _statements(reader, workspace_id):
        differences.add(statements)
    return differences.findings()


async def _statements(reader: Reader, workspace_id: str | None) -> AsyncIterator[Iterable[Statement]]:
    """Page by page, of every table there is."""
    seq, task_id = 0, ""
    while transfers := await reader.read(ListTransfers(workspace_id, seq, PAGE)):
        yield (statement for row in transfers for statement in of_transfer(row))
        seq = transfers[-1].seq
    while holds := await reader.read(ListHolds(workspace_id, task_id, PAGE)):
        yield (statement for row in holds for statement in of_hold(row))
        task_id = holds[-1].task_id
    async for wallet in _wallets(reader, workspace_id):
        yield of_wallet(wallet)
    before: tuple[int, int] | None = None
    while rows := await reader.read(FindUsage(workspace_id=workspace_id or "", before=before, limit=PAGE)):
        yield of_usage(rows, costs=workspace_id is None)
        before = rows[-1].at_ms, rows[-1].seq
    async for span_ms, sums in _sums(reader, workspace_id or ""):
        yield (statement for row in sums for statement in of_sum(row, span_ms))


async def _wallets(reader: Reader, workspace_id: str | None) -> AsyncIterator[Wallet]:
    after = (-1, "")
    known = [workspace_id] if workspace_id else []
    while not workspace_id and (page := await reader.read(ListWorkspaces(after, PAGE))):
        known += [row.id for row in page]
        after = page[-1].created_ms, page[-1].id
    for one in known:
        wallet = await reader.read(ShowWallet(one))
        if wallet is not None:
            yield wallet


async def _sums(reader: Reader, workspace_id: str) -> AsyncIterator[tuple[int, tuple[UsageSum, ...]]]:
    """A day at a time."""
    everything = 10**9
    for day in await reader.read(SumUsage(workspace_id=workspace_id, by=("day",), limit=everything)):
        begin_ms = int(day.group[0])
        times: tuple[tuple[int, By], ...] = ((HOUR_MS, "hour"), (DAY_MS, "day"))
        for span_ms, time in times:
            query = SumUsage(
                workspace_id=workspace_id,
                since_ms=begin_ms,
                until_ms=begin_ms + DAY_MS,
                by=(time, *_SUMMED),
                limit=everything,
            )
            yield span_ms, await reader.read(query)
