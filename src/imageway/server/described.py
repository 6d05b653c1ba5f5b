"""What a dialect's own document.json says of its routes: answers, errors, events, parameters, forms, and what carries a
key. JSON Schema (2020-12) and OpenAPI's parameters, by hand; `#/Name` refers to the file's own `schemas`."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from functools import cache
from importlib.resources import files
from typing import Any, Final

from imageway.core.blobs import Tree
from imageway.core.intents import Dialect, Route

Object = dict[str, Tree]

SCHEMAS: Final = "#/components/schemas/"
_EMPTY: Final[Object] = {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Described:
    """One route. `content_type` is the answer's; "": it has no body. `body` and `form` are what is needed beyond the
    dialect's own table; `form` None: the file says nothing of one. `files` are fields of forms that hold them.
    `accepted`: what is answered (202) when the rest comes later. `known`: who has it already may be told so (304).
    `status` is the answer's. `parameters` map a label to a parameter; None: one that the server knows in every dialect.
    `events` may come in place of the answer: the schema of their data, by name ("": without one)."""

    keys: tuple[str, ...] = ("Authorization",)
    answer: Object = field(default_factory=dict)
    accepted: Object = field(default_factory=dict)
    known: bool = False
    status: int = 200
    content_type: str = "application/json"
    error: Object = field(default_factory=dict)
    body: Object = field(default_factory=dict)
    form: Object | None = None
    files: Object = field(default_factory=dict)
    parameters: Mapping[str, Object | None] = field(default_factory=dict)
    events: Object = field(default_factory=dict)


def described(dialect: Dialect, route: Route) -> Described:
    """Of the first pattern in the file that fits the route's name."""
    file = _file(dialect.name)
    if file is None:
        return Described()
    routes = file["routes"].items()
    rows: dict[str, Any] = next((row for pattern, row in routes if fnmatchcase(route.name, pattern)), {})
    labels = rows.get("parameters", ())
    form = rows.get("form")
    return Described(
        keys=tuple(file["keys"]),
        answer=_placed(dialect.name, rows.get("answer", {})),
        accepted=_placed(dialect.name, rows.get("accepted", {})),
        known=rows.get("known", False),
        status=rows.get("status", 200),
        content_type=rows.get("content_type", "application/json"),
        error=_placed(dialect.name, {"$ref": "#/Error"}),
        body=_placed(dialect.name, rows.get("body", {})),
        form=None if form is None else _placed(dialect.name, form),
        files=file.get("files", {}),
        parameters={label: _parameter(label, file.get("parameters", _EMPTY).get(label)) for label in labels},
        events=_placed(dialect.name, rows.get("events", {})),
    )


def schemas_of(dialect: Dialect) -> Iterator[tuple[str, Object]]:
    """The file's schemas by the names that they have in components."""
    file = _file(dialect.name)
    for name, schema in file["schemas"].items() if file else ():
        yield f"{dialect.name}.{name}", _placed(dialect.name, schema)


@cache
def _file(dialect: str) -> dict[str, Any] | None:
    """None for a dialect without one: it is described by its tables alone."""
    path = files("imageway.dialects").joinpath(dialect, "document.json")
    if not path.is_file():
        return None
    content: dict[str, Any] = json.loads(path.read_text("utf-8"))
    return content


def _parameter(label: str, row: Object | None) -> Object | None:
    return {"name": label, **row} if row is not None else None


def _placed(dialect: str, tree: Any) -> Any:
    """With every `#/Name` where it stands in the whole document."""
    if isinstance(tree, list):
        return [_placed(dialect, each) for each in tree]
    if not isinstance(tree, dict):
        return tree
    if isinstance(name := tree.get("$ref"), str):
        return {"$ref": f"{SCHEMAS}{dialect}.{name.removeprefix('#/')}"}
    return {name: _placed(dialect, each) for name, each in tree.items()}
