"""From TOML files to one catalog: read, let rows build on rows, convert, and find everything that is wrong at once."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Iterator
from copy import deepcopy
from dataclasses import dataclass, replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from imageway.catalog.rules import model_problems, names_problems, rate_problems
from imageway.catalog.schema import Model, Provider, Rate
from imageway.catalog.search import Catalog
from imageway.catalog.terms import day_of

DATA = Path(__file__).parent / "data"
# never taken over by `like`
_OWN = ("id", "title", "created", "aliases", "renames", "succeeds", "rename_note", "lifecycle")
_IDENTITY = {"models": "id", "providers": "id", "rates": "currency"}
_MOST_WRONG_KEYS = 20

R = TypeVar("R", Model, Provider, Rate)
Table = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Row:
    """One row as written. `file` and `name` say where to look when something is wrong with it."""

    file: str
    kind: str
    name: str
    table: Table

    @property
    def place(self) -> str:
        return f"{self.file}: {self.kind.removesuffix('s')} {self.name}"


class CatalogError(Exception):
    """The catalog cannot be used. `problems` are all that were found, each as "file: row: key: what is wrong"."""

    def __init__(self, problems: Iterable[str]) -> None:
        self.problems = tuple(problems)
        super().__init__("the catalog has mistakes:\n  " + "\n  ".join(self.problems))


def load(extra: Path | None = None, *, day: int | None = None) -> Catalog:
    """The built-in catalog, changed and extended by the TOML files of the directory `extra`. `day`, since 1970-01-01:
    the one on which it is used; where `extra` has rates, one of them must have begun by then. Raises CatalogError."""
    problems: list[str] = []
    rows = _read(DATA, problems)
    first_needed = None
    if extra is not None:
        own = _read(extra, problems)
        rows, first_needed = _overlaid(rows, own), day if own["rates"] else None
    models = _converted(_grown(rows["models"], problems), Model, problems)
    providers = _converted(rows["providers"], Provider, problems)
    rates = _converted(rows["rates"], Rate, problems)
    problems += _wrong_rates([rate for _, rate in rates], first_needed)
    problems += _mistakes(models, {provider.id for _, provider in providers})
    if problems:
        raise CatalogError(problems)
    return Catalog(
        models={model.id: model for _, model in models},
        providers={provider.id: provider for _, provider in providers},
        rates=tuple(rate for _, rate in rates),
    )


def _read(directory: Path, problems: list[str]) -> dict[str, list[Row]]:
    """Every row of every file of a directory, by kind, in the order of the files' names."""
    rows: dict[str, list[Row]] = {kind: [] for kind in _IDENTITY}
    if not directory.is_dir():
        problems.append(f"{directory}: is not a directory")
    for path in sorted(directory.glob("*.toml")):
        try:
            tables = tomllib.loads(path.read_text(encoding="utf-8"))
        except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as error:
            problems.append(f"{path.name}: cannot be read: {error}")
            continue
        for kind, entries in tables.items():
            if kind not in rows or not isinstance(entries, list):
                problems.append(f'{path.name}: {kind}: is not one of the lists {", ".join(rows)} ("[[models]]")')
                continue
            rows[kind] += _rows(path.name, kind, entries, problems)
    return {kind: _unique(found, problems) for kind, found in rows.items()}


def _rows(file: str, kind: str, entries: list[Any], problems: list[str]) -> Iterator[Row]:
    for number, table in enumerate(entries, 1):
        name = table.get(_IDENTITY[kind]) if isinstance(table, dict) else None
        if isinstance(name, str):
            yield Row(file, kind, f'"{name}"', table)
        else:
            problems.append(f"{file}: {kind.removesuffix('s')} number {number}: {_IDENTITY[kind]}: is missing")


def _unique(rows: list[Row], problems: list[str]) -> list[Row]:
    """Rates repeat, one row a day; anything else is written once in a directory."""
    first: dict[str, Row] = {}
    twice = [row for row in rows if row.kind != "rates" and first.setdefault(row.name, row) is not row]
    problems += (f"{row.place}: id: is written twice, first in {first[row.name].file}" for row in twice)
    return [row for row in rows if row not in twice] if twice else rows


