"""Sizes: how callers write them, and which of a model's own sizes comes closest to what was asked."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from functools import lru_cache

import msgspec
from msgspec.structs import replace

from imageway.catalog.schema import Geometry as Rules
from imageway.core.requests import Geometry, Size

Pixels = tuple[int, int]

_SAME_SHAPE = 0.032  # in log space: 2848x1600 and 1408x768 are both 16:9, 4:3 and 5:4 are twice as far apart
_MOST_EXTREME = math.log(16) + 1e-9  # no model draws more than 16 times as long as wide
_LONGEST_EDGE = 30_000
_PIXELS = re.compile(r"(\d{1,6})\s*[x*×]\s*(\d{1,6})", re.I | re.A)
_RATIO = re.compile(r"(\d{1,4}(?:\.\d{1,4})?)\s*:\s*(\d{1,4}(?:\.\d{1,4})?)", re.A)
_TIER = re.compile(r"(\d{1,2}(?:\.\d{1,2})?)\s*k", re.I | re.A)
_SMALL_TIER = "512"
_REMEMBERED = 2048  # sizes, and texts of them; the rows name about five hundred


def parse_size(text: str) -> Geometry | None:
    """`"1024x1024"`, `"1024*768"`, `"16:9"`, `"2k"`, `"0.5K"`, `"512"`, `"auto"`, `"adaptive"`; None: unreadable. What
    is readable may still be impossible ("0x0"): that is found when it is fitted to a model."""
    text = text.strip()
    if text.lower() in ("auto", "adaptive"):
        return Geometry(auto=True)
    if match := _PIXELS.fullmatch(text):
        return Geometry(width=int(match[1]), height=int(match[2]))
    if match := _RATIO.fullmatch(text):
        return Geometry(ratio=f"{match[1]}:{match[2]}")
    tier = tier_word(text)
    return Geometry(tier=tier) if tier else None


def tier_word(text: str) -> str | None:
    """`"2k"` → `"2K"`, `"0.5K"` and `"512"` → `"512"`; None: not a tier."""
    text = text.strip()
    if text == _SMALL_TIER:
        return text
    match = _TIER.fullmatch(text)
    if match is None or not float(match[1]):
        return None
    number = f"{float(match[1]):g}"
    return _SMALL_TIER if number == "0.5" else f"{number}K"


@lru_cache(maxsize=_REMEMBERED)
def tier_edge(tier: str) -> int:
    """Edge of a square of that tier, in pixels: 2K → 2048. 0 for what is no tier."""
    if tier == _SMALL_TIER:
        return 512
    match = _TIER.fullmatch(tier)
    return round(float(match[1]) * 1024) if match else 0


@lru_cache(maxsize=_REMEMBERED)
def pixels_of(text: str) -> Pixels | None:
    match = _PIXELS.fullmatch(text)
    return (int(match[1]), int(match[2])) if match else None


@lru_cache(maxsize=_REMEMBERED)
def ratio_of(text: str) -> float | None:
    """Width over height; None where that is not a positive number."""
    match = _RATIO.fullmatch(text.strip())
    if match is None or not float(match[1]) or not float(match[2]):
        return None
    return float(match[1]) / float(match[2])


def spelled(geometry: Geometry) -> str:
    """A geometry as a caller would write it: `16:9 2K`."""
    size = f"{geometry.width}x{geometry.height}" if geometry.width is not None else geometry.ratio
    words = [word for word in (size, geometry.tier, "auto" if geometry.auto else None) if word]
    return " ".join(words)


class Resolved(msgspec.Struct, frozen=True):
    """The size a model will be asked for, and whether it is what was asked for, in the model's own form: as to pixels
    or ratio (`shape_kept`) and as to the tier (`tier_kept`)."""

    size: Size
    shape_kept: bool = True
    tier_kept: bool = True

    @property
    def exact(self) -> bool:
        return self.shape_kept and self.tier_kept


class Impossible(Exception):
    """No model could make this: a zero edge, a line instead of an area."""


@lru_cache(maxsize=_REMEMBERED)
def resolve(rules: Rules, asked: Geometry | None, *, has_images: bool) -> Resolved:
    """The model's size that comes closest to `asked`; the model's default where nothing was. Raises Impossible."""
    asked = _readable(asked or Geometry())
    if has_images and rules.default_edit is not None:
        rules = msgspec.structs.replace(rules, default=rules.default_edit)
    match rules.kind:
        case "none":
            word = rules.default if rules.default in rules.words else None
            return Resolved(Size(word=word), asked.width is None and asked.ratio is None, asked.tier is None)
        case "ratios":
            return _by_ratio(rules, asked, has_images=has_images)
        case _:
            return _by_pixels(rules, asked)


def _readable(asked: Geometry) -> Geometry:
    _shape(asked)
    if asked.tier is None:
        return asked
    tier = tier_word(asked.tier)
    if tier is None:
        raise Impossible
    return replace(asked, tier=tier)


def _shape(asked: Geometry) -> float | None:
    """The asked ratio as the logarithm of width over height; None when none was asked."""
    if asked.width is not None or asked.height is not None:
        width, height = asked.width or 0, asked.height or 0
        if not (0 < width <= _LONGEST_EDGE and 0 < height <= _LONGEST_EDGE):
            raise Impossible
        shape = math.log(width / height)
    elif asked.ratio is not None:
        ratio = ratio_of(asked.ratio)
        if ratio is None:
            raise Impossible
        shape = math.log(ratio)
    else:
        return None
    if abs(shape) > _MOST_EXTREME:
        raise Impossible
    return shape


# Models that are told a ratio and a tier


def _by_ratio(rules: Rules, asked: Geometry, *, has_images: bool) -> Resolved:
    shape = _shape(asked)
    ratio, is_own = _nearest_ratio(rules, shape, has_images=has_images)
    if asked.tier is not None:
        tier = nearest_tier(rules.tiers, asked.tier)
    elif asked.width and asked.height and ratio:
        tier = _tier_by_area(rules, ratio, asked.width * asked.height)
    else:
        tier = rules.default_tier or rules.tiers[0]
    expected = pixels_of(rules.pixels[tier][ratio]) if ratio else None
    width, height = expected or (None, None)
    size = Size(width, height, ratio, tier if rules.send_tier else None)
    as_the_image = ratio is None and not rules.default  # nothing is sent: it is as large as the image
    return Resolved(
        size, is_own and asked.width is None, asked.tier is None or (asked.tier == tier and not as_the_image)
    )


def _nearest_ratio(rules: Rules, shape: float | None, *, has_images: bool) -> tuple[str | None, bool]:
    """Unasked: what the input images have, else the default. Ties go to the narrower one."""
    if shape is None:
        default = rules.default if rules.default in rules.ratios else None
        return (None if has_images else default), True
    shapes = [(abs(math.log(ratio_of(ratio) or 1) - shape), ratio_of(ratio) or 1, ratio) for ratio in rules.ratios]
    distance, _, ratio = min((round(distance, 9), value, ratio) for distance, value, ratio in shapes)
    return ratio, distance < 1e-6


def _tier_by_area(rules: Rules, ratio: str, area: int) -> str:
    areas = [(_area(pixels_of(rules.pixels[tier][ratio]) or (1, 1)), tier) for tier in rules.tiers]
    return min((round(abs(math.log(area / own)), 9), own, tier) for own, tier in areas)[2]


def nearest_tier(tiers: Sequence[str], asked: str) -> str:
    """The largest tier not above the one asked for, else the smallest."""
    below = [tier for tier in tiers if tier_edge(tier) <= tier_edge(asked)]
    return max(below, key=tier_edge) if below else min(tiers, key=tier_edge)


# Models that are told pixels, or a word in place of them


def _by_pixels(rules: Rules, asked: Geometry) -> Resolved:
    if asked.width is not None and asked.height is not None:
        wanted = (asked.width, asked.height)
        pixels = wanted if legal(rules, wanted) else _nearest_legal(rules, wanted)
        of_tier = _sizes(rules.size_tiers.get(asked.tier or "", ()))
        return Resolved(Size(*pixels), pixels == wanted, asked.tier is None or pixels in of_tier)
    if asked.ratio is not None:
        size = _of_shape(rules, _shape(asked) or 0.0, asked.tier)
        return Resolved(Size(*size), False, asked.tier in (None, served_tier(rules, asked.tier or "")))
    if asked.tier is not None:
        return _of_tier(rules, asked.tier)
    if asked.auto:
        word = next((word for word in ("auto", "adaptive") if word in rules.words), None)
        return Resolved(Size(word=word) if word else _default(rules))
    return Resolved(_default(rules))


def _default(rules: Rules) -> Size:
    if rules.default in rules.words:
        return _word(rules.default)
    pixels = pixels_of(rules.default)
    return Size(*pixels) if pixels else Size()


def _word(word: str) -> Size:
    """A tier word names its tier too, so that prices can go by it."""
    return Size(word=word, tier=word if tier_edge(word) else None)


def _of_tier(rules: Rules, asked: str) -> Resolved:
    tier = served_tier(rules, asked)
    if tier in rules.words:
        return Resolved(_word(tier), tier_kept=tier == asked)
    if tier in rules.size_tiers:
        return Resolved(Size(*(pixels_of(rules.size_tiers[tier][0]) or (0, 0))), tier_kept=False)
    return Resolved(Size(*_of_shape(rules, 0.0, tier)), tier_kept=False)


def served_tier(rules: Rules, asked: str) -> str:
    """The tier that stands in for the one asked for."""
    known = rules.tiers or _tiers(rules)
    return asked if not known or _can_make(rules, asked) else nearest_tier(known, asked)


def _tiers(rules: Rules) -> list[str]:
    return [*rules.size_tiers, *(word for word in rules.words if tier_edge(word) and word not in rules.size_tiers)]


def _can_make(rules: Rules, tier: str) -> bool:
    """Whether a model that draws any pixels, and has no words for some of them, draws as many as this tier has."""
    edge = tier_edge(tier)
    return rules.kind == "free" and not any(map(tier_edge, rules.words)) and legal(rules, (edge, edge))


def _of_shape(rules: Rules, shape: float, tier: str | None) -> Pixels:
    """The size of this ratio whose area is nearest to the tier's, or to the default's."""
    tier = served_tier(rules, tier) if tier else None
    area = tier_edge(tier) ** 2 if tier else _default_area(rules)
    if tier and tier not in rules.size_tiers and _can_make(rules, tier):
        return _nearest_legal(rules, _scaled(shape, area))
    candidates = _sizes(rules.size_tiers[tier]) if tier in rules.size_tiers else _recommended(rules)
    alike = [pixels for pixels in candidates if abs(_log_ratio(pixels) - shape) <= _SAME_SHAPE]
    if rules.kind == "free" and not alike:
        return _nearest_legal(rules, _scaled(shape, area))
    return _nearest(alike or candidates, shape, area)


def _default_area(rules: Rules) -> int:
    """Of the default; where that is no size, of the square nearest to 1K among those that are recommended."""
    pixels, edge = pixels_of(rules.default), tier_edge(rules.default)
    return _area(pixels) if pixels else edge**2 if edge else _area(_nearest(_recommended(rules), 0.0, 1024**2))


def legal(rules: Rules, pixels: Pixels) -> bool:
    """Whether these exact pixels may be sent."""
    if rules.kind == "list":
        return pixels in _sizes(rules.sizes)
    width, height = pixels
    return (
        width % rules.multiple == 0
        and height % rules.multiple == 0
        and min(pixels) >= (rules.min_edge or 1)
        and max(pixels) <= (rules.max_edge or _LONGEST_EDGE)
        and max(pixels) <= min(pixels) * (rules.max_ratio or 16) + 1e-9
        and (rules.min_pixels or 1) <= _area(pixels) <= (rules.max_pixels or _LONGEST_EDGE**2)
    )


def _nearest_legal(rules: Rules, wanted: Pixels) -> Pixels:
    """Too small: the nearest of that ratio that is recommended or a tier's. Otherwise the legal size nearest in ratio
    and area."""
    shape, area = _log_ratio(wanted), _area(wanted)
    recommended = _recommended(rules)
    if rules.kind == "list":
        return _nearest(recommended, shape, area)
    if area < (rules.min_pixels or 0):
        alike = [each for each in recommended + _of_tiers(rules) if abs(_log_ratio(each) - shape) <= _SAME_SHAPE]
        if alike:
            return _nearest(alike, shape, area)
    near = [pixels for pixels in _around(rules, shape, area) if legal(rules, pixels)]
    return min(near, key=lambda pixels: _strangeness(pixels, wanted)) if near else _nearest(recommended, shape, area)


def _around(rules: Rules, shape: float, area: int) -> Iterable[Pixels]:
    """Sizes in the model's steps around the ideal one, once ratio, area and edges were brought within its limits."""
    edges_ratio = rules.max_edge / rules.min_edge if rules.max_edge and rules.min_edge else 16
    widest = math.log(min(rules.max_ratio or 16, edges_ratio))
    shape = max(-widest, min(widest, shape))
    area = max(rules.min_pixels or 1, min(rules.max_pixels or area, area))
    ideal = _scaled(shape, area)
    shrink = min(1.0, (rules.max_edge or _LONGEST_EDGE) / max(ideal))
    grow = max(1.0, (rules.min_edge or 1) / min(ideal))
    factor = grow if grow > 1 else shrink
    step = rules.multiple
    edges = [[step * (math.floor(edge * factor / step) + i) for i in (-2, -1, 0, 1, 2, 3)] for edge in ideal]
    return [(width, height) for width in edges[0] for height in edges[1] if width > 0 and height > 0]


