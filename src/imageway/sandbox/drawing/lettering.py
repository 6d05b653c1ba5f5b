"""Words on pictures: the prompt as a caption, and the vendor's own watermark in the lower right corner."""

from __future__ import annotations

import hashlib
from functools import lru_cache

from PIL import Image, ImageDraw, ImageFont

LABEL = "Imageway sandbox"
Font = ImageFont.FreeTypeFont | ImageFont.ImageFont


@lru_cache(maxsize=32)
def font_of(size: int) -> Font:
    return ImageFont.load_default(size)


def readable(text: str) -> str:
    """What the built-in font can write (Latin); a text of other scripts is named by its digest instead of boxes."""
    latin = " ".join("".join(c if " " <= c < "\u0180" else " " for c in text).split())
    if len(latin) >= len(text.strip()) / 2:
        return latin
    digest = hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()[:8]
    return f"{latin} [{len(text.strip())} characters, {digest}]".strip()


def wrap(text: str, font: Font, width: int) -> list[str]:
    """At most two lines that fit; the rest becomes an ellipsis."""
    lines = [""]
    for word in text[:240].split():
        longer = f"{lines[-1]} {word}".strip()
        if font.getlength(longer) <= width or not lines[-1]:
            lines[-1] = longer
        elif len(lines) == 2:
            lines[-1] += "…"
            break
        else:
            lines.append(word)
    return [_shorten(line, font, width) for line in lines if line]


def _shorten(line: str, font: Font, width: int) -> str:
    while len(line) > 2 and font.getlength(line) > width:
        line = line[:-2] + "…"
    return line


def write_caption(image: Image.Image, prompt: str) -> None:
    short = min(image.size)
    size, margin = max(short // 30, 9), max(short // 32, 4)
    if image.width <= 2 * margin:
        return  # not a letter has room
    font, small = font_of(size), font_of(max(size * 5 // 8, 8))
    lines = wrap(readable(prompt), font, int(image.width * 0.62))
    width = round(max([font.getlength(line) for line in lines] + [small.getlength(LABEL)]))
    step = round(size * 1.3)
    height = step * len(lines) + round(size * 0.9)
    top = image.height - margin - height - margin
    _panel(image, (margin, top, min(width + 3 * margin, image.width - 2 * margin), height + margin))
    draw = ImageDraw.Draw(image)
    for number, line in enumerate(lines):
        draw.text((margin * 2, top + margin // 2 + step * number), line, font=font, fill=(255, 255, 255))
    draw.text((margin * 2, top + margin // 2 + step * len(lines)), LABEL, font=small, fill=(225, 225, 225))


def _panel(image: Image.Image, place: tuple[int, int, int, int]) -> None:
    left, top, width, height = place
    mask = Image.new("L", (max(width, 1), max(height, 1)))
    ImageDraw.Draw(mask).rounded_rectangle((0, 0, width - 1, height - 1), radius=height // 6, fill=118)
    image.paste((0, 0, 0), (left, top), mask)


def write_watermark(image: Image.Image, words: str) -> None:
    short = min(image.size)
    font, margin = font_of(max(short // 34, 9)), max(short // 32, 4)
    place = (image.width - margin, image.height - margin)
    draw = ImageDraw.Draw(image)
    draw.text(place, words, font=font, anchor="rs", fill=(255, 255, 255), stroke_width=1, stroke_fill=(70, 70, 70))
