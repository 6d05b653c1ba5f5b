"""Sizes between families, from the vendors' own tables: every form of each translated into every other.

Everything expected here was typed from the vendors' pages, not read from the catalog: their pixel tables, the limits of
those who draw any pixels, and what becomes of each foreign form. "*" marks what a caller is warned of."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Final

import pytest

from imageway.catalog import load, parse_size
from imageway.catalog.geometry import Resolved, resolve
from imageway.core.requests import Geometry, Size

CATALOG = load()
Pixels = tuple[int, int]


def pixels_of(text: str) -> Pixels:
    width, _, height = text.partition("x")
    return int(width), int(height)


# What each vendor prints. A name goes by the ratio, not by the pixels: 2848x1600 is called 16:9.

EIGHT = "1:1 4:3 3:4 16:9 9:16 3:2 2:3 21:9"  # the order of Ark's lists
TEN = "1:1 2:3 3:2 3:4 4:3 4:5 5:4 9:16 16:9 21:9"
FOURTEEN = f"{TEN} 1:4 4:1 1:8 8:1"
FIVE = "1:1 3:4 4:3 9:16 16:9"
ARK_1K = "1024x1024 1152x864 864x1152 1280x720 720x1280 1248x832 832x1248 1512x648"
ARK_2K = "2048x2048 2304x1728 1728x2304 2848x1600 1600x2848 2496x1664 1664x2496 3136x1344"
ARK_3K = "3072x3072 3456x2592 2592x3456 4096x2304 2304x4096 3744x2496 2496x3744 4704x2016"
ARK_4K = "4096x4096 4704x3520 3520x4704 5504x3040 3040x5504 4992x3328 3328x4992 6240x2656"
PRO_1K = "1024x1024 1152x864 864x1152 1424x800 800x1424 1248x832 832x1248 1568x672"
PRO_15K = "1536x1536 1792x1344 1344x1792 2048x1152 1152x2048 1872x1248 1248x1872 2352x1008"
PRO_2K = "2048x2048 2368x1776 1776x2368 2816x1584 1584x2816 2496x1664 1664x2496 3136x1344"
FLAT = "1024x1024 832x1248 1248x832 864x1184 1184x864 896x1152 1152x896 768x1344 1344x768 1536x672"
LIVE_512 = (
    "512x512 424x632 632x424 448x600 600x448 464x576 576x464 384x688 688x384 784x336"
    " 256x1024 1024x256 176x1456 1456x176"
)
LIVE_1K = (
    "1024x1024 848x1264 1264x848 896x1200 1200x896 928x1152 1152x928 768x1376 1376x768 1584x672"
    " 512x2064 2064x512 352x2928 2928x352"
)
LIVE_2K = (
    "2048x2048 1696x2528 2528x1696 1792x2400 2400x1792 1856x2304 2304x1856 1536x2752 2752x1536 3168x1344"
    " 1024x4128 4128x1024 704x5856 5856x704"
)
LIVE_4K = (
    "4096x4096 3392x5056 5056x3392 3584x4800 4800x3584 3712x4608 4608x3712 3072x5504 5504x3072 6336x2688"
    " 2048x8256 8256x2048 1408x11712 11712x1408"
)
IMAGEN_1K = "1024x1024 896x1280 1280x896 768x1408 1408x768"
IMAGEN_2K = "2048x2048 1792x2560 2560x1792 1536x2816 2816x1536"
GPT = ("1:1 3:2 2:3", "1024x1024 1536x1024 1024x1536")
QWEN = ("16:9 4:3 1:1 3:4 9:16", "1664x928 1472x1104 1328x1328 1104x1472 928x1664")
QWEN_2K = ("1:1 4:3 3:4 16:9 9:16", "2048x2048 2368x1728 1728x2368 2688x1536 1536x2688")

TABLES: Final[dict[str, dict[str, tuple[str, str]]]] = {
    "gemini-2.5-flash-image": {"1K": (TEN, FLAT)},
    "gemini-3-pro-image": {"1K": (TEN, LIVE_1K), "2K": (TEN, LIVE_2K), "4K": (TEN, LIVE_4K)},
    "gemini-3.1-flash-image": {
        "512": (FOURTEEN, LIVE_512),
        "1K": (FOURTEEN, LIVE_1K),
        "2K": (FOURTEEN, LIVE_2K),
        "4K": (FOURTEEN, LIVE_4K),
    },
    "gemini-3.1-flash-lite-image": {"1K": (FOURTEEN, LIVE_1K)},
    "imagen-4.0-generate-001": {"1K": (FIVE, IMAGEN_1K), "2K": (FIVE, IMAGEN_2K)},
    "imagen-4.0-fast-generate-001": {"1K": (FIVE, IMAGEN_1K)},
    "gpt-image-1": {"": GPT},
    "gpt-image-2": {"": ("1:1 16:9 16:9 9:16", "2048x2048 2048x1152 3840x2160 2160x3840")},
    "doubao-seedream-3-0-t2i-250415": {"": (EIGHT, ARK_1K)},
    "doubao-seedream-4-0-250828": {"1K": (EIGHT, ARK_1K), "2K": (EIGHT, ARK_2K), "4K": (EIGHT, ARK_4K)},
    "doubao-seedream-4-5-251128": {"2K": (EIGHT, ARK_2K), "4K": (EIGHT, ARK_4K)},
    "doubao-seedream-5-0-260128": {"2K": (EIGHT, ARK_2K), "3K": (EIGHT, ARK_3K), "4K": (EIGHT, ARK_4K)},
    "doubao-seedream-5-0-pro-260628": {"1K": (EIGHT, PRO_1K), "1.5K": (EIGHT, PRO_15K), "2K": (EIGHT, PRO_2K)},
    "qwen-image": {"": QWEN},
    "qwen-image-2.0": {"": QWEN_2K},
    "qwen-image-3.0": {"": QWEN_2K},
}
"""Model → tier → (names, sizes). Without a tier: sizes that have no word."""

RATIO_BASED = [name for name in TABLES if name.startswith(("gemini", "imagen"))]
LISTED = ["gpt-image-1", "qwen-image"]
LIMITS: Final[dict[str, tuple[int, int]]] = {
    "doubao-seedream-3-0-t2i-250415": (512 * 512, 2048 * 2048),
    "doubao-seedream-4-0-250828": (921_600, 16_777_216),
    "doubao-seedream-4-5-251128": (3_686_400, 16_777_216),
    "doubao-seedream-5-0-260128": (3_686_400, 16_777_216),
    "doubao-seedream-5-0-pro-260628": (921_600, 4_624_220),
    "gpt-image-2": (655_360, 8_294_400),
    "qwen-image-2.0": (512 * 512, 2048 * 2048),
    "qwen-image-3.0": (512 * 512, 2048 * 2048),
}
"""Fewest and most pixels of those who draw any."""


def value_of(ratio: str) -> float:
    width, _, height = ratio.partition(":")
    return float(width) / float(height)


def is_drawn(model: str, pixels: Pixels) -> bool:
    """Whether a model that draws any pixels draws these, by the limits as its vendor prints them."""
    width, height = pixels
    few, many = LIMITS.get(model, (0, 0))
    fits = few <= width * height <= many
    if model == "gpt-image-2":
        return fits and width % 16 == height % 16 == 0 and max(pixels) <= 3840 and max(pixels) <= 3 * min(pixels)
    if model == "qwen-image-edit-plus":
        return width % 16 == height % 16 == 0 and min(pixels) >= 512 and max(pixels) <= 2048
    return fits and max(pixels) <= min(pixels) * (8 if model == "qwen-image-3.0" else 16)


def rows(model: str) -> Iterator[tuple[str, str, Pixels]]:
    """(tier, name, pixels) of everything in a vendor's table."""
    for tier, (names, sizes) in TABLES[model].items():
        yield from ((tier, name, pixels_of(size)) for name, size in zip(names.split(), sizes.split(), strict=False))