def _strangeness(pixels: Pixels, wanted: Pixels) -> tuple[float, int, int]:
    """How far from what was wanted: a wrong ratio is worse than a wrong area. Ties go down."""
    off_shape, off_area = _log_ratio(pixels) - _log_ratio(wanted), math.log(_area(pixels) / _area(wanted))
    return (round(2 * abs(off_shape) + abs(off_area), 9), _area(pixels), pixels[0])


def _nearest(candidates: Sequence[Pixels], shape: float, area: int) -> Pixels:
    """Nearest ratio in log space, then the nearest area of those that have it; ties go down."""
    nearest = min(candidates, key=lambda pixels: (round(abs(_log_ratio(pixels) - shape), 9), _area(pixels), pixels[0]))
    alike = [pixels for pixels in candidates if abs(_log_ratio(pixels) - _log_ratio(nearest)) <= _SAME_SHAPE]

    def key(pixels: Pixels) -> tuple[float, float, int, int]:
        off = abs(math.log(_area(pixels) / area)), abs(_log_ratio(pixels) - shape)
        return (round(off[0], 9), round(off[1], 9), _area(pixels), pixels[0])

    return min(alike, key=key)


def _recommended(rules: Rules) -> list[Pixels]:
    return _sizes(rules.sizes) or _of_tiers(rules)


def _of_tiers(rules: Rules) -> list[Pixels]:
    return _sizes(size for sizes in rules.size_tiers.values() for size in sizes)


def _sizes(texts: Iterable[str]) -> list[Pixels]:
    return [pixels for pixels in map(pixels_of, texts) if pixels]


def _scaled(shape: float, area: int) -> Pixels:
    ratio = math.exp(shape)
    return max(1, round(math.sqrt(area * ratio))), max(1, round(math.sqrt(area / ratio)))


def _log_ratio(pixels: Pixels) -> float:
    return math.log(pixels[0] / pixels[1])


def _area(pixels: Pixels) -> int:
    return pixels[0] * pixels[1]
