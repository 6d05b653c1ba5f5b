"""Tasks that wait, marks on those whose callers want no more of them, and lists of a workspace's. PostgreSQL's function
learns their ops."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from alembic import op

from imageway.storage.columns import partial, whole

revision: Final = "0003"
down_revision: Final = "0002"


def upgrade() -> None:
    op.add_column("tasks", whole("cancel_ms", optional=True))
    op.create_index("tasks_by_workspace", "tasks", ["workspace_id", "created_ms"])
    _index("tasks_queued", "workspace_id created_ms id", where="state = 'queued'")
    _index("tasks_marked", "owner", where="cancel_ms IS NOT NULL AND finished_ms IS NULL")
    if op.get_context().dialect.name != "sqlite":
        op.execute(Path(__file__).with_suffix(".sql").read_text())


def _index(name: str, columns: str, *, where: str) -> None:
    op.create_index(name, "tasks", columns.split(), **partial(where))
