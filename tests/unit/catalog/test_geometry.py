"""Sizes: every way to write one, and what each model makes of it."""

from __future__ import annotations

import math

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from imageway.catalog import Catalog, load, parse_size
from imageway.catalog.geometry import Impossible, Resolved, pixels_of, resolve
from imageway.catalog.schema import Geometry as Rules
from imageway.core.requests import Geometry, Size
from tests.unit.catalog.strategies import ASKED, allowed

CATALOG = load()
MODELS = list(CATALOG.models.values())
SEEDREAM_4, SEEDREAM_45 = "doubao-seedream-4-0-250828", "doubao-seedream-4-5-251128"
SEEDREAM_3, SEEDEDIT = "doubao-seedream-3-0-t2i-250415", "doubao-seededit-3-0-i2i-250628"
LITE, PRO = "doubao-seedream-5-0-260128", "doubao-seedream-5-0-pro-260628"


@pytest.mark.parametrize(
    ("text", "geometry"),
    [
        ("1024x1024", Geometry(width=1024, height=1024)),
        ("1024*768", Geometry(width=1024, height=768)),
        ("1024X768", Geometry(width=1024, height=768)),
        (" 1024 × 768 ", Geometry(width=1024, height=768)),
        ("0x0", Geometry(width=0, height=0)),
        ("16:9", Geometry(ratio="16:9")),
        ("2.35 : 1", Geometry(ratio="2.35:1")),
        ("2k", Geometry(tier="2K")),
        ("2K", Geometry(tier="2K")),
        ("1.5k", Geometry(tier="1.5K")),
        ("3.0K", Geometry(tier="3K")),
        ("0.5K", Geometry(tier="512")),
        ("512", Geometry(tier="512")),
        ("auto", Geometry(auto=True)),
        ("Adaptive", Geometry(auto=True)),
    ],
)
def test_readable_sizes(text: str, geometry: Geometry) -> None:
    assert parse_size(text) == geometry


@pytest.mark.parametrize(
    "text",
    ["", "big", "1024", "1024x", "x1024", "-1x5", "1024x1024x3", "16/9", "0K", "K", "2KB", "1e3x5", "١٦:٩", "1 6:9"],
)
def test_unreadable_sizes(text: str) -> None:
    assert parse_size(text) is None


@given(st.text())
def test_reading_never_raises(text: str) -> None:
    parse_size(text)


def resolved(model: str, size: str | None, tier: str | None = None, *, has_images: bool = False) -> Resolved:
    asked = parse_size(size) if size else Geometry()
    assert asked is not None
    if tier:
        asked = Geometry(asked.width, asked.height, asked.ratio, tier, asked.auto)
    return resolve(CATALOG.models[model].geometry, asked, has_images=has_images)


def shown(size: Size) -> str:
    """`16:9 2K 2752x1536`, `"2K"`, `2048x2048`."""
    word = f'"{size.word}"' if size.word else None
    tier = None if size.word else size.tier
    pixels = f"{size.width}x{size.height}" if size.pixels else None
    return " ".join(part for part in (word, size.ratio, tier, pixels) if part)


# Ratio-based models: the pixel tables as the service was measured to deliver them

LIVE = """
    1:1   512x512   1024x1024 2048x2048 4096x4096
    2:3   424x632   848x1264  1696x2528 3392x5056
    3:2   632x424   1264x848  2528x1696 5056x3392
    3:4   448x600   896x1200  1792x2400 3584x4800
    4:3   600x448   1200x896  2400x1792 4800x3584
    4:5   464x576   928x1152  1856x2304 3712x4608
    5:4   576x464   1152x928  2304x1856 4608x3712
    9:16  384x688   768x1376  1536x2752 3072x5504
    16:9  688x384   1376x768  2752x1536 5504x3072
    21:9  784x336   1584x672  3168x1344 6336x2688
    1:4   256x1024  512x2064  1024x4128 2048x8256
    4:1   1024x256  2064x512  4128x1024 8256x2048
    1:8   176x1456  352x2928  704x5856  1408x11712
    8:1   1456x176  2928x352  5856x704  11712x1408
"""
LIVE_ROWS = [line.split() for line in LIVE.strip().splitlines()]
OLD_ROWS = [
    pair.split()
    for pair in [
        *("1:1 1024x1024", "2:3 832x1248", "3:2 1248x832", "3:4 864x1184", "4:3 1184x864"),
        *("4:5 896x1152", "5:4 1152x896", "9:16 768x1344", "16:9 1344x768", "21:9 1536x672"),
    ]
]


