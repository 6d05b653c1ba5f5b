"""`imageway db …`: how its commands are written. What they do is imported when they run."""

from __future__ import annotations

from cyclopts import App

from imageway.cli.options import Config, Data, Json

database = App(name="db", help="The database itself.")


@database.command(name="status")
def status(*, json: Json = False, data: Data = None, config: Config = None) -> None:
    """Say of which version the tables are, and which is the newest."""
    from imageway.cli import database as work
    from imageway.cli.books import Books

    work.show_status(Books(data, config), as_json=json)


@database.command(name="upgrade")
def upgrade(*, json: Json = False, data: Data = None, config: Config = None) -> None:
    """Bring the tables up to date, as every start does."""
    from imageway.cli import database as work
    from imageway.cli.books import Books

    work.upgrade_tables(Books(data, config), as_json=json)


@database.command(name="copy")
def copy(source: str, target: str, /, *, json: Json = False, data: Data = None, config: Config = None) -> None:
    """Move an installation: every table into another, empty database. Nothing may use the source meanwhile.

    Args:
        source: sqlite:///path/file.db or postgresql://…
        target: The same; it is made or upgraded, and must hold nothing.
    """
    from imageway.cli import database as work

    del data, config  # every command takes them; this one is told both places
    work.copy_tables(source, target, as_json=json)
