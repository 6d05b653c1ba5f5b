"""The ops of waiting tasks as guarded statements."""

from __future__ import annotations

from sqlite3 import Cursor
from typing import Final

from imageway.core.ops import Op
from imageway.storage.sqlite.statements import Apply, each, guarded
from imageway.tasks import queue


def queue_task(cursor: Cursor, op: queue.QueueTask) -> str | None:
    cursor.execute(
        "INSERT OR FAIL INTO tasks (id, workspace_id, key_id, model, state, owner, fence, request, result, created_ms,"
        " deadline_ms) SELECT ?, ?, id, ?, 'queued', '', 1, ?, x'', ?, ? FROM keys"
        " WHERE id = ? AND revoked_ms IS NULL AND (expires_ms = 0 OR expires_ms > ?)"
        " AND (SELECT COUNT(*) FROM tasks WHERE state = 'queued' AND workspace_id = ?) < ? ON CONFLICT DO NOTHING",
        (
            *(op.id, op.workspace_id, op.model, op.request, op.created_ms, op.deadline_ms),
            *(op.key_id, op.created_ms, op.workspace_id, op.limit),
        ),
    )
    return None if cursor.rowcount else why_not_queued(cursor, op)


def is_good_key(cursor: Cursor, key_id: str, now_ms: int) -> bool:
    """One that is there, that nobody revoked, and that has not expired."""
    sql = "SELECT 1 FROM keys WHERE id = ? AND revoked_ms IS NULL AND (expires_ms = 0 OR expires_ms > ?)"
    return cursor.execute(sql, (key_id, now_ms)).fetchone() is not None


def why_not_queued(cursor: Cursor, op: queue.QueueTask) -> str:
    if not is_good_key(cursor, op.key_id, op.created_ms):
        return "key_revoked"
    return "duplicate" if cursor.execute("SELECT 1 FROM tasks WHERE id = ?", (op.id,)).fetchone() else "queue_full"


def why_not_put_back(cursor: Cursor, op: queue.RequeueTask) -> str:
    known = cursor.execute(
        "SELECT 1 FROM tasks WHERE id = ? AND state = 'running' AND owner = ? AND fence = ?",
        (op.id, op.owner, op.fence),
    ).fetchone()
    return "begun" if known else "not_owner"


QUEUE_WRITES: Final[dict[type[Op], Apply]] = {
    queue.QueueTask: each(queue_task),
    queue.ClaimTask: guarded(
        "UPDATE tasks SET state = 'running', owner = ?, fence = fence + 1 WHERE id = ? AND state = 'queued'"
        " AND fence = ?",
        "owner id fence",
        "not_queued",
    ),
    queue.RequeueTask: guarded(
        "UPDATE tasks SET state = 'queued', owner = '' WHERE id = ? AND state = 'running' AND owner = ? AND fence = ?"
        " AND NOT EXISTS (SELECT 1 FROM attempts WHERE task_id = tasks.id AND state IN ('submitted', 'polling'))",
        "id owner fence",
        why_not_put_back,
    ),
    queue.MarkCancel: guarded(
        "UPDATE tasks SET cancel_ms = COALESCE(cancel_ms, ?) WHERE id = ? AND state = 'running'",
        "at_ms id",
        "not_running",
    ),
}
