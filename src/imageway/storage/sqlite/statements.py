"""How an op becomes statements: one guarded statement for many ops of a kind, or one op after the other."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from operator import attrgetter
from sqlite3 import Cursor
from typing import Any

Apply = Callable[[Cursor, Sequence[Any]], str | None]
"""Works inside the open transaction; None when every op was done, else the word of refusal of a single one."""
Why = Callable[[Cursor, Any], str]


def guarded(sql: str, fields: str, why: str | Why) -> Apply:
    """One statement; `fields` are the op's, two or more, one for each `?`. An op of which no row was touched is
    refused."""
    values = attrgetter(*fields.split())

    def apply(cursor: Cursor, ops: Sequence[Any]) -> str | None:
        if all_touched(cursor, sql, map(values, ops), len(ops)):
            return None
        return why if isinstance(why, str) else why(cursor, ops[0])

    return apply


def all_touched(cursor: Cursor, sql: str, rows: Iterable[Sequence[object]], count: int) -> bool:
    """Whether the statement touched a row for each of `count` rows of values."""
    cursor.executemany(sql, rows)
    return cursor.rowcount == count


def each(apply: Callable[[Cursor, Any], str | None]) -> Apply:
    """For ops that are rare: one after the other."""

    def apply_each(cursor: Cursor, ops: Sequence[Any]) -> str | None:
        return next((why for op in ops if (why := apply(cursor, op)) is not None), None)

    return apply_each