@pytest.mark.parametrize(
    ("model", "tiers", "ratios"),
    [
        ("gemini-3.1-flash-image", "512 1K 2K 4K", 14),
        ("gemini-nano-banana-2.1", "1K 2K 4K", 14),
        ("gemini-3.1-flash-lite-image", "1K", 14),
        ("gemini-3-pro-image", "1K 2K 4K", 10),
    ],
)
def test_ratio_and_tier_are_sent_and_their_pixels_expected(model: str, tiers: str, ratios: int) -> None:
    assert len(CATALOG.models[model].geometry.ratios) == ratios
    for ratio, *pixels in LIVE_ROWS[:ratios]:
        for tier, size in zip(("512", "1K", "2K", "4K"), pixels, strict=True):
            if tier in tiers.split():
                assert resolved(model, ratio, tier) == Resolved(Size(*pixels_of(size) or (), ratio, tier))


@pytest.mark.parametrize("model", ["gemini-2.5-flash-image", "gemini-2.0-flash-preview-image-generation"])
def test_models_of_one_tier_are_never_sent_its_name(model: str) -> None:
    assert len(OLD_ROWS) == len(CATALOG.models[model].geometry.ratios) == 10
    for ratio, size in OLD_ROWS:
        assert resolved(model, ratio) == Resolved(Size(*pixels_of(size) or (), ratio))


