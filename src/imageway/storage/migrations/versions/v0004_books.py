"""Claims say what was asked. PostgreSQL's function learns to let go of a claim that is over."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from alembic import op

revision: Final = "0004"
down_revision: Final = "0003"


def upgrade() -> None:
    if op.get_context().dialect.name == "sqlite":
        op.execute("ALTER TABLE claims ADD COLUMN fingerprint BLOB NOT NULL DEFAULT x''")
    else:
        op.execute("ALTER TABLE claims ADD COLUMN fingerprint bytea NOT NULL DEFAULT ''")
        op.execute(Path(__file__).with_suffix(".sql").read_text())
