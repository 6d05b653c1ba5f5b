"""The whole server as OpenAPI 3.1: every route of every dialect with the schemas that its field table gives, what its
own document.json says besides, its errors as it really writes them, and the models of the catalog."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from importlib.metadata import version
from typing import Final

from imageway.core.blobs import Tree
from imageway.core.errors import KINDS, GatewayError
from imageway.core.intents import Dialect, Route, Where
from imageway.server.described import SCHEMAS, Described, Object, described, schemas_of

_NAMED: Final = re.compile(r"\{([^}]*)\}")
_NEVER: Final = ("method_not_allowed", "task_final")  # said to a generation
_CODES: Final = tuple(code for code in (*KINDS, "invalid_value") if code not in _NEVER)
_READS: Final = (  # what may be wrong with a request that has no body
    *("invalid_api_key", "model_not_allowed", "model_not_found", "model_retired", "task_not_found", "not_found"),
    *("internal_error", "overloaded", "invalid_value"),
)
_OPEN: Final = ("signature_invalid", "not_found", "link_expired", "internal_error", "overloaded")
_MODEL: Final = ("model", "deployment")  # what paths call it
_FLAT: Final = ("string", "integer", "number", "boolean")
_HEADERS: Final[Mapping[str, Object]] = {
    "x-request-id": {"description": "The request's id.", "schema": {"type": "string"}},
    "x-imageway-sandbox": {
        "description": "A pretend upstream made these images, or failed to.",
        "schema": {"const": "true"},
    },
    "idempotency-replayed": {
        "description": "The answer to an earlier request under the same key.",
        "schema": {"const": "true"},
    },
    "x-imageway-seeds": {
        "description": "The seed of each image, in their order, where bodies have no place for it.",
        "schema": {"type": "string", "pattern": "^-?[0-9]+(,-?[0-9]+)*$"},
    },
    "x-imageway-warnings": {
        "description": "What was not honoured as asked, where bodies have no place for it.",
        "content": {"application/json": {"schema": {"type": "array", "items": {"type": "object"}}}},
    },
    "x-should-retry": {"description": "Sending the same again would not help.", "schema": {"const": "false"}},
    "retry-after": {"description": "Seconds to wait.", "schema": {"type": "string", "pattern": "^[0-9]+$"}},
}
_REPLAYED: Final = "idempotency-replayed"
_OF_ANSWERS: Final = ("x-request-id", "x-imageway-sandbox", _REPLAYED, "x-imageway-seeds", "x-imageway-warnings")
_OF_ERRORS: Final = ("x-request-id", "x-should-retry", "retry-after", _REPLAYED)
_COMMON: Final[Mapping[str, Object]] = {
    "Imageway-Strict": {
        "name": "Imageway-Strict",
        "in": "header",
        "description": "`1`: what cannot be honoured to the letter is refused, not adjusted.",
        "schema": {"enum": ["1", "0", "true", "false"]},
    },
    "Idempotency-Key": {
        "name": "Idempotency-Key",
        "in": "header",
        "description": "A key buys once: the same request with it again gets the same answer, another one a 422.",
        "schema": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-~]([ -~]*[!-~])?$"},
    },
    "Imageway-Idempotency": {
        "name": "Imageway-Idempotency",
        "in": "header",
        "description": "`reject`: not to wait for an earlier request that runs under the same key; 409 in its place.",
        "schema": {"enum": ["wait", "reject"]},
    },
    "Imageway-Deadline": {
        "name": "Imageway-Deadline",
        "in": "header",
        "description": "What is not there after so many seconds is not wanted any more.",
        "schema": {"type": "number", "exclusiveMinimum": 0},
    },
}
_IMAGE: Final = "image/*"
_PARTS: Final[Object] = {
    "206": {"description": "The bytes that `Range` asked for.", "content": {_IMAGE: {"schema": {"type": "string"}}}},
    "304": {"description": "It is the one that `If-None-Match` names."},
    "416": {"description": "It has no such bytes."},
}
_LINK: Final = ("expires", "key", "signature")


def openapi(dialects: Sequence[Dialect], models: Sequence[str]) -> Object:
    """The document. `models` are the ids of the catalog; they stand as examples wherever a model is named."""
    paths: dict[str, dict[str, Object]] = {path: {"get": each} for path, each in _own_paths(dialects[0])}
    taken: dict[str, str] = {}  # paths that differ only in what they call their segments are one
    for dialect in dialects:
        for route in dialect.routes:
            path = taken.setdefault(_NAMED.sub("{}", route.path), route.path)
            operations, method = paths.setdefault(path, {}), route.method.lower()
            operation = _operation(dialect, route, path, models)
            operations[method] = _both(operations[method], operation) if method in operations else operation
    components: Object = {
        "schemas": {name: schema for dialect in dialects for name, schema in _schemas(dialect, models)},
        "parameters": {**_COMMON},
        "headers": {**_HEADERS},
        "responses": _shared_responses(paths),
        "securitySchemes": {_scheme_name(key): _scheme(key) for key in _keys(dialects)},
    }
    info: Object = {
        "title": "Imageway",
        "version": version("imageway"),
        "description": "Any image API's dialect in, any model out.",
    }
    return {
        "openapi": "3.1.0",
        "info": info,
        "paths": {path: {**item} for path, item in paths.items()},
        "components": components,
    }


# Operations


def _operation(dialect: Dialect, route: Route, path: str, models: Sequence[str]) -> Object:
    told = described(dialect, route)
    operation: Object = {
        "operationId": f"{dialect.name}_{route.name}",
        "tags": [dialect.name],
        "summary": route.summary or f"{dialect.name}: {route.name}",
    }
    parameters: list[Tree] = [_segment(name, models if name in _MODEL else ()) for name in _NAMED.findall(path)]
    parameters += [row or {"$ref": f"#/components/parameters/{label}"} for label, row in told.parameters.items()]
    if parameters:
        operation["parameters"] = parameters
    if content := dict(_content(dialect, route, told)):
        operation["requestBody"] = {"required": True, "content": content}
    operation["responses"] = _responses(dialect, route, told)
    operation["security"] = [] if route.public else [{_scheme_name(key): []} for key in told.keys]
    return operation


def _content(dialect: Dialect, route: Route, told: Described) -> Iterator[tuple[str, Tree]]:
    """The JSON body is the table's, with what the route needs of it; a form has its flat fields and the files."""
    schema = dialect.schema(route.name)
    if schema is not None:
        table: Object = {"$ref": f"{SCHEMAS}{_request_name(dialect, route)}"}
        yield "application/json", {"schema": {"allOf": [table, told.body]} if told.body else table}
    if route.form and told.form is not None:
        fields = {**_flat(schema), **told.files} if schema is not None else {}
        form: Object = {"type": "object", "properties": fields, **told.form} if fields else told.form
        yield "multipart/form-data", {"schema": form}


