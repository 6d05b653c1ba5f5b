"""JSON bodies and query strings as structs, with everything that is wrong found at once and named by its path. A body
is JSON as strictly as those of images are: no name twice, nothing nested without end."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final, Literal, TypeVar, get_args, get_origin

import msgspec
from msgspec import Struct
from msgspec.structs import FieldInfo, fields

from imageway.bodies.grammar import parse
from imageway.bodies.limits import LiftError, LiftLimits
from imageway.core.blobs import Tree
from imageway.core.errors import InvalidRequest, Problem
from imageway.core.wording import quoted

S = TypeVar("S", bound=Struct)
SECRET: Final = frozenset({"key"})
"""Fields that hold a credential."""
_LIMITS: Final = LiftLimits()


def read_body(content: bytes, kind: type[S]) -> S:
    """Raises InvalidRequest."""
    try:
        written = parse(content or b"{}", (), _LIMITS)
    except LiftError as error:
        raise InvalidRequest(Problem(error.path or None, error.code, error.message)) from None
    if not isinstance(written, dict):
        raise InvalidRequest(Problem(None, "invalid_type", "the body must be a JSON object"))
    return _read(written, kind, strict=True)


def read_query(query: Mapping[str, str], kind: type[S]) -> S:
    """Numbers and truth come as text there. Raises InvalidRequest."""
    return _read(dict(query), kind, strict=False)


def _read(written: Mapping[str, Any], kind: type[S], *, strict: bool) -> S:
    known = {field.encode_name: field for field in fields(kind)}
    problems = [_unknown(name, known) for name in written if name not in known]
    values: dict[str, Any] = {}
    for name, field in known.items():
        if name in written:
            if any("\0" in text for text in _texts(written[name])):
                problems.append(Problem(name, "invalid_value", f"{name} holds a character U+0000, which nothing keeps"))
                continue
            try:
                values[field.name] = msgspec.convert(written[name], field.type, strict=strict)
            except msgspec.ValidationError as error:
                problems.append(_wrong(name, written[name], error, field.type))
        elif field.required:
            problems.append(Problem(name, "missing_required_parameter", f'"{name}" is missing'))
    if problems:
        raise InvalidRequest(*problems)
    return kind(**values)


def _texts(value: Tree) -> Iterator[str]:
    """Every text in it, names too."""
    match value:
        case str():
            yield value
        case list():
            for one in value:
                yield from _texts(one)
        case dict():
            for name, one in value.items():
                yield name
                yield from _texts(one)


def _unknown(name: str, known: Mapping[str, FieldInfo]) -> Problem:
    accepted = tuple(known)
    said = ", ".join(accepted) or "none"
    return Problem(name, "unknown_parameter", f'"{name}" is not a field here; known are: {said}', accepted)


def _wrong(name: str, value: Any, error: msgspec.ValidationError, kind: Any) -> Problem:
    """msgspec says where in the value as `$.path`. A credential is not repeated."""
    message, _, place = str(error).partition(" - at `$")
    accepted = _words(kind) if message.startswith("Invalid enum value") else ()
    if accepted:
        message = f"accepted: {', '.join(accepted)}"
    said = f"{name} is {quoted(value)[:200]}" if name not in SECRET else name
    return Problem(f"{name}{place.rstrip('`')}", "invalid_type", f"{said}: {message}", accepted)


def _words(kind: Any) -> tuple[str, ...]:
    """Those that a field takes, where it takes nothing else."""
    if get_origin(kind) is Literal:
        return tuple(word for word in get_args(kind) if word)
    return tuple(word for one in get_args(kind) for word in _words(one))
