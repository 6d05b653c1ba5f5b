"""Where a wallet's money came from, budgets, more of each request and its sums by hour and day, and claims that say
what was asked. PostgreSQL's functions learn the ops."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from alembic import op
from sqlalchemy import CheckConstraint
from sqlalchemy.schema import SchemaItem

from imageway.storage.columns import engine_options, whole, words

revision: Final = "0004"
down_revision: Final = "0003"

SUM: Final = "available + held + spent = topped_up + granted + adjusted"
# What no topup explains becomes an adjustment without an entry, which `ledger verify` finds: no upgrade stops for it.
WALLETS: Final = """
SELECT workspace_id, available, held, spent, came, 0, available + held + spent - came FROM (
  SELECT wallets.*, COALESCE((
    SELECT SUM(usd_micros) FROM transfers WHERE kind = 'topup' AND transfers.workspace_id = wallets.workspace_id
  ), 0) AS came FROM wallets
) AS known
"""
SUMS: Final = """
INSERT INTO usage_sums
SELECT {span_ms}, at_ms / {span_ms} * {span_ms}, workspace_id, key_id, model, upstream_id, outcome,
  COUNT(*), SUM(n), SUM(delivered), SUM(price_usd_micros),
  SUM(CASE WHEN delivery = 'refunded' THEN price_usd_micros ELSE 0 END), SUM(cost_usd_micros), 0, 0, 0
FROM usage GROUP BY at_ms / {span_ms} * {span_ms}, workspace_id, key_id, model, upstream_id, outcome
"""
SPANS_MS: Final = (3_600_000, 86_400_000)


def upgrade() -> None:
    _wallets()
    _usage()
    if op.get_context().dialect.name == "sqlite":
        op.execute("ALTER TABLE claims ADD COLUMN fingerprint BLOB NOT NULL DEFAULT x''")
    else:
        op.execute("ALTER TABLE claims ADD COLUMN fingerprint bytea NOT NULL DEFAULT ''")
        op.execute(Path(__file__).with_suffix(".sql").read_text())
        op.execute(Path(__file__).with_name("v0004_groups.sql").read_text())


def _wallets() -> None:
    """Made anew: SQLite adds no check to a table that is there."""
    _table(
        "wallets_anew",
        words("workspace_id", key=True),
        whole("available"),
        whole("held"),
        whole("spent"),
        whole("topped_up"),
        whole("granted"),
        whole("adjusted"),
        CheckConstraint("available >= 0", name="wallets_available"),
        CheckConstraint("held >= 0", name="wallets_held"),
        CheckConstraint("spent >= 0", name="wallets_spent"),
        CheckConstraint("topped_up >= 0", name="wallets_topped_up"),
        CheckConstraint("granted >= 0", name="wallets_granted"),
        CheckConstraint(SUM, name="wallets_sum"),
    )
    op.execute(f"INSERT INTO wallets_anew {WALLETS}")
    op.drop_table("wallets")
    op.rename_table("wallets_anew", "wallets")
    _table(
        "budgets",
        words("budget_id", key=True),
        words("period", key=True),
        whole("limit_usd_micros"),
        whole("used_usd_micros"),
        whole("window_ms"),
        CheckConstraint("used_usd_micros >= 0", name="budgets_used"),
    )


def _usage() -> None:
    for name in ("dialect", "offering", "size", "warnings", "error"):
        op.add_column("usage", words(name, rows_have=""))
    op.add_column("usage", words("operation", rows_have="generate"))
    for name in ("input_text", "input_image", "output_text", "output_image"):
        op.add_column("usage", whole(f"{name}_tokens", rows_have=0))
    for name in ("queue", "upstream", "total"):
        op.add_column("usage", whole(f"{name}_ms", rows_have=0))
    op.drop_index("usage_by_workspace", "usage")
    op.create_index("usage_by_workspace", "usage", ["workspace_id", "at_ms", "seq"])
    op.create_index("usage_by_time", "usage", ["at_ms", "seq"])
    _table(
        "usage_sums",
        whole("span_ms", key=True),
        whole("begin_ms", key=True),
        words("workspace_id", key=True),
        words("key_id", key=True),
        words("model", key=True),
        words("upstream_id", key=True),
        words("outcome", key=True),
        whole("requests"),
        whole("asked"),
        whole("delivered"),
        whole("price_usd_micros"),
        whole("refunded_usd_micros"),
        whole("cost_usd_micros"),
        whole("tokens"),
        whole("total_ms"),
        whole("upstream_ms"),
    )
    for span_ms in SPANS_MS:
        op.execute(SUMS.format(span_ms=span_ms))


def _table(name: str, *items: SchemaItem) -> None:
    op.create_table(name, *items, **engine_options(clustered=True))
