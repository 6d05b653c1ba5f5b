"""Where images are kept until their links expire: what every object store promises, whatever it is made of."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Final, Protocol, runtime_checkable

_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
_MEDIA_TYPE: Final = re.compile(r"[\x20-\x7e]{1,127}")


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredObject:
    """One object as it lies in the store. `etag` is the sha256 of the content in hex; times are epoch milliseconds."""

    name: str
    size_bytes: int
    media_type: str
    etag: str
    created_ms: int
    expires_ms: int


class ObjectStore(Protocol):
    """Whole objects under names that `check_name` accepts. An object is there completely and durably, or not at all."""

    async def put(self, name: str, content: AsyncIterator[bytes], *, media_type: str, expires_ms: int) -> StoredObject:
        """Store `content` under `name`, in place of what was there; returns when it would survive a power cut."""

    async def find(self, name: str) -> StoredObject | None:
        """What is known about `name`; None when there is nothing (an impossible name is nothing too)."""

    def open(self, name: str, start: int, end: int) -> AsyncIterator[bytes]:
        """The bytes from `start` up to, not including, `end`; a reader that has begun is not disturbed by `delete`.
        Raises FileNotFoundError when there is no such object."""

    async def delete(self, name: str) -> bool:
        """Whether there was one."""

    async def sweep(self, now_ms: int) -> int:
        """Remove what has expired by `now_ms` and what dead writers left behind; the number of objects removed."""


@runtime_checkable
class Presigner(Protocol):
    """A store that can send readers to itself."""

    async def presigned(self, name: str, *, lives_s: int) -> str:
        """A URL at the store that gives one object to whoever has it, for so long, without any other credential."""


def check_name(name: str) -> str:
    """`name` itself when no store could take it for a path: 1 to 128 of A-Z a-z 0-9 . _ -, opening with a letter or
    digit. Anything else raises ValueError."""
    if _NAME.fullmatch(name) is None:
        raise ValueError(f'"{name[:140]}" cannot name an object: use 1 to 128 letters, digits, ".", "_" and "-"')
    return name


def check_media_type(media_type: str) -> str:
    """`media_type` itself when it fits on one line of a header; else raises ValueError."""
    if _MEDIA_TYPE.fullmatch(media_type) is None:
        raise ValueError(f'"{media_type[:140]}" is not a media type')
    return media_type