CASES: list[tuple[str, str | None, str | None, str, bool]] = [
    # model, size, tier, given, as asked
    ("gemini-3-pro-image", None, None, "1:1 1K 1024x1024", True),
    ("gemini-3-pro-image", "auto", "2K", "1:1 2K 2048x2048", True),
    ("gemini-3-pro-image", "2k", None, "1:1 2K 2048x2048", True),
    ("gemini-3-pro-image", "32:18", None, "16:9 1K 1376x768", True),
    ("gemini-3-pro-image", "16:10", None, "3:2 1K 1264x848", False),
    ("gemini-3-pro-image", "8:1", None, "21:9 1K 1584x672", False),
    ("gemini-3-pro-image", "16:9", "3K", "16:9 2K 2752x1536", False),
    ("gemini-3-pro-image", "16:9", "512", "16:9 1K 1376x768", False),
    ("gemini-3-pro-image", "16:9", "8K", "16:9 4K 5504x3072", False),
    ("gemini-3-pro-image", "1024x1024", None, "1:1 1K 1024x1024", False),
    ("gemini-3-pro-image", "1792x1024", None, "16:9 1K 1376x768", False),
    ("gemini-3-pro-image", "3840x2160", None, "16:9 2K 2752x1536", False),
    ("gemini-3-pro-image", "1920x1080", None, "16:9 1K 1376x768", False),
    ("gemini-3-pro-image", "1024x1792", "4K", "9:16 4K 3072x5504", False),
    ("gemini-3-pro-image", "64x64", None, "1:1 1K 1024x1024", False),
    ("gemini-3.1-flash-image", None, None, "1:1 1K 1024x1024", True),
    ("gemini-3.1-flash-image", "0.5K", None, "1:1 512 512x512", True),
    ("gemini-3.1-flash-image", "64x64", None, "1:1 512 512x512", False),
    ("gemini-3.1-flash-lite-image", "16:9", "512", "16:9 1K 1376x768", False),
    ("gemini-2.5-flash-image", "16:9", "2K", "16:9 1344x768", False),
    ("gemini-2.5-flash-image", "16:9", "3K", "16:9 1344x768", False),
    ("gemini-2.5-flash-image", "16:9", "1K", "16:9 1344x768", True),
    ("gemini-2.5-flash-image", None, "0.5K", "1:1 1024x1024", False),
    ("gemini-2.5-flash-image", "1:8", None, "9:16 768x1344", False),
    # words
    (SEEDREAM_4, None, None, "2048x2048", True),
    (SEEDREAM_4, "1K", None, '"1K"', True),
    (SEEDREAM_4, "4k", None, '"4K"', True),
    (SEEDREAM_4, "3K", None, '"2K"', False),
    (SEEDREAM_4, "8K", None, '"4K"', False),
    (SEEDREAM_4, "0.5K", None, '"1K"', False),
    (SEEDREAM_45, "1K", None, '"2K"', False),
    (SEEDREAM_45, "3K", None, '"2K"', False),
    (LITE, "3K", None, '"3K"', True),
    (PRO, "1.5k", None, '"1.5K"', True),
    (PRO, "4K", None, '"2K"', False),
    (PRO, None, None, '"2K"', True),
    (SEEDREAM_4, "auto", None, "2048x2048", True),
    # exact pixels within limits
    (SEEDREAM_4, "1024x1024", None, "1024x1024", True),
    (SEEDREAM_4, "2049x2047", None, "2049x2047", True),
    (SEEDREAM_4, "1280x720", None, "1280x720", True),
    (SEEDREAM_45, "2304x1728", None, "2304x1728", True),
    # too small: the nearest recommended of that ratio
    (SEEDREAM_45, "1024x1024", None, "2048x2048", False),
    (SEEDREAM_45, "1152x864", None, "2304x1728", False),
    (SEEDREAM_45, "1280x720", None, "2848x1600", False),
    (SEEDREAM_4, "512x512", None, "1024x1024", False),
    (SEEDREAM_3, "100x100", None, "1024x1024", False),
    # a tier that is not recommended is nearer, and may cost half
    ("qwen-image-3.0-pro", "500x500", None, "1024x1024", False),
    ("qwen-image-2.0", "100x100", None, "1024x1024", False),
    # too small, and nobody recommends that ratio: scaled
    (SEEDREAM_45, "1000x500", None, "2716x1358", False),
    # too large: scaled down
    (SEEDREAM_4, "5000x5000", None, "4096x4096", False),
    (PRO, "4096x4096", None, "2150x2150", False),
    (SEEDREAM_3, "4000x4000", None, "2048x2048", False),
    # foreign forms
    (SEEDREAM_4, "16:9", None, "2848x1600", False),
    (SEEDREAM_4, "16:9", "4K", "5504x3040", False),
    (SEEDREAM_4, "9:16", "1K", "720x1280", False),
    (SEEDREAM_4, "16:9", "3K", "2848x1600", False),
    (SEEDREAM_3, "2K", None, "2048x2048", False),
    (SEEDREAM_3, "4K", None, "2048x2048", False),
    (SEEDREAM_3, "1:1", None, "1024x1024", False),
    (SEEDREAM_4, "2048x2048", "1K", "2048x2048", False),
    # lists
    ("gpt-image-1", None, None, "1024x1024", True),
    ("gpt-image-1", "auto", None, '"auto"', True),
    ("gpt-image-1", "1536x1024", None, "1536x1024", True),
    ("gpt-image-1", "1792x1024", None, "1536x1024", False),
    ("gpt-image-1", "512x512", None, "1024x1024", False),
    ("gpt-image-1", "16:9", None, "1536x1024", False),
    ("gpt-image-1", "9:16", "4K", "1024x1536", False),
    ("gpt-image-1", "2K", None, "1024x1024", False),
    ("qwen-image-plus", None, None, "1664x928", True),
    ("qwen-image-plus", "1328x1328", None, "1328x1328", True),
    ("qwen-image-plus", "1024x1024", None, "1328x1328", False),
    ("qwen-image-plus", "16:9", None, "1664x928", False),
    # free sizes
    ("gpt-image-2", None, None, '"auto"', True),
    ("gpt-image-2", "1536x864", None, "1536x864", True),
    ("gpt-image-2", "1000x1000", None, "1008x1008", False),
    ("gpt-image-2", "1030x1030", None, "1024x1024", False),
    ("gpt-image-2", "8000x8000", None, "2880x2880", False),
    ("gpt-image-2", "4096x2304", None, "3840x2160", False),
    ("gpt-image-2", "4000x1000", None, "3456x1152", False),
    ("gpt-image-2", "512x512", None, "1024x1024", False),
    ("gpt-image-2", "2:1", None, "1440x720", False),
    ("gpt-image-2", "1:1", "2K", "2048x2048", False),
    # no size at all
    (SEEDEDIT, None, None, '"adaptive"', True),
    (SEEDEDIT, "adaptive", None, '"adaptive"', True),
    (SEEDEDIT, "1024x1024", None, '"adaptive"', False),
    (SEEDEDIT, None, "2K", '"adaptive"', False),
    ("qwen-image-edit", None, None, "", True),
    ("qwen-image-edit", "16:9", None, "", False),
]


@pytest.mark.parametrize(("model", "size", "tier", "given", "exact"), CASES)
def test_what_a_model_is_asked_for(model: str, size: str | None, tier: str | None, given: str, exact: bool) -> None:
    found = resolved(model, size, tier)
    assert (shown(found.size), found.exact) == (given, exact)


def test_a_word_that_is_a_tier_names_it_for_the_price_list() -> None:
    assert resolved(PRO, "1.5K").size == Size(word="1.5K", tier="1.5K")
    assert resolved("gpt-image-2", "auto").size == Size(word="auto")


