"""What models are sold for, by the rules that were read last."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

import pytest

from imageway.catalog import Catalog
from imageway.catalog.terms import DAY_MS
from imageway.core.access import CATALOG_TERMS
from imageway.core.failures import StoreFailed
from imageway.core.ops import Committed
from imageway.engine.terms import PriceTerms
from imageway.ledger.terms import EndPriceRule, PriceRule, SetPriceRule
from imageway.storage.memory import MemoryStore
from tests.sim.logs import quiet
from tests.unit.engine.conftest import NOW_MS


def rule(number: int, from_ms: int = 0, until_ms: int | None = None) -> PriceRule:
    return PriceRule(f"rule-{number}", "ws", "*", 2_000_000, 0, b"", from_ms, until_ms, "a test", from_ms)


@dataclass
class Book:
    """What the store answers, or what is raised instead."""

    answers: list[Any]

    async def read(self, query: object) -> Any:
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


def ids(terms: PriceTerms, catalog: Catalog, at_ms: int = NOW_MS, workspace_id: str = "ws") -> tuple[str, ...]:
    return terms.sold(catalog.models["qwen-image"], workspace_id, at_ms)[1].rule_ids


def test_without_rules_the_model_is_the_catalogs_own(catalog: Catalog) -> None:
    model = catalog.models["qwen-image"]
    assert PriceTerms().sold(model, "ws", NOW_MS) == (model, CATALOG_TERMS)


def test_what_is_remembered_ends_with_the_moment_at_which_a_rule_does(catalog: Catalog) -> None:
    terms = PriceTerms((rule(1, until_ms=NOW_MS + 1), rule(2, from_ms=NOW_MS + 1, until_ms=NOW_MS + 2)))
    assert ids(terms, catalog) == ("rule-1",)
    assert ids(terms, catalog, NOW_MS + 1) == ("rule-2",)
    assert ids(terms, catalog, NOW_MS + 2) == ()
    assert ids(terms, catalog, workspace_id="another") == ()


@pytest.mark.parametrize("trouble", [StoreFailed("it does not answer"), KeyError("a row of another version")])
async def test_what_was_known_holds_until_the_store_answers_again(catalog: Catalog, trouble: Exception) -> None:
    """Whatever is wrong with it, the next look comes."""
    terms, book = PriceTerms(), cast("Any", Book([(rule(1),), trouble, (rule(2),)]))
    with quiet():
        await terms.look(book, NOW_MS)
        assert ids(terms, catalog) == ("rule-1",)
        await terms.look(book, NOW_MS)
        assert ids(terms, catalog) == ("rule-1",)
        await terms.look(book, NOW_MS)
    assert ids(terms, catalog) == ("rule-2",)


async def test_rules_that_were_over_long_ago_are_not_read_every_second(catalog: Catalog) -> None:
    """Operators may make some every day, for years."""
    store, terms = MemoryStore(), PriceTerms()
    old, ended, ending = rule(1, 1, NOW_MS - 2 * DAY_MS), rule(2, 2, NOW_MS - 1), rule(3, 3, NOW_MS + 1)
    for one in (old, ended, ending, rule(4, 4)):
        made = SetPriceRule(one.id, "", one.models, one.multiplier_millionths, 0, b"", one.from_ms, "", one.from_ms)
        ends = () if one.until_ms is None else (EndPriceRule(one.id, one.until_ms),)
        assert isinstance(await store.commit(made, *ends), Committed)
    await terms.read_rules(store, NOW_MS)
    assert [one.id for one in terms.rules] == [ended.id, ending.id, "rule-4"]
