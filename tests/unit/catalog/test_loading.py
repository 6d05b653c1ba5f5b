"""Loading: every mistake is named at once, the operator's rows change ours, and starting stays fast."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from datetime import date
from fractions import Fraction
from pathlib import Path

import msgspec
import pytest

from imageway.catalog import Catalog, CatalogError, load
from imageway.catalog.schema import Row

DAY = (date(2026, 11, 20) - date(1970, 1, 1)).days
MODEL = """
[[models]]
id = "painter-1"
family = "painter"
title = "Painter"
prices = [{ per = "image", amount = "0.05" }]
geometry = { kind = "list", sizes = ["1024x1024"], default = "1024x1024" }
"""


def problems_of(tmp_path: Path, **files: str) -> tuple[str, ...]:
    for name, text in files.items():
        (tmp_path / f"{name}.toml").write_text(text, encoding="utf-8")
    with pytest.raises(CatalogError) as caught:
        load(tmp_path)
    return caught.value.problems


def loaded(tmp_path: Path, text: str) -> Catalog:
    (tmp_path / "own.toml").write_text(text, encoding="utf-8")
    return load(tmp_path)


def test_every_model_named_in_the_documents_is_there(catalog: Catalog) -> None:
    """Those of the gateways' pages, and the current ones of every vendor."""
    named = """gemini-2.5-flash-image gemini-3-pro-image-preview gemini-2.0-flash-preview-image-generation
        gemini-3-pro-image gemini-3.1-flash-image gemini-3.1-flash-lite-image gemini-nano-banana-2.1
        doubao-seedream-3-0-t2i-250415 doubao-seedream-4-0-250828 doubao-seedream-4-5-251128 seedream-4.0-base
        doubao-seededit-3-0-i2i-250628 doubao-seedream-5-0-260128 doubao-seedream-5-0-pro-260628
        doubao-seedream-5-0-flash-260915 gpt-image-1 gpt-image-1-mini gpt-image-2 qwen-image-plus
        qwen-image-edit-plus"""
    assert [name for name in named.split() if catalog.find(name) is None] == []


def test_loading_takes_less_than_sixty_milliseconds() -> None:
    durations = []
    for _ in range(5):
        started = time.perf_counter()
        load()
        durations.append(time.perf_counter() - started)
    assert min(durations) < 0.06


def test_the_catalog_is_frozen(catalog: Catalog) -> None:
    with pytest.raises(TypeError):
        catalog.models["x"] = next(iter(catalog.models.values()))  # type: ignore[index]
    with pytest.raises(AttributeError):
        catalog.rates = ()  # type: ignore[misc]
    with pytest.raises(AttributeError):
        catalog.on(DAY).usd_per_cny = Fraction(1)  # type: ignore[misc]


def rows_below(row: Row, place: str) -> Iterator[tuple[str, Row]]:
    yield place, row
    for name in row.__struct_fields__:
        value = getattr(row, name)
        inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, tuple) else ()
        candidates = [(name, value), *((f"{name}[{key}]", item) for key, item in inner)]
        for key, item in candidates:
            if isinstance(item, Row):
                yield from rows_below(item, f"{place}.{key}")


def test_every_fact_has_a_source_and_the_day_it_was_checked(catalog: Catalog) -> None:
    silent = []
    for model in catalog.models.values():
        for place, row in rows_below(model, model.id):
            untouched = row == msgspec.convert({}, type(row)) if not row_needs(row) else False
            if "source" not in row.__struct_fields__ or untouched:
                continue
            checked = getattr(row, "checked")  # noqa: B009
            if not getattr(row, "source") or not re.fullmatch(r"\d{4}-\d\d-\d\d", checked):  # noqa: B009
                silent.append(place)
            else:
                assert date.fromisoformat(checked) >= date(2026, 11, 20)
    assert silent == []


def row_needs(row: Row) -> bool:
    """Whether a row cannot stand empty (an empty one states no fact)."""
    return any(field.required for field in msgspec.structs.fields(row))


