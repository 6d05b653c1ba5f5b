"""Commands on the database itself: its version, its upgrade, and the move of an installation to another one."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from imageway.cli.books import Books
from imageway.cli.printing import Stop, print_json, print_table
from imageway.server.machine import made_private
from imageway.storage.copying import copy, upgrade, version_of
from imageway.storage.migrations import REVISIONS

T = TypeVar("T")


def show_status(books: Books, *, as_json: bool) -> None:
    version = _run(version_of(books.settings().database_url))
    if as_json:
        print_json({"version": version.now, "newest": version.newest, "current": version.now == version.newest})
    elif version.now is None:
        print(f"There are no tables yet; the newest are of version {version.newest}: imageway db upgrade")
    elif version.now == version.newest:
        print(f"The tables are of version {version.now}, the newest.")
    elif version.now in REVISIONS:
        print(f"The tables are of version {version.now}; the newest are of {version.newest}: imageway db upgrade")
    else:
        known = f"this one knows them up to {version.newest}"
        print(f"The tables are of version {version.now}: a newer Imageway has used them, {known}.")


def upgrade_tables(books: Books, *, as_json: bool) -> None:
    settings = books.settings()
    if not settings.database:
        _make_folder(books)
    before, after = _run(upgrade(settings.database_url))
    if as_json:
        print_json({"from": before.now, "to": after.now})
    elif before.now == after.now:
        print(f"The tables are of version {after.now} already, the newest.")
    else:
        print(f"Upgraded the tables from {before.now or 'nothing'} to {after.now}.")


def copy_tables(source: str, target: str, *, as_json: bool) -> None:
    copied = _run(copy(source, target))
    if as_json:
        print_json({"copied": copied})
        return
    print_table(("table", "rows"), [(name, str(count)) for name, count in copied.items() if count])
    print(f"\nCopied and counted: {sum(copied.values())} rows of {len(copied)} tables.")
    print("The files of the data directory (images, *.key, secrets.keys) belong to it: take them along.")


def _make_folder(books: Books) -> None:
    try:
        made_private(books.settings().data)
    except OSError as error:
        raise Stop(f"the data directory cannot be used: {error}") from None


def _run(work: Coroutine[Any, Any, T]) -> T:
    try:
        return asyncio.run(work)
    except OSError as error:
        raise Stop(f"the database cannot be looked at: {error}") from None
