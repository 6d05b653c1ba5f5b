"""The document of the whole server: every route stands in it, with what the dialect's own table says of its body."""

from __future__ import annotations

import json
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
    """All routes of a dialect share it; what a route needs besides is said there."""
    whole = document()
    body = whole["paths"]["/v1/images/generations"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    table, needed = body["allOf"]
    assert needed["required"] == ["model"]
    assert table == {"$ref": "#/components/schemas/openai_images.Request"}
    properties = whole["components"]["schemas"]["openai_images.Request"]["properties"]
    assert properties["n"]["maximum"] == 10
    assert properties["model"]["examples"] == ["painter-1", "painter-2"]


def test_a_dialect_with_several_tables_has_each_where_it_is_read() -> None:
    """Under a name of its own; what is created there is answered 201."""
    whole = document()
    bodies = {path: whole["paths"][path]["post"] for path in ("/gemini/image/generate", "/hub/v1/image")}
    names = [
        each["requestBody"]["content"]["application/json"]["schema"]["allOf"][0]["$ref"].rpartition("/")[2]
        for each in bodies.values()
    ]
    assert names == ["mountsea.generate.Request", "mountsea.hub.Request"]
    tables = [whole["components"]["schemas"][name]["properties"] for name in names]
    assert ["action" in table for table in tables] == [True, False]
    assert [table["model"]["examples"] for table in tables] == [["painter-1", "painter-2"]] * 2
    done = [min(each["responses"]) for each in bodies.values()]
    assert done == ["201", "200"]


def test_every_reference_leads_somewhere() -> None:
    whole = document()
    for reference in re.findall(r'"\$ref": "#/([^"]+)"', json.dumps(whole)):
        place = whole
        for step in reference.split("/"):
            place = place[step]


def test_a_form_has_files_and_flat_fields() -> None:
    operation = document()["paths"]["/v1/images/edits"]["post"]
    form = operation["requestBody"]["content"]["multipart/form-data"]["schema"]
    assert form["properties"]["mask"]["contentMediaType"] == "application/octet-stream"
    assert form["properties"]["image[]"]["type"] == "array"
    assert form["properties"]["prompt"]["type"] == "string"
    assert "contents" not in form["properties"]
    upload = document()["paths"]["/api/v1/uploads"]["post"]["requestBody"]["content"]
    assert upload.keys() == {"multipart/form-data"}


def test_errors_have_the_statuses_that_the_dialect_gives_them() -> None:
    whole = document()
    responses = whole["paths"]["/api/v3/images/generations"]["post"]["responses"]
    assert "402" not in responses
    name = responses["403"]["$ref"].rpartition("/")[2]
    assert "`insufficient_balance`" in whole["components"]["responses"][name]["description"]
    assert "`insufficient_balance`" in told(whole, "/api/v1/images/generations", "402")
    assert "`invalid_api_key`" in told(whole, "/v1beta/models/{model}:generateContent", "400")


def told(whole: Any, path: str, status: str) -> str:
    name = whole["paths"][path]["post"]["responses"][status]["$ref"].rpartition("/")[2]
    return str(whole["components"]["responses"][name]["description"])


def test_what_may_come_as_events_says_so() -> None:
    paths = document()["paths"]
    streams = {
        path
        for path, item in paths.items()
        for operation in item.values()
        if "text/event-stream" in operation["responses"].get("200", {}).get("content", ())
    }
    declared = {
        same(route.path)
        for each in DIALECTS
        for route in each.routes
        if (route.method == "POST" or route.name == "events")
        and route.path.endswith(("generations", "edits", "variations", "streamGenerateContent", "events"))
    }
    assert {same(path) for path in streams} == declared


def test_headers_and_queries_that_mean_something_are_parameters() -> None:
    paths = document()["paths"]
    stream = paths["/v1beta/models/{model}:streamGenerateContent"]["post"]["parameters"]
    assert {each.get("name") or each["$ref"].rpartition("/")[2] for each in stream} == {
        "model",
        "alt",
        "Imageway-Strict",
        "Idempotency-Key",
        "Imageway-Idempotency",
        "Prefer",
        "Imageway-Deadline",
    }
    grant = {each["name"]: each for each in paths["/api/v1/uploads"]["get"]["parameters"]}
    assert grant["action"]["required"] is grant["model"]["required"] is True
    link = {each["name"]: each["in"] for each in paths["/media/{name}"]["get"]["parameters"]}
    assert link == {"name": "path", "expires": "query", "key": "query", "signature": "query"}


def test_each_dialect_names_its_own_keys() -> None:
    paths = document()["paths"]
    assert paths["/api/v3/images/generations"]["post"]["security"] == [{"bearer": []}]
    assert [*map(list, paths["/v1beta/models"]["get"]["security"])] == [["x-goog-api-key"], ["key"], ["bearer"]]
    assert len(paths["/v1/models"]["get"]["security"]) == 5
    assert paths["/api/v1/uploads"]["post"]["security"] == paths["/healthz"]["get"]["security"] == []
    schemes = document()["components"]["securitySchemes"]
    assert schemes["key"] == {"type": "apiKey", "in": "query", "name": "key"}
    assert schemes["bearer"]["scheme"] == "bearer"


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
