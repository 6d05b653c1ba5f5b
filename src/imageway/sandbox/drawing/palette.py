"""Colours that go together, and a canvas that draws smooth edges. Everything hangs on one seeded source of chance."""

from __future__ import annotations

import colorsys
import math
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

from PIL import Image, ImageDraw

Colour = tuple[int, int, int]
Point = tuple[float, float]
SMOOTH_BELOW_PIXELS = 3_000_000  # larger pictures show no jagged edges worth the time


def shade(hue: float, lightness: float, saturation: float) -> Colour:
    red, green, blue = colorsys.hls_to_rgb(hue % 1, min(max(lightness, 0), 1), min(max(saturation, 0), 1))
    return (round(red * 255), round(green * 255), round(blue * 255))


def mix(first: Colour, second: Colour, share: float) -> Colour:
    """`share` of the second colour, the rest of the first."""
    red, green, blue = (round(a + (b - a) * share) for a, b in zip(first, second, strict=True))
    return (red, green, blue)


@dataclass(frozen=True, slots=True)
class Palette:
    """Four colours for a ground from dark to light, and three accents."""

    deep: Colour
    dusk: Colour
    glow: Colour
    pale: Colour
    accents: tuple[Colour, Colour, Colour]


def choose_palette(chance: Random) -> Palette:
    hue = chance.random()
    turn = chance.choice((0.08, 0.12, 0.45, 0.55))
    return Palette(
        deep=shade(hue, 0.14 + chance.random() * 0.06, 0.55),
        dusk=shade(hue + 0.04, 0.34, 0.5),
        glow=shade(hue + turn, 0.62, 0.72),
        pale=shade(hue + turn + 0.05, 0.88, 0.75),
        accents=(shade(hue + turn, 0.55, 0.8), shade(hue + turn + 0.1, 0.66, 0.85), shade(hue + 0.5, 0.5, 0.55)),
    )


def circle_points(centre: Point, radius: float, count: int = 72) -> list[Point]:
    x, y = centre
    steps = (2 * math.pi * i / count for i in range(count))
    return [(x + radius * math.cos(a), y + radius * math.sin(a)) for a in steps]


class Canvas:
    """An RGB picture that takes polygons with an opacity, smooth at their edges."""

    def __init__(self, image: Image.Image) -> None:
        self.image = image
        self.width, self.height = image.size
        self.short = min(image.size)
        self._scale = 2 if self.width * self.height < SMOOTH_BELOW_PIXELS else 1

    def polygon(self, points: Sequence[Point], colour: Colour, opacity: float = 1.0) -> None:
        left = max(math.floor(min(x for x, _ in points)), 0)
        top = max(math.floor(min(y for _, y in points)), 0)
        right = min(math.ceil(max(x for x, _ in points)), self.width)
        bottom = min(math.ceil(max(y for _, y in points)), self.height)
        if right <= left or bottom <= top:
            return
        scale = self._scale
        mask = Image.new("L", ((right - left) * scale, (bottom - top) * scale))
        moved = [((x - left) * scale, (y - top) * scale) for x, y in points]
        ImageDraw.Draw(mask).polygon(moved, fill=round(255 * opacity))
        self.image.paste(colour, (left, top, right, bottom), mask.reduce(scale) if scale > 1 else mask)

    def disc(self, centre: Point, radius: float, colour: Colour, opacity: float = 1.0) -> None:
        self.polygon(circle_points(centre, radius), colour, opacity)


def gradient(size: tuple[int, int], corners: Sequence[Sequence[Colour]]) -> Image.Image:
    """A smooth ground between rows of colours, top to bottom, left to right."""
    small = Image.new("RGB", (len(corners[0]), len(corners)))
    small.putdata([colour for row in corners for colour in row])
    if (
        size[0] * size[1] >= SMOOTH_BELOW_PIXELS
    ):  # cubic at an eighth, then linear: a third of the time, no visible seam
        small = small.resize((max(size[0] // 8, 1), max(size[1] // 8, 1)), Image.Resampling.BICUBIC)
        return small.resize(size, Image.Resampling.BILINEAR)
    return small.resize(size, Image.Resampling.BICUBIC)