def _flat(schema: Mapping[str, Tree]) -> Object:
    fields = _object(schema.get("properties")).items()
    return {name: each for name, each in fields if _object(each).get("type") in _FLAT}


def _segment(name: str, examples: Sequence[str] = ()) -> Object:
    shown: Object = {"examples": [*examples]} if examples else {}
    schema: Object = {"type": "string", "minLength": 1, **shown}
    return {"name": name, "in": "path", "required": True, "schema": schema}


def _both(first: Object, second: Object) -> Object:
    """Two routes at one path and method, told apart by what carries the key, or by the query."""
    merged = {**first, "responses": _either(first["responses"], second["responses"])}
    if first.get("summary") != second.get("summary"):
        merged["summary"] = f"{first.get('summary')} / {second.get('summary')}"
    for name in ("tags", "parameters", "security"):
        joined = [
            *_list(first.get(name)),
            *(each for each in _list(second.get(name)) if each not in _list(first.get(name))),
        ]
        if joined or name == "security":
            merged[name] = joined
    return merged


def _either(first: Tree, second: Tree) -> Tree:
    """Two sets of responses as one: of each status both bodies."""
    if not isinstance(first, dict) or not isinstance(second, dict) or first == second:
        return first
    if first.keys() == {"schema"}:
        return {"schema": {"anyOf": [first["schema"], second["schema"]]}}
    merged: Object = {}
    for name in sorted({*first, *second}):
        one, other = first.get(name), second.get(name)
        merged[name] = _either(one, other) if one is not None and other is not None else one or other
        if name == "description" and one != other:
            merged[name] = f"{one} / {other}"
    return merged