def test_an_edit_without_a_size_follows_its_input() -> None:
    assert resolved("gemini-3-pro-image", None, has_images=True) == Resolved(Size(tier="1K"))
    assert resolved("gemini-3-pro-image", "2K", has_images=True) == Resolved(Size(tier="2K"))
    assert resolved("gemini-2.5-flash-image", None, has_images=True) == Resolved(Size())
    assert resolved("gemini-3-pro-image", "3:2", has_images=True).size.ratio == "3:2"
    assert resolved("qwen-image-2.0", None, has_images=True).size == Size(word="auto")
    assert resolved("qwen-image-2.0", None).size == Size(2048, 2048)


@pytest.mark.parametrize(
    "asked",
    [
        Geometry(width=0, height=0),
        Geometry(width=100_000, height=1),
        Geometry(width=1024, height=1),
        Geometry(width=1024),
        Geometry(width=-5, height=-5),
        Geometry(ratio="0:1"),
        Geometry(ratio="100:1"),
        Geometry(ratio="wide"),
        Geometry(tier="large"),
        Geometry(tier="0K"),
    ],
)
def test_the_impossible_is_impossible_everywhere(asked: Geometry) -> None:
    for model in MODELS:
        with pytest.raises(Impossible):
            resolve(model.geometry, asked, has_images=False)


def test_ties_go_down() -> None:
    """Between two sizes equally far in log space the smaller wins; between two ratios the narrower."""
    tall = {"1:1": "1000x1000", "4:1": "2000x500"}
    rules = Rules(
        kind="ratios",
        default="1:1",
        ratios=("1:1", "4:1"),
        tiers=("1K", "2K"),
        pixels={"1K": tall, "2K": {"1:1": "4000x4000", "4:1": "8000x2000"}},
    )
    assert resolve(rules, Geometry(width=2000, height=2000), has_images=False).size.tier == "1K"
    assert resolve(rules, Geometry(ratio="2:1"), has_images=False).size.ratio == "1:1"
    sizes = Rules(kind="list", sizes=("4000x4000", "1000x1000"))
    assert resolve(sizes, Geometry(width=2000, height=2000), has_images=False).size.pixels == (1000, 1000)


@given(model=st.sampled_from(MODELS), asked=ASKED, has_images=st.booleans())
@example(model=CATALOG.models["gpt-image-2"], asked=Geometry(width=1, height=1), has_images=False)
@example(model=CATALOG.models[SEEDREAM_4], asked=Geometry(width=30_000, height=1_875), has_images=True)
def test_whatever_is_asked_the_answer_is_within_the_models_limits(
    model: object, asked: Geometry, has_images: bool
) -> None:
    rules: Rules = model.geometry  # type: ignore[attr-defined]
    try:
        found = resolve(rules, asked, has_images=has_images)
    except Impossible:
        return
    assert allowed(rules, found.size)
    if found.exact and found.size.pixels and asked.width and rules.kind != "ratios":
        assert found.size.pixels == (asked.width, asked.height)


@given(
    model=st.sampled_from([model for model in MODELS if model.geometry.kind in ("free", "ratios")]),
    width=st.integers(256, 4096),
    height=st.integers(256, 4096),
)
def test_the_shape_of_what_was_asked_survives(model: object, width: int, height: int) -> None:
    """Pixels become the nearest ratio: never one that is further than another the model has."""
    rules: Rules = model.geometry  # type: ignore[attr-defined]
    shape = math.log(width / height)
    if abs(shape) > math.log(2.8 if rules.kind == "free" else 8):
        return
    got = resolve(rules, Geometry(width=width, height=height), has_images=False).size
    assert got.width is not None
    assert got.height is not None
    off = abs(math.log(got.width / got.height) - shape)
    if rules.kind == "free":
        assert off < 0.05
    else:
        table = rules.pixels[rules.tiers[0]]
        ratios = [ratio.split(":") for ratio in table]
        assert got.ratio is not None
        own = got.ratio.split(":")
        best = min(abs(math.log(int(w) / int(h)) - shape) for w, h in ratios)
        assert abs(math.log(int(own[0]) / int(own[1])) - shape) == pytest.approx(best)


def test_every_default_is_what_is_sent_when_nobody_asks(catalog: Catalog) -> None:
    for model in catalog.models.values():
        assert resolve(model.geometry, None, has_images=False).exact
        assert resolve(model.geometry, Geometry(), has_images=False) == resolve(
            model.geometry, Geometry(auto=False), has_images=False
        )
