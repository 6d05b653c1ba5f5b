"""The body of one request while it arrives: an asynchronous iterator whose reader holds the client back."""

from __future__ import annotations

import asyncio
import math
from collections import deque
from collections.abc import AsyncIterator
from typing import Final, Protocol

from imageway.core.errors import GatewayError
from imageway.server.http.chunking import ChunkedReader
from imageway.server.http.heads import CHUNKED, RequestHead
from imageway.server.limits import ConnectionLimits

HELD_BYTES: Final = 64 * 1024
_CRUMBS: Final = 8  # more chunks in what was read at once are one piece: each costs everybody on its way


class Flow(Protocol):
    """What a body asks of its connection."""

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...

    def invite_body(self) -> None:
        """Says "100 Continue"."""


class RequestBody:
    """`left_bytes` of a body whose length was told are still to come; of any other, CHUNKED."""

    __slots__ = (
        "_chunked",
        "_expects",
        "_flow",
        "_held_bytes",
        "_late",
        "_limits",
        "_pieces",
        "_until_s",
        "_waiter",
        "_waits_until_s",
        "complete",
        "left_bytes",
    )

    def __init__(self, flow: Flow, request: RequestHead, limits: ConnectionLimits) -> None:
        self.complete = request.length == 0
        self.left_bytes = request.length
        self._flow = flow
        self._limits = limits
        self._chunked = ChunkedReader() if request.length == CHUNKED else None
        self._expects = request.expects
        self._pieces: deque[bytes] = deque()
        self._held_bytes = 0
        self._late = False
        self._waiter: asyncio.Future[None] | None = None
        self._waits_until_s = 0.0
        self._until_s = math.inf

    def arrive(self, data: bytes) -> bytes | None:
        """Takes what has come. What stands behind the end of the body is given back; None: there is more to come.
        Raises Malformed."""
        if self._chunked is not None:
            pieces = self._chunked.feed(data)
            if len(pieces) > _CRUMBS:
                pieces = [b"".join(pieces)]
            for piece in pieces:
                self._keep(piece)
            rest = self._chunked.rest
            self.complete = rest is not None
        elif len(data) < self.left_bytes:
            self.left_bytes -= len(data)
            self._keep(data)
            rest = None
        else:
            self.complete = True
            self._keep(data[: self.left_bytes])
            rest = data[self.left_bytes :]
            self.left_bytes = 0
        if self._waiter is not None and (self._pieces or self.complete):
            self._wake(self._waiter)
        return rest

    def discard(self) -> bool:
        """Nobody reads on. Whether the little that may be still to come is worth waiting for: not when it is late, nor
        when the client has not begun because nobody told it to; then the connection had better end."""
        self._pieces.clear()
        self._held_bytes = 0  # what still comes of a body worth waiting for then never holds the client back
        return self.complete or (0 < self.left_bytes <= HELD_BYTES and not self._expects and not self._late)

    def check(self, now_s: float) -> None:
        """Ends the wait of a reader whose client takes too long."""
        waiter = self._waiter
        if waiter is not None and not waiter.done() and now_s >= min(self._waits_until_s, self._until_s):
            self._late = True
            limits = self._limits
            why = f"no more of it came for {limits.body_idle_s:g} s, or it took longer than {limits.body_s:g} s"
            waiter.set_exception(GatewayError("request_timeout_body", f"the body is not complete: {why}"))

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        while not self._pieces:
            if self.complete:
                raise StopAsyncIteration
            await self._wait()
        piece = self._pieces.popleft()
        held_bytes = self._held_bytes
        self._held_bytes -= len(piece)
        if self._held_bytes <= HELD_BYTES < held_bytes:
            self._flow.resume_reading()
        return piece

    async def _wait(self) -> None:
        if self._expects:
            self._expects = False
            self._flow.invite_body()
        loop = asyncio.get_running_loop()
        now_s = loop.time()
        if self._until_s == math.inf:
            self._until_s = now_s + self._limits.body_s
        self._waits_until_s = now_s + self._limits.body_idle_s
        self._waiter = loop.create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None

    def _keep(self, piece: bytes) -> None:
        if not piece:
            return
        self._expects = False
        self._pieces.append(piece)
        held_bytes = self._held_bytes
        self._held_bytes += len(piece)
        if held_bytes <= HELD_BYTES < self._held_bytes and not self.complete:
            self._flow.pause_reading()

    @staticmethod
    def _wake(waiter: asyncio.Future[None]) -> None:
        if not waiter.done():
            waiter.set_result(None)