def _list(value: Tree) -> list[Tree]:
    return value if isinstance(value, list) else []


def _object(value: Tree) -> Object:
    return value if isinstance(value, dict) else {}


# Answers and errors


def _responses(dialect: Dialect, route: Route, told: Described) -> Object:
    codes = _codes_of(dialect, route) + (("link_expired",) if told.content_type == _IMAGE else ())
    return {**_done(told), **_besides(told), **_errors(dialect, route, told.error, codes)}


def _done(told: Described) -> Object:
    """The answer, or what is there instead: nothing, where it has no type; an image in part, or not again."""
    if not told.content_type:
        return {"204": {"description": "Done.", "headers": _headers(_OF_ERRORS[:1])}}
    content: Object = {told.content_type: {"schema": told.answer}}
    if told.events:  # in place of the answer, or all there ever is
        content["text/event-stream"] = {"schema": {"anyOf": [*_events(told.events)]}}
    done: Object = {"description": "Done.", "headers": _headers(_OF_ANSWERS), "content": content}
    return {str(told.status): done, **(_PARTS if told.content_type == _IMAGE else {})}


def _besides(told: Described) -> Object:
    besides: Object = {}
    if told.accepted:
        content: Object = {"application/json": {"schema": told.accepted}}
        besides["202"] = {"description": "Accepted.", "headers": _headers(_OF_ANSWERS), "content": content}
    if told.known:
        besides["304"] = {"description": "It is the one that `If-None-Match` names."}
    return besides


def _events(told: Object) -> Iterator[Tree]:
    """Server-sent events; one without a name is a "message" to its readers. What is a constant is plain text."""
    for name, data in told.items():
        for each in _list(_object(data).get("anyOf")) or [data]:
            content: Object = {"contentMediaType": "application/json", "contentSchema": each}
            if "const" in _object(each):
                content = _object(each)
            properties: Object = {"event": {"const": name or "message"}, "data": {"type": "string", **content}}
            yield {"type": "object", "properties": properties, "required": ["data"]}


def _codes_of(dialect: Dialect, route: Route) -> tuple[str, ...]:
    if route.method != "GET" and (route.form or dialect.schema(route.name) is not None):
        return _CODES
    return (*_READS, "task_final") if route.method == "POST" else _READS


def _errors(dialect: Dialect, route: Route | None, schema: Object, codes: Sequence[str]) -> Object:
    """By status as the dialect really has it: it is asked for every error."""
    where = Where(route.name if route else None, "req_1")
    found: dict[int, list[str]] = {}
    for code in codes:
        found.setdefault(dialect.encode_error(where, GatewayError(code, "")).status, []).append(code)
    return {str(status): _error(schema, found[status]) for status in sorted(found) if status >= 300}


def _error(schema: Object, codes: Sequence[str]) -> Object:
    told = ", ".join(f"`{code}`" for code in codes if code != "invalid_value") or "The request cannot be served."
    return {"description": told, "headers": _headers(_OF_ERRORS), "content": {"application/json": {"schema": schema}}}


def _headers(names: Sequence[str]) -> Object:
    return {name: {"$ref": f"#/components/headers/{name}"} for name in names}


