"""The queries about keys, workspaces' settings and what operators keep, as `selects` has the others."""

from __future__ import annotations

import json
from collections.abc import Callable
from itertools import groupby
from typing import Any, Final

from imageway.core.access import Budget
from imageway.core.ops import Query
from imageway.ledger import access, sealed, terms
from imageway.ledger import queries as ledger
from imageway.storage.rows import Row, Rows, Select, all_as, first_as

_WORKSPACE: Final = "SELECT id, name, created_ms, settings, alert_below_usd_micros FROM workspaces"
_KEY_COLUMNS: Final = (
    "SELECT keys.id, keys.workspace_id, workspaces.name, keys.name, hint, models, keys.created_ms, revoked_ms, scope,"
    " expires_ms, root_id, signed, settings, period, limit_usd_micros, used_usd_micros, window_ms"
)
_KEY_WIDTH: Final = 13
_KEY_JOINS: Final = (
    "JOIN workspaces ON workspaces.id = keys.workspace_id LEFT JOIN budgets ON budgets.budget_id = keys.root_id"
)
_SEALED: Final = "SELECT kind, holder_id, key_id, sealed, changed_ms FROM secrets"
_ADMIN_KEY: Final = "SELECT id, name, hint, role, created_ms, revoked_ms FROM admin_keys"


def find_workspace(query: ledger.FindWorkspace) -> Select:
    both = (query.name_or_id, query.name_or_id)
    # The id wins over another workspace's name.
    return Select(f"{_WORKSPACE} WHERE id = ? OR name = ? ORDER BY id = ? DESC", (*both, both[0]), first_as(_workspace))


def list_workspaces(query: ledger.ListWorkspaces) -> Select:
    sql = f"{_WORKSPACE} WHERE (created_ms, id) > (?, ?) ORDER BY created_ms, id LIMIT ?"
    return Select(sql, (*query.after, query.limit), all_as(_workspace))


def find_key(query: ledger.FindKey) -> Select:
    """A row for each budget of its root; one row for a key without budgets."""
    return Select(f"{_KEY_COLUMNS} FROM keys {_KEY_JOINS} WHERE digest = ? ORDER BY period", (query.digest,), _one_key)


def show_key(query: ledger.ShowKey) -> Select:
    return Select(f"{_KEY_COLUMNS} FROM keys {_KEY_JOINS} WHERE keys.id = ? ORDER BY period", (query.id,), _one_key)


def list_keys(query: ledger.ListKeys) -> Select:
    where, values = ("", ()) if query.workspace_id is None else ("workspace_id = ? AND ", (query.workspace_id,))
    chosen = f"SELECT * FROM keys WHERE {where}(created_ms, id) > (?, ?) ORDER BY created_ms, id LIMIT ?"  # noqa: S608  (callers' words are parameters)
    sql = f"{_KEY_COLUMNS} FROM ({chosen}) AS keys {_KEY_JOINS} ORDER BY keys.created_ms, keys.id, period"
    return Select(sql, (*values, *query.after, query.limit), _key_tuple)


def find_budgets(query: access.FindBudgets) -> Select:
    sql = "SELECT period, limit_usd_micros, used_usd_micros, window_ms FROM budgets WHERE budget_id = ? ORDER BY period"
    return Select(sql, (query.budget_id,), all_as(lambda row: Budget(*row)))


def list_members(query: access.ListMembers) -> Select:
    sql = "SELECT workspace_id, name, role, created_ms FROM members WHERE workspace_id = ? ORDER BY name"
    return Select(sql, (query.workspace_id,), all_as(lambda row: access.Member(*row)))


def find_admin_key(query: access.FindAdminKey) -> Select:
    return Select(f"{_ADMIN_KEY} WHERE digest = ?", (query.digest,), first_as(_admin_key))


def show_admin_key(query: access.ShowAdminKey) -> Select:
    return Select(f"{_ADMIN_KEY} WHERE id = ?", (query.id,), first_as(_admin_key))


def list_admin_keys(_: access.ListAdminKeys) -> Select:
    return Select(f"{_ADMIN_KEY} ORDER BY created_ms, id", (), all_as(_admin_key))


def list_changes(query: access.ListChanges) -> Select:
    conditions: list[tuple[str, str | int]] = []
    if query.target:
        conditions.append(("target = ?", query.target))
    if query.before_seq:
        conditions.append(("seq < ?", query.before_seq))
    where = " AND ".join(text for text, _ in conditions) or "TRUE"
    sql = (
        "SELECT seq, actor, action, target, before, after, at_ms FROM changes"  # noqa: S608  (callers' words are parameters)
        f" WHERE {where} ORDER BY seq DESC LIMIT ?"
    )
    values = (*(value for _, value in conditions), query.limit)
    return Select(sql, values, all_as(lambda row: access.Change(*row)))


