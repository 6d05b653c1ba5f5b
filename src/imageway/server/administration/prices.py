"""Price rules: made, ended, listed; and what one model costs one workspace by them."""

from __future__ import annotations

import re
from decimal import Decimal
from fnmatch import fnmatchcase
from typing import Any, Final

import msgspec
from msgspec import Struct

from imageway.catalog import Catalog
from imageway.catalog.rules import price_problems, sells_images, tiers_of
from imageway.catalog.schema import Model
from imageway.catalog.terms import DAY_MS, begun, price_rows, sold
from imageway.core.errors import GatewayError, Problem
from imageway.core.money import format_usd, parse_usd
from imageway.ledger.terms import (
    MOST_MULTIPLIER,
    MOST_PER_IMAGE_USD_MICROS,
    ONE,
    EndPriceRule,
    ListPriceRules,
    PriceRule,
    SetPriceRule,
    terms_for,
)
from imageway.server.administration.office import Office, unless
from imageway.server.administration.written import Reader, iso_second

MOST_SOURCE: Final = 500
_MULTIPLIER: Final = re.compile(r"([0-9]{1,4})(?:\.([0-9]{1,6}))?")


class RuleAsked(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, rename={"from_time": "from"}):
    """A price rule as an operator writes it: for a workspace (none: all), for models by pattern. `multiplier` and
    `per_image_usd` are decimal text; `prices` are rows as in the catalog's files; `from` is an ISO 8601 time (none:
    now)."""

    models: str
    workspace: str | None = None
    multiplier: str = "1"
    per_image_usd: str = "0"
    prices: tuple[dict[str, Any], ...] = ()
    from_time: str | None = None
    source: str = ""


class RuleShown(Struct, frozen=True, kw_only=True, rename={"from_time": "from", "until_time": "until"}):
    """A price rule as operators see it: amounts as decimal text, times as ISO 8601."""

    id: str
    workspace: str | None
    models: str
    multiplier: str
    per_image_usd: str
    prices: tuple[Any, ...]
    from_time: str
    until_time: str | None
    source: str


