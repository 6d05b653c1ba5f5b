"""The ledger under any sequence of ops agrees with a naive model, on every executor, through crashes; and the checker
that says so catches planted bugs."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Coroutine, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import asyncpg
import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from imageway.core.ops import Committed, Op, Query, Refused, Store
from imageway.ledger import ops
from imageway.ledger import usage as usage_sums
from imageway.ledger.access import SetBudget
from imageway.storage import open_store
from imageway.storage.memory import MemoryStore
from tests.ledger.books import Books, audit
from tests.store.places import KEY, all_holds, all_transfers, usage
from tests.store.server import postgres_server

T = TypeVar("T")
WORKSPACES = st.sampled_from(["ws_1", "ws_1", "ws_1", "ws_2"])
AMOUNTS = st.integers(0, 50)
BACK = st.integers(0, 2)  # how many numbers ago: what a rule is about was held lately, so that it often succeeds
MOMENTS = st.sampled_from([0, 7, 3_600_000, 86_399_999, 86_400_000, 400_000_000])
RARELY = st.sampled_from([False, False, False, True])


class LedgerMachine(RuleBasedStateMachine):
    """Drives a store and the books side by side. Subclasses say which store, and may crash it."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.books = Books()
        self.number = 0
        self.moves = 0
        self.store = self.run(self.open())

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return self.loop.run_until_complete(asyncio.wait_for(work, 20))

    async def open(self) -> Store:
        raise NotImplementedError

    def commit(self, *unit: Op) -> None:
        self.commit_together([unit])

    def commit_together(self, units: Sequence[tuple[Op, ...]]) -> None:
        """The store says what the model says, unit for unit and op for op: the first refusal ends a unit and undoes it.
        Units that come at once are made of the same kinds of ops, so that their order stays what it was."""
        expected = [self.expected(unit) for unit in units]

        async def commit_all() -> list[Committed | Refused]:
            return await asyncio.gather(*(self.store.commit(*unit) for unit in units))

        assert self.run(commit_all()) == expected

    def expected(self, unit: tuple[Op, ...]) -> Committed | Refused:
        trial = self.books.copy()
        for op in unit:
            why = trial.told(op)
            if why is not None:
                return Refused(op, why)
        self.books = trial
        return Committed()

    @initialize()
    def begin(self) -> None:
        self.commit(ops.CreateWorkspace("ws_1", "ws_1", 1), ops.TopUp("top_0", "ws_1", 200, 1))
        self.commit(KEY)
        self.commit(SetBudget("key_1", "day", 100))

    @rule(workspace=WORKSPACES)
    def create_workspace(self, workspace: str) -> None:
        self.commit(ops.CreateWorkspace(workspace, workspace, 1))

    @rule(workspace=WORKSPACES, amount=st.integers(0, 300), again=RARELY)
    def top_up(self, workspace: str, amount: int, again: bool) -> None:
        self.moves += not again
        self.commit(ops.TopUp(f"top_{self.moves}", workspace, amount, 2))

    @rule(workspace=WORKSPACES, amount=AMOUNTS, again=RARELY)
    def hold(self, workspace: str, amount: int, again: bool) -> None:
        self.number += not again
        self.commit(ops.Hold(self.task(0), workspace, amount, 3))

    @rule(workspace=WORKSPACES, amount=st.integers(0, 90), again=RARELY)
    def grant(self, workspace: str, amount: int, again: bool) -> None:
        self.moves += not again
        self.commit(ops.Grant(f"top_{self.moves}", workspace, amount, 2))

    @rule(workspace=WORKSPACES, amount=st.integers(-120, 90), again=RARELY)
    def adjust(self, workspace: str, amount: int, again: bool) -> None:
        self.moves += not again
        self.commit(ops.Adjust(f"top_{self.moves}", workspace, amount, 2))

    @rule(back=BACK, percent=st.integers(0, 120), cost=AMOUNTS, known=st.booleans(), at_ms=MOMENTS)
    def capture(self, back: int, percent: int, cost: int, known: bool, at_ms: int) -> None:
        """As a request is settled: what is taken, what it cost us, and its usage row."""
        task = self.task(back)
        amount = int(self.books.holds.get(task, ["", 1])[1]) * percent // 100
        row = self.usage(task, price_usd_micros=amount, cost_usd_micros=cost, at_ms=at_ms)
        self.commit(ops.Capture(task, amount, 4), ops.BookCost(task, "up_1", cost, 4, known), row)

    @rule(back=BACK, at_ms=MOMENTS)
    def void(self, back: int, at_ms: int) -> None:
        task = self.task(back)
        nothing = {"price_usd_micros": 0, "cost_usd_micros": 0, "delivery": "none", "outcome": "failed"}
        self.commit(ops.Void(task, 5), self.usage(task, at_ms=at_ms, **nothing))

    @rule(back=BACK)
    def refund(self, back: int) -> None:
        self.commit(ops.MarkDelivery(self.task(back), "refunded", 6), ops.Refund(self.task(back), 6))

    @rule(back=BACK)
    def deliver(self, back: int) -> None:
        self.commit(ops.MarkDelivery(self.task(back), "delivered", 6))

    @rule(workspace=WORKSPACES, amount=AMOUNTS, ends=st.lists(st.sampled_from(["c", "v", "r"]), min_size=2, max_size=3))
    def resolve_again(self, workspace: str, amount: int, ends: list[str]) -> None:
        """A hold that several want to resolve, each in a unit of his own: the first may, whatever it says."""
        self.hold(workspace, amount, again=False)
        resolve = {
            "c": ops.Capture(self.task(0), 0, 8),
            "v": ops.Void(self.task(0), 8),
            "r": ops.Refund(self.task(0), 8),
        }
        for end in ends:
            self.commit(resolve[end])

    @rule(back=BACK, workspace=WORKSPACES, amount=AMOUNTS, taken=AMOUNTS, is_refund=st.booleans())
    def hold_and_resolve(self, back: int, workspace: str, amount: int, taken: int, is_refund: bool) -> None:
        """Several ops in one unit, of which any may refuse."""
        self.number += 1
        before = self.task(back + 1)
        refund = ops.MarkDelivery(before, "refunded", 7), ops.Refund(before, 7)
        self.commit(
            ops.Hold(self.task(0), workspace, amount, 7),
            ops.Capture(self.task(0), taken, 7),
            self.usage(self.task(0), workspace_id=workspace, price_usd_micros=taken, cost_usd_micros=0),
            *(refund if is_refund else (ops.Void(before, 7),)),
        )

    @rule(workspace=WORKSPACES, amounts=st.lists(AMOUNTS, min_size=2, max_size=12), days=st.integers(0, 1))
    def hold_together(self, workspace: str, amounts: list[int], days: int) -> None:
        """Many at once, of a key with a budget: together they may want more than there is."""
        units = []
        for amount in amounts:
            self.number += 1
            spent = ops.SpendBudget("key_1", "day", days * usage_sums.DAY_MS, amount)
            units.append((ops.Hold(self.task(0), workspace, amount, 3), spent))
        self.commit_together(units)

    @rule(count=st.integers(2, 12), percent=st.integers(0, 104), at_ms=MOMENTS)
    def settle_together(self, count: int, percent: int, at_ms: int) -> None:
        """The last of them, held or not, at once."""
        units = []
        for back in range(count):
            task = self.task(back)
            amount = int(self.books.holds.get(task, ["", 1])[1]) * percent // 100
            row = self.usage(task, price_usd_micros=amount, cost_usd_micros=3, at_ms=at_ms + back * 900_000)
            rest = ops.ReleaseBudget("key_1", "day", 0, amount)
            units.append((ops.Capture(task, amount, 4), rest, ops.BookCost(task, "up_1", 3, 4), row))
        self.commit_together(units)

    def usage(self, task: str, **changes: Any) -> ops.RecordUsage:
        """Of whom the hold says."""
        owner = str(self.books.holds.get(task, ["ws_1"])[0])
        return usage(task, **{"workspace_id": owner} | changes)

    def task(self, back: int) -> str:
        """Money that comes in has numbers of its own, so that the last few of these are likely to be holds."""
        return f"req_{self.number - back}"

    @invariant()
    def the_books_agree(self) -> None:
        self.run(audit(self.store, self.books))

    def teardown(self) -> None:
        self.run(self.store.close())
        self.loop.close()