def _shared_responses(paths: Mapping[str, dict[str, Object]]) -> Object:
    """Moves errors out of the operations, where most are the same: there they are referred to."""
    names: dict[str, str] = {}
    shared: Object = {}
    for operation in (operation for item in paths.values() for operation in item.values()):
        speakers = ".".join(map(str, _list(operation.get("tags")))) or "server"
        responses = _object(operation["responses"])
        for status, response in responses.items():
            if int(status) >= 400 and status != "416":
                text = json.dumps(response)
                name = names[text] = names.get(text) or _free(f"{speakers}.{status}", shared)
                shared[name] = response
                responses[status] = {"$ref": f"#/components/responses/{name}"}
    return shared


def _free(base: str, taken: Mapping[str, Tree]) -> str:
    return base if base not in taken else next(f"{base}.{n}" for n in range(2, 1000) if f"{base}.{n}" not in taken)


# Schemas and keys


def _schemas(dialect: Dialect, models: Sequence[str]) -> Iterator[tuple[str, Tree]]:
    """Those of its file; and those of its tables."""
    for route in dialect.routes:
        if (schema := dialect.schema(route.name)) is not None:
            yield _request_name(dialect, route), _with_models(schema, models)
    yield from schemas_of(dialect)


def _request_name(dialect: Dialect, route: Route) -> str:
    """Of the table of a route's body. Most dialects have one for all routes; where they differ, each has its own."""
    schema, bodies = dialect.schema(route.name), (dialect.schema(each.name) for each in dialect.routes)
    shared = all(body is None or body == schema for body in bodies)
    return f"{dialect.name}.Request" if shared else f"{dialect.name}.{route.name}.Request"


def _with_models(schema: Mapping[str, Tree], models: Sequence[str]) -> Object:
    """The ids of the catalog as examples of the field that names a model; aliases and patterns are taken too."""
    properties = schema.get("properties")
    if not isinstance(properties, dict) or not isinstance(model := properties.get("model"), dict):
        return dict(schema)
    return {**schema, "properties": {**properties, "model": {**model, "examples": list(models)}}}


def _keys(dialects: Sequence[Dialect]) -> Iterator[str]:
    told = (described(dialect, route) for dialect in dialects for route in dialect.routes)
    yield from dict.fromkeys(key for each in told for key in each.keys)


def _scheme_name(key: str) -> str:
    return "bearer" if key == "Authorization" else key.removeprefix("?")


def _scheme(key: str) -> Object:
    """`Authorization` is a bearer's; "?name" a query parameter; anything else a header."""
    if key == "Authorization":
        return {"type": "http", "scheme": "bearer", "description": "A workspace key, sk-iw-…"}
    return {"type": "apiKey", "in": "query" if key.startswith("?") else "header", "name": key.removeprefix("?")}


# The server's own


def _own_paths(speaker: Dialect) -> Iterator[tuple[str, Object]]:
    """What is served to GET beside the dialects. `speaker` tells what is wrong there."""
    status: Object = {"type": "object", "properties": {"status": {"enum": ["ok", "draining"]}}, "required": ["status"]}
    media = _plain(speaker, "A stored image, by its signed link.", _IMAGE, {"type": "string"})
    links: list[Tree] = [
        {"name": name, "in": "query", "required": True, "description": "Of the link.", "schema": {"type": "string"}}
        for name in _LINK
    ]
    yield "/healthz", _plain(speaker, "Whether the process answers.", "application/json", status)
    yield "/readyz", _plain(speaker, "Whether it takes requests.", "application/json", status)
    yield "/openapi.json", _plain(speaker, "This document.", "application/json", {"type": "object"})
    elsewhere: Object = {"302": {"description": "It is read at the store itself, where `location` says."}}
    responses: Object = _object(media["responses"]) | elsewhere
    yield "/media/{name}", {**media, "responses": responses, "parameters": [_segment("name"), *links]}


def _plain(speaker: Dialect, summary: str, content_type: str, schema: Object) -> Object:
    told = Described(answer=schema, content_type=content_type, error=described(speaker, speaker.routes[0]).error)
    responses: Object = {**_done(told), **_errors(speaker, None, told.error, _OPEN)}
    return {"summary": summary, "responses": responses, "security": []}
