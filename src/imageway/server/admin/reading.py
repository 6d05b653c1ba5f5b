"""JSON bodies and query strings as structs, with everything that is wrong found at once and named by its path."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, TypeVar

import msgspec
from msgspec import Struct
from msgspec.structs import FieldInfo, fields

from imageway.core.errors import InvalidRequest, Problem
from imageway.core.wording import quoted

S = TypeVar("S", bound=Struct)
SECRET: Final = frozenset({"key"})
"""Fields that hold a credential."""


def read_body(content: bytes, kind: type[S]) -> S:
    """Raises InvalidRequest."""
    try:
        written = msgspec.json.decode(content or b"{}")
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InvalidRequest(Problem(None, "malformed_json", f"the body is not JSON: {error}")) from None
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
            try:
                values[field.name] = msgspec.convert(written[name], field.type, strict=strict)
            except msgspec.ValidationError as error:
                problems.append(_wrong(name, written[name], error))
        elif field.required:
            problems.append(Problem(name, "missing_required_parameter", f'"{name}" is missing'))
    if problems:
        raise InvalidRequest(*problems)
    return kind(**values)


def _unknown(name: str, known: Mapping[str, FieldInfo]) -> Problem:
    accepted = tuple(known)
    said = ", ".join(accepted) or "none"
    return Problem(name, "unknown_parameter", f'"{name}" is not a field here; known are: {said}', accepted)


def _wrong(name: str, value: Any, error: msgspec.ValidationError) -> Problem:
    """msgspec says where in the value as `$.path`. A credential is not repeated."""
    message, _, place = str(error).partition(" - at `$")
    said = f"{name} is {quoted(value)[:200]}" if name not in SECRET else name
    return Problem(f"{name}{place.rstrip('`')}", "invalid_type", f"{said}: {message}")
