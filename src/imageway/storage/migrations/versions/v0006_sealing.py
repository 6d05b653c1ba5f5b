"""What signs webhooks and requests is sealed, and what is sealed goes with its owner: rotated out, removed with its
endpoint, revoked with its key. The database sees to it, so that a process of an earlier Imageway does too."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from alembic import op

revision: Final = "0006"
down_revision: Final = "0005"

SQLITE: Final = (
    """
CREATE TRIGGER webhook_secrets_gone AFTER DELETE ON webhook_secrets
BEGIN DELETE FROM secrets WHERE kind = 'webhook' AND holder_id = OLD.id; END
""",
    """
CREATE TRIGGER keys_revoked AFTER UPDATE OF revoked_ms ON keys WHEN NEW.revoked_ms IS NOT NULL
BEGIN DELETE FROM secrets WHERE kind = 'signing' AND holder_id = NEW.id; END
""",
)


def upgrade() -> None:
    if op.get_context().dialect.name == "sqlite":
        for statement in SQLITE:
            op.execute(statement)
    else:
        op.execute(Path(__file__).with_suffix(".sql").read_text())
