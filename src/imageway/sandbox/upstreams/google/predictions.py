"""From an Imagen request that holds to its predictions: pictures generated, edited under a mask, or enlarged; some
filtered out."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from PIL import Image, ImageDraw

from imageway.sandbox.answers import Json
from imageway.sandbox.drawing import Reference, Sketch, Unreadable
from imageway.sandbox.orders import Twist
from imageway.sandbox.studio import (
    NotFetched,
    Studio,
    decode_base64,
    forbidden_items,
    is_forbidden,
    is_forbidden_output,
)
from imageway.sandbox.upstreams.google.imagen import FAILED, LIMITS, TABLE, Wish, mapping
from imageway.sandbox.upstreams.google.words import Speaker
from imageway.sandbox.wire import SandboxAnswer

CODES: dict[str, str] = TABLE["support_codes"]
BLOCKED = (
    f"{FAILED}The response is blocked, as it may violate our policies. If you believe this is an error, please send "
    f"feedback to your account team. Error Code: {CODES['prompt']}"
)
FILTERED = (
    "Unable to show generated images. All images were filtered out because they violated the usage guidelines. You "
    f"will not be charged for blocked images. Try rephrasing the prompt. Support codes: {CODES['picture']}"
)
SAFETY: Json = {"categories": ["Violence"], "scores": [0.1]}


@dataclass(frozen=True, slots=True)
class Job:
    """A wish with its pictures read."""

    wish: Wish
    references: tuple[Reference, ...]
    mask: Reference | None

    @property
    def pixels(self) -> tuple[int, int]:
        """An upscale multiplies its input's. An edit keeps them, unless told a ratio (assumed)."""
        first = self.references[0] if self.references else None
        if self.wish.factor and first:
            return (first.width * self.wish.factor, first.height * self.wish.factor)
        if first and self.wish.ratio is None:
            return (first.width, first.height)
        width, _, height = TABLE["pixels"][self.wish.size][self.wish.ratio or "1:1"].partition("x")
        return (int(width), int(height))


class Predictor:
    def __init__(self, studio: Studio, speaker: Speaker) -> None:
        self._studio = studio
        self._speaker = speaker

    async def accept(self, wish: Wish) -> Job:
        """Reads its pictures and judges its words. Raises Refusal."""
        if is_forbidden(wish.prompt) and not is_forbidden_output(wish.prompt):
            raise self._speaker.invalid(BLOCKED)
        masks = [row for row in wish.pictures if row.get("referenceType") == "REFERENCE_TYPE_MASK"]
        others = [row for row in wish.pictures if row not in masks]
        references = tuple([await self._reference(row.get("referenceImage"), wish) for row in others])
        if masks and not references:
            raise self._speaker.invalid(f"{FAILED}a mask needs an image.")
        job = Job(wish, references, await self._mask(masks[0], references[0], wish) if masks else None)
        width, height = job.pixels
        if wish.factor and width * height > LIMITS["upscale_pixels"]:
            raise self._speaker.invalid(
                f"{FAILED}the output would have {width}x{height} pixels, more than 17 megapixels."
            )
        return job

    async def predict(self, job: Job, twist: Twist) -> SandboxAnswer:
        wish = job.wish
        count = 0 if twist.empty else wish.count
        filtered = forbidden_items(wish.prompt, count) | ({count - 1} if twist.item_failed else set())
        rows = await asyncio.gather(*(self._row(job, number, number in filtered) for number in range(count)))
        predictions: list[Json] = [row for row in rows if row]
        if wish.tells_safety:
            predictions.append({"contentType": "Positive Prompt", "safetyAttributes": SAFETY})
        return self._speaker.success({"predictions": predictions} if predictions else {})

    async def _row(self, job: Job, number: int, filtered: bool) -> dict[str, Json]:
        """Nothing for a filtered picture whose reason nobody wants to know."""
        wish = job.wish
        if filtered:
            return {"raiFilteredReason": FILTERED} if wish.tells_reasons else {}
        row: dict[str, Json] = {"mimeType": f"image/{wish.format}"}
        if wish.tells_prompt:
            row["prompt"] = f"{wish.prompt}, in soft light, with fine detail"
        if wish.storage:
            row["gcsUri"] = f"{wish.storage.rstrip('/')}/sample_{number}.{wish.format}"
        else:
            row["bytesBase64Encoded"] = await self._studio.draw_base64(self._sketch(job, number))
        return row | ({"safetyAttributes": SAFETY} if wish.tells_safety else {})

    def _sketch(self, job: Job, number: int) -> Sketch:
        wish = job.wish
        width, height = job.pixels
        return Sketch(
            prompt=wish.prompt,
            width=width,
            height=height,
            seed=self._studio.pick_seed() if wish.seed is None else wish.seed + number,
            format=wish.format,
            quality=wish.quality,
            references=job.references,
            mask=job.mask,
            enlarged=wish.factor > 0,
        )

    async def _reference(self, row: object, wish: Wish) -> Reference:
        try:
            content = await self._content(mapping(row))
            if wish.factor and len(content) > LIMITS["upscale_bytes"]:
                raise self._speaker.invalid(f"{FAILED}image: more than {LIMITS['upscale_bytes']} bytes.")
            return await self._studio.read(content)
        except (Unreadable, NotFetched) as error:
            raise self._speaker.invalid("Provided image is not valid.") from error

    async def _content(self, row: Mapping[str, Any]) -> bytes:
        """Bytes as written, or what stands behind a gs:// address. Raises NotFetched."""
        if uri := row.get("gcsUri"):
            return await self._studio.fetch(str(uri))
        return decode_base64(str(row.get("bytesBase64Encoded") or "")) or b""

    async def _mask(self, row: Mapping[str, Any], first: Reference, wish: Wish) -> Reference:
        """Light pixels are to be repainted. A mask that the service finds by itself is an oval in the middle, or what
        is around it."""
        config = mapping(row.get("maskImageConfig"))
        if row.get("referenceImage"):
            given = await self._reference(row["referenceImage"], wish)
            if (given.width, given.height) != (first.width, first.height):
                raise self._speaker.invalid(f"{FAILED}the mask must have the dimensions of the image.")
            light = given.image.convert("L")
        else:
            light = _oval(first.image.size, inside=config.get("maskMode") != "MASK_MODE_BACKGROUND")
        clear = Image.new("RGBA", light.size, (0, 0, 0, 255))
        clear.putalpha(light.point(lambda value: 0 if value > 127 else 255))
        return Reference(clear, first.width, first.height, "png", has_alpha=True, transparent=True)


def _oval(size: tuple[int, int], *, inside: bool) -> Image.Image:
    width, height = size
    found = Image.new("L", size, 0 if inside else 255)
    box = (width // 4, height // 4, width * 3 // 4, height * 3 // 4)
    ImageDraw.Draw(found).ellipse(box, fill=255 if inside else 0)
    return found
