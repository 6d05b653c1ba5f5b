"""What becomes of a task as server-sent events of one dialect, with heartbeats while nothing comes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass

from imageway.bodies import Payload, stream_payload
from imageway.core.errors import GatewayError
from imageway.core.failures import StoreFailed
from imageway.core.intents import Dialect, TaskNews
from imageway.core.streams import StreamEvent
from imageway.telemetry import events, logger


@dataclass(slots=True)
class NewsStream:
    """A connection is never silent for longer than `heartbeat_s`."""

    dialect: Dialect
    heartbeat_s: float

    async def opened(self, source: AsyncGenerator[TaskNews, None]) -> Payload | None:
        """Waits for the first news, as long as a connection may be silent: a task that is not there is answered with a
        status of its own. None: there is nothing left to tell. Raises GatewayError."""
        first = asyncio.ensure_future(anext(source, None))
        try:
            await asyncio.wait({first}, timeout=self.heartbeat_s)
            if first.done() and first.result() is None:
                return None
        except BaseException:
            first.cancel()
            raise
        return stream_payload(self._written(source, first))

    async def _written(
        self, source: AsyncGenerator[TaskNews, None], pending: asyncio.Future[TaskNews | None]
    ) -> AsyncIterator[StreamEvent | bytes]:
        encode = self.dialect.encode_news
        async with aclosing(source):
            try:
                while True:
                    if not pending.done():
                        yield self.dialect.heartbeat
                        await asyncio.wait({pending}, timeout=self.heartbeat_s)
                        continue
                    news = pending.result()
                    if news is None or encode is None:
                        return
                    yield encode(news)
                    pending = asyncio.ensure_future(anext(source, None))
                    await asyncio.wait({pending}, timeout=self.heartbeat_s)
            except (GatewayError, StoreFailed) as error:  # whoever follows comes back, and goes on where this ended
                logger().error(events.STORE_FAILED, detail=str(error))
            finally:
                if pending.cancel():  # what has ended already counts as heard with this
                    await asyncio.wait({pending})


def unread() -> Payload:
    """A stream of which HEAD asks for the headers alone."""
    return stream_payload(_nothing())


async def _nothing() -> AsyncIterator[StreamEvent | bytes]:
    return
    yield b""
