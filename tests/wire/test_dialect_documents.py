"""What documents say of answers, errors and events is what dialects write: every golden answer fits its schema, which
leaves no member out."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import jsonschema_rs
import pytest
from msgspec.structs import replace

from imageway.core.errors import InvalidRequest
from imageway.core.intents import Dialect, Generate, Inbound, Intent
from imageway.dialects import DIALECTS
from imageway.server.described import described
from imageway.server.openapi import openapi
from tests.fuzz.checks import found, golden_requests, head_of
from tests.wire.test_dialect_conversations import BY_NAME, FILES, FOLDER, find_route, read_sections

DOCUMENT: Any = openapi(DIALECTS, ("painter-1",))
ADDED = {"dashscope": {"request_id": "req_1"}}  # by the server, to answers that know none
Told = tuple[str, Any, Any]  # where it stands, the schema, what was written


def closed(tree: Any) -> Any:
    """With every object that has named members taking those alone."""
    if isinstance(tree, dict):
        shut = {"additionalProperties": False} if "properties" in tree else {}
        return {name: closed(each) for name, each in tree.items()} | shut
    return [closed(each) for each in tree] if isinstance(tree, list) else tree


@cache
def components() -> Any:
    schemas = DOCUMENT["components"]["schemas"]
    return {"schemas": {name: closed(each) for name, each in schemas.items() if not name.endswith(".Request")}}


def operation_of(dialect: str, route: str) -> Any:
    wanted = f"{dialect}_{route}"
    for item in DOCUMENT["paths"].values():
        for operation in item.values():
            if operation.get("operationId") == wanted:
                return operation
    # the other of two that share a path: by the file itself
    (row,) = [each for each in BY_NAME[dialect].routes if each.name == route]
    told = described(BY_NAME[dialect], row)
    error = {"content": {"application/json": {"schema": told.error}}}
    done = {"content": {"application/json": {"schema": told.answer}}}
    return {"responses": {"200": done} | {str(status): error for status in (*range(400, 430), *range(500, 510))}}


def response_of(operation: Any, status: str) -> Any:
    """By reference, or as it stands; KeyError for one that the document does not know."""
    response = operation["responses"][status]
    name = response.get("$ref", "").rpartition("/")[2]
    return copy.deepcopy(DOCUMENT["components"]["responses"][name] if name else response)


def told_in(file: Path) -> Iterator[Told]:
    dialect = file.parent.name
    route = BY_NAME[dialect].routes[0].name
    for section in read_sections(file.read_text()):
        if section.kind in ("request", "form"):
            path, _, query = section.words[1].partition("?")
            carriers = {*section.headers} | {f"?{name}" for name, _ in parse_qsl(query, keep_blank_values=True)}
            route = find_route(BY_NAME[dialect], section.words[0], path, carriers)[0]
        elif section.kind == "answer":
            content = response_of(operation_of(dialect, route), section.words[0])["content"]
            added = ADDED.get(dialect, {}) if isinstance(section.content, dict) else {}
            written = added | section.content if added else section.content
            yield f"{route} {section.words[0]}", content["application/json"]["schema"], written
        elif section.kind == "sse":
            events = response_of(operation_of(dialect, route), "200")["content"]["text/event-stream"]["schema"]
            for name, data in section.content:
                shapes = [each["properties"] for each in events["anyOf"]]
                named = [each["data"] for each in shapes if each["event"]["const"] == (name or "message")]
                schema = {"anyOf": [each.get("contentSchema", each) for each in named]}
                yield f"{route} {name}", schema, data


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(FOLDER)))
def test_every_golden_answer_fits_its_document(file: Path) -> None:
    for where, schema, written in told_in(file):
        validator = jsonschema_rs.Draft202012Validator({"components": components(), **closed(schema)})
        assert [f"{where}: {error.message}" for error in validator.iter_errors(written)] == []


def test_every_route_is_described() -> None:
    """By an answer of its own; who adds a route says in his document.json what it answers."""
    told = [(each.name, route.name, described(each, route)) for each in DIALECTS for route in each.routes]
    assert [(name, route) for name, route, row in told if not (row.answer or row.events)] == []


def test_what_carries_a_key_is_what_is_read() -> None:
    """Each of the carriers by itself, and no other."""
    everywhere = {key for each in DIALECTS for key in described(each, each.routes[0]).keys}
    for dialect in DIALECTS:
        told = described(dialect, dialect.routes[0]).keys
        for key in everywhere:
            value = "Bearer sk-1" if key == "Authorization" else "sk-1"
            carried = {key.removeprefix("?").lower(): value}
            found = dialect.credential({}, carried) if key.startswith("?") else dialect.credential(carried, {})
            assert found == ("sk-1" if key in told else None), (dialect.name, key)


HEADERS = {
    "Imageway-Strict": "1",
    "Idempotency-Key": "a key",
    "Imageway-Idempotency": "reject",
    "Imageway-Deadline": "5",
    "Prefer": "respond-async",
    "X-DashScope-Async": "enable",
}


@pytest.mark.parametrize("dialect", DIALECTS, ids=lambda dialect: dialect.name)
def test_every_header_that_means_something_at_a_path_is_told_there(dialect: Dialect) -> None:
    """And at no other: whoever sends it gets another intent than without."""
    routes = {route.name: route for route in dialect.routes}
    seen: set[str] = set()
    for path, body in golden_requests(dialect.name):
        inbound = found(dialect, head_of("POST", path, {}, {}), body)
        if inbound is None or inbound.route in seen:
            continue
        usual = {"x-dashscope-async": "enable"} if dialect.name == "dashscope" and inbound.route != "generate" else {}
        plain = read(dialect, replace(inbound, headers=usual))
        if isinstance(plain, Generate):
            seen.add(inbound.route)
            rows = described(dialect, routes[inbound.route]).parameters.items()
            told = {str((row or {}).get("name", label)) for label, row in rows} & HEADERS.keys()
            changed = {
                name
                for name, value in HEADERS.items()
                if name.lower() in usual
                or read(dialect, replace(inbound, headers=usual | {name.lower(): value})) != plain
            }
            assert told == changed, path
    assert seen


def read(dialect: Dialect, inbound: Inbound) -> Intent | None:
    try:
        return dialect.decode(inbound)
    except InvalidRequest:
        return None
