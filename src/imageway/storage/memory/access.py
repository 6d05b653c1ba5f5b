"""Who may do what, on dictionaries: ops and queries, and those about operators' prices, upstreams and secrets."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import replace
from itertools import islice
from typing import Any, Final, TypeVar

from msgspec import structs

from imageway.core.access import Budget
from imageway.core.ops import Op, Query
from imageway.ledger import access, sealed, terms
from imageway.ledger.queries import Key
from imageway.storage.memory.tables import Tables

S = TypeVar("S", sealed.Secret, sealed.Unsealed)


def expire_key(tables: Tables, op: access.ExpireKey) -> str | None:
    key = _good_key(tables, op.id)
    if key is None:
        return "no_key"
    tables.put(tables.keys, op.id, replace(key, expires_ms=op.expires_ms))
    return None


def change_key(tables: Tables, op: access.ChangeKey) -> str | None:
    key = _good_key(tables, op.id)
    if key is None:
        return "no_key"
    tables.put(tables.keys, op.id, replace(key, name=op.name, models=op.models, scope=op.scope))
    return None


def _good_key(tables: Tables, key_id: str) -> Key | None:
    key = tables.keys.get(key_id)
    return None if key is None or key.revoked_ms is not None else key


def set_budget(tables: Tables, op: access.SetBudget) -> str | None:
    key = tables.keys.get(op.budget_id)
    if key is None or key.root_id != key.id:
        return "no_key"
    known = tables.budgets.get((op.budget_id, op.period), Budget(op.period, 0))
    after = structs.replace(known, limit_usd_micros=op.limit_usd_micros)
    tables.put(tables.budgets, (op.budget_id, op.period), after)
    return None


def drop_budget(tables: Tables, op: access.DropBudget) -> str | None:
    if (op.budget_id, op.period) not in tables.budgets:
        return "no_budget"
    tables.drop(tables.budgets, (op.budget_id, op.period))
    return None


def set_workspace(tables: Tables, op: access.SetWorkspace) -> str | None:
    row = tables.workspaces.get(op.id)
    if row is None:
        return "no_workspace"
    after = replace(row, settings=op.settings, alert_below_usd_micros=op.alert_below_usd_micros)
    tables.put(tables.workspaces, op.id, after)
    return None


def mark_alerted(tables: Tables, op: access.MarkAlerted) -> str | None:
    if op.workspace_id in tables.alerted or not _is_low(tables, op.workspace_id):
        return "not_low"
    tables.put(tables.alerted, op.workspace_id, op.at_ms)
    return None


def rearm_alerts(tables: Tables, _: access.RearmAlerts) -> None:
    for workspace_id in [known for known in tables.alerted if not _is_low(tables, known)]:
        tables.drop(tables.alerted, workspace_id)


def _is_low(tables: Tables, workspace_id: str) -> bool:
    row = tables.workspaces.get(workspace_id)
    below = None if row is None else row.alert_below_usd_micros
    return below is not None and tables.wallets[workspace_id].available < below


def add_member(tables: Tables, op: access.AddMember) -> str | None:
    if op.workspace_id not in tables.workspaces:
        return "no_workspace"
    known = tables.members.get((op.workspace_id, op.name))
    created_ms = op.at_ms if known is None else known.created_ms
    member = access.Member(op.workspace_id, op.name, op.role, created_ms)
    tables.put(tables.members, (op.workspace_id, op.name), member)
    return None


def remove_member(tables: Tables, op: access.RemoveMember) -> str | None:
    if (op.workspace_id, op.name) not in tables.members:
        return "no_member"
    tables.drop(tables.members, (op.workspace_id, op.name))
    return None


def create_admin_key(tables: Tables, op: access.CreateAdminKey) -> str | None:
    if op.id in tables.admin_keys or op.digest in tables.admin_digests:
        return "duplicate"
    tables.put(tables.admin_keys, op.id, access.AdminKey(op.id, op.name, op.hint, op.role, op.at_ms, None))
    tables.put(tables.admin_digests, op.digest, op.id)
    return None


def revoke_admin_key(tables: Tables, op: access.RevokeAdminKey) -> str | None:
    row = tables.admin_keys.get(op.id)
    if row is None or row.revoked_ms is not None:
        return "no_key"
    tables.put(tables.admin_keys, op.id, replace(row, revoked_ms=op.at_ms))
    return None


def use_signature(tables: Tables, op: access.UseSignature) -> str | None:
    for digest in [digest for digest, until_ms in tables.signatures.items() if until_ms < op.at_ms]:
        tables.drop(tables.signatures, digest)
    if op.digest in tables.signatures:
        return "replayed"
    tables.put(tables.signatures, op.digest, op.until_ms)
    return None


def record_change(tables: Tables, op: access.RecordChange) -> None:
    seq = len(tables.changes) + 1
    row = access.Change(seq, op.actor, op.action, op.target, op.before, op.after, op.at_ms)
    tables.put(tables.changes, seq, row)


def set_price_rule(tables: Tables, op: terms.SetPriceRule) -> str | None:
    if op.id in tables.price_rules:
        return "duplicate"
    if op.workspace_id and op.workspace_id not in tables.workspaces:
        return "no_workspace"
    row = terms.PriceRule(
        id=op.id,
        workspace_id=op.workspace_id,
        models=op.models,
        multiplier_millionths=op.multiplier_millionths,
        per_image_usd_micros=op.per_image_usd_micros,
        rows=op.rows,
        from_ms=op.from_ms,
        until_ms=None,
        source=op.source,
        created_ms=op.at_ms,
    )
    tables.put(tables.price_rules, op.id, row)
    return None


def end_price_rule(tables: Tables, op: terms.EndPriceRule) -> str | None:
    row = tables.price_rules.get(op.id)
    if row is None or row.until_ms is not None:
        return "no_rule"
    tables.put(tables.price_rules, op.id, replace(row, until_ms=op.until_ms))
    return None


def put_secret(tables: Tables, op: sealed.PutSecret) -> None:
    row = sealed.Secret(op.kind, op.holder_id, op.key_id, op.sealed, op.at_ms)
    tables.put(tables.sealed, (op.kind, op.holder_id), row)


def reseal_secret(tables: Tables, op: sealed.ResealSecret) -> str | None:
    row = tables.sealed.get((op.kind, op.holder_id))
    if row is None or row.sealed != op.was:
        return "changed"
    tables.put(tables.sealed, (op.kind, op.holder_id), replace(row, key_id=op.key_id, sealed=op.sealed))
    return None


def drop_secret(tables: Tables, op: sealed.DropSecret) -> str | None:
    if (op.kind, op.holder_id) not in tables.sealed:
        return "no_secret"
    tables.drop(tables.sealed, (op.kind, op.holder_id))
    return None


def put_upstream(tables: Tables, op: sealed.PutUpstream) -> None:
    tables.put(tables.upstreams, op.id, sealed.StoredUpstream(op.id, op.provider, op.document, op.enabled, op.at_ms))


def drop_upstream(tables: Tables, op: sealed.DropUpstream) -> str | None:
    if op.id not in tables.upstreams:
        return "no_upstream"
    tables.drop(tables.upstreams, op.id)
    return None


def list_members(tables: Tables, query: access.ListMembers) -> tuple[access.Member, ...]:
    mine = (row for row in tables.members.values() if row.workspace_id == query.workspace_id)
    return tuple(sorted(mine, key=lambda row: row.name))


def find_admin_key(tables: Tables, query: access.FindAdminKey) -> access.AdminKey | None:
    key_id = tables.admin_digests.get(query.digest)
    return None if key_id is None else tables.admin_keys[key_id]


def show_admin_key(tables: Tables, query: access.ShowAdminKey) -> access.AdminKey | None:
    return tables.admin_keys.get(query.id)


def list_admin_keys(tables: Tables, _: access.ListAdminKeys) -> tuple[access.AdminKey, ...]:
    return tuple(sorted(tables.admin_keys.values(), key=lambda row: (row.created_ms, row.id)))


def list_changes(tables: Tables, query: access.ListChanges) -> tuple[access.Change, ...]:
    newest = (tables.changes[seq] for seq in reversed(tables.changes))
    older = (row for row in newest if not query.before_seq or row.seq < query.before_seq)
    return tuple(islice((row for row in older if query.target in ("", row.target)), query.limit))


def low_wallets(tables: Tables, _: access.LowWallets) -> tuple[access.LowWallet, ...]:
    rows = sorted(tables.workspaces.values(), key=lambda row: row.id)
    return tuple(
        access.LowWallet(row.id, row.name, tables.wallets[row.id].available, row.alert_below_usd_micros)
        for row in rows
        if row.alert_below_usd_micros is not None and row.id not in tables.alerted and _is_low(tables, row.id)
    )


def list_price_rules(tables: Tables, query: terms.ListPriceRules) -> tuple[terms.PriceRule, ...]:
    rows = (row for row in tables.price_rules.values() if row.until_ms is None or row.until_ms >= query.since_ms)
    return tuple(sorted(rows, key=lambda row: (row.created_ms, row.id)))


def find_secret(tables: Tables, query: sealed.FindSecret) -> sealed.Secret | None:
    return tables.sealed.get((query.kind, query.holder_id))


def list_secrets(tables: Tables, query: sealed.ListSecrets) -> tuple[sealed.Secret, ...]:
    rows = (row for row in tables.sealed.values() if query.kind in ("", row.kind) and row.key_id != query.not_under)
    return _page(rows, query)


def count_secrets(tables: Tables, _: sealed.CountSecrets) -> tuple[sealed.SecretCount, ...]:
    counts = Counter((row.kind, row.key_id) for row in tables.sealed.values())
    return tuple(sealed.SecretCount(*of, count) for of, count in sorted(counts.items()))


def list_unsealed(tables: Tables, query: sealed.ListUnsealed) -> tuple[sealed.Unsealed, ...]:
    keys = (key for key in tables.keys.values() if key.signed and key.revoked_ms is None)
    made = [sealed.Unsealed(sealed.SIGNING, key.id, "") for key in keys]
    made += [sealed.Unsealed(sealed.WEBHOOK, row.id, row.hint) for row in tables.secrets.values()]
    return _page((one for one in made if (one.kind, one.holder_id) not in tables.sealed), query)


def _page(rows: Iterable[S], query: sealed.ListSecrets | sealed.ListUnsealed) -> tuple[S, ...]:
    later = (row for row in rows if (row.kind, row.holder_id) > query.after)
    return tuple(sorted(later, key=lambda row: (row.kind, row.holder_id))[: query.limit])


def find_budgets(tables: Tables, query: access.FindBudgets) -> tuple[Budget, ...]:
    found = (budget for (budget_id, _), budget in tables.budgets.items() if budget_id == query.budget_id)
    return tuple(sorted(found, key=lambda budget: budget.period))


def list_upstreams(tables: Tables, _: sealed.ListUpstreams) -> tuple[sealed.StoredUpstream, ...]:
    return tuple(sorted(tables.upstreams.values(), key=lambda row: row.id))


ACCESS_WRITES: Final[dict[type[Op], Callable[[Tables, Any], str | None]]] = {
    access.ExpireKey: expire_key,
    access.ChangeKey: change_key,
    access.SetBudget: set_budget,
    access.DropBudget: drop_budget,
    access.SetWorkspace: set_workspace,
    access.MarkAlerted: mark_alerted,
    access.RearmAlerts: rearm_alerts,
    access.AddMember: add_member,
    access.RemoveMember: remove_member,
    access.CreateAdminKey: create_admin_key,
    access.RevokeAdminKey: revoke_admin_key,
    access.UseSignature: use_signature,
    access.RecordChange: record_change,
    terms.SetPriceRule: set_price_rule,
    terms.EndPriceRule: end_price_rule,
    sealed.PutSecret: put_secret,
    sealed.ResealSecret: reseal_secret,
    sealed.DropSecret: drop_secret,
    sealed.PutUpstream: put_upstream,
    sealed.DropUpstream: drop_upstream,
}

ACCESS_READS: Final[dict[type[Query[Any]], Callable[[Tables, Any], Any]]] = {
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
