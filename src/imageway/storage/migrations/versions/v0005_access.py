"""Who may do what: scopes and ends of keys, settings of workspaces, members, operators' keys, what they changed; their
prices, upstreams and secrets. PostgreSQL's function learns their ops."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from alembic import op
from sqlalchemy import Column, DefaultClause, text
from sqlalchemy.schema import SchemaItem

from imageway.storage.columns import engine_options, octets, partial, seq, whole, within, words

revision: Final = "0005"
down_revision: Final = "0004"

EMPTY_OBJECT: Final = {"sqlite": "x'7b7d'", "postgresql": "'{}'"}
FIXED_SQLITE: Final = """
CREATE TRIGGER changes_no_{verb} BEFORE {verb} ON changes
BEGIN SELECT RAISE(ABORT, 'what was changed is never rewritten'); END
"""


def upgrade() -> None:
    engine = op.get_context().dialect.name
    _keys_and_workspaces(EMPTY_OBJECT[engine])
    _people()
    _terms_and_upstreams()
    if engine == "sqlite":
        for verb in ("UPDATE", "DELETE"):
            op.execute(FIXED_SQLITE.format(verb=verb))
    else:
        op.execute(Path(__file__).with_suffix(".sql").read_text())


def _keys_and_workspaces(empty_object: str) -> None:
    op.add_column("keys", _json("scope", empty_object))
    op.add_column("keys", whole("expires_ms", rows_have=0))
    op.add_column("keys", words("root_id", rows_have=""))
    op.add_column("keys", whole("signed", rows_have=0))
    op.execute("UPDATE keys SET root_id = id")
    op.add_column("workspaces", _json("settings", empty_object))
    op.add_column("workspaces", whole("alert_below_usd_micros", optional=True))
    op.add_column("workspaces", whole("alerted_ms", optional=True))
    _index("workspaces_watched", "workspaces", "id", where="alert_below_usd_micros IS NOT NULL")
    _index("workspaces_alerted", "workspaces", "id", where="alerted_ms IS NOT NULL")


def _people() -> None:
    _table(
        "members",
        words("workspace_id", key=True),
        words("name", key=True),
        words("role"),
        whole("created_ms"),
        within("members_role", column="role", accepted="owner admin member viewer"),
        clustered=True,
    )

    _table(
        "admin_keys",
        words("id", key=True),
        words("name"),
        octets("digest"),
        words("hint"),
        words("role"),
        whole("created_ms"),
        whole("revoked_ms", optional=True),
        within("admin_keys_role", column="role", accepted="admin viewer"),
    )
    _index("admin_keys_by_digest", "admin_keys", "digest", unique=True)

    _table("signatures", octets("digest", key=True), whole("until_ms"), clustered=True)
    _index("signatures_by_end", "signatures", "until_ms")

    _table(
        "changes",
        seq(),
        words("actor"),
        words("action"),
        words("target"),
        octets("before"),
        octets("after"),
        whole("at_ms"),
    )
    _index("changes_by_target", "changes", "target seq")


def _terms_and_upstreams() -> None:
    _table(
        "price_rules",
        words("id", key=True),
        words("workspace_id"),
        words("models"),
        whole("multiplier_millionths"),
        whole("per_image_usd_micros"),
        octets("rows"),
        whole("from_ms"),
        whole("until_ms", optional=True),
        words("source"),
        whole("created_ms"),
    )

    _table(
        "secrets",
        words("kind", key=True),
        words("holder_id", key=True),
        words("key_id"),
        octets("sealed"),
        whole("changed_ms"),
        clustered=True,
    )

    _table(
        "upstreams",
        words("id", key=True),
        words("provider"),
        octets("document"),
        whole("enabled"),
        whole("changed_ms"),
    )


def _json(name: str, empty_object: str) -> Column[bytes]:
    column = octets(name)
    column.server_default = DefaultClause(text(empty_object))  # for the rows that are there already
    return column


def _table(name: str, *items: SchemaItem, clustered: bool = False) -> None:
    op.create_table(name, *items, **engine_options(clustered=clustered))


def _index(name: str, table: str, columns: str, *, unique: bool = False, where: str | None = None) -> None:
    op.create_index(name, table, columns.split(), unique=unique, **partial(where))
