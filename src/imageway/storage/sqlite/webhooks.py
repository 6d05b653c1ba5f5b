"""The ops of webhooks as statements."""

from __future__ import annotations

import json
from collections.abc import Sequence
from sqlite3 import Cursor
from typing import Final

from imageway.core.ops import Op
from imageway.storage.sqlite.statements import Apply, each, guarded
from imageway.tasks import webhooks


def add_endpoint(cursor: Cursor, op: webhooks.AddEndpoint) -> str | None:
    cursor.execute(
        "INSERT INTO webhook_endpoints (id, workspace_id, url, events, created_ms)"
        " SELECT ?, id, ?, ?, ? FROM workspaces WHERE id = ? ON CONFLICT DO NOTHING",
        (op.id, op.url, json.dumps(op.events), op.at_ms, op.workspace_id),
    )
    if not cursor.rowcount:
        known = cursor.execute("SELECT 1 FROM workspaces WHERE id = ?", (op.workspace_id,)).fetchone()
        return "duplicate" if known else "no_workspace"
    (count,) = cursor.execute(
        "SELECT COUNT(*) FROM webhook_endpoints WHERE workspace_id = ?", (op.workspace_id,)
    ).fetchone()
    return "too_many" if count > op.limit else None


def remove_endpoint(cursor: Cursor, op: webhooks.RemoveEndpoint) -> str | None:
    cursor.execute("DELETE FROM webhook_secrets WHERE holder_id = ?", (op.id,))
    cursor.execute("DELETE FROM webhook_endpoints WHERE id = ?", (op.id,))
    return None if cursor.rowcount else "no_endpoint"


def disable_endpoint(cursor: Cursor, op: webhooks.DisableEndpoint) -> None:
    sql = "UPDATE webhook_endpoints SET disabled_ms = ? WHERE id = ? AND disabled_ms IS NULL"
    cursor.execute(sql, (op.at_ms, op.id))


def enable_endpoint(cursor: Cursor, op: webhooks.EnableEndpoint) -> str | None:
    cursor.execute("UPDATE webhook_endpoints SET disabled_ms = NULL WHERE id = ? AND disabled_ms IS NOT NULL", (op.id,))
    return None if cursor.rowcount else "not_disabled"


def add_secret(cursor: Cursor, op: webhooks.AddSecret | webhooks.RotateSecret) -> str | None:
    cursor.execute(
        "INSERT INTO webhook_secrets (id, holder_id, hint, created_ms) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING",
        (op.id, op.holder_id, op.hint, op.at_ms),
    )
    return None if cursor.rowcount else "duplicate"


def rotate_secret(cursor: Cursor, op: webhooks.RotateSecret) -> str | None:
    cursor.execute("DELETE FROM webhook_secrets WHERE holder_id = ? AND until_ms IS NOT NULL", (op.holder_id,))
    cursor.execute("UPDATE webhook_secrets SET until_ms = ? WHERE holder_id = ?", (op.until_ms, op.holder_id))
    return add_secret(cursor, op) if cursor.rowcount else "no_secret"


_LISTENS: Final = "SELECT 1 FROM webhook_endpoints WHERE workspace_id = ? LIMIT 1"


def notify_endpoints(cursor: Cursor, ops: Sequence[webhooks.NotifyEndpoints]) -> None:
    """Looks first who has any: most workspaces have none, and many ops are of one."""
    listening = {one for one in {op.workspace_id for op in ops} if cursor.execute(_LISTENS, (one,)).fetchone()}
    rows = (
        (op.task_id, op.task_id, op.task_id, op.event, *(op.at_ms,) * 3, op.workspace_id, op.event)
        for op in ops
        if op.workspace_id in listening
    )
    cursor.executemany(
        "INSERT OR FAIL INTO webhook_deliveries (id, workspace_id, task_id, endpoint_id, url, event, state, fence,"
        " tries, due_ms, status, detail, created_ms, changed_ms)"
        " SELECT 'msg_' || substr(?, instr(?, '_') + 1) || '_' || substr(id, instr(id, '_') + 1), workspace_id, ?, id,"
        " url, ?, 'pending', 0, 0, ?, 0, '', ?, ? FROM webhook_endpoints"
        " WHERE workspace_id = ? AND disabled_ms IS NULL AND (events = '[]' OR instr(events, '\"' || ? || '\"') > 0)"
        " ON CONFLICT DO NOTHING",
        rows,
    )


def forget_deliveries(cursor: Cursor, op: webhooks.ForgetDeliveries) -> None:
    cursor.execute(
        "DELETE FROM webhook_deliveries WHERE id IN (SELECT id FROM webhook_deliveries"
        " WHERE created_ms < ? AND state <> 'pending' ORDER BY created_ms, id LIMIT ?)",
        (op.before_ms, op.limit),
    )


WEBHOOK_WRITES: Final[dict[type[Op], Apply]] = {
    webhooks.AddEndpoint: each(add_endpoint),
    webhooks.RemoveEndpoint: each(remove_endpoint),
    webhooks.DisableEndpoint: each(disable_endpoint),
    webhooks.EnableEndpoint: each(enable_endpoint),
    webhooks.AddSecret: each(add_secret),
    webhooks.RotateSecret: each(rotate_secret),
    webhooks.AddDelivery: guarded(
        "INSERT INTO webhook_deliveries (id, workspace_id, task_id, endpoint_id, url, event, state, fence, tries,"
        " due_ms, status, detail, created_ms, changed_ms)"
        " VALUES (?, ?, ?, '', ?, ?, 'pending', 0, 0, ?, 0, '', ?, ?) ON CONFLICT DO NOTHING",
        "id workspace_id task_id url event at_ms at_ms at_ms",
        "duplicate",
    ),
    webhooks.NotifyEndpoints: notify_endpoints,
    webhooks.ClaimDelivery: guarded(
        "UPDATE webhook_deliveries SET fence = fence + 1, tries = tries + 1, due_ms = ?, changed_ms = ?"
        " WHERE id = ? AND state = 'pending' AND fence = ? AND due_ms <= ?",
        "until_ms at_ms id fence at_ms",
        "not_due",
    ),
    webhooks.PostponeDelivery: guarded(
        "UPDATE webhook_deliveries SET due_ms = ?, status = ?, detail = ?, changed_ms = ?"
        " WHERE id = ? AND state = 'pending' AND fence = ?",
        "due_ms status detail at_ms id fence",
        "not_claimed",
    ),
    webhooks.EndDelivery: guarded(
        "UPDATE webhook_deliveries SET state = ?, status = ?, detail = ?, changed_ms = ?"
        " WHERE id = ? AND state = 'pending' AND fence = ?",
        "state status detail at_ms id fence",
        "not_claimed",
    ),
    webhooks.ReplayDelivery: guarded(
        "UPDATE webhook_deliveries SET state = 'pending', tries = 0, due_ms = ?, changed_ms = ?"
        " WHERE id = ? AND state <> 'pending'",
        "at_ms at_ms id",
        "not_final",
    ),
    webhooks.ForgetDeliveries: each(forget_deliveries),
}
