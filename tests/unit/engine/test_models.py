"""What a model's card tells a caller: enough to write a request that is taken as it is."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from imageway.catalog import Catalog
from imageway.core.errors import GatewayError
from imageway.core.requests import Caller
from imageway.core.upstreams import Upstream
from imageway.engine.models import ModelShelf, card
from imageway.engine.ports import Tools
from imageway.ledger.terms import PriceRule
from tests.values import replace

CALLER = Caller("key_1", "ws_1")


def shown(catalog: Catalog, model: str) -> Any:
    return card(catalog.models[model]).capabilities


@pytest.mark.parametrize(
    ("model", "parameter", "default"),
    [
        ("doubao-seedream-4-0-250828", "watermark", True),
        ("doubao-seedream-3-0-t2i-250415", "seed", -1),
        ("doubao-seedream-3-0-t2i-250415", "guidance", 2.5),
        ("gpt-image-1", "quality", "auto"),
    ],
)
def test_defaults_have_the_type_of_their_parameter(catalog: Catalog, model: str, parameter: str, default: Any) -> None:
    found = shown(catalog, model)["parameters"][parameter]["default"]
    assert (found, type(found)) == (default, type(default))


def test_whatever_is_taken_without_a_word_or_for_what_it_means_is_listed(catalog: Catalog) -> None:
    assert shown(catalog, "gemini-3-pro-image")["parameters"]["quality"]["values"] == ["hd", "high", "2K"]
    assert shown(catalog, "gpt-image-1")["parameters"]["input_fidelity"]["values"] == ["low", "high", "auto"]


def test_free_sizes_come_with_their_limits(catalog: Catalog) -> None:
    assert shown(catalog, "gpt-image-2")["size"] | {"sizes": [], "words": []} == {
        "default": "auto",
        "sizes": [],
        "words": [],
        "ratios": [],
        "tiers": [],
        "multiple": 16,
        "max_edge": 3840,
        "max_ratio": 3,
        "min_pixels": 655_360,
        "max_pixels": 8_294_400,
    }
    assert "max_pixels" not in shown(catalog, "gpt-image-1")["size"]


def test_a_card_says_what_is_held_at_least(catalog: Catalog) -> None:
    assert card(catalog.models["gpt-image-1"]).minimum_hold_usd == catalog.models["gpt-image-1"].minimum_hold


def shelf(tools: Tools, *providers: str) -> ModelShelf:
    """As the real addresses of these providers are sold from."""
    rows = [tools.catalog.providers[name] for name in providers]
    upstreams = tuple(Upstream(id=row.id, provider=row.id, base_url=row.base_url, auth=row.auth) for row in rows)
    return ModelShelf(replace(tools, upstreams=upstreams))


def refusal(own: ModelShelf, name: str) -> tuple[str, int]:
    with pytest.raises(GatewayError) as told:
        own.one(name, CALLER)
    return told.value.code, told.value.kind.status


def test_a_model_can_be_shown_when_it_is_listed_and_only_then(tools: Tools) -> None:
    """Whatever is configured: what nobody here sells, and what its vendor does not sell any more, is a 404."""
    for providers in ((), ("openai",), ("google", "vertex"), ("volcengine", "dashscope")):
        own = shelf(tools, *providers)
        listed = {card.id for card in own.all(CALLER).cards}
        assert bool(listed) == bool(providers)
        for name in tools.catalog.models:
            if name in listed:
                assert own.one(name, CALLER).id == name
            else:
                assert refusal(own, name)[1] == 404


def test_a_model_that_is_not_shown_is_missed_for_its_own_reason(tools: Tools) -> None:
    own = shelf(tools, "openai")
    assert refusal(own, "qwen-image-plus") == ("model_not_found", 404)
    assert refusal(own, "gpt-image-1") == ("model_retired", 404)
    assert refusal(own, "no-such-model") == ("model_not_found", 404)
    assert own.one("gpt-image-2-2026-04-21", CALLER).id == "gpt-image-2"


def test_a_card_shows_the_prices_of_its_caller(tools: Tools) -> None:
    rule = PriceRule("rule_1", "ws", "gpt-image-2", 2_000_000, 0, b"", 0, None, "", created_ms=0)
    tools.terms.learn((rule,))
    shelf = ModelShelf(tools)
    ours, theirs = (shelf.one("gpt-image-2", Caller("key", workspace)).prices[0] for workspace in ("ws", "else"))
    assert Decimal(str(ours["amount"])) == 2 * Decimal(str(theirs["amount"]))
    (listed,) = (card for card in shelf.all(Caller("key", "ws")).cards if card.id == "gpt-image-2")
    assert listed.prices[0] == ours
