"""Large byte strings by reference: what a blob promises to everyone who places, measures or forwards one."""

from __future__ import annotations

from collections.abc import AsyncIterator
from enum import StrEnum
from typing import Protocol, runtime_checkable

from msgspec import Struct


class Encoding(StrEnum):
    """How the stored bytes spell the content."""

    BINARY = "binary"
    BASE64 = "base64"
    BASE64URL = "base64url"


class ImageFacts(Struct, frozen=True):
    """What an image's own header says: format (png, jpeg, webp, gif, bmp, tiff, heic, avif) and pixels. `alpha`:
    whether a PNG has transparency, by its colour type or a tRNS chunk; None: not known."""

    format: str
    width: int
    height: int
    alpha: bool | None = None


@runtime_checkable
class Blob(Protocol):
    """Bytes kept where they arrived (memory or spool file). Translation code may look at every property; only I/O code
    may `open` it. `head` and `tail` are the first and last 4 KiB of the decoded content."""

    @property
    def encoding(self) -> Encoding: ...

    @property
    def stored_bytes(self) -> int: ...

    @property
    def decoded_bytes(self) -> int: ...

    @property
    def declared_type(self) -> str | None:
        """The media type that a data URL named, lower case; None when none was named."""

    @property
    def head(self) -> bytes: ...

    @property
    def tail(self) -> bytes: ...

    @property
    def facts(self) -> ImageFacts | None:
        """What the image header said as it went by; None when the content is not an image we can read."""

    def open(self) -> AsyncIterator[bytes]:
        """The stored bytes in chunks, from the start; any number of times, also at once."""


class Embed(Struct, frozen=True):
    """A JSON string made of a text prefix and a blob's base64: `Embed(blob, "data:image/png;base64,")`."""

    blob: Blob
    prefix: str = ""


Tree = None | bool | int | float | str | Blob | Embed | list["Tree"] | dict[str, "Tree"]
"""A JSON value whose long base64 strings are blobs. Writing a bare Blob as a JSON string writes its standard base64."""
