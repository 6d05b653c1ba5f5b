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
Value = bool | int | float | str | bytes | list["Value"] | dict[str, "Value"] | None
Problem = tuple[str, str]


def snake(name: str) -> str:
    return re.sub(r"[A-Z]", lambda letter: "_" + letter[0].lower(), name)


def _camel(name: str) -> str:
    head, *rest = name.split("_")
    return head + "".join(word[:1].upper() + word[1:] for word in rest)


class MessageReader:
    """`read` gives the message with camelCase names, bytes decoded and enums by name; `problems` what was wrong."""

    def __init__(self) -> None:
        self.problems: list[Problem] = []

    def read(self, tree: Mapping[str, Any]) -> dict[str, Value]:
        return self._message(tree, "GenerateContentRequest", "")

    def _message(self, tree: Mapping[str, Any], kind: str, path: str) -> dict[str, Value]:
        fields: dict[str, str] = TABLE["messages"][kind]
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
        if kind in TABLE["messages"]:
            if isinstance(value, dict):
                return self._message(value, kind, path)
            return self._wrong(value, _PACKAGE + kind, path)
        if kind in TABLE["enums"]:
            return self._enum(value, kind, path)
        return self._scalar(value, kind, path)

    def _enum(self, value: Any, kind: str, path: str) -> Value:
        row = TABLE["enums"][kind]
        name = value.upper() if isinstance(value, str) else value
        if name not in row["values"]:
            return self._wrong(value, _PACKAGE + row["path"], path)
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
    if isinstance(value, int | float):
        return float(value)
    try:
        return float(value) if isinstance(value, str) else None
    except ValueError:
        return None
