"""The first tables, transfers that cannot be changed, and PostgreSQL's function that commits units."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from alembic import op
from sqlalchemy import CheckConstraint
from sqlalchemy.schema import SchemaItem

from imageway.storage.columns import engine_options, octets, partial, seq, whole, within, words

revision: Final = "0001"
down_revision: Final = None

FIXED_SQLITE: Final = """
CREATE TRIGGER transfers_no_{verb} BEFORE {verb} ON transfers
BEGIN SELECT RAISE(ABORT, 'transfers are never changed: book another one'); END
"""


def upgrade() -> None:
    _money()
    _keys_and_usage()
    _tasks()
    if op.get_context().dialect.name == "sqlite":
        for verb in ("UPDATE", "DELETE"):
            op.execute(FIXED_SQLITE.format(verb=verb))
    else:
        op.execute(Path(__file__).with_suffix(".sql").read_text())


def _money() -> None:
    _table("workspaces", words("id", key=True), words("name"), whole("created_ms"))
    _index("workspaces_by_name", "workspaces", "name", unique=True)

    _table(
        "wallets",
        words("workspace_id", key=True),
        whole("available"),
        whole("held"),
        whole("spent"),
        CheckConstraint("available >= 0", name="wallets_available"),
        CheckConstraint("held >= 0", name="wallets_held"),
        CheckConstraint("spent >= 0", name="wallets_spent"),
        clustered=True,
    )

    _table(
        "transfers",
        seq(),
        words("kind"),
        words("workspace_id", optional=True),
        words("task_id", optional=True),
        words("topup_id", optional=True),
        words("account"),
        whole("usd_micros"),
        whole("at_ms"),
        CheckConstraint("usd_micros >= 0", name="transfers_amount"),
    )
    _index("transfers_by_workspace", "transfers", "workspace_id seq")
    _index("transfers_by_topup", "transfers", "topup_id", unique=True, where="topup_id IS NOT NULL")

    _table(
        "holds",
        words("task_id", key=True),
        words("workspace_id"),
        whole("usd_micros"),
        whole("captured"),
        words("state"),
        CheckConstraint("captured BETWEEN 0 AND usd_micros", name="holds_captured"),
        within("holds_state", column="state", accepted="open captured voided refunded"),
        clustered=True,
    )


def _keys_and_usage() -> None:
    _table(
        "keys",
        words("id", key=True),
        words("workspace_id"),
        words("name"),
        octets("digest"),
        words("hint"),
        words("models"),
        whole("created_ms"),
        whole("revoked_ms", optional=True),
    )
    _index("keys_by_digest", "keys", "digest", unique=True)

    _table(
        "usage",
        seq(),
        words("request_id"),
        words("workspace_id"),
        words("key_id"),
        words("model"),
        words("outcome"),
        whole("n"),
        whole("delivered"),
        whole("price_usd_micros"),
        whole("cost_usd_micros"),
        octets("lines"),
        words("delivery"),
        words("owner"),
        words("upstream_id"),
        whole("at_ms"),
        whole("delivery_ms"),
        within("usage_outcome", column="outcome", accepted="succeeded failed cancelled unknown"),
        within("usage_delivery", column="delivery", accepted="undelivered delivered stored refunded none"),
    )
    _index("usage_by_request", "usage", "request_id", unique=True)
    _index("usage_by_workspace", "usage", "workspace_id seq")
    _index("usage_undelivered", "usage", "owner", where="delivery = 'undelivered'")


def _tasks() -> None:
    _table(
        "tasks",
        words("id", key=True),
        words("workspace_id"),
        words("key_id"),
        words("model"),
        words("state"),
        words("owner"),
        whole("fence"),
        octets("request"),
        octets("result"),
        whole("created_ms"),
        whole("deadline_ms"),
        whole("finished_ms", optional=True),
        within("tasks_state", column="state", accepted="queued running succeeded failed cancelled unknown"),
    )
    _index("tasks_running", "tasks", "owner", where="state IN ('queued', 'running')")
    _index("tasks_unknown", "tasks", "finished_ms", where="state = 'unknown'")

    _table(
        "attempts",
        seq(),
        words("id"),
        words("task_id"),
        whole("part"),
        words("upstream_id"),
        words("offering"),
        words("state"),
        octets("memo"),
        words("detail"),
        whole("at_ms"),
        whole("deadline_ms"),
        whole("changed_ms"),
        within("attempts_state", column="state", accepted="submitted polling proved failed unknown cancelled"),
    )
    _index("attempts_by_id", "attempts", "id", unique=True)
    _index("attempts_by_task", "attempts", "task_id seq")
    _index("attempts_unknown", "attempts", "task_id", where="state = 'unknown'")

    _table(
        "claims",
        words("workspace_id", key=True),
        words("key", key=True),
        words("task_id"),
        whole("at_ms"),
        clustered=True,
    )

    _table("leases", words("owner", key=True), whole("until_ms"), clustered=True)


def _table(name: str, *items: SchemaItem, clustered: bool = False) -> None:
    op.create_table(name, *items, **engine_options(clustered=clustered))


def _index(name: str, table: str, columns: str, *, unique: bool = False, where: str | None = None) -> None:
    op.create_index(name, table, columns.split(), unique=unique, **partial(where))
