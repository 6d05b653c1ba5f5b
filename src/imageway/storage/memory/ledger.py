"""The ops of the ledger on dictionaries."""

from __future__ import annotations

from dataclasses import replace
from operator import add
from typing import cast

from msgspec import structs

from imageway.ledger import ops
from imageway.ledger.queries import HoldRow, Key, Transfer, Wallet, Workspace
from imageway.ledger.sealed import SIGNING
from imageway.ledger.usage import SPANS_MS, Sums, sum_key, sums_of
from imageway.storage.memory.tables import Tables


def create_workspace(tables: Tables, op: ops.CreateWorkspace) -> str | None:
    if op.id in tables.workspaces or any(row.name == op.name for row in tables.workspaces.values()):
        return "name_taken"
    tables.put(tables.workspaces, op.id, Workspace(op.id, op.name, op.at_ms))
    tables.put(tables.wallets, op.id, Wallet(op.id, op.name, available=0, held=0, spent=0))
    return None


def top_up(tables: Tables, op: ops.TopUp) -> str | None:
    return _pay_in(tables, op, "topup", topped_up=op.usd_micros)


def grant(tables: Tables, op: ops.Grant) -> str | None:
    return _pay_in(tables, op, "grant", granted=op.usd_micros)


def adjust(tables: Tables, op: ops.Adjust) -> str | None:
    return _pay_in(tables, op, "adjust_up" if op.usd_micros >= 0 else "adjust_down", adjusted=op.usd_micros)


def _pay_in(tables: Tables, op: ops.TopUp | ops.Grant | ops.Adjust, kind: str, **came: int) -> str | None:
    wallet = tables.wallets.get(op.workspace_id)
    if wallet is None:
        return "no_workspace"
    if wallet.available + op.usd_micros < 0:
        return "insufficient_balance"
    if op.id in tables.topups:
        return "duplicate"
    tables.put(tables.topups, op.id, op.usd_micros)
    _balance(tables, wallet, available=op.usd_micros, **came)
    _transfer(tables, Transfer(0, kind, op.workspace_id, None, "wallet", abs(op.usd_micros), op.at_ms))
    return None


def hold(tables: Tables, op: ops.Hold) -> str | None:
    if op.task_id in tables.holds:
        return "duplicate"
    wallet = tables.wallets.get(op.workspace_id)
    if wallet is None:
        return "no_workspace"
    if wallet.available < op.usd_micros:
        return "insufficient_balance"
    tables.put(tables.holds, op.task_id, HoldRow(op.task_id, op.workspace_id, op.usd_micros, 0, "open"))
    _balance(tables, wallet, available=-op.usd_micros, held=op.usd_micros)
    _transfer(tables, Transfer(0, "hold", op.workspace_id, op.task_id, "wallet", op.usd_micros, op.at_ms))
    return None


def capture(tables: Tables, op: ops.Capture) -> str | None:
    row = tables.holds.get(op.task_id)
    if row is None or row.state != "open":
        return "no_open_hold"
    if op.usd_micros > row.usd_micros:
        return "above_hold"
    rest = row.usd_micros - op.usd_micros
    tables.put(tables.holds, op.task_id, replace(row, state="captured", captured=op.usd_micros))
    wallet = tables.wallets[row.workspace_id]
    _balance(tables, wallet, available=rest, held=-row.usd_micros, spent=op.usd_micros)
    _transfer(tables, Transfer(0, "capture", row.workspace_id, op.task_id, "wallet", op.usd_micros, op.at_ms))
    if rest:
        _transfer(tables, Transfer(0, "void", row.workspace_id, op.task_id, "wallet", rest, op.at_ms))
    return None


def void(tables: Tables, op: ops.Void) -> str | None:
    row = tables.holds.get(op.task_id)
    if row is None or row.state != "open":
        return "no_open_hold"
    tables.put(tables.holds, op.task_id, replace(row, state="voided"))
    _balance(tables, tables.wallets[row.workspace_id], available=row.usd_micros, held=-row.usd_micros)
    _transfer(tables, Transfer(0, "void", row.workspace_id, op.task_id, "wallet", row.usd_micros, op.at_ms))
    return None


