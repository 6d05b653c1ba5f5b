"""The GPT Image and Qwen-Image rows against what the vendors' pages and recorded answers say."""

from __future__ import annotations

from datetime import date
from fractions import Fraction

import pytest

from imageway.catalog import Bill, charge, check, cost, fit, load, parse_size, quote
from imageway.catalog.schema import Model
from imageway.core.requests import ImageLink, ImageRequest, Size
from imageway.core.steps import Usage

CATALOG = load()
BOOK = CATALOG.on((date(2026, 11, 20) - date(1970, 1, 1)).days)
GPT = [known for known in CATALOG.models.values() if known.family == "gpt_image"]
QWEN = [known for known in CATALOG.models.values() if known.family == "qwen_image"]
FREE = [known for known in GPT if known.geometry.kind == "free"]
LINK = ImageLink("https://example.com/cat.png", "image")


def ask(known: Model, **more: object) -> ImageRequest:
    images = (LINK,) * known.inputs.minimum
    return ImageRequest(model=known.id, **{"prompt": "a siamese cat", "images": images, **more})  # type: ignore[arg-type]


def fitted(known: Model, size: str | None, **more: object) -> Size:
    geometry = parse_size(size) if size else None
    return fit(known, known.offerings[0], ask(known, geometry=geometry, **more)).size


def dollars(name: str, size: str, quality: str) -> float:
    """What the image itself costs by the token table, without the prompt."""
    known = CATALOG.models[name]
    bill = charge(BOOK, known, Bill(ask(known, quality=quality), fitted(known, size), 1))
    image = next(line for line in bill.lines if line.what == "output image tokens")
    return float(Fraction(image.quantity) * Fraction(image.unit_usd))


def test_the_families_are_complete() -> None:
    assert [known.id for known in GPT] == [
        "gpt-image-1",
        "gpt-image-1-mini",
        "gpt-image-1.5",
        "chatgpt-image-latest",
        "gpt-image-2",
        "gpt-image-2.5-flare",
        "gpt-image-2.5-sunburst",
        "gpt-image-2.6-flare",
        "gpt-image-2.6-sunburst",
    ]
    assert [known.id for known in QWEN] == [
        "qwen-image",
        "qwen-image-plus",
        "qwen-image-max",
        "qwen-image-2.0",
        "qwen-image-2.0-pro",
        "qwen-image-3.0",
        "qwen-image-3.0-pro",
        "qwen-image-edit",
        "qwen-image-edit-plus",
        "qwen-image-edit-max",
    ]
    assert CATALOG.find("dall-e-3") is None


@pytest.mark.parametrize(
    ("snapshot", "served_by"),
    [
        ("gpt-image-2-2026-04-21", "gpt-image-2"),
        ("gpt-image-1.5-2025-12-16", "gpt-image-1.5"),
        ("gpt-image-2.5-sunburst-2026-09-08", "gpt-image-2.5-sunburst"),
        ("qwen-image-plus-2026-01-09", "qwen-image-plus"),
        ("qwen-image-2.0-pro-2026-06-22", "qwen-image-2.0-pro"),
        ("qwen-image-edit-plus-2025-12-15", "qwen-image-edit-plus"),
    ],
)
def test_a_dated_snapshot_is_served_by_its_model(snapshot: str, served_by: str) -> None:
    found = CATALOG.find(snapshot)
    assert found is not None
    assert found.model.id == served_by


def test_lifecycles() -> None:
    states = {known.id: known.lifecycle.state for known in GPT}
    assert [name for name, state in states.items() if state == "retired"] == ["gpt-image-1"]
    assert [name for name, state in states.items() if state == "retiring"] == [
        "gpt-image-1-mini",
        "gpt-image-1.5",
        "chatgpt-image-latest",
    ]
    assert all(CATALOG.models[known.lifecycle.successor] for known in GPT if known.lifecycle.shutdown)