def test_every_offering_names_what_it_costs_us(catalog: Catalog) -> None:
    offerings = [offering for model in catalog.models.values() for offering in model.offerings]
    assert offerings
    assert all(offering.cost for offering in offerings)


def test_an_operator_adds_a_model(tmp_path: Path) -> None:
    own = loaded(tmp_path, MODEL).find("painter-1")
    assert own is not None
    assert own.model.title == "Painter"


def test_an_operator_changes_one_price_and_nothing_else(tmp_path: Path, catalog: Catalog) -> None:
    own = loaded(
        tmp_path,
        '[[models]]\nid = "doubao-seedream-4-0-250828"\nprices = [{ per = "image", amount = "0.02" }]',
    ).models["doubao-seedream-4-0-250828"]
    assert [price.amount for price in own.prices] == ["0.02"]
    ours, theirs = (msgspec.to_builtins(model) for model in (catalog.models[own.id], own))
    assert {**ours, "prices": ()} == {**theirs, "prices": ()}


def test_an_operators_change_reaches_the_models_that_build_on_it(tmp_path: Path) -> None:
    own = loaded(tmp_path, '[[models]]\nid = "gemini-2.5-flash-image"\ninputs = { maximum = 2 }')
    assert own.models["gemini-2.5-flash-image"].inputs.maximum == 2
    assert own.models["gemini-2.5-flash-image"].inputs.formats == ("png", "jpeg", "webp", "heic")
    assert own.models["gemini-2.0-flash-preview-image-generation"].inputs.maximum == 2


RATE = '[[rates]]\ncurrency = "CNY"\nusd = "{}"\neffective = "{}"\nsource = "bank"\nchecked = "2026-11-20"\n'


def test_an_operators_rate_replaces_ours(tmp_path: Path, catalog: Catalog) -> None:
    """The row that became effective last counts, and decimals stay exact."""
    text = RATE.format("0.14", "2026-02-01") + RATE.format("0.13", "2026-01-01")
    assert loaded(tmp_path, text).on(DAY).usd_per_cny == Fraction(14, 100) != catalog.on(DAY).usd_per_cny


def test_a_rate_counts_from_its_own_day_until_a_later_one_begins(tmp_path: Path) -> None:
    """Whatever their order; and before the first of them the first, as with prices."""
    rows = (("0.15", "2026-11-21"), ("0.13", "2026-01-01"), ("0.14", "2026-11-20"))
    book = loaded(tmp_path, "".join(RATE.format(*row) for row in rows)).on
    found = [str(float(book(DAY + ahead).usd_per_cny)) for ahead in (-3650, -300, -1, 0, 1, 2, 3650)]
    assert found == ["0.13", "0.13", "0.13", "0.14", "0.15", "0.15", "0.15"]
    assert book(DAY) is book(DAY)
    assert book(DAY + 1) is book(DAY + 2)


def test_rates_that_are_all_still_to_come_are_a_mistake_on_the_day_they_are_needed(tmp_path: Path) -> None:
    text = RATE.format("0.14", "2027-01-02") + RATE.format("0.13", "2026-11-21")
    (tmp_path / "own.toml").write_text(text, encoding="utf-8")
    with pytest.raises(CatalogError) as caught:
        load(tmp_path, day=DAY)
    told = 'rate "CNY": effective: no row is in force on 2026-11-20, the earliest begins on 2026-11-21'
    assert caught.value.problems == (f"{told}: add the one that counts until then",)
    assert load(tmp_path, day=DAY + 1).on(DAY + 1).usd_per_cny == Fraction(13, 100)


def test_a_clock_that_is_behind_our_own_rate_stops_nobody(tmp_path: Path, catalog: Catalog) -> None:
    (tmp_path / "own.toml").write_text(MODEL, encoding="utf-8")
    for found in (load(day=0), load(tmp_path, day=0)):
        assert found.on(0).usd_per_cny == catalog.on(DAY).usd_per_cny


