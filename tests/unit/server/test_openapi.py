"""The document of the whole server: every route stands in it, with what the dialect's own table says of its body."""

from __future__ import annotations

import re
from typing import Any

import schemathesis
from schemathesis.core.result import Ok

from imageway.core.blobs import Tree
from imageway.core.intents import Dialect, Route
from imageway.dialects import DIALECTS
from imageway.server.openapi import openapi


def document(*dialects: Dialect) -> Any:
    return openapi(dialects or DIALECTS, ("painter-1", "painter-2"))


def same(path: str) -> str:
    return re.sub(r"\{[^}]*\}", "{}", path)


def test_every_route_of_every_dialect_is_there() -> None:
    paths = {(same(path), method.upper()) for path, item in document()["paths"].items() for method in item}
    assert {(same(route.path), route.method) for each in DIALECTS for route in each.routes} <= paths


def test_a_body_is_described_by_its_dialects_own_table() -> None:
    body = document()["paths"]["/v1/images/generations"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    assert body["properties"]["n"]["maximum"] == 10
    assert body["properties"]["model"]["examples"] == ["painter-1", "painter-2"]


def test_two_dialects_at_one_path_share_one_operation() -> None:
    def speaking(name: str, path: str) -> Dialect:
        first = DIALECTS[0]
        return Dialect(
            name=name,
            routes=(Route("models", "GET", path, f"{name}'s models"),),
            credential=first.credential,
            decode=first.decode,
            encode=first.encode,
            encode_error=first.encode_error,
        )

    item = document(speaking("a", "/v1/models/{id}"), speaking("b", "/v1/models/{name}"))["paths"]["/v1/models/{id}"]
    assert item["get"]["tags"] == ["a", "b"]
    assert item["get"]["summary"] == "a's models / b's models"


def test_it_is_openapi() -> None:
    """A reader that knows the specification finds every operation and nothing wrong."""
    read = schemathesis.openapi.from_dict(document())
    assert all(isinstance(operation, Ok) for operation in read.get_all_operations())
    ids: list[Tree] = [each.get("operationId") for item in document()["paths"].values() for each in item.values()]
    named = [each for each in ids if each]
    assert len(named) == len(set(map(str, named)))
