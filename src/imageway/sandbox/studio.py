"""What every pretend provider has at hand: pictures drawn in worker threads, the shelf for answers by URL, chance."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import re
from collections.abc import AsyncGenerator
from dataclasses import replace
from pathlib import Path
from random import Random
from urllib.parse import unquote_to_bytes, urlsplit

from PIL import Image

from imageway.sandbox.cabinets import Cabinet, FolderCabinet, MemoryCabinet
from imageway.sandbox.drawing import Reference, Sketch, coarsen, encode, paint, read_reference, render
from imageway.sandbox.shelf import LIMIT_BYTES, PREFIX, Shelf

FORBIDDEN = ("forbidden", "违禁")
FORBIDDEN_OUTPUT = "forbidden-output"
_DATA_URL = re.compile(r"data:([^;,]*)((?:;[^;,]*)*),", re.IGNORECASE)
_ALPHABET = str.maketrans("-_", "+/")


def is_forbidden(prompt: str) -> bool:
    """Whether the pretend moderation refuses this prompt."""
    return any(word in prompt.lower() for word in FORBIDDEN)


_ITEM = re.compile(FORBIDDEN_OUTPUT + r":(\d{1,2})")


def forbidden_items(prompt: str, count: int) -> set[int]:
    """Which of `count` pictures the pretend moderation takes out: `forbidden-output:2` the second (from 1), several if
    written several times; a plain `forbidden-output` the last."""
    if not is_forbidden_output(prompt):
        return set()
    named = {int(number) - 1 for number in _ITEM.findall(prompt.lower())}
    return named & set(range(count)) if named else {count - 1}


def is_forbidden_output(prompt: str) -> bool:
    """Whether the refusal is to come after the picture was made."""
    return FORBIDDEN_OUTPUT in prompt.lower()


class NotFetched(Exception):
    """A URL that answers no picture. `status` is what its server would say."""

    def __init__(self, status: int = 404) -> None:
        super().__init__(f"status {status}")
        self.status = status


def decode_base64(text: str) -> bytes | None:
    """Standard or URL-safe, padded or not; None when it is neither."""
    compact = "".join(text.split()).translate(_ALPHABET).rstrip("=")
    try:
        return base64.b64decode(compact + "=" * (-len(compact) % 4), validate=True)
    except ValueError:  # also of letters that are not ASCII
        return None


def split_data_url(url: str) -> tuple[str, bytes] | None:
    """(media type as written, content); None when it is no data URL or its base64 is broken."""
    head = _DATA_URL.match(url)
    if head is None:
        return None
    rest = url[head.end() :]
    content = decode_base64(rest) if head[2].lower().endswith(";base64") else unquote_to_bytes(rest)
    return None if content is None else (head[1], content)


def _written(image: Image.Image, sketch: Sketch) -> bytes:
    return base64.b64encode(encode(image, sketch))


class Studio:
    """Shared by all upstreams of one sandbox. `folder` is for what the next process is to find; None: nothing."""

    def __init__(self, random_seed: int = 0, folder: Path | None = None) -> None:
        self.chance = Random(random_seed)  # noqa: S311 – reproducible runs, not keys
        self._folder = folder
        self.shelf = Shelf(self.cabinet("files", limit_bytes=LIMIT_BYTES) or MemoryCabinet(LIMIT_BYTES))

    def cabinet(self, name: str, *, limit_bytes: int) -> Cabinet | None:
        """A place for files that outlive this process; None when this sandbox has none."""
        return FolderCabinet(self._folder / name, limit_bytes) if self._folder else None

    def pick_seed(self) -> int:
        return self.chance.getrandbits(31)

    def token(self, digits: int = 32) -> str:
        """Hexadecimal digits for ids that only have to look right."""
        return f"{self.chance.getrandbits(4 * digits):0{digits}x}"

    async def draw(self, sketch: Sketch) -> bytes:
        return await asyncio.to_thread(render, sketch)

    async def draw_base64(self, sketch: Sketch) -> bytes:
        return await asyncio.to_thread(lambda: _written(paint(sketch), sketch))

    async def develop_base64(self, sketch: Sketch, partials: int) -> AsyncGenerator[bytes, None]:
        """The picture on its way, as base64: so many earlier states of it, coarse to fine, then the finished one."""
        if not partials:
            yield await self.draw_base64(sketch)
            return
        image = await asyncio.to_thread(paint, sketch)
        draft = replace(sketch, provenance=False)
        for steps_left in range(partials, 0, -1):
            coarse = await asyncio.to_thread(coarsen, image, steps_left)
            yield await asyncio.to_thread(_written, coarse, draft)
        yield await asyncio.to_thread(_written, image, sketch)

    async def read(self, content: bytes) -> Reference:
        """Raises Unreadable."""
        return await asyncio.to_thread(read_reference, content)

    async def fetch(self, url: str) -> bytes:
        """What stands behind a URL, without any network: our own files as they are; for every other address a
        stand-in picture that depends on the URL alone. Hosts under `.invalid`, and paths with `not-found` or
        `not-an-image` in them, fail the way their names say. Raises NotFetched."""
        try:
            parts = urlsplit(url)
        except ValueError:  # no URL at all
            raise NotFetched from None
        if parts.path.startswith(PREFIX):
            kept = await self.shelf.get(parts.path)
            if kept is None:
                raise NotFetched
            return kept
        if not parts.hostname or parts.hostname.endswith(".invalid") or "not-found" in parts.path:
            raise NotFetched
        if "not-an-image" in parts.path:
            return b"<svg xmlns='http://www.w3.org/2000/svg'/>"
        seed = int.from_bytes(hashlib.sha256(url.encode()).digest()[:4], "big")
        return await self.draw(Sketch(prompt=parts.path.rpartition("/")[2], width=1024, height=1024, seed=seed))