@pytest.mark.parametrize("usd", ["0", "0.000", "-0.14", "1/7", "1e-2", "nan", ""])
def test_a_rate_that_would_give_away_what_is_priced_by_it_is_a_mistake(tmp_path: Path, usd: str) -> None:
    text = f'[[rates]]\ncurrency = "CNY"\nusd = "{usd}"\neffective = "2026-02-01"\nsource = "bank"\nchecked = "now"'
    assert problems_of(tmp_path, own=text) == (f'rate "CNY": usd: "{usd}" is not a decimal number above 0, like 0.14',)


def test_a_rate_without_a_day_is_a_mistake(tmp_path: Path) -> None:
    text = '[[rates]]\ncurrency = "CNY"\nusd = "0.14"\neffective = "soon"\nsource = "bank"\nchecked = "now"'
    assert problems_of(tmp_path, own=text) == ('rate "CNY": effective: "soon" is not a day like 2025-12-31',)


@pytest.mark.parametrize(
    ("row", "told"),
    [
        ("input_image_tokens = -1", "input_image_tokens: is -1, which is less than 0"),
        (
            'tokens = [{ quality = "low", axis = 8, area_scale = 0 }]',
            "tokens[0].area_scale: is 0, which is less than 1",
        ),
        (
            'offerings = [{ provider = "openai", upstream_name = "x", adapter = "openai_images", max_n = 0 }]',
            "offerings[0].max_n: is 0, which is less than 1",
        ),
        (
            'offerings = [{ provider = "openai", upstream_name = "x", adapter = "y", attempt_deadline_s = -5 }]',
            "offerings[0].attempt_deadline_s: is -5, which is less than 1",
        ),
    ],
)
def test_numbers_that_cannot_be_are_mistakes(tmp_path: Path, row: str, told: str) -> None:
    assert problems_of(tmp_path, own=MODEL + row) == (f'own.toml: model "painter-1": {told}',)


def test_a_model_like_another_takes_everything_but_its_names(catalog: Catalog) -> None:
    base, heir = catalog.models["gemini-3.1-flash-image"], catalog.models["gemini-nano-banana-2.1"]
    assert heir.geometry.pixels == base.geometry.pixels
    assert heir.geometry.tiers == ("1K", "2K", "4K")
    assert base.renames
    assert not heir.renames
    assert heir.lifecycle != base.lifecycle


def test_like_does_not_go_in_circles(tmp_path: Path) -> None:
    found = problems_of(
        tmp_path,
        own='[[models]]\nid = "a"\nlike = "b"\n[[models]]\nid = "b"\nlike = "a"\n[[models]]\nid = "c"\nlike = "nobody"',
    )
    assert 'own.toml: model "c": like: "nobody" is not a model to start from' in found
    assert any('model "a": like' in problem for problem in found)


def test_every_mistake_of_every_file_is_named_with_file_row_and_key(tmp_path: Path) -> None:
    found = problems_of(
        tmp_path,
        one=MODEL.replace('per = "image"', 'per = "picture"').replace('title = "Painter"', "title = 3\ntypo = true"),
        two='[[models]]\nid = "gpt-image-1"\nminimum_hold = "a cent"\nedit_model = "nobody"\n'
        '[models.parameters.seed]\ntype = "string"\n[models.parameters.colour]\ntype = "string"',
        three="[[models]\n",
        four="[[modells]]\nid = 3\n[[providers]]\ntitle = 'X'",
    )
    expected = (
        r'one\.toml: model "painter-1": title: ',
        r'one\.toml: model "painter-1": typo: .*unknown field',
        r'one\.toml: model "painter-1": prices\[0\]\.per: ',
        r'two\.toml: model "gpt-image-1": minimum_hold: "a cent"',
        r'two\.toml: model "gpt-image-1": edit_model: "nobody"',
        r'two\.toml: model "gpt-image-1": parameters\.seed\.type: ',
        r'two\.toml: model "gpt-image-1": parameters\.colour: ',
        r"three\.toml: cannot be read: ",
        r"four\.toml: modells: ",
        r"four\.toml: provider number 1: id: is missing",
    )
    text = "\n".join(found)
    assert [pattern for pattern in expected if not re.search(pattern, text)] == []
    assert len([line for line in found if line.startswith("one.toml")]) == 3