def test_every_fact_names_its_source_and_the_day_it_was_checked() -> None:
    for known in (*GPT, *QWEN):
        rows = [known, known.geometry, *known.parameters.values(), *known.prices, *known.tokens, *known.offerings]
        rows += [price for offering in known.offerings for price in offering.cost]
        rows += [known.inputs] if known.inputs.maximum else []
        assert all(row.source and row.checked == "2026-11-20" for row in rows), known.id


# GPT Image


@pytest.mark.parametrize(
    ("name", "row"),
    [
        ("gpt-image-2", (0.006, 0.005, 0.053, 0.041, 0.211, 0.165)),
        ("gpt-image-1", (0.011, 0.016, 0.042, 0.063, 0.167, 0.250)),
    ],
)
def test_the_token_tables_meet_the_published_price_per_image(name: str, row: tuple[float, ...]) -> None:
    """To the tenth of a cent. The mini's published row adds 0.0027 to each image, which its tokens do not explain."""
    found = [
        dollars(name, size, quality) for quality in ("low", "medium", "high") for size in ("1024x1024", "1024x1536")
    ]
    assert found == pytest.approx(row, abs=0.001)


@pytest.mark.parametrize(
    ("quality", "size", "tokens"),
    [
        ("low", "1024x1024", 196),
        ("low", "1536x1024", 158),
        ("low", "1536x864", 120),
        ("low", "1536x768", 102),
        ("medium", "1024x1024", 1756),
        ("high", "1024x1024", 7024),
        ("high", "1536x1024", 5488),
        ("high", "1792x1024", 5063),
        ("high", "3584x2048", 12329),
    ],
)
def test_the_token_formula_meets_every_recorded_figure(quality: str, size: str, tokens: int) -> None:
    known = CATALOG.models["gpt-image-2"]
    bill = charge(BOOK, known, Bill(ask(known, quality=quality), fitted(known, size), 1))
    assert [line.quantity for line in bill.lines if line.what == "output image tokens"] == [str(tokens)]


@pytest.mark.parametrize(
    ("name", "images", "inputs", "quality", "size", "usage"),
    [
        ("gpt-image-1", 1, 0, None, "auto", Usage(10, 0, 0, 4160)),
        ("gpt-image-1.5", 2, 0, None, "auto", Usage(20, 0, 669, 3168)),
        ("gpt-image-1.5", 1, 1, "medium", "1024x1024", Usage(27, 194, 262, 1056)),
        ("gpt-image-1.5", 1, 1, "low", "1024x1024", Usage(27, 194, 143, 272)),
        ("gpt-image-1.5", 1, 2, "medium", "1024x1024", Usage(43, 388, 308, 1056)),
        ("gpt-image-2", 1, 1, "low", "1536x864", Usage(12, 64, 0, 120)),
    ],
)
def test_what_was_recorded_fits_into_the_hold(
    name: str, images: int, inputs: int, quality: str | None, size: str, usage: Usage
) -> None:
    """Answers of the real service, August and September 2026, each kind of token by itself."""
    known = CATALOG.models[name]
    request = ask(known, images=(LINK,) * inputs, quality=quality)
    held = quote(BOOK, known, request, fitted(known, size), images=images)
    room = {line.what: int(line.quantity) for line in held.lines}
    for kind in ("input_text", "input_image", "output_text", "output_image"):
        assert getattr(usage, kind) <= room.get(kind.replace("_", " ") + " tokens", 0), kind
    paid = charge(BOOK, known, Bill(request, fitted(known, size), images, usage))
    assert 0 < paid.usd_micros <= held.worst_usd_micros


def test_a_token_is_charged_what_it_costs() -> None:
    for known in GPT:
        bill = Bill(ask(known), Size(1024, 1024), 1, Usage(27, 194, 0, 1056))
        assert cost(BOOK, known.offerings[0], bill).usd_micros == charge(BOOK, known, bill).usd_micros


