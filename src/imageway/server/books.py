"""The store alone, for commands that look at it or change it while a gateway runs."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator

from imageway.core.ops import Store
from imageway.server.configuration import Settings
from imageway.server.machine import made_private
from imageway.storage import open_store


@contextlib.asynccontextmanager
async def open_books(settings: Settings) -> AsyncIterator[Store]:
    """Makes the data directory and the tables when they are not there."""
    made_private(settings.data)
    store = await open_store(settings.database_url)
    try:
        yield store
    finally:
        await store.close()