def asked(model: str, geometry: Geometry | None) -> Resolved:
    return resolve(CATALOG.models[model].geometry, geometry, has_images=False)


SIZES = sorted({(name, pixels) for model in TABLES for _, name, pixels in rows(model)})
"""Every size that any vendor prints, by its name."""


def test_the_tables_are_whole() -> None:
    """As many sizes as names, but for the models that stop after ten ratios; and no model of the catalog whose sizes
    are not tested here, by itself or as one like it."""
    for tiers in TABLES.values():
        for names, sizes in tiers.values():
            assert len(sizes.split()) - len(names.split()) == (4 if names == TEN and sizes != FLAT else 0)
    tested = [CATALOG.models[name].geometry for name in GRID]
    alike = [(rules.kind, rules.sizes, rules.pixels, rules.words, rules.min_pixels) for rules in tested]
    for model in CATALOG.models.values():
        rules = model.geometry
        known = (rules.kind, rules.sizes, rules.pixels, rules.words, rules.min_pixels) in alike
        assert known or model.id in LIKE, model.id


LIKE = {"gemini-nano-banana-2.1", "imagen-3.0-capability-001"}  # tiers and ratios of another, fewer of them
LIKE |= {f"gpt-image-2.{version}" for version in ("5-flare", "5-sunburst", "6-flare", "6-sunburst")}


