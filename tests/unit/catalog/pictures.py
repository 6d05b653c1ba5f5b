"""Images that are nothing but what their headers said: the catalog looks at no more."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass

from imageway.core.blobs import Encoding, ImageFacts
from imageway.core.requests import ImageData, ImageLink


@dataclass(frozen=True)
class FactsOnly:
    """A blob whose content nobody reads: the catalog may look at what the header said, and at no more."""

    facts: ImageFacts | None
    decoded_bytes: int = 1000
    encoding: Encoding = Encoding.BINARY
    stored_bytes: int = 1000
    declared_type: str | None = None
    head: bytes = b""
    tail: bytes = b""

    def open(self) -> AsyncIterator[bytes]:
        raise AssertionError("the catalog never opens a blob")


def picture(
    width: int = 1024,
    height: int = 1024,
    *,
    size_bytes: int = 1000,
    param: str = "image",
    form: str = "png",
    alpha: bool | None = None,
) -> ImageData:
    return ImageData(FactsOnly(ImageFacts(form, width, height, alpha), size_bytes), param)


def links(count: int, param: str = "image") -> tuple[ImageLink, ...]:
    return tuple(ImageLink(f"https://example.com/{i}.png", f"{param}[{i}]") for i in range(count))
