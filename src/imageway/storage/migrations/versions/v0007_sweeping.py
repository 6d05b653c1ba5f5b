"""Old tasks and claims are found where they are removed; usage, by key, by model and by what went wrong. PostgreSQL's
functions learn the ops."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from alembic import op

from imageway.storage.columns import partial

revision: Final = "0007"
down_revision: Final = "0006"


def upgrade() -> None:
    _index("tasks_finished", "tasks", "finished_ms", where="finished_ms > 0")
    _index("claims_by_time", "claims", "at_ms")
    _index("webhook_deliveries_by_task", "webhook_deliveries", "task_id")
    _index("usage_by_key", "usage", "key_id at_ms seq")
    _index("usage_by_model", "usage", "workspace_id model at_ms seq")
    _index("usage_by_outcome", "usage", "workspace_id outcome at_ms seq", where="outcome <> 'succeeded'")
    _index("usage_by_failure", "usage", "outcome at_ms seq", where="outcome <> 'succeeded'")
    if op.get_context().dialect.name != "sqlite":
        # A hold is settled once: its second version finds room beside the first, and no index hears of it.
        op.execute("ALTER TABLE holds SET (fillfactor = 50)")
        op.execute(Path(__file__).with_suffix(".sql").read_text())


def _index(name: str, table: str, columns: str, *, where: str | None = None) -> None:
    op.create_index(name, table, columns.split(), **partial(where))