@pytest.mark.parametrize("model", TABLES)
def test_a_vendors_own_sizes_are_taken_as_they_are_written(model: str) -> None:
    for tier, name, pixels in rows(model):
        if model in RATIO_BASED:
            sent = None if list(TABLES[model]) == ["1K"] and "lite" not in model else tier
            assert asked(model, Geometry(ratio=name, tier=tier)) == Resolved(Size(*pixels, name, sent))
        else:
            assert asked(model, Geometry(*pixels)) == Resolved(Size(*pixels))


@pytest.mark.parametrize("model", RATIO_BASED)
def test_anybodys_pixels_become_the_ratio_that_they_are_called(model: str) -> None:
    """The nearest one where this vendor has no such name; then the tier nearest in area. Always with a warning: who
    writes pixels wants those."""
    own = {name for _, name, _ in rows(model)}
    for name, (width, height) in SIZES:
        found = asked(model, Geometry(width, height))
        ratio = found.size.ratio
        assert ratio is not None
        assert not found.exact
        best = min(abs(math.log(value_of(each) / (width / height))) for each in own)
        assert abs(math.log(value_of(ratio) / (width / height))) == pytest.approx(best)
        if name in own and name not in ("3:4", "4:3"):  # one vendor's 4:3 is 10:7
            assert ratio == name, (name, width, height)
        tiers = {tier: pixels for tier, each, pixels in rows(model) if each == ratio}
        off = {tier: abs(math.log(w * h / (width * height))) for tier, (w, h) in tiers.items()}
        nearest = min(off.values())
        assert found.size.pixels in [tiers[tier] for tier in tiers if off[tier] == pytest.approx(nearest)]


@pytest.mark.parametrize("model", LISTED)
def test_anybodys_pixels_become_the_nearest_of_a_list(model: str) -> None:
    table = {pixels for _, _, pixels in rows(model)}
    for _, (width, height) in SIZES:
        found = asked(model, Geometry(width, height))
        assert found.size.pixels in table
        assert found.exact == ((width, height) in table)
        off = {pixels: abs(math.log(pixels[0] / pixels[1] / (width / height))) for pixels in table}
        assert off[found.size.pixels] == pytest.approx(min(off.values()))


@pytest.mark.parametrize("model", LIMITS)
def test_pixels_are_authoritative_where_any_can_be_drawn(model: str) -> None:
    """What lies within the limits is sent to the pixel, without a word. What does not keeps its shape as far as the
    model goes: of too few pixels it becomes the recommended size of that name, of too many the largest like it."""
    few, many = LIMITS[model]
    smallest = {name: pixels for _, name, pixels in reversed(list(rows(model)))}
    for name, (width, height) in SIZES:
        found = asked(model, Geometry(width, height))
        made = found.size.pixels
        assert made is not None
        assert is_drawn(model, made)
        if is_drawn(model, (width, height)):
            assert (made, found.exact) == ((width, height), True)
            continue
        assert not found.exact
        widest = 3 if model == "gpt-image-2" else 8 if model == "qwen-image-3.0" else 16
        shape = max(-math.log(widest), min(math.log(widest), math.log(width / height)))
        assert abs(math.log(made[0] / made[1]) - shape) < 0.05, (width, height, made)
        if width * height < few and name in smallest and model.startswith("doubao") and name not in ("3:4", "4:3"):
            assert made == smallest[name]
        elif width * height > many and max(width, height) < 3 * min(width, height):
            assert made[0] * made[1] > 0.95 * many or (model == "gpt-image-2" and max(made) == 3840)


