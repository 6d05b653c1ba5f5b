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
    """Left-aligned columns, as wide as their widest cell: readable on a terminal, and by cut and awk."""
    lines = [tuple(columns), *(tuple(row) for row in rows)] if any(columns) else [tuple(row) for row in rows]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        print("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())
