"""How commands print: JSON alone when asked for, else tables for people; and how they stop."""

from __future__ import annotations

import json
from collections.abc import Sequence


class Stop(Exception):
    """A command cannot go on; the message is for the person who typed it."""

    def __init__(self, message: str, code: int = 1) -> None:
        super().__init__(message)
        self.code = code


def print_json(value: object) -> None:
    print(json.dumps(value, ensure_ascii=False, indent=2))


def print_table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column, no_wrap=True)
    for row in rows:
        table.add_row(*row)
    console = Console(highlight=False)
    console.print(table, soft_wrap=not console.is_terminal)
