"""Each op as guarded statements, for many of a kind at once: each statement is run for all of them before the next. A
function works inside the open transaction and returns None when every op was done, else the word of refusal of a single
one. The guard stands in the statement that writes; a second look is taken only to name a refusal."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from sqlite3 import Cursor
from typing import Final

from imageway.core.ops import Op
from imageway.ledger import ops as ledger
from imageway.storage.sqlite.queue import QUEUE_WRITES
from imageway.storage.sqlite.statements import Apply, all_touched, each, guarded
from imageway.storage.sqlite.webhooks import WEBHOOK_WRITES
from imageway.tasks import ops as tasks

Move = tuple[str, int, int, int]
"""(workspace, available, held, spent): by how much the balances of its wallet change."""

_TRANSFER: Final = (
    "INSERT INTO transfers (kind, workspace_id, task_id, account, usd_micros, at_ms) VALUES (?, ?, ?, ?, ?, ?)"
)
_BALANCE: Final = (
    "UPDATE wallets SET available = available + ?, held = held + ?, spent = spent + ? WHERE workspace_id = ?"
)


def create_workspace(cursor: Cursor, op: ledger.CreateWorkspace) -> str | None:
    row = (op.id, op.name, op.at_ms)
    cursor.execute("INSERT INTO workspaces (id, name, created_ms) VALUES (?, ?, ?) ON CONFLICT DO NOTHING", row)
    if not cursor.rowcount:
        return "name_taken"
    cursor.execute("INSERT INTO wallets (workspace_id, available, held, spent) VALUES (?, 0, 0, 0)", (op.id,))
    return None


def top_up(cursor: Cursor, op: ledger.TopUp) -> str | None:
    cursor.execute(_BALANCE, (op.usd_micros, 0, 0, op.workspace_id))
    if not cursor.rowcount:
        return "no_workspace"
    cursor.execute(
        "INSERT INTO transfers (kind, workspace_id, topup_id, account, usd_micros, at_ms)"
        " VALUES ('topup', ?, ?, 'wallet', ?, ?) ON CONFLICT DO NOTHING",
        (op.workspace_id, op.id, op.usd_micros, op.at_ms),
    )
    return None if cursor.rowcount else "duplicate"


_OPEN_HOLD: Final = "SELECT workspace_id, usd_micros FROM holds WHERE task_id = ? AND state = 'open'"


def hold(cursor: Cursor, ops: Sequence[ledger.Hold]) -> str | None:
    rows = ((op.task_id, op.workspace_id, op.usd_micros) for op in ops)
    sql = "INSERT INTO holds (task_id, workspace_id, usd_micros, captured, state) VALUES (?, ?, ?, 0, 'open')"
    if not all_touched(cursor, f"{sql} ON CONFLICT DO NOTHING", rows, len(ops)):
        return "duplicate"
    for workspace_id, _, amount, _ in _by_wallet((op.workspace_id, 0, op.usd_micros, 0) for op in ops):
        cursor.execute(
            "UPDATE wallets SET available = available - ?, held = held + ? WHERE workspace_id = ? AND available >= ?",
            (amount, amount, workspace_id, amount),
        )
        if not cursor.rowcount:
            known = cursor.execute("SELECT 1 FROM wallets WHERE workspace_id = ?", (workspace_id,)).fetchone()
            return "insufficient_balance" if known else "no_workspace"
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
    rows = (("cost", None, op.task_id, f"cost:{op.upstream_id}", op.usd_micros, op.at_ms) for op in ops)
    cursor.executemany(_TRANSFER, rows)


def book_overrun(cursor: Cursor, op: ledger.BookOverrun) -> None:
    cursor.execute(_TRANSFER, ("overrun", None, op.task_id, "overrun", op.usd_micros, op.at_ms))


def create_key(cursor: Cursor, op: ledger.CreateKey) -> str | None:
    cursor.execute(
        "INSERT INTO keys (id, workspace_id, name, digest, hint, models, created_ms)"
        " SELECT ?, id, ?, ?, ?, ?, ? FROM workspaces WHERE id = ? ON CONFLICT DO NOTHING",
        (op.id, op.name, op.digest, op.hint, json.dumps(op.models), op.at_ms, op.workspace_id),
    )
    if cursor.rowcount:
        return None
    known = cursor.execute("SELECT 1 FROM workspaces WHERE id = ?", (op.workspace_id,)).fetchone()
    return "duplicate" if known else "no_workspace"


def drop_lease(cursor: Cursor, op: tasks.DropLease) -> None:
    cursor.execute("DELETE FROM leases WHERE owner = ?", (op.owner,))


def why_not_created(cursor: Cursor, op: tasks.CreateTask) -> str:
    known = cursor.execute("SELECT 1 FROM keys WHERE id = ? AND revoked_ms IS NULL", (op.key_id,)).fetchone()
    return "duplicate" if known else "key_revoked"


def why_not_begun(cursor: Cursor, op: tasks.BeginAttempt) -> str:
    known = cursor.execute(
        "SELECT 1 FROM tasks WHERE id = ? AND state = 'running' AND owner = ? AND fence = ?",
        (op.task_id, op.owner, op.fence),
    ).fetchone()
    return "duplicate" if known else "not_owner"


def why_not_evidence(cursor: Cursor, op: tasks.KeepMemo | tasks.EndAttempt) -> str:
    known = cursor.execute(
        "SELECT 1 FROM attempts JOIN tasks ON tasks.id = attempts.task_id"
        " WHERE attempts.id = ? AND tasks.state IN ('queued', 'running')",
        (op.attempt_id,),
    ).fetchone()
    return "attempt_final" if known else "task_final"


def why_not_replaced(cursor: Cursor, op: tasks.ReplaceResult) -> str:
    final = "SELECT 1 FROM tasks WHERE id = ? AND state NOT IN ('queued', 'running')"
    return "changed" if cursor.execute(final, (op.id,)).fetchone() else "not_final"


# OR FAIL: whatever fails is undone by the savepoint around it. Otherwise SQLite, which thinks that an INSERT with a
# SELECT may write many rows, copies every page it touches, to undo that one statement.
WRITES: Final[dict[type[Op], Apply]] = {
    ledger.CreateWorkspace: each(create_workspace),
    ledger.TopUp: each(top_up),
    ledger.Hold: hold,
    ledger.Capture: capture,
    ledger.Void: each(void),
    ledger.Refund: each(refund),
    ledger.BookCost: book_cost,
    ledger.BookOverrun: each(book_overrun),
    ledger.CreateKey: each(create_key),
    ledger.RevokeKey: guarded(
        "UPDATE keys SET revoked_ms = ? WHERE id = ? AND revoked_ms IS NULL", "at_ms id", "no_key"
    ),
    ledger.RecordUsage: guarded(
        "INSERT INTO usage (request_id, workspace_id, key_id, model, outcome, n, delivered, price_usd_micros,"
        " cost_usd_micros, lines, delivery, owner, upstream_id, at_ms, delivery_ms)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
        "request_id workspace_id key_id model outcome n delivered price_usd_micros"
        " cost_usd_micros lines delivery owner upstream_id at_ms at_ms",
        "duplicate",
    ),
    ledger.MarkDelivery: guarded(
        "UPDATE usage SET delivery = ?, delivery_ms = ? WHERE request_id = ? AND delivery = 'undelivered'",
        "delivery at_ms request_id",
        "not_undelivered",
    ),
    tasks.CreateTask: guarded(
        "INSERT OR FAIL INTO tasks (id, workspace_id, key_id, model, state, owner, fence, request, result, created_ms,"
        " deadline_ms) SELECT ?, ?, id, ?, 'running', ?, 1, ?, x'', ?, ? FROM keys"
        " WHERE id = ? AND revoked_ms IS NULL ON CONFLICT DO NOTHING",
        "id workspace_id model owner request created_ms deadline_ms key_id",
        why_not_created,
    ),
    tasks.BeginAttempt: guarded(
        "INSERT OR FAIL INTO attempts (id, task_id, part, upstream_id, offering, state, memo, detail, at_ms,"
        " deadline_ms, changed_ms) SELECT ?, id, ?, ?, ?, 'submitted', x'', '', ?, ?, ? FROM tasks"
        " WHERE id = ? AND state = 'running' AND owner = ? AND fence = ? ON CONFLICT DO NOTHING",
        "id part upstream_id offering at_ms deadline_ms at_ms task_id owner fence",
        why_not_begun,
    ),
    tasks.KeepMemo: guarded(
        "UPDATE attempts SET state = 'polling', memo = ?, changed_ms = ?"
        " WHERE id = ? AND state IN ('submitted', 'polling') AND EXISTS"
        " (SELECT 1 FROM tasks WHERE tasks.id = attempts.task_id AND tasks.state IN ('queued', 'running'))",
        "memo at_ms attempt_id",
        why_not_evidence,
    ),
    tasks.EndAttempt: guarded(
        "UPDATE attempts SET state = ?, detail = ?, changed_ms = ?"
        " WHERE id = ? AND state IN ('submitted', 'polling') AND EXISTS"
        " (SELECT 1 FROM tasks WHERE tasks.id = attempts.task_id AND tasks.state IN ('queued', 'running'))",
        "state detail at_ms attempt_id",
        why_not_evidence,
    ),
    tasks.FinishTask: guarded(
        "UPDATE tasks SET state = ?, result = ?, finished_ms = ? WHERE id = ? AND state IN ('queued', 'running')",
        "state result at_ms id",
        "task_final",
    ),
    tasks.ReplaceResult: guarded(
        "UPDATE tasks SET result = ? WHERE id = ? AND state NOT IN ('queued', 'running') AND (? IS NULL OR result = ?)",
        "result id was was",
        why_not_replaced,
    ),
    tasks.AdoptTask: guarded(
        "UPDATE tasks SET owner = ?, fence = fence + 1 WHERE id = ? AND state = 'running' AND owner = ? AND fence = ?",
        "to_owner id from_owner from_fence",
        "not_owner",
    ),
    tasks.RenewLease: guarded(
        "INSERT INTO leases (owner, until_ms) VALUES (?, ?) ON CONFLICT (owner) DO UPDATE SET until_ms = ?",
        "owner until_ms until_ms",
        "never",
    ),
    tasks.DropLease: each(drop_lease),
    tasks.ClaimKey: guarded(
        "INSERT INTO claims (workspace_id, key, task_id, at_ms, fingerprint) VALUES (?, ?, ?, ?, ?)"
        " ON CONFLICT (workspace_id, key) DO UPDATE"
        " SET task_id = excluded.task_id, at_ms = excluded.at_ms, fingerprint = excluded.fingerprint"
        " WHERE claims.at_ms <= ? OR NOT EXISTS"
        " (SELECT 1 FROM tasks WHERE tasks.id = claims.task_id AND tasks.state NOT IN ('failed', 'cancelled'))",
        "workspace_id key task_id at_ms fingerprint expired_ms",
        "in_use",
    ),
    **QUEUE_WRITES,
    **WEBHOOK_WRITES,
}
