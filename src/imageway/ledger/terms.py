"""What operators say about prices: rows of rules, each from a day on, for a workspace or for all, for the models that a
pattern fits. Which of them applies is decided where prices are (catalog)."""

from __future__ import annotations

from dataclasses import dataclass

from imageway.core.ops import Op, Query


class SetPriceRule(Op, frozen=True):
    """`workspace_id` empty: all. `models` is a glob pattern. Prices are multiplied (millionths), then so much is added
    for each image; `rows`, a JSON array of the catalog's price rows, stand in place of the model's own (empty: those).
    In force from `from_ms` until a later rule for the same, or its end. `source` says why. Refused: "duplicate" (the
    id), "no_workspace"."""

    id: str
    workspace_id: str
    models: str
    multiplier_millionths: int
    per_image_usd_micros: int
    rows: bytes
    from_ms: int
    source: str
    at_ms: int


class EndPriceRule(Op, frozen=True):
    """Refused: "no_rule" (unknown or ended already)."""

    id: str
    until_ms: int


@dataclass(frozen=True, slots=True)
class PriceRule:
    """`until_ms` None: nobody ended it."""

    id: str
    workspace_id: str
    models: str
    multiplier_millionths: int
    per_image_usd_micros: int
    rows: bytes
    from_ms: int
    until_ms: int | None
    source: str
    created_ms: int


@dataclass(frozen=True, slots=True)
class ListPriceRules(Query[tuple[PriceRule, ...]]):
    """In the order they were made: those that have not ended before `since_ms`."""

    since_ms: int = 0