def _overlaid(ours: dict[str, list[Row]], theirs: dict[str, list[Row]]) -> dict[str, list[Row]]:
    """The operator's rows change ours of the same id, key by key; his rates replace ours."""
    merged = {kind: {row.name: row for row in ours[kind]} for kind in ("models", "providers")}
    for kind, known in merged.items():
        for row in theirs[kind]:
            base = known.get(row.name)
            table = _merged(base.table, row.table) if base and "like" not in row.table else row.table
            known[row.name] = replace(row, table=table)
    return {kind: list(known.values()) for kind, known in merged.items()} | {"rates": theirs["rates"] or ours["rates"]}


def _grown(rows: list[Row], problems: list[str]) -> list[Row]:
    """Rows with everything they take from the model they are `like`."""
    known = {row.table["id"]: row for row in rows}
    grown = []
    for row in rows:
        line = [row]
        while "like" in line[-1].table:
            parent = known.get(line[-1].table["like"])
            if parent is None or parent in line:
                problems.append(f'{row.place}: like: "{line[-1].table["like"]}" is not a model to start from')
                break
            line.append(parent)
        table = line.pop().table
        for heir in reversed(line):
            table = _merged({key: value for key, value in table.items() if key not in _OWN}, heir.table)
        grown.append(replace(row, table={key: value for key, value in table.items() if key != "like"}))
    return grown


def _merged(base: Table, over: Table) -> Table:
    """Tables merge key by key, one level deep; lists and values replace."""
    merged = dict(base)
    for key, value in over.items():
        below = merged.get(key)
        merged[key] = {**below, **value} if isinstance(below, dict) and isinstance(value, dict) else value
    return merged


def _converted(rows: list[Row], shape: type[R], problems: list[str]) -> list[tuple[Row, R]]:
    found = []
    for row in rows:
        try:
            found.append((row, msgspec.convert(row.table, shape)))
        except msgspec.ValidationError:
            problems += (f"{row.place}: {mistake}" for mistake in _wrong_keys(row.table, shape))
    return found


def _wrong_keys(table: Table, shape: type[R]) -> Iterator[str]:
    """msgspec stops at the first mistake: name it, take it out, look again."""
    table = deepcopy(table)
    removed: set[str] = set()
    for _ in range(_MOST_WRONG_KEYS):
        try:
            msgspec.convert(table, shape)
        except msgspec.ValidationError as error:
            message, _, path = str(error).partition(" - at `$")
            path = path.rstrip("`").lstrip(".")
            field = next((part for part in message.split("`")[1::2] if "field" in message), "")
            where = ".".join(filter(None, (path, field)))
            if where not in removed:
                yield f"{where}: {message}"
            removed.add(where)
            # A field that is missing, perhaps because it was just taken out, takes its row with it.
            if not _taken_out(table, path if "missing" in message else where):
                return
        else:
            return


def _taken_out(table: Table, path: str) -> bool:
    """Removes what a path like `offerings[0].cost[1].per` points at; False where it cannot be found."""
    steps: list[str | int] = []
    for part in path.replace("[", ".[").split("."):
        if part == "[...]":  # a key of a free-form table, which msgspec does not name
            return False
        steps.append(int(part[1:-1]) if part.startswith("[") else part)
    holder: Any = table
    for step in steps[:-1]:
        holder = holder[step]
    try:
        del holder[steps[-1]]
    except (KeyError, IndexError, TypeError):
        return False
    return True


def _mistakes(models: list[tuple[Row, Model]], providers: set[str]) -> Iterator[str]:
    """What is wrong with rows whose types are right: each alone, then all together."""
    known = {model.id for _, model in models}
    for row, model in models:
        for key, why in model_problems(model, known=known, providers=providers):
            yield f"{row.place}: {key}: {why}"
    for model, key, why in names_problems([model for _, model in models]):
        place = next(row.place for row, other in models if other is model)
        yield f"{place}: {key}: {why}"


def _wrong_rates(rates: list[Rate], day: int | None) -> list[str]:
    """`day`: on which one of them must be in force."""
    if not rates:
        return ["rates.toml: rates: a row for CNY is missing"]
    wrong = [f'rate "{rate.currency}": {key}: {why}' for rate in rates for key, why in rate_problems(rate)]
    if wrong or day is None:
        return wrong
    earliest = min((rate.effective for rate in rates), key=day_of)
    if day_of(earliest) <= day:
        return []
    today = date(1970, 1, 1) + timedelta(days=day)
    told = f"no row is in force on {today}, the earliest begins on {earliest}: add the one that counts until then"
    return [f'rate "CNY": effective: {told}']
