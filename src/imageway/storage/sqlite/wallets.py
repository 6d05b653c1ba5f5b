"""Money as guarded statements: wallets, holds, the operator's costs and budgets. Every change of a balance writes its
transfers beside it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from operator import attrgetter
from sqlite3 import Cursor
from typing import Final

from imageway.core.ops import Op
from imageway.ledger import ops as ledger
from imageway.storage.sqlite.statements import Apply, all_touched, each

Move = tuple[str, int, int, int]
"""(workspace, available, held, spent): by how much the balances of its wallet change."""

PayIn = ledger.TopUp | ledger.Grant | ledger.Adjust

_TRANSFER: Final = (
    "INSERT INTO transfers (kind, workspace_id, task_id, account, usd_micros, at_ms) VALUES (?, ?, ?, ?, ?, ?)"
)
_OWED: Final = "INSERT INTO transfers (kind, task_id, account, usd_micros, at_ms) VALUES (?, ?, ?, ?, ?)"
_NEW_HOLD: Final = attrgetter("task_id", "workspace_id", "usd_micros")
_BALANCE: Final = (
    "UPDATE wallets SET available = available + ?, held = held + ?, spent = spent + ? WHERE workspace_id = ?"
)


def create_workspace(cursor: Cursor, op: ledger.CreateWorkspace) -> str | None:
    row = (op.id, op.name, op.at_ms)
    cursor.execute("INSERT INTO workspaces (id, name, created_ms) VALUES (?, ?, ?) ON CONFLICT DO NOTHING", row)
    if not cursor.rowcount:
        return "name_taken"
    cursor.execute(
        "INSERT INTO wallets (workspace_id, available, held, spent, topped_up, granted, adjusted)"
        " VALUES (?, 0, 0, 0, 0, 0, 0)",
        (op.id,),
    )
    return None


def top_up(cursor: Cursor, op: ledger.TopUp) -> str | None:
    return _pay_in(cursor, op, came="topped_up", kind="topup")


def grant(cursor: Cursor, op: ledger.Grant) -> str | None:
    return _pay_in(cursor, op, came="granted", kind="grant")


def adjust(cursor: Cursor, op: ledger.Adjust) -> str | None:
    return _pay_in(cursor, op, came="adjusted", kind="adjust_up" if op.usd_micros >= 0 else "adjust_down")


def _pay_in(cursor: Cursor, op: PayIn, *, came: str, kind: str) -> str | None:
    """`came`: the column that says where the money came from; what is taken out by hand goes back there."""
    cursor.execute(
        f"UPDATE wallets SET available = available + ?, {came} = {came} + ?"  # noqa: S608  (names of ours)
        " WHERE workspace_id = ? AND available + ? >= 0",
        (op.usd_micros, op.usd_micros, op.workspace_id, op.usd_micros),
    )
    if not cursor.rowcount:
        return _why_not_moved(cursor, op.workspace_id)
    cursor.execute(
        "INSERT INTO transfers (kind, workspace_id, topup_id, account, usd_micros, at_ms)"
        " VALUES (?, ?, ?, 'wallet', ?, ?) ON CONFLICT DO NOTHING",
        (kind, op.workspace_id, op.id, abs(op.usd_micros), op.at_ms),
    )
    return None if cursor.rowcount else "duplicate"


def _why_not_moved(cursor: Cursor, workspace_id: str) -> str:
    known = cursor.execute("SELECT 1 FROM wallets WHERE workspace_id = ?", (workspace_id,)).fetchone()
    return "insufficient_balance" if known else "no_workspace"


_OPEN_HOLD: Final = "SELECT workspace_id, usd_micros FROM holds WHERE task_id = ? AND state = 'open'"


def hold(cursor: Cursor, ops: Sequence[ledger.Hold]) -> str | None:
    sql = "INSERT INTO holds (task_id, workspace_id, usd_micros, captured, state) VALUES (?, ?, ?, 0, 'open')"
    if not all_touched(cursor, f"{sql} ON CONFLICT DO NOTHING", map(_NEW_HOLD, ops), len(ops)):
        return "duplicate"
    for workspace_id, _, amount, _ in _by_wallet((op.workspace_id, 0, op.usd_micros, 0) for op in ops):
        cursor.execute(
            "UPDATE wallets SET available = available - ?, held = held + ? WHERE workspace_id = ? AND available >= ?",
            (amount, amount, workspace_id, amount),
        )
        if not cursor.rowcount:
            return _why_not_moved(cursor, workspace_id)
    transfers = (("hold", op.workspace_id, op.task_id, "wallet", op.usd_micros, op.at_ms) for op in ops)
    cursor.executemany(_TRANSFER, transfers)
    return None


def capture(cursor: Cursor, ops: Sequence[ledger.Capture]) -> str | None:
    """Looking before is half as dear as a RETURNING; the guard stands in the statement that writes all the same."""
    moves: list[Move] = []
    transfers: list[tuple[str, str, str, str, int, int]] = []
    for op in ops:
        row = cursor.execute(_OPEN_HOLD, (op.task_id,)).fetchone()
        if row is None:
            return "no_open_hold"
        workspace_id, held = row
        rest = held - op.usd_micros
        moves.append((workspace_id, rest, -held, op.usd_micros))
        transfers.append(("capture", workspace_id, op.task_id, "wallet", op.usd_micros, op.at_ms))
        if rest > 0:
            transfers.append(("void", workspace_id, op.task_id, "wallet", rest, op.at_ms))
    rows = ((op.usd_micros, op.task_id, op.usd_micros) for op in ops)
    sql = "UPDATE holds SET state = 'captured', captured = ? WHERE task_id = ? AND state = 'open' AND usd_micros >= ?"
    if not all_touched(cursor, sql, rows, len(ops)):
        return "above_hold"
    for workspace_id, *change in _by_wallet(moves):
        cursor.execute(_BALANCE, (*change, workspace_id))
    cursor.executemany(_TRANSFER, transfers)
    return None


def _by_wallet(moves: Iterable[Move]) -> list[Move]:
    """One for each workspace, with the sums of its changes."""
    sums: dict[str, tuple[int, int, int]] = {}
    for workspace_id, available, held, spent in moves:
        known = sums.get(workspace_id, (0, 0, 0))
        sums[workspace_id] = (known[0] + available, known[1] + held, known[2] + spent)
    return [(workspace_id, *change) for workspace_id, change in sums.items()]


def void(cursor: Cursor, op: ledger.Void) -> str | None:
    row = cursor.execute(
        "UPDATE holds SET state = 'voided' WHERE task_id = ? AND state = 'open' RETURNING workspace_id, usd_micros",
        (op.task_id,),
    ).fetchone()
    if row is None:
        return "no_open_hold"
    workspace_id, held = row
    cursor.execute(_BALANCE, (held, -held, 0, workspace_id))
    cursor.execute(_TRANSFER, ("void", workspace_id, op.task_id, "wallet", held, op.at_ms))
    return None


def refund(cursor: Cursor, op: ledger.Refund) -> str | None:
    row = cursor.execute(
        "UPDATE holds SET state = 'refunded' WHERE task_id = ? AND state = 'captured' RETURNING workspace_id, captured",
        (op.task_id,),
    ).fetchone()
    if row is None:
        return "not_captured"
    workspace_id, captured = row
    cursor.execute(_BALANCE, (captured, 0, -captured, workspace_id))
    cursor.execute(_TRANSFER, ("refund", workspace_id, op.task_id, "wallet", captured, op.at_ms))
    return None


def book_cost(cursor: Cursor, ops: Sequence[ledger.BookCost]) -> None:
    cursor.executemany(_OWED, map(_owed, ops))


def _owed(op: ledger.BookCost) -> tuple[str, str, str, int, int]:
    kind = "cost" if op.known else "unknown"
    return kind, op.task_id, f"{kind}:{op.upstream_id}", op.usd_micros, op.at_ms


def book_overrun(cursor: Cursor, op: ledger.BookOverrun) -> None:
    cursor.execute(_TRANSFER, ("overrun", None, op.task_id, "overrun", op.usd_micros, op.at_ms))


def spend_budget(cursor: Cursor, ops: Sequence[ledger.SpendBudget]) -> str | None:
    """One statement for all that is spent of a budget in a window; the windows as they come."""
    spent: dict[tuple[str, str, int], int] = {}
    for op in ops:
        budget = op.budget_id, op.period, op.window_ms
        spent[budget] = spent.get(budget, 0) + op.usd_micros
    for (budget_id, period, window_ms), usd_micros in spent.items():
        values = (window_ms, window_ms, usd_micros, window_ms, budget_id, period, window_ms, usd_micros)
        cursor.execute(_SPEND, values)
        if not cursor.rowcount:
            known = "SELECT 1 FROM budgets WHERE budget_id = ? AND period = ?"
            if cursor.execute(known, (budget_id, period)).fetchone():
                return "budget_exceeded"
    return None


_SPEND: Final = (
    "UPDATE budgets SET used_usd_micros ="
    " CASE WHEN window_ms < ? THEN 0 ELSE used_usd_micros END + CASE WHEN window_ms > ? THEN 0 ELSE ? END,"
    " window_ms = MAX(window_ms, ?) WHERE budget_id = ? AND period = ?"
    " AND CASE WHEN window_ms < ? THEN 0 ELSE used_usd_micros END + ? <= limit_usd_micros"
)


def release_budget(cursor: Cursor, ops: Sequence[ledger.ReleaseBudget]) -> None:
    cursor.executemany(
        "UPDATE budgets SET used_usd_micros = MAX(used_usd_micros - ?, 0)"
        " WHERE budget_id = ? AND period = ? AND window_ms = ?",
        ((op.usd_micros, op.budget_id, op.period, op.window_ms) for op in ops),
    )


WALLET_WRITES: Final[dict[type[Op], Apply]] = {
    ledger.CreateWorkspace: each(create_workspace),
    ledger.TopUp: each(top_up),
    ledger.Grant: each(grant),
    ledger.Adjust: each(adjust),
    ledger.Hold: hold,
    ledger.Capture: capture,
    ledger.Void: each(void),
    ledger.Refund: each(refund),
    ledger.BookCost: book_cost,
    ledger.BookOverrun: each(book_overrun),
    ledger.SpendBudget: spend_budget,
    ledger.ReleaseBudget: release_budget,
}
