"""Content for media stores, and the few acts that their tests are made of."""

from __future__ import annotations

from collections.abc import AsyncIterator

from imageway.core.objects import ObjectStore, StoredObject

NEVER_MS = 4_000_000_000_000
HOUR_MS = 3_600_000


async def chunks(*contents: bytes) -> AsyncIterator[bytes]:
    for content in contents:
        yield content


async def read(store: ObjectStore, name: str, start: int = 0, end: int = 1 << 40) -> bytes:
    return b"".join([chunk async for chunk in store.open(name, start, end)])


async def put(store: ObjectStore, name: str, *contents: bytes, expires_ms: int = NEVER_MS) -> StoredObject:
    return await store.put(name, chunks(*contents), media_type="image/png", expires_ms=expires_ms)