def refund(tables: Tables, op: ops.Refund) -> str | None:
    row = tables.holds.get(op.task_id)
    if row is None or row.state != "captured":
        return "not_captured"
    tables.put(tables.holds, op.task_id, replace(row, state="refunded"))
    _balance(tables, tables.wallets[row.workspace_id], available=row.captured, spent=-row.captured)
    _transfer(tables, Transfer(0, "refund", row.workspace_id, op.task_id, "wallet", row.captured, op.at_ms))
    return None


def book_cost(tables: Tables, op: ops.BookCost) -> None:
    kind = "cost" if op.known else "unknown"
    _transfer(tables, Transfer(0, kind, None, op.task_id, f"{kind}:{op.upstream_id}", op.usd_micros, op.at_ms))


def book_overrun(tables: Tables, op: ops.BookOverrun) -> None:
    _transfer(tables, Transfer(0, "overrun", None, op.task_id, "overrun", op.usd_micros, op.at_ms))


def spend_budget(tables: Tables, op: ops.SpendBudget) -> str | None:
    budget = tables.budgets.get((op.budget_id, op.period))
    if budget is None:
        return None
    used = op.usd_micros + (0 if budget.window_ms < op.window_ms else budget.used_usd_micros)
    if used > budget.limit_usd_micros:
        return "budget_exceeded"
    if budget.window_ms <= op.window_ms:
        changed = structs.replace(budget, used_usd_micros=used, window_ms=op.window_ms)
        tables.put(tables.budgets, (op.budget_id, op.period), changed)
    return None


def release_budget(tables: Tables, op: ops.ReleaseBudget) -> None:
    budget = tables.budgets.get((op.budget_id, op.period))
    if budget is not None and budget.window_ms == op.window_ms:
        used = max(0, budget.used_usd_micros - op.usd_micros)
        tables.put(tables.budgets, (op.budget_id, op.period), structs.replace(budget, used_usd_micros=used))


def create_key(tables: Tables, op: ops.CreateKey) -> str | None:
    workspace = tables.workspaces.get(op.workspace_id)
    if workspace is None:
        return "no_workspace"
    if op.id in tables.keys or op.digest in tables.digests:
        return "duplicate"
    row = Key(
        id=op.id,
        workspace_id=op.workspace_id,
        workspace=workspace.name,
        name=op.name,
        hint=op.hint,
        models=op.models,
        created_ms=op.at_ms,
        revoked_ms=None,
        scope=op.scope,
        expires_ms=op.expires_ms,
        root_id=op.root_id or op.id,
        signed=op.signed,
    )
    tables.put(tables.keys, op.id, row)
    tables.put(tables.digests, op.digest, op.id)
    return None


def revoke_key(tables: Tables, op: ops.RevokeKey) -> str | None:
    row = tables.keys.get(op.id)
    if row is None or row.revoked_ms is not None:
        return "no_key"
    tables.put(tables.keys, op.id, replace(row, revoked_ms=op.at_ms))
    tables.drop(tables.sealed, (SIGNING, op.id))
    return None


def record_usage(tables: Tables, op: ops.RecordUsage) -> str | None:
    if op.request_id in tables.usage:
        return "duplicate"
    tables.put(tables.usage, op.request_id, op)
    _add_up(tables, op, sums_of(op))
    return None


def mark_delivery(tables: Tables, op: ops.MarkDelivery) -> str | None:
    row = tables.usage.get(op.request_id)
    if row is None or row.delivery != "undelivered":
        return "not_undelivered"
    tables.put(tables.usage, op.request_id, structs.replace(row, delivery=op.delivery))
    if op.delivery == "refunded":
        _add_up(tables, row, (0, 0, 0, 0, row.price_usd_micros, 0, 0, 0, 0))
    return None


def _add_up(tables: Tables, row: ops.RecordUsage, added: Sums) -> None:
    for key in (sum_key(row, span_ms) for span_ms in SPANS_MS):
        before = tables.sums.get(key, (0,) * len(added))
        tables.put(tables.sums, key, cast("Sums", tuple(map(add, before, added))))


def _balance(tables: Tables, wallet: Wallet, **changes: int) -> None:
    after = {name: getattr(wallet, name) + by for name, by in changes.items()}
    tables.put(tables.wallets, wallet.workspace_id, replace(wallet, **after))


def _transfer(tables: Tables, transfer: Transfer) -> None:
    seq = len(tables.transfers) + 1
    tables.put(tables.transfers, seq, replace(transfer, seq=seq))
