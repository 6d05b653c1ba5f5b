"""What operators say about prices: rules, each from a moment on, for a workspace or for all, for the models that a
pattern fits; and what they come to for one caller and model."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Final

from imageway.core.access import CATALOG_TERMS, Terms
from imageway.core.ops import Op, Query

ONE: Final = 1_000_000  # times one, in millionths
MOST_MULTIPLIER: Final = 1000 * ONE
MOST_PER_IMAGE_USD_MICROS: Final = 1_000_000_000


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

    def __post_init__(self) -> None:
        if not 0 <= self.multiplier_millionths <= MOST_MULTIPLIER:
            raise ValueError(f"prices cannot be multiplied by {self.multiplier_millionths} millionths")
        if not 0 <= self.per_image_usd_micros <= MOST_PER_IMAGE_USD_MICROS:
            raise ValueError(f"{self.per_image_usd_micros} micro-dollars cannot be added for an image")


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


def terms_for(rules: Sequence[PriceRule], *, workspace_id: str, model: str, at_ms: int) -> Terms:
    """The rule for all workspaces that applies, then the one for this workspace (empty: any without rules of its own)
    on top of it: price rows of the latter stand in place of the former's. Of several of a kind the one with the more
    exact pattern applies (no wildcard, else the longer), then the one in force for the shortest time."""
    applying = [rule for rule in rules if _applies(rule, workspace_id, model, at_ms)]
    whose = dict.fromkeys(("", workspace_id))  # once, where no workspace is named
    chosen = [rule for one in whose if (rule := _closest(applying, one)) is not None]
    if not chosen:
        return CATALOG_TERMS
    return Terms(
        rule_ids=tuple(rule.id for rule in chosen),
        steps=tuple((rule.multiplier_millionths, rule.per_image_usd_micros) for rule in chosen if _steps(rule)),
        rows=next((rule.rows for rule in reversed(chosen) if rule.rows), b""),
    )


def _applies(rule: PriceRule, workspace_id: str, model: str, at_ms: int) -> bool:
    if rule.workspace_id not in ("", workspace_id) or not fnmatchcase(model, rule.models):
        return False
    return rule.from_ms <= at_ms and (rule.until_ms is None or at_ms < rule.until_ms)


def _closest(rules: Iterable[PriceRule], workspace_id: str) -> PriceRule | None:
    of_it = [rule for rule in rules if rule.workspace_id == workspace_id]
    return max(of_it, key=_closeness, default=None)


def _closeness(rule: PriceRule) -> tuple[bool, int, int, int, str]:
    exact = not any(wildcard in rule.models for wildcard in "*?[")
    return exact, len(rule.models), rule.from_ms, rule.created_ms, rule.id


def _steps(rule: PriceRule) -> bool:
    return rule.multiplier_millionths != ONE or rule.per_image_usd_micros > 0