# What becomes of each form that is not pixels

GRID: Final[dict[str, str]] = {
    "gemini-2.5-flash-image": """
        - -> 1:1=1024x1024 | auto -> 1:1=1024x1024 | 1:1 -> 1:1=1024x1024 | 16:9 -> 16:9=1344x768 |
        9:16 -> 9:16=768x1344 | 3:2 -> 3:2=1248x832 | 4:5 -> 4:5=896x1152 | 21:9 -> 21:9=1536x672 |
        8:1 -> 21:9=1536x672 * | 2:1 -> 16:9=1344x768 * | 512 -> 1:1=1024x1024 * | 1K -> 1:1=1024x1024 |
        1.5K -> 1:1=1024x1024 * | 2K -> 1:1=1024x1024 * | 3K -> 1:1=1024x1024 * | 4K -> 1:1=1024x1024 * |
        8K -> 1:1=1024x1024 * | 16:9/1K -> 16:9=1344x768 | 16:9/2K -> 16:9=1344x768 * |
        9:16/4K -> 9:16=768x1344 * | 4:5/3K -> 4:5=896x1152 * | 1:1/512 -> 1:1=1024x1024 * |
        21:9/8K -> 21:9=1536x672 *
    """,
    "gemini-3-pro-image": """
        - -> 1:1/1K=1024x1024 | auto -> 1:1/1K=1024x1024 | 1:1 -> 1:1/1K=1024x1024 | 16:9 -> 16:9/1K=1376x768 |
        9:16 -> 9:16/1K=768x1376 | 3:2 -> 3:2/1K=1264x848 | 4:5 -> 4:5/1K=928x1152 | 21:9 -> 21:9/1K=1584x672 |
        8:1 -> 21:9/1K=1584x672 * | 2:1 -> 16:9/1K=1376x768 * | 512 -> 1:1/1K=1024x1024 * |
        1K -> 1:1/1K=1024x1024 | 1.5K -> 1:1/1K=1024x1024 * | 2K -> 1:1/2K=2048x2048 |
        3K -> 1:1/2K=2048x2048 * | 4K -> 1:1/4K=4096x4096 | 8K -> 1:1/4K=4096x4096 * |
        16:9/1K -> 16:9/1K=1376x768 | 16:9/2K -> 16:9/2K=2752x1536 | 9:16/4K -> 9:16/4K=3072x5504 |
        4:5/3K -> 4:5/2K=1856x2304 * | 1:1/512 -> 1:1/1K=1024x1024 * | 21:9/8K -> 21:9/4K=6336x2688 *
    """,
    "gemini-3.1-flash-image": """
        - -> 1:1/1K=1024x1024 | auto -> 1:1/1K=1024x1024 | 1:1 -> 1:1/1K=1024x1024 | 16:9 -> 16:9/1K=1376x768 |
        9:16 -> 9:16/1K=768x1376 | 3:2 -> 3:2/1K=1264x848 | 4:5 -> 4:5/1K=928x1152 | 21:9 -> 21:9/1K=1584x672 |
        8:1 -> 8:1/1K=2928x352 | 2:1 -> 16:9/1K=1376x768 * | 512 -> 1:1/512=512x512 | 1K -> 1:1/1K=1024x1024 |
        1.5K -> 1:1/1K=1024x1024 * | 2K -> 1:1/2K=2048x2048 | 3K -> 1:1/2K=2048x2048 * |
        4K -> 1:1/4K=4096x4096 | 8K -> 1:1/4K=4096x4096 * | 16:9/1K -> 16:9/1K=1376x768 |
        16:9/2K -> 16:9/2K=2752x1536 | 9:16/4K -> 9:16/4K=3072x5504 | 4:5/3K -> 4:5/2K=1856x2304 * |
        1:1/512 -> 1:1/512=512x512 | 21:9/8K -> 21:9/4K=6336x2688 *
    """,
    "gemini-3.1-flash-lite-image": """
        - -> 1:1/1K=1024x1024 | auto -> 1:1/1K=1024x1024 | 1:1 -> 1:1/1K=1024x1024 | 16:9 -> 16:9/1K=1376x768 |
        9:16 -> 9:16/1K=768x1376 | 3:2 -> 3:2/1K=1264x848 | 4:5 -> 4:5/1K=928x1152 | 21:9 -> 21:9/1K=1584x672 |
        8:1 -> 8:1/1K=2928x352 | 2:1 -> 16:9/1K=1376x768 * | 512 -> 1:1/1K=1024x1024 * |
        1K -> 1:1/1K=1024x1024 | 1.5K -> 1:1/1K=1024x1024 * | 2K -> 1:1/1K=1024x1024 * |
        3K -> 1:1/1K=1024x1024 * | 4K -> 1:1/1K=1024x1024 * | 8K -> 1:1/1K=1024x1024 * |
        16:9/1K -> 16:9/1K=1376x768 | 16:9/2K -> 16:9/1K=1376x768 * | 9:16/4K -> 9:16/1K=768x1376 * |
        4:5/3K -> 4:5/1K=928x1152 * | 1:1/512 -> 1:1/1K=1024x1024 * | 21:9/8K -> 21:9/1K=1584x672 *
    """,
    "imagen-4.0-generate-001": """
        - -> 1:1/1K=1024x1024 | auto -> 1:1/1K=1024x1024 | 1:1 -> 1:1/1K=1024x1024 | 16:9 -> 16:9/1K=1408x768 |
        9:16 -> 9:16/1K=768x1408 | 3:2 -> 4:3/1K=1280x896 * | 4:5 -> 3:4/1K=896x1280 * |
        21:9 -> 16:9/1K=1408x768 * | 8:1 -> 16:9/1K=1408x768 * | 2:1 -> 16:9/1K=1408x768 * |
        512 -> 1:1/1K=1024x1024 * | 1K -> 1:1/1K=1024x1024 | 1.5K -> 1:1/1K=1024x1024 * |
        2K -> 1:1/2K=2048x2048 | 3K -> 1:1/2K=2048x2048 * | 4K -> 1:1/2K=2048x2048 * |
        8K -> 1:1/2K=2048x2048 * | 16:9/1K -> 16:9/1K=1408x768 | 16:9/2K -> 16:9/2K=2816x1536 |
        9:16/4K -> 9:16/2K=1536x2816 * | 4:5/3K -> 3:4/2K=1792x2560 * | 1:1/512 -> 1:1/1K=1024x1024 * |
        21:9/8K -> 16:9/2K=2816x1536 *
    """,
    "imagen-4.0-fast-generate-001": """
        - -> 1:1=1024x1024 | auto -> 1:1=1024x1024 | 1:1 -> 1:1=1024x1024 | 16:9 -> 16:9=1408x768 |
        9:16 -> 9:16=768x1408 | 3:2 -> 4:3=1280x896 * | 4:5 -> 3:4=896x1280 * | 21:9 -> 16:9=1408x768 * |
        8:1 -> 16:9=1408x768 * | 2:1 -> 16:9=1408x768 * | 512 -> 1:1=1024x1024 * | 1K -> 1:1=1024x1024 |
        1.5K -> 1:1=1024x1024 * | 2K -> 1:1=1024x1024 * | 3K -> 1:1=1024x1024 * | 4K -> 1:1=1024x1024 * |
        8K -> 1:1=1024x1024 * | 16:9/1K -> 16:9=1408x768 | 16:9/2K -> 16:9=1408x768 * |
        9:16/4K -> 9:16=768x1408 * | 4:5/3K -> 3:4=896x1280 * | 1:1/512 -> 1:1=1024x1024 * |
        21:9/8K -> 16:9=1408x768 *
    """,
    "gpt-image-1": """
        - -> 1024x1024 | auto -> auto | 1:1 -> 1024x1024 * | 16:9 -> 1536x1024 * | 9:16 -> 1024x1536 * |
        3:2 -> 1536x1024 * | 4:5 -> 1024x1536 * | 21:9 -> 1536x1024 * | 8:1 -> 1536x1024 * |
        2:1 -> 1536x1024 * | 512 -> 1024x1024 * | 1K -> 1024x1024 * | 1.5K -> 1024x1024 * | 2K -> 1024x1024 * |
        3K -> 1024x1024 * | 4K -> 1024x1024 * | 8K -> 1024x1024 * | 16:9/1K -> 1536x1024 * |
        16:9/2K -> 1536x1024 * | 9:16/4K -> 1024x1536 * | 4:5/3K -> 1024x1536 * | 1:1/512 -> 1024x1024 * |
        21:9/8K -> 1536x1024 *
    """,
    "gpt-image-2": """
        - -> auto | auto -> auto | 1:1 -> 1024x1024 * | 16:9 -> 1536x864 * | 9:16 -> 864x1536 * |
        3:2 -> 1536x1024 * | 4:5 -> 1024x1280 * | 21:9 -> 1568x672 * | 8:1 -> 1776x592 * | 2:1 -> 1440x720 * |
        512 -> 1024x1024 * | 1K -> 1024x1024 * | 1.5K -> 1536x1536 * | 2K -> 2048x2048 * | 3K -> 2048x2048 * |
        4K -> 2880x2880 * | 8K -> 2880x2880 * | 16:9/1K -> 1536x864 * | 16:9/2K -> 2048x1152 * |
        9:16/4K -> 2160x3840 * | 4:5/3K -> 1792x2240 * | 1:1/512 -> 1024x1024 * | 21:9/8K -> 3840x1648 *
    """,
    "doubao-seedream-3-0-t2i-250415": """
        - -> 1024x1024 | auto -> 1024x1024 | 1:1 -> 1024x1024 * | 16:9 -> 1280x720 * | 9:16 -> 720x1280 * |
        3:2 -> 1248x832 * | 4:5 -> 916x1145 * | 21:9 -> 1512x648 * | 8:1 -> 2896x362 * | 2:1 -> 1448x724 * |
        512 -> 512x512 * | 1K -> 1024x1024 * | 1.5K -> 1536x1536 * | 2K -> 2048x2048 * | 3K -> 2048x2048 * |
        4K -> 2048x2048 * | 8K -> 2048x2048 * | 16:9/1K -> 1280x720 * | 16:9/2K -> 2730x1536 * |
        9:16/4K -> 1536x2730 * | 4:5/3K -> 1831x2289 * | 1:1/512 -> 512x512 * | 21:9/8K -> 3127x1341 *
    """,
    "doubao-seedream-4-0-250828": """
        - -> 2048x2048 | auto -> 2048x2048 | 1:1 -> 2048x2048 * | 16:9 -> 2848x1600 * | 9:16 -> 1600x2848 * |
        3:2 -> 2496x1664 * | 4:5 -> 1832x2290 * | 21:9 -> 3136x1344 * | 8:1 -> 5793x724 * |
        2:1 -> 2896x1448 * | 512 -> 1K * | 1K -> 1K | 1.5K -> 1K * | 2K -> 2K | 3K -> 2K * | 4K -> 4K |
        8K -> 4K * | 16:9/1K -> 1280x720 * | 16:9/2K -> 2848x1600 * | 9:16/4K -> 3040x5504 * |
        4:5/3K -> 1832x2290 * | 1:1/512 -> 1024x1024 * | 21:9/8K -> 6240x2656 *
    """,
    "doubao-seedream-4-5-251128": """
        - -> 2048x2048 | auto -> 2048x2048 | 1:1 -> 2048x2048 * | 16:9 -> 2848x1600 * | 9:16 -> 1600x2848 * |
        3:2 -> 2496x1664 * | 4:5 -> 1832x2290 * | 21:9 -> 3136x1344 * | 8:1 -> 5793x724 * |
        2:1 -> 2896x1448 * | 512 -> 2K * | 1K -> 2K * | 1.5K -> 2K * | 2K -> 2K | 3K -> 2K * | 4K -> 4K |
        8K -> 4K * | 16:9/1K -> 2848x1600 * | 16:9/2K -> 2848x1600 * | 9:16/4K -> 3040x5504 * |
        4:5/3K -> 1832x2290 * | 1:1/512 -> 2048x2048 * | 21:9/8K -> 6240x2656 *
    """,
    "doubao-seedream-5-0-260128": """
        - -> 2048x2048 | auto -> 2048x2048 | 1:1 -> 2048x2048 * | 16:9 -> 2848x1600 * | 9:16 -> 1600x2848 * |
        3:2 -> 2496x1664 * | 4:5 -> 1832x2290 * | 21:9 -> 3136x1344 * | 8:1 -> 5793x724 * |
        2:1 -> 2896x1448 * | 512 -> 2K * | 1K -> 2K * | 1.5K -> 2K * | 2K -> 2K | 3K -> 3K | 4K -> 4K |
        8K -> 4K * | 16:9/1K -> 2848x1600 * | 16:9/2K -> 2848x1600 * | 9:16/4K -> 3040x5504 * |
        4:5/3K -> 2748x3435 * | 1:1/512 -> 2048x2048 * | 21:9/8K -> 6240x2656 *
    """,
    "doubao-seedream-5-0-pro-260628": """
        - -> 2K | auto -> 2K | 1:1 -> 2048x2048 * | 16:9 -> 2816x1584 * | 9:16 -> 1584x2816 * |
        3:2 -> 2496x1664 * | 4:5 -> 1832x2290 * | 21:9 -> 3136x1344 * | 8:1 -> 5793x724 * |
        2:1 -> 2896x1448 * | 512 -> 1K * | 1K -> 1K | 1.5K -> 1.5K | 2K -> 2K | 3K -> 2K * | 4K -> 2K * |
        8K -> 2K * | 16:9/1K -> 1424x800 * | 16:9/2K -> 2816x1584 * | 9:16/4K -> 1584x2816 * |
        4:5/3K -> 1832x2290 * | 1:1/512 -> 1024x1024 * | 21:9/8K -> 3136x1344 *
    """,
    "doubao-seededit-3-0-i2i-250628": """
        - -> adaptive | auto -> adaptive | 1:1 -> adaptive * | 16:9 -> adaptive * | 9:16 -> adaptive * |
        3:2 -> adaptive * | 4:5 -> adaptive * | 21:9 -> adaptive * | 8:1 -> adaptive * | 2:1 -> adaptive * |
        512 -> adaptive * | 1K -> adaptive * | 1.5K -> adaptive * | 2K -> adaptive * | 3K -> adaptive * |
        4K -> adaptive * | 8K -> adaptive * | 16:9/1K -> adaptive * | 16:9/2K -> adaptive * |
        9:16/4K -> adaptive * | 4:5/3K -> adaptive * | 1:1/512 -> adaptive * | 21:9/8K -> adaptive *
    """,
    "qwen-image": """
        - -> 1664x928 | auto -> 1664x928 | 1:1 -> 1328x1328 * | 16:9 -> 1664x928 * | 9:16 -> 928x1664 * |
        3:2 -> 1472x1104 * | 4:5 -> 1104x1472 * | 21:9 -> 1664x928 * | 8:1 -> 1664x928 * | 2:1 -> 1664x928 * |
        512 -> 1328x1328 * | 1K -> 1328x1328 * | 1.5K -> 1328x1328 * | 2K -> 1328x1328 * | 3K -> 1328x1328 * |
        4K -> 1328x1328 * | 8K -> 1328x1328 * | 16:9/1K -> 1664x928 * | 16:9/2K -> 1664x928 * |
        9:16/4K -> 928x1664 * | 4:5/3K -> 1104x1472 * | 1:1/512 -> 1328x1328 * | 21:9/8K -> 1664x928 *
    """,
    "qwen-image-2.0": """
        - -> 2048x2048 | auto -> auto | 1:1 -> 2048x2048 * | 16:9 -> 2688x1536 * | 9:16 -> 1536x2688 * |
        3:2 -> 2508x1672 * | 4:5 -> 1831x2289 * | 21:9 -> 3127x1341 * | 8:1 -> 5793x724 * |
        2:1 -> 2896x1448 * | 512 -> 512x512 * | 1K -> 1024x1024 * | 1.5K -> 1536x1536 * | 2K -> 2048x2048 * |
        3K -> 2048x2048 * | 4K -> 2048x2048 * | 8K -> 2048x2048 * | 16:9/1K -> 1344x768 * |
        16:9/2K -> 2688x1536 * | 9:16/4K -> 1536x2688 * | 4:5/3K -> 1831x2289 * | 1:1/512 -> 512x512 * |
        21:9/8K -> 3127x1341 *
    """,
    "qwen-image-3.0": """
        - -> auto | auto -> auto | 1:1 -> 2048x2048 * | 16:9 -> 2688x1536 * | 9:16 -> 1536x2688 * |
        3:2 -> 2508x1672 * | 4:5 -> 1831x2289 * | 21:9 -> 3127x1341 * | 8:1 -> 5792x724 * |
        2:1 -> 2896x1448 * | 512 -> 512x512 * | 1K -> 1024x1024 * | 1.5K -> 1536x1536 * | 2K -> 2048x2048 * |
        3K -> 2048x2048 * | 4K -> 2048x2048 * | 8K -> 2048x2048 * | 16:9/1K -> 1344x768 * |
        16:9/2K -> 2688x1536 * | 9:16/4K -> 1536x2688 * | 4:5/3K -> 1831x2289 * | 1:1/512 -> 512x512 * |
        21:9/8K -> 3127x1341 *
    """,
    "qwen-image-edit-plus": """
        - -> auto | auto -> auto | 1:1 -> 1024x1024 * | 16:9 -> 1344x768 * | 9:16 -> 768x1344 * |
        3:2 -> 1248x832 * | 4:5 -> 912x1136 * | 21:9 -> 1568x672 * | 8:1 -> 2048x512 * | 2:1 -> 1440x720 * |
        512 -> 512x512 * | 1K -> 1024x1024 * | 1.5K -> 1536x1536 * | 2K -> 2048x2048 * | 3K -> 2048x2048 * |
        4K -> 2048x2048 * | 8K -> 2048x2048 * | 16:9/1K -> 1344x768 * | 16:9/2K -> 2048x1152 * |
        9:16/4K -> 1152x2048 * | 4:5/3K -> 1648x2048 * | 1:1/512 -> 512x512 * | 21:9/8K -> 2048x880 *
    """,
    "qwen-image-edit": """
        - -> nothing | auto -> nothing | 1:1 -> nothing * | 16:9 -> nothing * | 9:16 -> nothing * |
        3:2 -> nothing * | 4:5 -> nothing * | 21:9 -> nothing * | 8:1 -> nothing * | 2:1 -> nothing * |
        512 -> nothing * | 1K -> nothing * | 1.5K -> nothing * | 2K -> nothing * | 3K -> nothing * |
        4K -> nothing * | 8K -> nothing * | 16:9/1K -> nothing * | 16:9/2K -> nothing * |
        9:16/4K -> nothing * | 4:5/3K -> nothing * | 1:1/512 -> nothing * | 21:9/8K -> nothing *
    """,
}
"""Model → what is asked (ratio, tier, ratio/tier, "-" nothing) → what it is sent: a word, pixels, or ratio/tier and the
pixels that are expected."""

