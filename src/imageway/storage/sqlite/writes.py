"""Each op as guarded statements, for many of a kind at once: each statement is run for all of them before the next. A
function works inside the open transaction and returns None when every op was done, else the word of refusal of a single
one. The guard stands in the statement that writes; a second look is taken only to name a refusal."""

from __future__ import annotations

from sqlite3 import Cursor
from typing import Final

from imageway.core.ops import Op
from imageway.ledger import ops as ledger
from imageway.storage.sqlite.access import ACCESS_WRITES
from imageway.storage.sqlite.queue import QUEUE_WRITES, is_good_key
from imageway.storage.sqlite.statements import Apply, each, guarded
from imageway.storage.sqlite.sweeping import SWEEPING_WRITES
from imageway.storage.sqlite.usage import USAGE_WRITES
from imageway.storage.sqlite.wallets import WALLET_WRITES
from imageway.storage.sqlite.webhooks import WEBHOOK_WRITES
from imageway.tasks import ops as tasks


def drop_lease(cursor: Cursor, op: tasks.DropLease) -> None:
    cursor.execute("DELETE FROM leases WHERE owner = ?", (op.owner,))


def why_not_created(cursor: Cursor, op: tasks.CreateTask) -> str:
    return "duplicate" if is_good_key(cursor, op.key_id, op.created_ms) else "key_revoked"


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
    ledger.RevokeKey: guarded(
        "UPDATE keys SET revoked_ms = ? WHERE id = ? AND revoked_ms IS NULL", "at_ms id", "no_key"
    ),
    tasks.CreateTask: guarded(
        "INSERT OR FAIL INTO tasks (id, workspace_id, key_id, model, state, owner, fence, request, result, created_ms,"
        " deadline_ms) SELECT ?, ?, id, ?, 'running', ?, 1, ?, x'', ?, ? FROM keys"
        " WHERE id = ? AND revoked_ms IS NULL AND (expires_ms = 0 OR expires_ms > ?) ON CONFLICT DO NOTHING",
        "id workspace_id model owner request created_ms deadline_ms key_id created_ms",
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
    **WALLET_WRITES,
    **USAGE_WRITES,
    **QUEUE_WRITES,
    **WEBHOOK_WRITES,
    **SWEEPING_WRITES,
    **ACCESS_WRITES,
}
