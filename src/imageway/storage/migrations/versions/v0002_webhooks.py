"""Webhooks: endpoints, what signs for them, and deliveries. PostgreSQL's function learns their ops."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from alembic import op
from sqlalchemy.schema import SchemaItem

from imageway.storage.columns import engine_options, partial, whole, within, words

revision: Final = "0002"
down_revision: Final = "0001"


def upgrade() -> None:
    _table(
        "webhook_endpoints",
        words("id", key=True),
        words("workspace_id"),
        words("url"),
        words("events"),
        whole("created_ms"),
        whole("disabled_ms", optional=True),
    )
    _index("webhook_endpoints_by_workspace", "webhook_endpoints", "workspace_id url", unique=True)

    _table(
        "webhook_secrets",
        words("id", key=True),
        words("holder_id"),
        words("hint"),
        whole("created_ms"),
        whole("until_ms", optional=True),
    )
    _index("webhook_secrets_current", "webhook_secrets", "holder_id", unique=True, where="until_ms IS NULL")
    _index("webhook_secrets_by_holder", "webhook_secrets", "holder_id")

    _table(
        "webhook_deliveries",
        words("id", key=True),
        words("workspace_id"),
        words("task_id"),
        words("endpoint_id"),
        words("url"),
        words("event"),
        words("state"),
        whole("fence"),
        whole("tries"),
        whole("due_ms"),
        whole("status"),
        words("detail"),
        whole("created_ms"),
        whole("changed_ms"),
        within("webhook_deliveries_state", column="state", accepted="pending delivered dead"),
    )
    _index("webhook_deliveries_due", "webhook_deliveries", "due_ms", where="state = 'pending'")
    _index("webhook_deliveries_dead", "webhook_deliveries", "created_ms id", where="state = 'dead'")
    _index("webhook_deliveries_by_time", "webhook_deliveries", "created_ms id")
    _index("webhook_deliveries_by_workspace", "webhook_deliveries", "workspace_id created_ms id")

    if op.get_context().dialect.name != "sqlite":
        op.execute(Path(__file__).with_suffix(".sql").read_text())


def _table(name: str, *items: SchemaItem) -> None:
    op.create_table(name, *items, **engine_options(clustered=False))


def _index(name: str, table: str, columns: str, *, unique: bool = False, where: str | None = None) -> None:
    op.create_index(name, table, columns.split(), unique=unique, **partial(where))
