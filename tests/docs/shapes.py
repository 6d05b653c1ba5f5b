"""Whether a documented JSON answer has the shape of a real one: the same names and types, whatever the values."""

from __future__ import annotations

import re
from typing import Any

_ID = re.compile(r"(?:req|key|ws|end|adm)_[0-9a-z]{25}")


def shape(value: Any) -> Any:
    """Objects by their names, lists by their first item, everything else by its type."""
    if isinstance(value, dict):
        return {name: shape(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [shape(inner) for inner in value[:1]]
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "boolean"
    return "number" if isinstance(value, int | float) else type(value).__name__


def ids_in(documented: Any, real: Any) -> dict[str, str]:
    """Ids that a page names → the real ones in the same places, so that later samples can refer to them."""
    if isinstance(documented, dict) and isinstance(real, dict):
        pairs = [(documented[name], real[name]) for name in documented.keys() & real.keys()]
    elif isinstance(documented, list) and isinstance(real, list):
        pairs = list(zip(documented, real, strict=False))
    else:
        both = isinstance(documented, str) and isinstance(real, str) and _ID.fullmatch(documented)
        return {documented: real} if both else {}
    return {name: found for one, other in pairs for name, found in ids_in(one, other).items()}


def with_ids(text: str, known: dict[str, str]) -> str:
    return _ID.sub(lambda found: known.get(found[0], found[0]), text)