class MemoryMachine(LedgerMachine):
    async def open(self) -> Store:
        return MemoryStore()


class SqliteMachine(LedgerMachine):
    """Reopens its file, and copies it as a crash would leave it."""

    def __init__(self) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix="imageway-ledger-"))
        self.lives = 0
        super().__init__()

    async def open(self) -> Store:
        return await open_store(f"sqlite://{self.directory}/{self.lives}/ledger.db")

    @rule()
    def reopen(self) -> None:
        self.run(self.store.close())
        self.store = self.run(self.open())

    @rule()
    def crash(self) -> None:
        """The process is gone between two commits: what goes on has only the bytes in the files, log included."""
        before = self.directory / str(self.lives)
        self.lives += 1
        shutil.copytree(before, self.directory / str(self.lives), ignore=shutil.ignore_patterns("*-shm"))
        self.run(self.store.close())
        self.store = self.run(self.open())

    def teardown(self) -> None:
        super().teardown()
        shutil.rmtree(self.directory)


FEW = settings(
    max_examples=25, stateful_step_count=40, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True
)
MANY = settings(FEW, max_examples=150, stateful_step_count=40)


def test_the_ledger_in_memory_agrees_with_the_books() -> None:
    run_state_machine_as_test(MemoryMachine, settings=MANY)


