"""How old rows are removed."""

from __future__ import annotations

from sqlite3 import Cursor
from typing import Final

from imageway.core.ops import Op
from imageway.storage.sqlite.statements import Apply, each
from imageway.tasks import sweeping


def forget_tasks(cursor: Cursor, op: sweeping.ForgetTasks) -> None:
    ids = [(task_id,) for task_id in op.ids]
    cursor.executemany(
        "DELETE FROM tasks WHERE id = ? AND state NOT IN ('queued', 'running')"
        " AND NOT EXISTS (SELECT 1 FROM usage WHERE request_id = tasks.id AND delivery = 'undelivered')"
        " AND NOT EXISTS (SELECT 1 FROM webhook_deliveries WHERE task_id = tasks.id AND state = 'pending')",
        ids,
    )
    for table in ("attempts", "webhook_deliveries"):
        cursor.executemany(
            f"DELETE FROM {table} WHERE task_id = ?"  # noqa: S608  (names of ours)
            f" AND NOT EXISTS (SELECT 1 FROM tasks WHERE id = {table}.task_id)",
            ids,
        )


def forget_claims(cursor: Cursor, op: sweeping.ForgetClaims) -> None:
    cursor.execute(
        "DELETE FROM claims WHERE (workspace_id, key) IN"
        " (SELECT workspace_id, key FROM claims WHERE at_ms <= ? ORDER BY at_ms LIMIT ?)",
        (op.expired_ms, op.limit),
    )


SWEEPING_WRITES: Final[dict[type[Op], Apply]] = {
    sweeping.ForgetTasks: each(forget_tasks),
    sweeping.ForgetClaims: each(forget_claims),
}
