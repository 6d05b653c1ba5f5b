"""Four compositions, chosen and varied by chance: dunes under a sun, orbits, a blossom, tiles."""

from __future__ import annotations

import math
from collections.abc import Callable
from random import Random

from PIL import Image

from imageway.sandbox.drawing.palette import Canvas, Palette, Point, choose_palette, circle_points, gradient, mix


def paint_scene(size: tuple[int, int], chance: Random) -> Image.Image:
    palette = choose_palette(chance)
    return chance.choice(SCENES)(size, palette, chance)


def dunes(size: tuple[int, int], palette: Palette, chance: Random) -> Image.Image:
    sky = [
        [palette.dusk, palette.dusk],
        [mix(palette.dusk, palette.glow, 0.6), palette.glow],
        [palette.pale, palette.pale],
    ]
    canvas = Canvas(gradient(size, sky))
    sun = (canvas.width * (0.2 + 0.6 * chance.random()), canvas.height * (0.25 + 0.2 * chance.random()))
    radius = canvas.short * (0.1 + 0.06 * chance.random())
    for ring in (2.4, 1.8, 1.35):
        canvas.disc(sun, radius * ring, palette.pale, 0.16)
    canvas.disc(sun, radius, mix(palette.pale, (255, 255, 255), 0.5))
    layers = 5
    for layer in range(layers):
        near = (layer + 1) / layers
        colour = mix(palette.glow, palette.deep, 0.25 + 0.75 * near)
        canvas.polygon(_ridge(canvas, 0.5 + 0.42 * near, chance), colour)
    return canvas.image


def _ridge(canvas: Canvas, level: float, chance: Random) -> list[Point]:
    """The outline of one range of hills: three waves added up, closed along the lower edge."""
    waves = [(chance.uniform(0.6, 3.4), chance.uniform(0, 2 * math.pi), chance.uniform(0.02, 0.06)) for _ in range(3)]
    steps = 96
    points: list[Point] = []
    for i in range(steps + 1):
        along = i / steps
        lift = sum(height * math.sin(2 * math.pi * along * turns + shift) for turns, shift, height in waves)
        points.append((along * canvas.width, (level + lift) * canvas.height))
    return [*points, (canvas.width, canvas.height), (0, canvas.height)]


def orbits(size: tuple[int, int], palette: Palette, chance: Random) -> Image.Image:
    night = mix(palette.deep, (8, 8, 20), 0.55)
    ground = [[night, palette.deep], [palette.dusk, mix(palette.deep, palette.glow, 0.25)], [palette.deep, night]]
    canvas = Canvas(gradient(size, ground))
    for _ in range(90):
        place = (chance.random() * canvas.width, chance.random() * canvas.height)
        canvas.disc(place, canvas.short * chance.uniform(0.0012, 0.0035), palette.pale, chance.uniform(0.3, 0.9))
    centre = (canvas.width * chance.uniform(0.35, 0.65), canvas.height * chance.uniform(0.35, 0.6))
    for ring in range(5):
        distance = canvas.short * (0.2 + 0.13 * ring)
        _ring(canvas, centre, distance, palette)
        _planet(canvas, centre, distance, (palette, chance))
    _ball(canvas, centre, canvas.short * 0.13, palette)
    return canvas.image


def _ring(canvas: Canvas, centre: Point, distance: float, palette: Palette) -> None:
    """A closed band: the outer circle forth and the inner one back."""
    band = max(canvas.short * 0.003, 1)
    outer, inner = circle_points(centre, distance + band, 120), circle_points(centre, distance, 120)
    canvas.polygon([*outer, outer[0], inner[0], *reversed(inner)], palette.pale, 0.38)


def _planet(canvas: Canvas, centre: Point, distance: float, style: tuple[Palette, Random]) -> None:
    palette, chance = style
    angle = chance.uniform(0, 2 * math.pi)
    place = (centre[0] + distance * math.cos(angle), centre[1] + distance * math.sin(angle))
    radius = canvas.short * chance.uniform(0.018, 0.045)
    colour = chance.choice(palette.accents)
    canvas.disc(place, radius, mix(colour, palette.deep, 0.55))
    canvas.disc((place[0] - radius * 0.18, place[1] - radius * 0.18), radius * 0.8, colour)


def _ball(canvas: Canvas, centre: Point, radius: float, palette: Palette) -> None:
    for step in range(8):
        share = step / 7
        place = (centre[0] - radius * 0.28 * share, centre[1] - radius * 0.28 * share)
        canvas.disc(place, radius * (1 - 0.72 * share), mix(palette.accents[0], palette.pale, share))


def blossom(size: tuple[int, int], palette: Palette, chance: Random) -> Image.Image:
    edge = mix(palette.deep, palette.dusk, 0.4)
    ground = [[edge, palette.dusk, edge], [palette.dusk, palette.glow, palette.dusk], [edge, palette.dusk, edge]]
    canvas = Canvas(gradient(size, ground))
    centre = (canvas.width / 2, canvas.height * 0.47)
    petals = chance.choice((7, 8, 9, 11))
    for layer in range(3):
        length = canvas.short * (0.42 - 0.11 * layer)
        turn = chance.random()
        colour = mix(palette.accents[layer], palette.pale, 0.15 * layer)
        for petal in range(petals):
            angle = 2 * math.pi * (petal + turn) / petals
            canvas.polygon(_petal(centre, length, angle), colour, 0.55)
    canvas.disc(centre, canvas.short * 0.07, palette.deep, 0.9)
    canvas.disc(centre, canvas.short * 0.05, palette.pale)
    return canvas.image


def _petal(centre: Point, length: float, angle: float) -> list[Point]:
    points = []
    for x, y in circle_points((0.55, 0), 1, 40):
        along, across = length * (x - 0.55 + 1) / 2, length * 0.24 * y
        points.append(
            (
                centre[0] + along * math.cos(angle) - across * math.sin(angle),
                centre[1] + along * math.sin(angle) + across * math.cos(angle),
            )
        )
    return points


def tiles(size: tuple[int, int], palette: Palette, chance: Random) -> Image.Image:
    canvas = Canvas(Image.new("RGB", size, palette.deep))
    edge = canvas.short / chance.choice((4, 5, 6))
    colours = (*palette.accents, palette.pale, palette.glow, palette.dusk)
    for row in range(math.ceil(canvas.height / edge)):
        for column in range(math.ceil(canvas.width / edge)):
            _tile(canvas, (column * edge, row * edge, edge), chance.sample(colours, 2), chance)
    return canvas.image


def _tile(
    canvas: Canvas, place: tuple[float, float, float], colours: list[tuple[int, int, int]], chance: Random
) -> None:
    left, top, edge = place
    square = [(left, top), (left + edge, top), (left + edge, top + edge), (left, top + edge)]
    canvas.polygon(square, colours[0])
    motif = chance.randrange(4)
    if motif == 0:
        canvas.disc((left + edge / 2, top + edge / 2), edge * 0.36, colours[1])
    elif motif == 1:
        canvas.polygon(chance.sample(square, 3), colours[1])
    else:
        corner = chance.randrange(4)
        start = math.pi / 2 * corner
        steps = [start + math.pi / 2 * i / 24 for i in range(25)]
        x, y = square[corner]
        canvas.polygon([(x, y), *((x + edge * math.cos(a), y + edge * math.sin(a)) for a in steps)], colours[1])


SCENES: tuple[Callable[[tuple[int, int], Palette, Random], Image.Image], ...] = (dunes, orbits, blossom, tiles)
