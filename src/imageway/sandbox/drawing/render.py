"""From a sketch to a file: scene or edited input, words, format, and the mark that says where it came from."""

from __future__ import annotations

import io
import struct
import zlib
from dataclasses import dataclass
from random import Random

from PIL import Image, ImageDraw, ImageOps, PngImagePlugin

from imageway.sandbox.drawing.lettering import LABEL, write_caption, write_watermark
from imageway.sandbox.drawing.palette import Canvas, choose_palette, gradient
from imageway.sandbox.drawing.references import Reference
from imageway.sandbox.drawing.scenes import paint_scene

PROVENANCE_BYTES = 22_000  # the size of the manifest in recorded answers


@dataclass(frozen=True, slots=True, kw_only=True)
class Sketch:
    """Everything a picture depends on. `format` is png, jpeg or webp; `quality` 0–100 for the lossy ones. `mask`: where
    its alpha is 0 the picture is new, elsewhere it stays the first reference. `faithful`: an edit that stays closer to
    its input. `enlarged`: the first reference in other pixels, and nothing else. `provenance`: a `caBX` chunk in a
    PNG."""

    prompt: str
    width: int
    height: int
    seed: int
    format: str = "png"
    quality: int = 90
    references: tuple[Reference, ...] = ()
    mask: Reference | None = None
    faithful: bool = False
    enlarged: bool = False
    watermark: str | None = None
    transparent: bool = False
    provenance: bool = False

    @property
    def size(self) -> tuple[int, int]:
        return (self.width, self.height)


def render(sketch: Sketch) -> bytes:
    """The finished file. Pure CPU work: call it in a thread."""
    return encode(paint(sketch), sketch)


def paint(sketch: Sketch) -> Image.Image:
    """The finished pixels."""
    if sketch.enlarged:
        return _flat(sketch.references[0].image).resize(sketch.size, Image.Resampling.LANCZOS)
    chance = Random(f"{sketch.seed}\0{sketch.prompt}")  # noqa: S311 – pictures, not keys
    image = _edit(sketch, chance) if sketch.references and not sketch.mask else paint_scene(sketch.size, chance)
    write_caption(image, sketch.prompt)
    if sketch.mask is not None:
        image = _fill_hole(image, sketch, sketch.mask)
    if sketch.watermark:
        write_watermark(image, sketch.watermark)
    if sketch.transparent:
        image.putalpha(_vignette(sketch.size))
    return image


def coarsen(image: Image.Image, steps_left: int) -> Image.Image:
    """An earlier state of a picture, of the same pixels: softer the more steps are left to the finished one."""
    block = 2 * 4**steps_left
    small = image.resize((max(image.width // block, 1), max(image.height // block, 1)), Image.Resampling.BOX)
    return small.resize(image.size, Image.Resampling.BILINEAR)


def _edit(sketch: Sketch, chance: Random) -> Image.Image:
    base = _base(sketch)
    palette = choose_palette(chance)
    wash = gradient(sketch.size, [[palette.glow, palette.accents[0]], [palette.dusk, palette.accents[2]]])
    base = Image.blend(base, wash, 0.06 if sketch.faithful else 0.22)
    canvas = Canvas(base)
    for _ in range(1 if sketch.faithful else 4):
        centre = (chance.random() * canvas.width, chance.random() * canvas.height)
        canvas.disc(centre, canvas.short * chance.uniform(0.05, 0.2), chance.choice(palette.accents), 0.3)
    _inset(base, sketch.references[1:])
    return base


def _base(sketch: Sketch) -> Image.Image:
    return ImageOps.fit(_flat(sketch.references[0].image), sketch.size, Image.Resampling.BILINEAR)


def _fill_hole(painted: Image.Image, sketch: Sketch, mask: Reference) -> Image.Image:
    """The first reference as it was, but for the pixels that are clear in the mask; cut to size as the mask is."""
    base = _base(sketch)
    alpha = ImageOps.fit(mask.image.getchannel("A"), sketch.size, Image.Resampling.BILINEAR)
    _inset(painted, sketch.references[1:])
    base.paste(painted, (0, 0), alpha.point(lambda value: 255 if value == 0 else 0))
    return base


def _flat(image: Image.Image) -> Image.Image:
    ground = Image.new("RGB", image.size, (238, 238, 240))
    ground.paste(image, (0, 0), image)
    return ground


def _inset(base: Image.Image, others: tuple[Reference, ...]) -> None:
    """Further references as framed thumbnails along the upper edge."""
    edge = min(min(base.size) // 4, base.width // max(len(others) + 1, 4))
    gap = max(edge // 10, 2)
    if edge <= gap:
        return  # not a pixel has room
    for number, reference in enumerate(others):
        thumb = ImageOps.fit(_flat(reference.image), (edge - gap, edge - gap), Image.Resampling.BILINEAR)
        left, top = gap + number * edge, gap
        ImageDraw.Draw(base).rectangle((left - 2, top - 2, left + edge - gap + 1, top + edge - gap + 1), fill="white")
        base.paste(thumb, (left, top))


def _vignette(size: tuple[int, int]) -> Image.Image:
    """Opaque within a rounded shape, clear in the corners."""
    small = Image.new("L", (256, 256))
    ImageDraw.Draw(small).rounded_rectangle((10, 10, 245, 245), radius=72, fill=255)
    return small.resize(size, Image.Resampling.BILINEAR)


def encode(image: Image.Image, sketch: Sketch) -> bytes:
    """The file: format, quality and marks of its sketch."""
    out = io.BytesIO()
    mark = f"{LABEL}: not a real model's picture"
    if sketch.format == "png":
        text = PngImagePlugin.PngInfo()
        text.add_text("Software", LABEL)
        text.add_text("Comment", mark)
        image.save(out, "PNG", compress_level=1, pnginfo=text)
        return _with_provenance(out.getvalue()) if sketch.provenance else out.getvalue()
    exif = Image.Exif()
    exif[0x0131], exif[0x010E] = LABEL, mark  # Software, ImageDescription
    if sketch.format == "jpeg":
        image.convert("RGB").save(out, "JPEG", quality=max(sketch.quality, 1), comment=mark, exif=exif)
    else:
        image.save(out, "WEBP", quality=sketch.quality, method=0, exif=exif)
    return out.getvalue()


def _with_provenance(png: bytes) -> bytes:
    """A content-credentials chunk right after the header, so that decoders that cannot skip one fail here."""
    body = struct.pack(">I4s", PROVENANCE_BYTES, b"jumb") + bytes(PROVENANCE_BYTES - 8)
    chunk = struct.pack(">I", len(body)) + b"caBX" + body + struct.pack(">I", zlib.crc32(b"caBX" + body))
    header = 8 + 25
    return png[:header] + chunk + png[header:]
