"""The ops on who may do what, and on operators' prices, upstreams and secrets, as statements."""

from __future__ import annotations

import json
from sqlite3 import Cursor
from typing import Final

from imageway.core.ops import Op
from imageway.ledger import access, sealed, terms
from imageway.ledger.ops import CreateKey
from imageway.storage.sqlite.statements import Apply, each, guarded


def create_key(cursor: Cursor, op: CreateKey) -> str | None:
    cursor.execute(
        "INSERT INTO keys (id, workspace_id, name, digest, hint, models, created_ms, scope, expires_ms, root_id,"
        " signed) SELECT ?, id, ?, ?, ?, ?, ?, ?, ?, ?, ? FROM workspaces WHERE id = ? ON CONFLICT DO NOTHING",
        (
            *(op.id, op.name, op.digest, op.hint, json.dumps(op.models), op.at_ms, op.scope, op.expires_ms),
            *(op.root_id or op.id, op.signed, op.workspace_id),
        ),
    )
    if cursor.rowcount:
        return None
    return "duplicate" if _is_workspace(cursor, op.workspace_id) else "no_workspace"


def _is_workspace(cursor: Cursor, workspace_id: str) -> bool:
    return cursor.execute("SELECT 1 FROM workspaces WHERE id = ?", (workspace_id,)).fetchone() is not None


def change_key(cursor: Cursor, op: access.ChangeKey) -> str | None:
    cursor.execute(
        "UPDATE keys SET name = ?, models = ?, scope = ? WHERE id = ? AND revoked_ms IS NULL",
        (op.name, json.dumps(op.models), op.scope, op.id),
    )
    return None if cursor.rowcount else "no_key"


def rearm_alerts(cursor: Cursor, _: access.RearmAlerts) -> None:
    cursor.execute(
        "UPDATE workspaces SET alerted_ms = NULL WHERE alerted_ms IS NOT NULL AND COALESCE(alert_below_usd_micros, 0)"
        " <= (SELECT available FROM wallets WHERE wallets.workspace_id = workspaces.id)"
    )


def use_signature(cursor: Cursor, op: access.UseSignature) -> str | None:
    cursor.execute("DELETE FROM signatures WHERE until_ms < ?", (op.at_ms,))
    cursor.execute(
        "INSERT INTO signatures (digest, until_ms) VALUES (?, ?) ON CONFLICT DO NOTHING", (op.digest, op.until_ms)
    )
    return None if cursor.rowcount else "replayed"


def set_price_rule(cursor: Cursor, op: terms.SetPriceRule) -> str | None:
    cursor.execute(
        "INSERT INTO price_rules (id, workspace_id, models, multiplier_millionths, per_image_usd_micros, rows, from_ms,"
        " source, created_ms) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
        (
            *(op.id, op.workspace_id, op.models, op.multiplier_millionths, op.per_image_usd_micros, op.rows),
            *(op.from_ms, op.source, op.at_ms),
        ),
    )
    if not cursor.rowcount:
        return "duplicate"
    return None if not op.workspace_id or _is_workspace(cursor, op.workspace_id) else "no_workspace"


def drop_upstream(cursor: Cursor, op: sealed.DropUpstream) -> str | None:
    cursor.execute("DELETE FROM upstreams WHERE id = ?", (op.id,))
    return None if cursor.rowcount else "no_upstream"


ACCESS_WRITES: Final[dict[type[Op], Apply]] = {
    CreateKey: each(create_key),
    access.ExpireKey: guarded(
        "UPDATE keys SET expires_ms = ? WHERE id = ? AND revoked_ms IS NULL", "expires_ms id", "no_key"
    ),
    access.ChangeKey: each(change_key),
    access.SetBudget: guarded(
        "INSERT INTO budgets (budget_id, period, limit_usd_micros, used_usd_micros, window_ms)"
        " SELECT id, ?, ?, 0, 0 FROM keys WHERE id = ? AND root_id = id"
        " ON CONFLICT (budget_id, period) DO UPDATE SET limit_usd_micros = excluded.limit_usd_micros",
        "period limit_usd_micros budget_id",
        "no_key",
    ),
    access.DropBudget: guarded(
        "DELETE FROM budgets WHERE budget_id = ? AND period = ?", "budget_id period", "no_budget"
    ),
    access.SetWorkspace: guarded(
        "UPDATE workspaces SET settings = ?, alert_below_usd_micros = ? WHERE id = ?",
        "settings alert_below_usd_micros id",
        "no_workspace",
    ),
    access.MarkAlerted: guarded(
        "UPDATE workspaces SET alerted_ms = ? WHERE id = ? AND alerted_ms IS NULL AND alert_below_usd_micros >"
        " (SELECT available FROM wallets WHERE wallets.workspace_id = workspaces.id)",
        "at_ms workspace_id",
        "not_low",
    ),
    access.RearmAlerts: each(rearm_alerts),
    access.AddMember: guarded(
        "INSERT INTO members (workspace_id, name, role, created_ms) SELECT id, ?, ?, ? FROM workspaces WHERE id = ?"
        " ON CONFLICT (workspace_id, name) DO UPDATE SET role = excluded.role",
        "name role at_ms workspace_id",
        "no_workspace",
    ),
    access.RemoveMember: guarded(
        "DELETE FROM members WHERE workspace_id = ? AND name = ?", "workspace_id name", "no_member"
    ),
    access.CreateAdminKey: guarded(
        "INSERT INTO admin_keys (id, name, digest, hint, role, created_ms) VALUES (?, ?, ?, ?, ?, ?)"
        " ON CONFLICT DO NOTHING",
        "id name digest hint role at_ms",
        "duplicate",
    ),
    access.RevokeAdminKey: guarded(
        "UPDATE admin_keys SET revoked_ms = ? WHERE id = ? AND revoked_ms IS NULL", "at_ms id", "no_key"
    ),
    access.UseSignature: each(use_signature),
    access.RecordChange: guarded(
        "INSERT INTO changes (actor, action, target, before, after, at_ms) VALUES (?, ?, ?, ?, ?, ?)",
        "actor action target before after at_ms",
        "never",
    ),
    terms.SetPriceRule: each(set_price_rule),
    terms.EndPriceRule: guarded(
        "UPDATE price_rules SET until_ms = ? WHERE id = ? AND until_ms IS NULL", "until_ms id", "no_rule"
    ),
    sealed.PutSecret: guarded(
        "INSERT INTO secrets (kind, holder_id, key_id, sealed, changed_ms) VALUES (?, ?, ?, ?, ?)"
        " ON CONFLICT (kind, holder_id) DO UPDATE"
        " SET key_id = excluded.key_id, sealed = excluded.sealed, changed_ms = excluded.changed_ms",
        "kind holder_id key_id sealed at_ms",
        "never",
    ),
    sealed.ResealSecret: guarded(
        "UPDATE secrets SET key_id = ?, sealed = ? WHERE kind = ? AND holder_id = ? AND sealed = ?",
        "key_id sealed kind holder_id was",
        "changed",
    ),
    sealed.DropSecret: guarded("DELETE FROM secrets WHERE kind = ? AND holder_id = ?", "kind holder_id", "no_secret"),
    sealed.PutUpstream: guarded(
        "INSERT INTO upstreams (id, provider, document, enabled, changed_ms) VALUES (?, ?, ?, ?, ?)"
        " ON CONFLICT (id) DO UPDATE SET provider = excluded.provider, document = excluded.document,"
        " enabled = excluded.enabled, changed_ms = excluded.changed_ms",
        "id provider document enabled at_ms",
        "never",
    ),
    sealed.DropUpstream: each(drop_upstream),
}
