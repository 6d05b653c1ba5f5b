"""Reads a JSON body the way a proto-JSON front end does: lowerCamel and snake_case alike, one value where many may be,
null as absent, base64 in either alphabet, unknown names refused, every problem told at once."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from imageway.sandbox.studio import decode_base64
from imageway.sandbox.tables import load_table

TABLE: dict[str, Any] = load_table("google")
_PACKAGE = "type.googleapis.com/google.ai.generativelanguage.v1beta."
_VERTEX_PACKAGE = "type.googleapis.com/google.cloud.aiplatform.v1beta1."
Value = bool | int | float | str | bytes | list["Value"] | dict[str, "Value"] | None
Problem = tuple[str, str]


def snake(name: str) -> str:
    return re.sub(r"[A-Z]", lambda letter: "_" + letter[0].lower(), name)


def _camel(name: str) -> str:
    head, *rest = name.split("_")
    return head + "".join(word[:1].upper() + word[1:] for word in rest)


class MessageReader:
    """`read` gives the message with camelCase names, bytes decoded and enums by name; `problems` what was wrong. Vertex
    has a few fields more."""

    def __init__(self, *, vertex: bool = False) -> None:
        self.problems: list[Problem] = []
        self._package = _VERTEX_PACKAGE if vertex else _PACKAGE
        self._more: dict[str, Any] = TABLE["vertex"] if vertex else {"messages": {}, "enums": {}}

    def _fields(self, kind: str) -> dict[str, str] | None:
        known: dict[str, str] = TABLE["messages"].get(kind, {}) | self._more["messages"].get(kind, {})
        return known or None

    def _enum_row(self, kind: str) -> dict[str, Any] | None:
        row: dict[str, Any] | None = self._more["enums"].get(kind) or TABLE["enums"].get(kind)
        return row

    def read(self, tree: Mapping[str, Any]) -> dict[str, Value]:
        return self._message(tree, "GenerateContentRequest", "")

    def _message(self, tree: Mapping[str, Any], kind: str, path: str) -> dict[str, Value]:
        fields = self._fields(kind) or {}
        found: dict[str, Value] = {}
        for written, value in tree.items():
            name = _camel(written)
            if name not in fields:
                place = f" at '{path}'" if path else ""
                self.problems.append(
                    (path, f'Invalid JSON payload received. Unknown name "{written}"{place}: Cannot find field.')
                )
            elif value is not None:
                found[name] = self._field(value, fields[name], f"{path}.{snake(name)}".lstrip("."))
        return found

    def _field(self, value: Any, kind: str, path: str) -> Value:
        if not kind.startswith("*"):
            return self._value(value, kind, path)
        items = value if isinstance(value, list) else [value]
        return [self._value(item, kind[1:], f"{path}[{number}]") for number, item in enumerate(items)]

    def _value(self, value: Any, kind: str, path: str) -> Value:
        if kind == "any":
            return None
        if self._fields(kind):
            if isinstance(value, dict):
                return self._message(value, kind, path)
            return self._wrong(value, self._package + kind, path)
        if row := self._enum_row(kind):
            return self._enum(value, row, path)
        return self._scalar(value, kind, path)

    def _enum(self, value: Any, row: Mapping[str, Any], path: str) -> Value:
        name = value.upper() if isinstance(value, str) else value
        if name not in row["values"]:
            return self._wrong(value, self._package + row["path"], path)
        return str(row["means"][row["values"].index(name)] if "means" in row else name)

    def _scalar(self, value: Any, kind: str, path: str) -> Value:
        if kind == "string" and isinstance(value, str):
            return value
        if kind == "bool" and isinstance(value, bool):
            return value
        if kind in ("int32", "float") and not isinstance(value, bool):
            number = _number(value)
            if number is not None and (kind == "float" or (number.is_integer() and -(2**31) <= number < 2**31)):
                return number if kind == "float" else int(number)
        if kind == "bytes" and isinstance(value, str):
            content = decode_base64(value)
            if content is not None:
                return content
            self.problems.append(
                (path, f"Invalid value at '{path}' (TYPE_BYTES), Base64 decoding failed for \"{value[:40]}\"")
            )
            return None
        return self._wrong(value, f"TYPE_{kind.upper()}", path)

    def _wrong(self, value: Any, kind: str, path: str) -> Value:
        shown = json.dumps(value, ensure_ascii=False)[:200]
        self.problems.append((path, f"Invalid value at '{path}' ({kind}), {shown}"))
        return None


def _number(value: Any) -> float | None:
    """Numbers may be written as text."""
    try:
        return float(value) if isinstance(value, int | float | str) else None
    except (ValueError, OverflowError):
        return None
