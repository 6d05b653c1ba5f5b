"""Commands on prices: what one workspace pays, the operator's rules, and where the catalog differs from other lists."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec

from imageway.catalog import Catalog, load
from imageway.catalog.drift import Drift, compared, drift
from imageway.catalog.terms import DAY_MS
from imageway.cli.books import CLOCK, Books, show_rows
from imageway.cli.operating import operate, plain
from imageway.cli.price_lists import genai_prices, model_map
from imageway.cli.printing import Stop, print_json
from imageway.server.administration.office import Office
from imageway.server.administration.prices import (
    RuleAsked,
    RuleShown,
    end_rule,
    list_rules,
    prices_for,
    set_rule,
)

RULE_COLUMNS = ("id", "workspace", "models", "multiplier", "per_image_usd", "prices", "from", "until", "source")
PRICE_COLUMNS = ("per", "tokens", "conditions", "amount", "currency", "effective", "checked", "source")
DRIFT_COLUMNS = ("model", "fact", "ours", "theirs", "source")


def show(books: Books, model: str, workspace: str | None, *, as_json: bool) -> None:
    catalog = _catalog(books)

    async def read(office: Office) -> list[dict[str, object]]:
        priced, rules = await prices_for(office, catalog, model, workspace)
        return [_price(msgspec.to_builtins(row)) | {"rules": list(rules)} for row in priced.prices]

    show_rows(operate(books, read), PRICE_COLUMNS, as_json=as_json)


def rules(books: Books, *, as_json: bool) -> None:
    async def read(office: Office) -> list[dict[str, Any]]:
        return [plain(rule) for rule in await list_rules(office)]

    found = operate(books, read)
    show_rows(found if as_json else [_in_words(rule) for rule in found], RULE_COLUMNS, as_json=as_json)


def set_one(books: Books, asked: RuleAsked, *, as_json: bool) -> None:
    catalog = _catalog(books)

    _say(operate(books, lambda office: set_rule(office, catalog, asked)), as_json=as_json)


def end(books: Books, rule_id: str, *, as_json: bool) -> None:
    _say(operate(books, lambda office: end_rule(office, rule_id)), as_json=as_json)


def _catalog(books: Books) -> Catalog:
    """As a gateway would start with it now."""
    return load(books.settings().catalog, day=CLOCK.now_ms() // DAY_MS)


def check(books: Books, map_file: Path | None, *, as_json: bool) -> bool:
    """Whether nothing differs."""
    catalog = load(books.settings().catalog)
    vendors = [name for provider in catalog.providers.values() for name in provider.listed_as]
    listed = [*genai_prices(vendors), *model_map(map_file, vendors)]
    found = sorted(set(drift(catalog, listed)), key=lambda one: (one.model, one.fact, one.source))
    if as_json:
        print_json([msgspec.to_builtins(one) for one in found])
    else:
        show_rows([_drift(one) for one in found], DRIFT_COLUMNS, as_json=False)
        sources = ", ".join(sorted({row.source for row in listed}))
        print(f"{compared(catalog, listed)} prices compared with {sources}; {len(found)} differ")
    return not found


def rows_in(file: Path | None) -> tuple[dict[str, Any], ...]:
    """Price rows as JSON in a file."""
    if file is None:
        return ()
    try:
        written = json.loads(file.read_text())
    except (OSError, ValueError) as error:
        raise Stop(f"{file} cannot be read as JSON: {error}") from None
    if not isinstance(written, list) or not all(isinstance(row, dict) for row in written):
        raise Stop(f"{file} must hold a list of price rows, as in the catalog's files")
    return tuple(written)


def _say(rule: RuleShown, *, as_json: bool) -> None:
    shown = plain(rule)
    if as_json:
        print_json(shown)
    else:
        show_rows([_in_words(shown)], RULE_COLUMNS, as_json=False)


def _price(row: dict[str, Any]) -> dict[str, object]:
    conditions = [*row["qualities"], *row["tiers"], *row["sizes"]]
    if row["max_pixels"]:
        conditions.append(f"≤{row['max_pixels']}px")
    shown = {name: row[name] for name in ("per", "tokens", "amount", "currency", "effective", "checked", "source")}
    return shown | {"conditions": ",".join(conditions), "assumed": row["assumed"]}


def _in_words(rule: dict[str, Any]) -> dict[str, Any]:
    """With its own price rows in one cell, which is empty where it leaves the catalog's."""
    rows = ([row[name] for name in ("per", "tokens", "amount", "currency") if name in row] for row in rule["prices"])
    return rule | {"prices": ", ".join(map(" ".join, rows))}


def _drift(one: Drift) -> dict[str, object]:
    return {
        "model": one.model,
        "fact": one.fact,
        "ours": " ".join(one.ours),
        "theirs": one.theirs,
        "source": one.source,
    }
