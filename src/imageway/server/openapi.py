"""The whole server as OpenAPI 3.1: every route of every dialect, with the schemas that their own field tables give, and
the models of the catalog. Nothing here is written twice: what a dialect reads is what its document says."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from typing import Final

from imageway.core.blobs import Tree
from imageway.core.errors import KINDS
from imageway.core.intents import Dialect, Route

Object = dict[str, Tree]

_NAMED: Final = re.compile(r"\{([^}]*)\}")
_STATUSES: Final = tuple(sorted({kind.status for kind in KINDS.values()} | {400, 422}))
_FORM_FILE: Final[Object] = {"type": "string", "contentMediaType": "application/octet-stream"}
_SCHEMES: Final[Mapping[str, Object]] = {
    "bearer": {"type": "http", "scheme": "bearer", "description": "A workspace key, sk-iw-…"},
    "x-api-key": {"type": "apiKey", "in": "header", "name": "x-api-key"},
    "api-key": {"type": "apiKey", "in": "header", "name": "api-key"},
    "x-goog-api-key": {"type": "apiKey", "in": "header", "name": "x-goog-api-key"},
    "key": {"type": "apiKey", "in": "query", "name": "key"},
}
_PROBES: Final[Mapping[str, str]] = {
    "/healthz": "Whether the process answers.",
    "/readyz": "Whether it takes requests.",
}


def openapi(dialects: Sequence[Dialect], models: Sequence[str]) -> Object:
    """The document. `models` are the ids of the catalog; they stand as examples wherever a model is named."""
    paths: dict[str, Object] = {path: {"get": _plain(summary)} for path, summary in _PROBES.items()}
    paths["/openapi.json"] = {"get": _plain("This document.")}
    paths["/media/{name}"] = {"get": _plain("A stored image, by its signed link.") | {"parameters": [_segment("name")]}}
    taken: dict[str, str] = {}  # paths that differ only in what they call their segments are one
    for dialect in dialects:
        for route in dialect.routes:
            path = taken.setdefault(_NAMED.sub("{}", route.path), route.path)
            operations = paths.setdefault(path, {})
            operation = _operation(dialect, route, path, models)
            if (method := route.method.lower()) in operations:
                operation = _both(operations[method], operation)
            operations[method] = operation
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Imageway",
            "version": version("imageway"),
            "description": "Any image API's dialect in, any model out.",
        },
        "paths": {**paths},
        "components": {"securitySchemes": {**_SCHEMES}},
    }


def _operation(dialect: Dialect, route: Route, path: str, models: Sequence[str]) -> Object:
    names = _NAMED.findall(path)
    operation: Object = {
        "operationId": f"{dialect.name}_{route.name}",
        "tags": [dialect.name],
        "summary": route.summary or f"{dialect.name}: {route.name}",
        "responses": _responses(),
        "security": [] if route.public else [{name: []} for name in _SCHEMES],
    }
    if names:
        operation["parameters"] = [_segment(name) for name in names]
    schema = dialect.schema(route.name)
    if schema is not None:
        operation["requestBody"] = {"required": True, "content": _content(route, _with_models(schema, models))}
    return operation


def _content(route: Route, schema: Object) -> Object:
    content: Object = {"application/json": {"schema": schema}}
    if route.form:
        properties = schema.get("properties")
        fields = {**properties} if isinstance(properties, dict) else {}
        files = {name: _FORM_FILE for name in ("image", "image[]", "mask", "file") if name in fields}
        content["multipart/form-data"] = {"schema": {**schema, "properties": {**fields, **files}}}
    return content


def _with_models(schema: Mapping[str, Tree], models: Sequence[str]) -> Object:
    """The ids of the catalog as examples of the field that names a model; aliases and patterns are taken too."""
    properties = schema.get("properties")
    if not isinstance(properties, dict) or not isinstance(model := properties.get("model"), dict):
        return dict(schema)
    return {**schema, "properties": {**properties, "model": {**model, "examples": list(models)}}}


def _segment(name: str) -> Object:
    return {"name": name, "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}}


def _plain(summary: str) -> Object:
    return {"summary": summary, "responses": _responses(), "security": []}


def _responses() -> Object:
    refused: Object = {str(status): {"description": "Refused, in the dialect's own envelope."} for status in _STATUSES}
    return {"200": {"description": "Done."}, **refused}


def _both(first: Tree, second: Object) -> Object:
    """Two dialects at one path and method, told apart by what carries the key."""
    if not isinstance(first, dict):
        return second
    tags = [*_list(first.get("tags")), *_list(second.get("tags"))]
    return {**first, "tags": tags, "summary": f"{first.get('summary')} / {second.get('summary')}"}


def _list(value: Tree) -> list[Tree]:
    return value if isinstance(value, list) else []
