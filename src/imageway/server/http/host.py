"""All connections of one listening process: the clock that ends what takes too long, and the end of them all."""

from __future__ import annotations

import asyncio
import contextlib
import time
from email.utils import formatdate
from typing import Final

from imageway.server.http.connection import Connection, Shared
from imageway.server.http.site import Site
from imageway.server.limits import ConnectionLimits

_TICK_S: Final = 0.25
_LAST_WORDS_S: Final = 1.0


class Host:
    """Make one within the running loop. One timer looks after all connections: setting and stopping several of them for
    every request costs as much as reading its head."""

    def __init__(self, site: Site, limits: ConnectionLimits) -> None:
        self._shared = Shared(site, limits, asyncio.get_running_loop())
        self._tick()

    def connection(self) -> Connection:
        """The protocol of a new connection."""
        return Connection(self._shared)

    async def close(self, grace_s: float) -> None:
        """Ends what is idle; every request under way is answered, within the grace, on a connection that then ends."""
        self._shared.closing = True
        for connection in tuple(self._shared.connections):
            connection.retire()
        await self._wait_for_the_last(grace_s)
        for connection in tuple(self._shared.connections):
            connection.abort()
        await self._wait_for_the_last(_LAST_WORDS_S)
        self._timer.cancel()

    async def _wait_for_the_last(self, limit_s: float) -> None:
        if self._shared.connections:
            self._shared.none_left.clear()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._shared.none_left.wait(), limit_s)

    def _tick(self) -> None:
        shared = self._shared
        now_s = shared.loop.time()
        shared.date = f"date: {formatdate(time.time(), usegmt=True)}\r\n"
        self._timer = shared.loop.call_later(_TICK_S, self._tick)
        for connection in tuple(shared.connections):
            connection.check(now_s)