@pytest.mark.parametrize("known", FREE, ids=lambda known: known.id)
def test_every_size_we_recommend_keeps_the_limits(known: Model) -> None:
    geometry = known.geometry
    for text in {*geometry.sizes, *(size for sizes in geometry.size_tiers.values() for size in sizes)}:
        short, long = sorted(map(int, text.split("x")))
        assert short % 16 == long % 16 == 0, text
        assert long <= 3840, text
        assert long <= 3 * short, text
        assert 655_360 <= short * long <= 8_294_400, text


@pytest.mark.parametrize("known", GPT, ids=lambda known: known.id)
def test_an_absent_size_is_1024_on_the_first_models_and_automatic_on_the_newer(known: Model) -> None:
    square = known.id in ("gpt-image-1", "gpt-image-1-mini")
    assert fitted(known, None) == (Size(1024, 1024) if square else Size(word="auto"))


def accepted(known: Model, **fields: object) -> bool:
    return not check(known, ask(known, **fields)).problems


def test_qualities() -> None:
    for known in GPT:
        finer = known.id.startswith(("gpt-image-2.5", "gpt-image-2.6"))
        assert accepted(known, quality="xhigh") is finer
        assert accepted(known, quality="max") is finer
        assert check(known, ask(known, quality="standard")).request.quality == "medium"
        assert check(known, ask(known, quality="hd")).request.quality == "high"
        assert check(known, ask(known, quality="hd")).warnings


def test_only_gpt_image_2_has_no_transparent_background() -> None:
    assert [known.id for known in GPT if not accepted(known, background="transparent")] == ["gpt-image-2"]


@pytest.mark.parametrize(
    ("name", "asked", "sent", "warned"),
    [
        ("gpt-image-1", "auto", None, False),
        ("gpt-image-1", "high", "high", False),
        ("gpt-image-1.5", "medium", "low", True),
        ("gpt-image-1-mini", "high", "low", True),
        ("gpt-image-2", "high", None, True),
        ("gpt-image-2.6-flare", "low", None, True),
    ],
)
def test_input_fidelity(name: str, asked: str, sent: str | None, warned: bool) -> None:
    known = CATALOG.models[name]
    checked = check(known, ask(known, images=(LINK,), input_fidelity=asked))
    assert not checked.problems
    assert checked.request.input_fidelity == sent
    assert bool(checked.warnings) is warned


# Qwen-Image


def test_every_image_earns_what_it_costs() -> None:
    """The international price of each model is above the China cost."""
    for known in QWEN:
        bill = Bill(ask(known), Size(word="auto"), 3)
        assert 0 < cost(BOOK, known.offerings[0], bill).usd_micros < charge(BOOK, known, bill).usd_micros


