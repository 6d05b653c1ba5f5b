"""Which of an operator's price rules apply."""

from __future__ import annotations

import pytest

from imageway.core.access import CATALOG_TERMS
from imageway.ledger.terms import PriceRule, SetPriceRule, terms_for


def rule(name: str, models: str = "*", workspace: str = "", **about: object) -> PriceRule:
    said: dict[str, object] = {
        "id": name,
        "workspace_id": workspace,
        "models": models,
        "multiplier_millionths": 1_000_000 + len(name),
        "per_image_usd_micros": 0,
        "rows": b"",
        "from_ms": 0,
        "until_ms": None,
        "source": "",
        "created_ms": 0,
    }
    return PriceRule(**(said | about))  # type: ignore[arg-type]


def ids(*rules: PriceRule, workspace: str = "ws", model: str = "gpt-image-2", at_ms: int = 100) -> tuple[str, ...]:
    return terms_for(rules, workspace_id=workspace, model=model, at_ms=at_ms).rule_ids


def test_without_a_rule_prices_are_the_catalogs() -> None:
    assert terms_for((), workspace_id="ws", model="m", at_ms=0) is CATALOG_TERMS
    assert ids(rule("other", "gemini-*"), rule("theirs", workspace="them"), rule("later", from_ms=101)) == ()


def test_the_one_for_all_applies_before_the_one_for_the_workspace() -> None:
    everyone, ours = rule("all", multiplier_millionths=1_100_000), rule("us", workspace="ws", per_image_usd_micros=7)
    found = terms_for((ours, everyone), workspace_id="ws", model="m", at_ms=1)
    assert found.rule_ids == ("all", "us")
    assert found.steps == ((1_100_000, 0), (1_000_002, 7))


def test_who_has_no_rules_of_his_own_pays_by_the_one_for_all_once() -> None:
    """An operator who asks what everybody pays, and names no workspace, is not told twice the markup."""
    everyone, ours = rule("all", multiplier_millionths=2_000_000), rule("us", workspace="ws")
    found = terms_for((everyone, ours), workspace_id="", model="m", at_ms=1)
    assert (found.rule_ids, found.steps) == (("all",), ((2_000_000, 0),))


def test_the_more_exact_pattern_applies_alone() -> None:
    rules = (rule("any"), rule("family", "gpt-*"), rule("one", "gpt-image-2"), rule("long", "gpt-image-?*"))
    assert ids(*rules) == ("one",)
    assert ids(*rules, model="gpt-image-1") == ("long",)
    assert ids(*rules, model="gemini") == ("any",)


def test_of_two_for_the_same_the_younger_applies_from_its_moment_to_its_end() -> None:
    old, new = rule("old"), rule("newer", from_ms=50, until_ms=200)
    assert [ids(old, new, at_ms=at_ms) for at_ms in (49, 50, 199, 200)] == [("old",), ("newer",), ("newer",), ("old",)]


def test_rows_for_the_workspace_stand_in_place_of_those_for_all() -> None:
    rules = (rule("all", rows=b"[1]"), rule("us", workspace="ws", rows=b"[2]"))
    assert terms_for(rules, workspace_id="ws", model="m", at_ms=1).rows == b"[2]"
    assert terms_for(rules, workspace_id="else", model="m", at_ms=1).rows == b"[1]"


def test_a_rule_that_changes_nothing_but_rows_takes_no_step() -> None:
    found = terms_for(
        (rule("rows", multiplier_millionths=1_000_000, rows=b"[]"),), workspace_id="w", model="m", at_ms=1
    )
    assert found.steps == ()


@pytest.mark.parametrize(("multiplier", "added"), [(-1, 0), (1_000_000_001, 0), (1, -1), (1, 1_000_000_001)])
def test_what_cannot_be_a_rule_is_none(multiplier: int, added: int) -> None:
    with pytest.raises(ValueError, match="cannot be"):
        SetPriceRule("rule", "", "*", multiplier, added, b"", 0, "", 0)