def test_the_ledger_in_sqlite_agrees_with_the_books_through_crashes() -> None:
    run_state_machine_as_test(SqliteMachine, settings=FEW)


def test_the_ledger_in_postgresql_agrees_with_the_books() -> None:
    """One machine after the other in a schema of its own: a database each would take longer than all their steps."""
    number = iter(range(10**6))
    url = postgres_server()("postgres")

    class PostgresMachine(LedgerMachine):
        async def open(self) -> Store:
            name = f"ledger_{next(number)}"
            connection = await asyncpg.connect(url)
            await connection.execute(f"CREATE SCHEMA {name}")
            await connection.close()
            return await open_store(f"{url}&search_path={name}")

    run_state_machine_as_test(PostgresMachine, settings=settings(FEW, max_examples=10))


class Broken:
    """A store that books one kind of op wrongly: `slip` sees each unit and may answer with another one."""

    def __init__(self) -> None:
        self.inner = MemoryStore()

    async def commit(self, *unit: Op) -> Committed | Refused:
        outcome = await self.inner.commit(*unit)
        if isinstance(outcome, Committed):
            for op in unit:
                await self.slip(op)
        return outcome

    async def slip(self, op: Op) -> None:
        raise NotImplementedError

    async def read(self, query: Query[T]) -> T:
        return await self.inner.read(query)

    async def close(self) -> None:
        await self.inner.close()

    def add(self, workspace_id: str, **changes: int) -> None:
        """Changes balances behind the ledger's back."""
        wallets = self.inner._tables.wallets
        wallet = wallets[workspace_id]
        wallets[workspace_id] = replace(wallet, **{name: getattr(wallet, name) + by for name, by in changes.items()})


class VoidsTwice(Broken):
    """A void that gives the money back twice."""

    async def slip(self, op: Op) -> None:
        if isinstance(op, ops.Void):
            row = self.inner._tables.holds[op.task_id]
            self.add(row.workspace_id, available=row.usd_micros)


class ForgetsTheRest(Broken):
    """A capture that leaves the rest of the hold held."""

    async def slip(self, op: Op) -> None:
        if isinstance(op, ops.Capture):
            row = self.inner._tables.holds[op.task_id]
            rest = row.usd_micros - row.captured
            self.add(row.workspace_id, available=-rest, held=rest)


class HoldsUnguarded(Broken):
    """A hold that does not look whether the money is there."""

    async def commit(self, *unit: Op) -> Committed | Refused:
        outcome = await super().commit(*unit)
        if isinstance(outcome, Refused) and outcome.why == "insufficient_balance" and isinstance(outcome.op, ops.Hold):
            return Committed()
        return outcome

    async def slip(self, op: Op) -> None:
        pass


class CapturesAboveTheHold(Broken):
    """A capture that takes one micro-dollar more than it was told, from what is available."""

    async def slip(self, op: Op) -> None:
        if isinstance(op, ops.Capture):
            row = self.inner._tables.holds[op.task_id]
            self.inner._tables.holds[op.task_id] = replace(row, captured=row.captured + 1)
            self.add(row.workspace_id, available=-1, spent=1)


class ForgetsTheDay(Broken):
    """Usage that is added to its hour alone."""

    async def slip(self, op: Op) -> None:
        if isinstance(op, ops.RecordUsage):
            del self.inner._tables.sums[usage_sums.sum_key(op, usage_sums.DAY_MS)]


class ForgetsTheHour(Broken):
    """Usage that is added to its day alone."""

    async def slip(self, op: Op) -> None:
        if isinstance(op, ops.RecordUsage):
            del self.inner._tables.sums[usage_sums.sum_key(op, usage_sums.HOUR_MS)]


class GrantsAsTopUps(Broken):
    """A grant that looks as if somebody had paid."""

    async def slip(self, op: Op) -> None:
        if isinstance(op, ops.Grant):
            self.add(op.workspace_id, granted=-op.usd_micros, topped_up=op.usd_micros)