def low_wallets(_: access.LowWallets) -> Select:
    sql = (
        "SELECT workspaces.id, workspaces.name, available, alert_below_usd_micros FROM workspaces"
        " JOIN wallets ON wallets.workspace_id = workspaces.id WHERE alert_below_usd_micros IS NOT NULL"
        " AND available < alert_below_usd_micros AND alerted_ms IS NULL ORDER BY workspaces.id"
    )
    return Select(sql, (), all_as(lambda row: access.LowWallet(*row)))


def list_price_rules(query: terms.ListPriceRules) -> Select:
    sql = (
        "SELECT id, workspace_id, models, multiplier_millionths, per_image_usd_micros, rows, from_ms, until_ms, source,"
        " created_ms FROM price_rules WHERE until_ms IS NULL OR until_ms >= ? ORDER BY created_ms, id"
    )
    return Select(sql, (query.since_ms,), all_as(lambda row: terms.PriceRule(*row)))


def find_secret(query: sealed.FindSecret) -> Select:
    sql = f"{_SEALED} WHERE kind = ? AND holder_id = ?"
    return Select(sql, (query.kind, query.holder_id), first_as(lambda row: sealed.Secret(*row)))


def list_secrets(query: sealed.ListSecrets) -> Select:
    where, values = ("kind = ?", (query.kind,)) if query.kind else ("TRUE", ())
    sql = f"{_SEALED} WHERE {where} AND key_id <> ? AND (kind, holder_id) > (?, ?) ORDER BY kind, holder_id LIMIT ?"
    found = (*values, query.not_under, *query.after, query.limit)
    return Select(sql, found, all_as(lambda row: sealed.Secret(*row)))


def count_secrets(_: sealed.CountSecrets) -> Select:
    sql = "SELECT kind, key_id, COUNT(*) FROM secrets GROUP BY kind, key_id ORDER BY kind, key_id"
    return Select(sql, (), all_as(lambda row: sealed.SecretCount(*row)))


def list_unsealed(query: sealed.ListUnsealed) -> Select:
    missing = "NOT EXISTS (SELECT 1 FROM secrets WHERE secrets.kind = ? AND secrets.holder_id = made.id)"
    sql = (
        f"SELECT kind, holder_id, hint FROM (SELECT '{sealed.SIGNING}' AS kind, id AS holder_id, '' AS hint"  # noqa: S608
        f" FROM keys AS made WHERE signed <> 0 AND revoked_ms IS NULL AND {missing}"
        f" UNION ALL SELECT '{sealed.WEBHOOK}', id, hint FROM webhook_secrets AS made WHERE {missing}) AS found"
        " WHERE (kind, holder_id) > (?, ?) ORDER BY kind, holder_id LIMIT ?"
    )
    values = (sealed.SIGNING, sealed.WEBHOOK, *query.after, query.limit)
    return Select(sql, values, all_as(lambda row: sealed.Unsealed(*row)))


def list_upstreams(_: sealed.ListUpstreams) -> Select:
    return Select(
        "SELECT id, provider, document, enabled, changed_ms FROM upstreams ORDER BY id", (), all_as(_upstream)
    )


def _workspace(row: Row) -> ledger.Workspace:
    return ledger.Workspace(*row)


def _one_key(rows: Rows) -> ledger.Key | None:
    return _key(rows) if rows else None


def _key_tuple(rows: Rows) -> tuple[ledger.Key, ...]:
    return tuple(_key(list(group)) for _, group in groupby(rows, key=lambda row: row[0]))


def _key(rows: Rows) -> ledger.Key:
    row = rows[0]
    budgets = tuple(Budget(*each[_KEY_WIDTH:]) for each in rows if each[_KEY_WIDTH] is not None)
    values = [*row[:5], tuple(json.loads(row[5])), *row[6:11], bool(row[11]), row[12], budgets]
    return ledger.Key(*values)


def _admin_key(row: Row) -> access.AdminKey:
    return access.AdminKey(*row)


def _upstream(row: Row) -> sealed.StoredUpstream:
    values = [*row[:3], bool(row[3]), row[4]]
    return sealed.StoredUpstream(*values)


ACCESS_SELECTS: Final[dict[type[Query[Any]], Callable[[Any], Select]]] = {
    ledger.FindWorkspace: find_workspace,
    ledger.ListWorkspaces: list_workspaces,
    ledger.FindKey: find_key,
    ledger.ShowKey: show_key,
    ledger.ListKeys: list_keys,
    access.FindBudgets: find_budgets,
    access.ListMembers: list_members,
    access.FindAdminKey: find_admin_key,
    access.ShowAdminKey: show_admin_key,
    access.ListAdminKeys: list_admin_keys,
    access.ListChanges: list_changes,
    access.LowWallets: low_wallets,
    terms.ListPriceRules: list_price_rules,
    sealed.FindSecret: find_secret,
    sealed.ListSecrets: list_secrets,
    sealed.CountSecrets: count_secrets,
    sealed.ListUnsealed: list_unsealed,
    sealed.ListUpstreams: list_upstreams,
}
