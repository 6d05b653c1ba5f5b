"""Commands on tasks and on the audit log, by the functions that the admin API has too."""

from __future__ import annotations

import json
import sys
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final

from msgspec import Struct

from imageway.cli.books import Books, show_rows
from imageway.cli.operating import operate, plain
from imageway.cli.printing import Stop, print_json
from imageway.server.administration import changes, tasks
from imageway.server.administration.office import Office
from imageway.tasks import states

TASK_COLUMNS: Final = ("id", "model", "state", "created", "finished", "upstreams")
ATTEMPT_COLUMNS: Final = ("part", "upstream", "offering", "state", "at", "detail")
CHANGE_COLUMNS: Final = ("at", "actor", "action", "target", "before", "after")
MOST_ROWS: Final = 1000


def list_tasks(books: Books, workspace: str, state: str, *, limit: int, as_json: bool) -> None:
    if state and state not in states.TASK:
        raise Stop(f'--state "{state}": one of {", ".join(states.TASK)} is needed')

    async def read(office: Office) -> tuple[Sequence[Struct], str | None]:
        return await tasks.list_tasks(office, workspace, state=state, before=None, limit=limit)

    def row(task: dict[str, Any]) -> dict[str, Any]:
        return task | {"upstreams": ", ".join(dict.fromkeys(one["upstream"] for one in task["attempts"]))}

    _show_page(books, read, TASK_COLUMNS, row, limit=limit, as_json=as_json)


def show_task(books: Books, task_id: str, *, as_json: bool) -> None:
    async def read(office: Office) -> tasks.TaskShown:
        return tasks.as_shown(await tasks.find_task(office, task_id))

    shown = plain(operate(books, read))
    if as_json:
        print_json(shown)
        return
    about = {name: value for name, value in shown.items() if name != "attempts"}
    show_rows([about], tuple(about), as_json=False)
    if shown["attempts"]:
        print()
        show_rows(shown["attempts"], ATTEMPT_COLUMNS, as_json=False)


def list_changes(books: Books, target: str, *, limit: int, as_json: bool) -> None:
    async def read(office: Office) -> tuple[Sequence[Struct], str | None]:
        return await changes.list_changes(office, target, before=0, limit=limit)

    def row(change: dict[str, Any]) -> dict[str, Any]:
        return change | {name: json.dumps(change[name], ensure_ascii=False) for name in ("before", "after")}

    _show_page(books, read, CHANGE_COLUMNS, row, limit=limit, as_json=as_json)


def _show_page(
    books: Books,
    read: Callable[[Office], Awaitable[tuple[Sequence[Struct], str | None]]],
    columns: tuple[str, ...],
    row: Callable[[dict[str, Any]], dict[str, Any]],
    *,
    limit: int,
    as_json: bool,
) -> None:
    """`row`: as a table has it."""
    if not 1 <= limit <= MOST_ROWS:
        raise Stop(f'--limit "{limit}": a number from 1 to {MOST_ROWS} is needed')
    found, following = operate(books, read)
    rows = [plain(one) for one in found]
    show_rows(rows if as_json else [row(one) for one in rows], columns, as_json=as_json)
    if following is not None:
        print(f"… there are more; use --limit (this was {limit})", file=sys.stderr if as_json else sys.stdout)
