"""What is held late, for a budget's window that is over, counts in no later one. PostgreSQL's function learns it; where
there are no functions there is nothing to learn."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from alembic import op

revision: Final = "0008"
down_revision: Final = "0007"


def upgrade() -> None:
    if op.get_context().dialect.name != "sqlite":
        op.execute(Path(__file__).with_suffix(".sql").read_text())
