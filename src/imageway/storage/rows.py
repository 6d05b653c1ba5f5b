"""One SELECT and how its answer is read: what every query becomes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

Row = Sequence[Any]
Rows = Sequence[Row]


@dataclass(frozen=True, slots=True)
class Select:
    """What to ask, and how to read the answer."""

    sql: str
    values: tuple[str | int | bytes, ...]
    shape: Callable[[Rows], Any]


def first_as(shape: Callable[[Row], Any]) -> Callable[[Rows], Any]:
    """The first row in this shape; None when there is none."""
    return lambda rows: shape(rows[0]) if rows else None


def all_as(shape: Callable[[Row], Any]) -> Callable[[Rows], Any]:
    return lambda rows: tuple(shape(row) for row in rows)


def marks(values: tuple[str, ...]) -> str:
    """`?, ?` for two; never empty, because PostgreSQL takes no empty list."""
    return ", ".join("?" * len(values)) or "NULL"