class RefundsForNothing(Broken):
    """A refund that gives back the money and leaves the hold captured."""

    async def slip(self, op: Op) -> None:
        if isinstance(op, ops.Refund):
            holds = self.inner._tables.holds
            holds[op.task_id] = replace(holds[op.task_id], state="captured")


class LosesATransfer(Broken):
    """Balances that are right, and an entry that is missing."""

    async def slip(self, op: Op) -> None:
        if isinstance(op, ops.Hold) and op.usd_micros:
            self.inner._tables.transfers.popitem()


BUGS = [
    VoidsTwice,
    ForgetsTheRest,
    HoldsUnguarded,
    CapturesAboveTheHold,
    ForgetsTheDay,
    ForgetsTheHour,
    GrantsAsTopUps,
    RefundsForNothing,
    LosesATransfer,
]


@pytest.mark.parametrize("broken", BUGS)
def test_the_checker_catches_a_planted_bug(broken: type[Broken]) -> None:
    class BrokenMachine(LedgerMachine):
        async def open(self) -> Store:
            return broken()

    hunt = settings(MANY, phases=[Phase.generate], report_multiple_bugs=False, print_blob=False)
    with pytest.raises(AssertionError):
        run_state_machine_as_test(BrokenMachine, settings=hunt)


CRASHING = """
import asyncio, random, sys
from imageway.ledger import ops
from imageway.storage import open_store

def usage(task, price_usd_micros):
    return ops.RecordUsage(request_id=task, workspace_id="ws_1", key_id="k", model="m", outcome="succeeded", n=1,
        delivered=1, price_usd_micros=price_usd_micros, cost_usd_micros=0, lines=b"[]", delivery="undelivered",
        owner="p", upstream_id="u", at_ms=hash(task) % 10**9)

async def main(url, seed):
    chance = random.Random(seed)
    store = await open_store(url)
    await store.commit(ops.CreateWorkspace("ws_1", "ws_1", 1))
    async def one(worker):
        for number in range(10**6):
            task, taken = f"{seed}-{worker}-{number}", chance.randrange(25)
            unit = chance.choice([
                (ops.TopUp(task, "ws_1", chance.randrange(90), 2),),
                (ops.Hold(task, "ws_1", chance.randrange(40), 3),),
                (ops.Hold(task, "ws_1", 20, 3), ops.Capture(task, taken, 4), usage(task, price_usd_micros=taken)),
                (ops.Hold(task, "ws_1", 20, 3), ops.Void(task, 4)),
                (
                    *(ops.Hold(task, "ws_1", 20, 3), ops.Capture(task, 9, 4), usage(task, price_usd_micros=9)),
                    *(ops.Refund(task, 5), ops.MarkDelivery(task, "refunded", 5)),
                ),
            ])
            await store.commit(*unit)
            print(".", end="", flush=True)
    await asyncio.gather(*(one(worker) for worker in range(8)))

asyncio.run(main(sys.argv[1], sys.argv[2]))
"""


async def test_the_books_balance_after_kill_9_in_the_middle_of_commits(tmp_path: Path) -> None:
    """Five lives of one file, each ended while eight commits are under way."""
    url = f"sqlite://{tmp_path}/ledger.db"
    for life in range(5):
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", CRASHING, url, str(life), stdout=asyncio.subprocess.PIPE
        )
        assert process.stdout is not None
        await asyncio.wait_for(process.stdout.readexactly(100 + 37 * life), 20)
        os.kill(process.pid, signal.SIGKILL)
        await process.communicate()
        store = await open_store(url)
        await audit(store, await recorded(store))
        await store.close()


async def recorded(store: Store) -> Books:
    """Books made of the holds, topups and usage rows that are there: does the rest follow from them?"""
    transfers = await all_transfers(store)
    rows: tuple[usage_sums.UsageDetail, ...] = ()
    while page := await store.read(usage_sums.FindUsage(before=(rows[-1].at_ms, rows[-1].seq) if rows else None)):
        rows += page
    return Books(
        workspaces={"ws_1"},
        income={
            str(row.seq): ("topped_up", row.workspace_id or "", row.usd_micros)
            for row in transfers
            if row.kind == "topup"
        },
        holds={
            row.task_id: [row.workspace_id, row.usd_micros, row.captured, row.state] for row in await all_holds(store)
        },
        usage={
            row.request_id: usage(
                row.request_id, price_usd_micros=row.price_usd_micros, cost_usd_micros=0, at_ms=row.at_ms
            )
            for row in rows
        },
        marks={row.request_id: row.delivery for row in rows},
    )