CELLS = [
    (model, *cell.strip().partition(" -> ")[::2])
    for model, text in GRID.items()
    for line in text.strip().splitlines()
    for cell in line.strip().strip("|").split(" | ")
]


def geometry_of(text: str) -> Geometry | None:
    if text == "-":
        return None
    size, _, tier = text.partition("/")
    geometry = parse_size(size)
    assert geometry is not None
    return Geometry(ratio=geometry.ratio, tier=tier or geometry.tier, auto=geometry.auto)


def shown(found: Resolved) -> str:
    size = found.size
    own = size.word or "/".join(filter(None, (size.ratio, size.tier)))
    pixels = f"{size.width}x{size.height}" if size.pixels else ""
    sent = "=".join(filter(None, (own, pixels))) or "nothing"
    return sent if found.exact else f"{sent} *"


@pytest.mark.parametrize(("model", "text", "expected"), CELLS, ids=lambda each: each)
def test_what_a_foreign_form_becomes(model: str, text: str, expected: str) -> None:
    assert shown(asked(model, geometry_of(text))) == expected


def test_every_form_stands_in_every_row_of_the_grid() -> None:
    forms = {model: [text for each, text, _ in CELLS if each == model] for model in GRID}
    assert all(texts == forms["gpt-image-1"] for texts in forms.values())
    assert {"-", "auto", "2K", "16:9", "16:9/2K", "1:1/512"} <= set(forms["gpt-image-1"])


def test_what_is_expected_can_be_made() -> None:
    """The grid does not contradict the tables: sizes in it are printed by their vendors, or lie within the limits."""
    for model, _, expected in CELLS:
        sent = expected.removesuffix(" *").rpartition("=")[2]
        if "x" in sent:
            printed = [pixels for _, _, pixels in rows(model)] if model in TABLES else []
            assert pixels_of(sent) in printed or is_drawn(model, pixels_of(sent)), (model, expected)
