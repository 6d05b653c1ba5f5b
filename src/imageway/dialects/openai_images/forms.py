"""Forms read as the JSON they stand for: repeated and indexed names are lists, bracketed names objects, words are true
or false, and digits numbers, where the field table says so."""

from __future__ import annotations

import re
from typing import Final

from imageway.core.blobs import Tree
from imageway.core.steps import FormBody
from imageway.dialects.shared.findings import Findings
from imageway.dialects.shared.table import TOP, Table

_NAME: Final = re.compile(r"([^\[\]]+)((?:\[[^\[\]]*\])*)")
_KEYS: Final = re.compile(r"\[([^\[\]]*)\]")
_INTEGER: Final = re.compile(r"-?[0-9]{1,18}")
_DEPTH: Final = 8
_BOOLEANS: Final[dict[str, Tree]] = {"true": True, "false": False}


def tree_of(form: FormBody, table: Table, findings: Findings) -> dict[str, Tree]:
    """`image[]` and `image[0]` are entries of `image`, `svg[model]` is a field of the object `svg`; a name that comes
    twice is a list. Empty texts and files of no bytes, as browsers send for what was left empty, are absent."""
    tree: dict[str, Tree] = {}
    for name, content in form.parts:
        value: Tree = content if isinstance(content, str) else content.blob
        if value == "" or (not isinstance(content, str) and content.blob.stored_bytes == 0):
            continue
        match = _NAME.fullmatch(name)
        keys = _KEYS.findall(match[2]) if match else []
        if match is None or len(keys) > _DEPTH:
            findings.problem("malformed_form", name, f"{name} cannot be the name of a field")
            continue
        known = table.by_place.get((TOP, match[1]))
        if known is not None and isinstance(value, str):
            value = _typed(value, known.kind.type)
        _put(tree, match[1], keys, value)
    return tree


def _typed(text: str, wanted: str) -> Tree:
    """A word of a form as the JSON value it stands for; anything else stays the text it is."""
    if wanted == "boolean":
        return _BOOLEANS.get(text.strip().lower(), text)
    if wanted in ("integer", "number") and _INTEGER.fullmatch(text):
        return int(text)
    return text


def _put(place: dict[str, Tree], name: str, keys: list[str], value: Tree) -> None:
    """`value` at `name` and the keys in brackets behind it; a number or nothing in brackets is an entry of a list."""
    if keys and not (keys[0] == "" or keys[0].isdigit()):
        inner = place.setdefault(name, {})
        if isinstance(inner, dict):
            _put(inner, keys[0], keys[1:], value)
            return
    present = place.get(name)
    if isinstance(present, list):
        present.append(value)
    elif name in place:
        place[name] = [present, value]
    else:
        place[name] = [value] if keys else value