def test_a_required_key_that_is_wrong_is_reported_once(tmp_path: Path) -> None:
    found = problems_of(tmp_path, one=MODEL.replace('"0.05"', "0.05"))
    assert [line.partition(": model")[2] for line in found] == [
        ' "painter-1": prices[0].amount: Expected `str`, got `float`'
    ]


WRONG = {
    'id = "painter-1"': ('id = "painter-1"\naliases = ["gpt-image-1"]', r'aliases: "gpt-image-1" already names gpt'),
    'title = "Painter"': ('title = "Painter"\nrenames = [{ id = "painter-1", why = "" }]', r'renames: "painter-1" alr'),
    'amount = "0.05"': ('amount = "1e3"', r'prices\[0\]\.amount: "1e3" is not a decimal number'),
    'per = "image"': ('per = "token"', r"prices\[0\]\.tokens: is needed"),
    'default = "1024x1024"': ('default = "2048x2048"', r'geometry\.default: "2048x2048" is not something'),
    '["1024x1024"]': ('["1024 by 1024"]', r'geometry\.sizes: "1024 by 1024" is not WIDTHxHEIGHT'),
    'kind = "list"': ('kind = "ratios", ratios = ["1:1"], tiers = ["1K"]', r'geometry\.pixels\.1K: "1:1" has no'),
    'family = "painter"': ('family = "painter"\noperations = ["edit"]', r"inputs\.maximum: 0 does not go with"),
    'title = "Painter"\n': (
        'title = "Painter"\n'
        'parameters.seed = { type = "integer", needs = { user = "me", background = "clear" } }\n'
        'parameters.background = { type = "string", values = ["opaque"] }\n',
        r'parameters\.seed\.needs: "user" is no parameter[\s\S]*seed\.needs: "clear" is not one of',
    ),
    "prices =": ('created = "May"\nprices =', r'created: "May" is not a day'),
    "geometry =": (
        'offerings = [{ provider = "p", upstream_name = "x", adapter = "y", max_n = 0, parameters = ["q"] }]\n'
        "geometry =",
        r'offerings\[0\]\.provider: "p" is no provider[\s\S]*max_n: [\s\S]*parameters: "q"',
    ),
    "0.05": (
        '0.05", shown_only = true, tiers = ["9K"], effective = "soon',
        r'tiers: "9K"[\s\S]*prices: are missing[\s\S]*effective: "soon"',
    ),
}


@pytest.mark.parametrize("right", WRONG)
def test_each_rule_finds_its_mistake(tmp_path: Path, right: str) -> None:
    wrong, pattern = WRONG[right]
    assert right in MODEL
    found = "\n".join(problems_of(tmp_path, own=MODEL.replace(right, wrong)))
    assert re.search(pattern, found), found


def test_sizes_outside_a_rows_own_limits_are_mistakes(tmp_path: Path) -> None:
    text = MODEL.replace(
        'kind = "list"',
        'kind = "free", multiple = 16, min_pixels = 10, max_pixels = 100_000, size_tiers = { "x" = [] }',
    )
    found = "\n".join(problems_of(tmp_path, own=text))
    assert 'geometry.sizes: "1024x1024" is not within the limits' in found
    assert 'geometry.tiers: "x" is not a tier' in found
    assert 'geometry.default: "1024x1024"' in found


def test_a_row_written_twice_is_a_mistake(tmp_path: Path) -> None:
    found = problems_of(tmp_path, a=MODEL, b=MODEL)
    assert found == ('b.toml: model "painter-1": id: is written twice, first in a.toml',)


def test_a_directory_that_is_not_there_is_a_mistake(tmp_path: Path) -> None:
    with pytest.raises(CatalogError, match="is not a directory"):
        load(tmp_path / "nowhere")
