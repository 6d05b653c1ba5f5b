"""The admin API as OpenAPI 3.1, from the types of its endpoints."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from importlib.metadata import version
from typing import Any, Final

import msgspec
from msgspec import Struct
from msgspec.structs import fields

from imageway.server.admin.endpoints import PREFIX, Endpoint

_SCHEMAS: Final = "#/components/schemas/{name}"
_NAMED: Final = re.compile(r"\{([^}]*)\}")
_ERRORS: Final = {
    "400": "Something in the request is wrong; `error.details` lists all of it.",
    "401": "No admin key, or not a valid one.",
    "403": "This admin key may only look.",
    "402": "Less than nothing would be left.",
    "404": "There is no such thing.",
    "405": "Another method is for this path.",
    "409": "It is there already, was done before, is in use, or has ended.",
    "413": "The body is too large.",
    "415": "The body is no JSON.",
    "503": "Not now; `retry-after` says when.",
}


def document(endpoints: Sequence[Endpoint]) -> dict[str, Any]:
    kinds = [kind for one in endpoints for kind in (one.body, one.answer) if kind is not None]
    schemas, components = msgspec.json.schema_components(kinds, ref_template=_SCHEMAS)
    by_kind = dict(zip(kinds, schemas, strict=True))
    paths: dict[str, Any] = {}
    for endpoint in endpoints:
        paths.setdefault(PREFIX + endpoint.path, {})[endpoint.method.lower()] = _operation(endpoint, by_kind)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Imageway admin API", "version": version("imageway")},
        "paths": paths,
        "components": {
            "schemas": {**components, "Error": _error()},
            "securitySchemes": {"admin": {"type": "http", "scheme": "bearer"}},
        },
        "security": [{"admin": []}],
    }


def _operation(endpoint: Endpoint, schemas: dict[type[Struct], Any]) -> dict[str, Any]:
    answered: dict[str, Any] = {"description": endpoint.summary}
    if endpoint.answer is not None:
        answered["content"] = {kind: {"schema": schemas[endpoint.answer]} for kind in endpoint.content_types}
    elif endpoint.content_types != ("application/json",):
        answered["content"] = {kind: {"schema": {"type": "string"}} for kind in endpoint.content_types}
    status = str(endpoint.status if "content" in answered else 204)
    refused = {"content": {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}}}
    operation: dict[str, Any] = {
        "operationId": endpoint.name,
        "summary": endpoint.summary,
        "parameters": list(_parameters(endpoint)),
        "responses": {status: answered, **{code: {"description": why, **refused} for code, why in _ERRORS.items()}},
    }
    if endpoint.body is not None:
        operation["requestBody"] = {
            "content": {"application/json": {"schema": schemas[endpoint.body]}},
            "required": True,
        }
    return operation


def _parameters(endpoint: Endpoint) -> Iterator[dict[str, Any]]:
    for name in _NAMED.findall(endpoint.path):
        yield {"name": name, "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}}
    for field in fields(endpoint.query):
        schema = msgspec.json.schema(field.type)
        yield {"name": field.encode_name, "in": "query", "required": field.required, "schema": schema}


def _error() -> dict[str, Any]:
    text = {"type": "string"}
    problem = {"type": "object", "properties": {"param": {"type": ["string", "null"]}, "code": text, "message": text}}
    error = {
        "type": "object",
        "properties": {
            "message": text,
            "type": text,
            "param": {"type": ["string", "null"]},
            "code": text,
            "request_id": text,
            "details": {"type": "array", "items": problem},
        },
        "required": ["message", "type", "code"],
    }
    return {"type": "object", "properties": {"error": error}, "required": ["error"]}