async def set_rule(office: Office, catalog: Catalog, asked: RuleAsked) -> RuleShown:
    """Raises GatewayError: 404 for a workspace there is not, 400 with everything that is wrong."""
    workspace = await office.workspace(asked.workspace) if asked.workspace else None
    now_ms, reader = office.now_ms(), Reader()
    problems = reader.problems
    multiplier = _millionths(asked.multiplier, problems)
    added = _added(asked.per_image_usd, problems)
    rows = _rows(asked.prices, problems)
    from_ms = now_ms if asked.from_time is None else reader.time_ms("from", asked.from_time)
    _check_models(reader, catalog, asked.models)
    reader.line("source", asked.source, MOST_SOURCE)
    if rows and not problems:
        problems += _given_away(catalog, asked.models, rows, from_ms // DAY_MS)
        problems += _strange_tiers(catalog, asked.models, rows)
    unless(problems)
    op = SetPriceRule(
        id=office.new_id("rule"),
        workspace_id=workspace.id if workspace else "",
        models=asked.models,
        multiplier_millionths=multiplier,
        per_image_usd_micros=added,
        rows=rows,
        from_ms=from_ms,
        source=asked.source,
        at_ms=now_ms,
    )
    rule = PriceRule(
        op.id, op.workspace_id, op.models, multiplier, added, rows, from_ms, None, op.source, created_ms=now_ms
    )
    shown = _shown(rule)
    await office.change("price_rule.set", op.id, op, after=shown)
    return shown


async def end_rule(office: Office, rule_id: str) -> RuleShown:
    """From now on it changes nothing; what was accepted before is still charged by it. Raises GatewayError 404."""
    rules = await office.store.read(ListPriceRules())
    before = next((_shown(rule) for rule in rules if rule.id == rule_id), None)
    if before is None or before.until_time is not None:
        raise GatewayError("not_found", f'there is no price rule "{rule_id}" in force')
    until_ms = office.now_ms()
    after = msgspec.structs.replace(before, until_time=iso_second(until_ms))
    await office.change("price_rule.end", rule_id, EndPriceRule(rule_id, until_ms), before=before, after=after)
    return after


async def list_rules(office: Office) -> tuple[RuleShown, ...]:
    """All that were ever made, in that order."""
    rules = await office.store.read(ListPriceRules())
    return tuple(map(_shown, rules))


async def prices_for(
    office: Office, catalog: Catalog, model: str, workspace: str | None
) -> tuple[Model, tuple[str, ...]]:
    """The model with the price rows that a workspace (none: any without rules of its own) pays now, and the rules that
    made them so. Raises GatewayError 404."""
    found = catalog.find(model)
    if found is None:
        near = catalog.closest(model)
        hint = f"; did you mean {', '.join(near)}?" if near else ""
        raise GatewayError("model_not_found", f'there is no model "{model}"{hint}', param="model")
    workspace_id = (await office.workspace(workspace)).id if workspace else ""
    now_ms, rules = office.now_ms(), await office.store.read(ListPriceRules())
    terms = terms_for(rules, workspace_id=workspace_id, model=found.model.id, at_ms=now_ms)
    return sold(found.model, terms, now_ms // DAY_MS), terms.rule_ids


def fits(catalog: Catalog, pattern: str) -> bool:
    return any(fnmatchcase(model, pattern) for model in catalog.models)


def _check_models(reader: Reader, catalog: Catalog, pattern: str) -> None:
    known = len(reader.problems)
    reader.patterns("models", (pattern,))
    if len(reader.problems) == known and not fits(catalog, pattern):
        message = f'"{pattern}" fits no model of the catalog; write an id of one, or a pattern with * and ?'
        reader.wrong("models", message, catalog.closest(pattern))


def _given_away(catalog: Catalog, pattern: str, rows: bytes, day: int) -> list[Problem]:
    """The rows stand in place of all of a model's own: they must say from the first day on what its images cost."""
    effective = begun(price_rows(rows), day)
    found = [
        model.id
        for model in catalog.models.values()
        if fnmatchcase(model.id, pattern) and not sells_images(model, effective)
    ]
    if not found:
        return []
    message = f"the prices, where they are effective when the rule begins, say nothing of images of {', '.join(found)}"
    return [Problem("prices", "invalid_value", f"{message}: add the missing rows, or name other models")]


def _strange_tiers(catalog: Catalog, pattern: str, rows: bytes) -> list[Problem]:
    """A row for a tier that no model has would never apply, and leave its images to the dearest of the others."""
    models = (model for model in catalog.models.values() if fnmatchcase(model.id, pattern))
    known = tuple(dict.fromkeys(tier for model in models for tier in tiers_of(model)))
    named = ((index, tier) for index, row in enumerate(price_rows(rows)) for tier in row.tiers)
    why = f'is a tier of no model that "{pattern}" fits; accepted: {", ".join(known) or "none"}'
    return [
        Problem(f"prices[{index}].tiers", "invalid_value", f'prices[{index}].tiers: "{tier}" {why}', known)
        for index, tier in named
        if tier not in known
    ]


def _millionths(written: str, problems: list[Problem]) -> int:
    found = _MULTIPLIER.fullmatch(written.strip())
    if found is not None:
        millionths = int(found[1]) * ONE + int((found[2] or "").ljust(6, "0"))
        if millionths <= MOST_MULTIPLIER:
            return millionths
    accepted = f"a number from 0 to {MOST_MULTIPLIER // ONE} with at most six decimals"
    problems.append(Problem("multiplier", "invalid_value", f'the multiplier is "{written}"; accepted: {accepted}'))
    return ONE


def _added(written: str, problems: list[Problem]) -> int:
    try:
        usd_micros = parse_usd(written)
    except ValueError:
        usd_micros = -1
    if 0 <= usd_micros <= MOST_PER_IMAGE_USD_MICROS:
        return usd_micros
    accepted = f"dollars from 0 to {format_usd(MOST_PER_IMAGE_USD_MICROS)} with at most six decimals"
    problems.append(Problem("per_image_usd", "invalid_value", f'per_image_usd is "{written}"; accepted: {accepted}'))
    return 0


def _rows(written: tuple[dict[str, Any], ...], problems: list[Problem]) -> bytes:
    if not written:
        return b""
    rows = msgspec.json.encode(written)
    try:
        for index, row in enumerate(price_rows(rows)):
            problems += [Problem(f"prices[{index}].{name}", "invalid_value", why) for name, why in price_problems(row)]
    except msgspec.ValidationError as error:
        problems.append(Problem("prices", "invalid_value", f"the prices are no price rows: {error}"))
    return rows


def _shown(rule: PriceRule) -> RuleShown:
    return RuleShown(
        id=rule.id,
        workspace=rule.workspace_id or None,
        models=rule.models,
        multiplier=format((Decimal(rule.multiplier_millionths) / ONE).normalize(), "f"),
        per_image_usd=format_usd(rule.per_image_usd_micros),
        prices=tuple(msgspec.json.decode(rule.rows)) if rule.rows else (),
        from_time=iso_second(rule.from_ms),
        until_time=iso_second(rule.until_ms) if rule.until_ms is not None else None,
        source=rule.source,
    )