@pytest.mark.parametrize(
    ("name", "usd_micros", "cny"),
    [
        ("qwen-image", 35_000, "0.25"),
        ("qwen-image-plus", 30_000, "0.2"),
        ("qwen-image-max", 75_000, "0.5"),
        ("qwen-image-2.0", 35_000, "0.2"),
        ("qwen-image-2.0-pro", 75_000, "0.5"),
        ("qwen-image-edit", 45_000, "0.3"),
        ("qwen-image-edit-plus", 30_000, "0.2"),
        ("qwen-image-edit-max", 75_000, "0.5"),
    ],
)
def test_list_prices(name: str, usd_micros: int, cny: str) -> None:
    known = CATALOG.models[name]
    bill = Bill(ask(known), fitted(known, None), 1)
    assert charge(BOOK, known, bill).usd_micros == usd_micros
    assert cost(BOOK, known.offerings[0], bill).usd_micros == -(-Fraction(cny) * BOOK.usd_per_cny * 1_000_000 // 1)


def test_the_rate_turns_the_printed_yuan_into_round_dollars() -> None:
    for cny, usd in (("0.256873", "0.035"), ("0.220177", "0.03"), ("0.550443", "0.075"), ("0.330266", "0.045")):
        assert abs(Fraction(cny) * BOOK.usd_per_cny - Fraction(usd)) < Fraction(1, 1_000_000)


@pytest.mark.parametrize(
    ("size", "usd_micros"),
    [("1024x1024", 35_000), ("1500x1500", 35_000), ("1501x1500", 75_000), ("2048x2048", 75_000), (None, 75_000)],
)
def test_3_0_costs_more_above_2_25_megapixels_and_where_the_model_chooses(size: str | None, usd_micros: int) -> None:
    for name in ("qwen-image-3.0", "qwen-image-3.0-pro"):
        known = CATALOG.models[name]
        bill = charge(BOOK, known, Bill(ask(known), fitted(known, size), 1))
        assert bill.usd_micros == usd_micros
        assert bill.lines[0].assumed


@pytest.mark.parametrize(
    ("name", "absent", "absent_edit"),
    [
        ("qwen-image", Size(1664, 928), None),
        ("qwen-image-plus", Size(1664, 928), None),
        ("qwen-image-max", Size(1664, 928), None),
        ("qwen-image-2.0", Size(2048, 2048), Size(word="auto")),
        ("qwen-image-3.0", Size(word="auto"), Size(word="auto")),
        ("qwen-image-edit", None, Size()),
        ("qwen-image-edit-plus", None, Size(word="auto")),
    ],
)
def test_an_absent_size(name: str, absent: Size | None, absent_edit: Size | None) -> None:
    known = CATALOG.models[name]
    if absent is not None:
        assert fitted(known, None) == absent
    if absent_edit is not None:
        assert fitted(known, None, images=(LINK,)) == absent_edit


def test_paths_and_images_per_call() -> None:
    """Two models are submitted and polled, so that a lost line can be resumed; the others answer at once."""
    found = {known.id: (known.offerings[0].options["path"], known.offerings[0].max_n) for known in QWEN}
    assert [name for name, (path, _) in found.items() if path == "text2image"] == ["qwen-image", "qwen-image-plus"]
    one = ["qwen-image", "qwen-image-plus", "qwen-image-max", "qwen-image-edit"]
    assert [name for name, (_, most) in found.items() if most == 1] == one
    assert {most for name, (_, most) in found.items() if name not in one} == {6}


def test_each_model_without_an_operation_names_the_one_that_has_it() -> None:
    for known in QWEN:
        if known.edit_model:
            assert "edit" not in known.operations
            assert "edit" in CATALOG.models[known.edit_model].operations
            assert CATALOG.models[known.edit_model].text_model == known.id
        if known.text_model:
            assert known.inputs.minimum == 1
        assert known.edit_model or known.text_model or known.operations == ("generate", "edit")


def test_fields() -> None:
    for known in QWEN:
        assert accepted(known, seed=2_147_483_647)
        assert not accepted(known, seed=-1)
        assert not accepted(known, negative_prompt="x" * 501)
        extend = check(known, ask(known, enhance_prompt=True))
        assert (extend.request.enhance_prompt is None) is (known.id == "qwen-image-edit")
    assert not accepted(CATALOG.models["qwen-image"], prompt="x" * 801)
    assert accepted(CATALOG.models["qwen-image-3.0"], prompt="x" * 801)


def test_providers() -> None:
    found = {provider.id: provider for provider in CATALOG.providers.values()}
    assert {name: (row.auth, row.key_env, row.sandbox) for name, row in found.items()} == {
        "openai": ("bearer", "OPENAI_API_KEY", "/openai/v1"),
        "google": ("google_api_key", "GEMINI_API_KEY", "/google"),
        "vertex": ("google_jwt", "VERTEX_API_KEY", "/vertex"),
        "volcengine": ("bearer", "ARK_API_KEY", "/ark/api/v3"),
        "dashscope": ("bearer", "DASHSCOPE_API_KEY", "/dashscope/api/v1"),
    }
    assert all(row.base_url.startswith("https://") and not row.base_url.endswith("/") for row in found.values())
