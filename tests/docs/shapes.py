"""Whether a documented JSON answer is a real one: the same names and types, and the same values, where these are not
made of time, chance or a place."""

from __future__ import annotations

import re
from typing import Any

_ID = re.compile(r"(?:req|key|ws|end|adm)_[0-9a-z]{25}")
_TIMES = {"created", "started", "finished", "expires", "time", "mean_ms", "mean_upstream_ms", "elapsed_ms"}
_MADE = re.compile(
    r"(?:rule|msg)_\w+|(?:req|key|ws|end|adm|att|proc)_[0-9a-z]{25}|k[0-9a-f]{8}"  # ids
    r"|sk-iw-(?:admin-)?(?:…[a-z2-7]{4}|[a-z2-7]{52})|iwsig_[0-9a-f]{64}|whsec_(?:…[\w+/=]{4}|[\w+/]{43}=)"  # secrets
    r"|\d{4}-\d\d-\d\d[T ][\d:.]+(?:Z|[+]00:00)?"  # moments
)


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


def differing(documented: Any, real: Any, place: str = "") -> list[str]:
    """Where values are not what is documented. "…" stands for any text, or, alone in a list, for any items."""
    if isinstance(documented, dict):
        return [each for name in documented for each in _of_field(name, documented[name], real[name], place)]
    if isinstance(documented, list) and documented != ["…"]:
        both = [
            each
            for i, pair in enumerate(zip(documented, real, strict=False))
            for each in differing(*pair, f"{place}[{i}]")
        ]
        return both if len(documented) == len(real) else [f"{place}: {len(real)} items, not {len(documented)}", *both]
    if isinstance(documented, str):
        agree = re.fullmatch(_pattern(documented), str(real), re.DOTALL)
        return [] if agree else [f"{place}: {str(real)[:200]!r}, not {documented!r}"]
    return [] if documented in (real, ["…"]) else [f"{place}: {real!r}, not {documented!r}"]


def _of_field(name: str, documented: Any, real: Any, place: str) -> list[str]:
    moment = name in _TIMES and isinstance(real, int | float) and not isinstance(real, bool)
    return [] if moment else differing(documented, real, f"{place}.{name}")


def _pattern(documented: str) -> str:
    """What is made anew each time may be any other of its kind."""
    if "…" in documented:
        return ".*".join(_pattern(part) for part in documented.split("…")) if not _MADE.fullmatch(documented) else ".*"
    ends = [0, *(end for found in _MADE.finditer(documented) for end in found.span()), len(documented)]
    kept = [re.escape(documented[start:end]) for start, end in zip(ends[::2], ends[1::2], strict=True)]
    return f"(?:{_MADE.pattern})".join(kept)
