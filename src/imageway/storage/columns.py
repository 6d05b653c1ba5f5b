"""The vocabulary in which tables are written, for `tables.py` and the migrations alike: whole numbers, words, bytes.
Every column is NOT NULL unless it is said to be optional."""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy import BigInteger, CheckConstraint, Column, Integer, LargeBinary, Text, text

# STRICT tables take INTEGER only; a BIGINT key would not be the rowid either.
WHOLE: Final = BigInteger().with_variant(Integer(), "sqlite")
# Sorted by code point everywhere, as Python sorts.
WORDS: Final = Text().with_variant(Text(collation="C"), "postgresql")


def words(name: str, *, key: bool = False, optional: bool = False, rows_have: str | None = None) -> Column[str]:
    """`rows_have`: what stands there in rows that are older than the column."""
    default = None if rows_have is None else text(f"'{rows_have}'")
    return Column(name, WORDS, primary_key=key, nullable=optional, server_default=default)


def whole(name: str, *, key: bool = False, optional: bool = False, rows_have: int | None = None) -> Column[int]:
    default = None if rows_have is None else text(str(rows_have))
    return Column(name, WHOLE, primary_key=key, autoincrement=False, nullable=optional, server_default=default)


def octets(name: str, *, key: bool = False) -> Column[bytes]:
    return Column(name, LargeBinary(), primary_key=key, nullable=False)


def seq() -> Column[int]:
    """Grows with every row. SQLite gives max + 1: no gaps; rows here are never deleted, or only old ones."""
    return Column("seq", WHOLE, primary_key=True, autoincrement=True)


def within(name: str, *, column: str, accepted: str) -> CheckConstraint:
    """Not as `IN`: SQLite makes a table of its list for every row that is written, 2 µs each time."""
    return CheckConstraint(" OR ".join(f"{column} = '{word}'" for word in accepted.split()), name=name)


def engine_options(*, clustered: bool) -> dict[str, Any]:
    """`clustered`: SQLite keeps the row in its primary key's tree instead of a second one; for small rows."""
    return {"sqlite_strict": True, "sqlite_with_rowid": not clustered}


def partial(where: str | None) -> dict[str, Any]:
    """Only rows that match `where` are in the index."""
    return {} if where is None else {"sqlite_where": text(where), "postgresql_where": text(where)}
