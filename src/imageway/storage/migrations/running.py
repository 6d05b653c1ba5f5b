"""Runs the steps: on a SQLite connection directly, for PostgreSQL as a script that asyncpg can send. Imports Alembic
and SQLAlchemy, so a warm start never imports this."""

from __future__ import annotations

import io
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

from alembic.config import Config
from alembic.runtime.environment import EnvironmentContext
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine
from sqlalchemy.pool import StaticPool


def upgrade_sqlite(connection: sqlite3.Connection) -> None:
    """Runs the missing steps in one transaction. Whoever comes at the same time waits for the lock, then finds nothing
    to do."""
    engine = create_engine("sqlite://", creator=lambda: connection, poolclass=StaticPool)
    with engine.connect() as bound:
        bound.exec_driver_sql("BEGIN IMMEDIATE")
        with _environment() as environment:
            environment.configure(connection=bound, transactional_ddl=True, render_as_batch=True)
            environment.run_migrations()
        bound.commit()


def postgresql_script(version: str | None) -> str:
    """The statements that lead from `version` (None: an empty database) to the newest one, without BEGIN and COMMIT."""
    script = io.StringIO()
    with _environment(as_sql=True, starting_rev=version or "base") as environment:
        environment.configure(dialect_name="postgresql", output_buffer=script, transactional_ddl=False)
        environment.run_migrations()
    return script.getvalue()


def _environment(**options: Any) -> EnvironmentContext:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    directory = ScriptDirectory.from_config(config)
    return EnvironmentContext(config, directory, fn=_steps(directory), destination_rev="head", **options)


def _steps(directory: ScriptDirectory) -> Callable[[Any, Any], Any]:
    return lambda version, _: directory._upgrade_revs("head", version)
