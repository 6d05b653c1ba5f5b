"""A task's events as the server-sent events of one dialect: heartbeats while nothing comes, one last event whatever
happens."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass

from imageway.bodies import Payload, stream_payload
from imageway.core.errors import GatewayError
from imageway.core.failures import StoreFailed
from imageway.core.intents import Broken, Dialect, Event, Finished, Generate, Where
from imageway.core.streams import StreamEvent
from imageway.dialects.shared.answers import warnings_header
from imageway.engine.replay import Replay
from imageway.engine.runs import TaskHandle
from imageway.telemetry import events, logger

Headers = tuple[tuple[str, str], ...]


@dataclass(slots=True)
class EventStream:
    """What one caller is told of one task. `heartbeat_s`: a connection is never silent for longer."""

    dialect: Dialect
    intent: Generate
    handle: TaskHandle | Replay
    heartbeat_s: float

    async def opened(self) -> Payload:
        """Waits for the first event, as long as a connection may be silent: what ends before it can still be answered
        with a status of its own, unless that is a 200. Raises GatewayError."""
        source = self.handle.events()
        first = asyncio.ensure_future(anext(source))
        try:
            await asyncio.wait({first}, timeout=self.heartbeat_s)
            if first.done() and not self._is_no_error(first.exception()):
                first.result()
        except BaseException:
            first.cancel()
            raise
        return stream_payload(self._written(source, first), self.dialect.line_end)

    def _is_no_error(self, failure: BaseException | None) -> bool:
        """Some formats have a refused prompt for an answer like any other."""
        if not isinstance(failure, GatewayError):
            return False
        return self.dialect.encode_error(Where(None, self.handle.id), failure).status < 300

    def headers(self) -> Headers:
        label = (("x-imageway-sandbox", "true"),) if self.handle.sandbox else ()
        fixed = (("x-request-id", self.handle.id), ("cache-control", "no-cache"), ("x-accel-buffering", "no"))
        seeds = ",".join(map(str, self.handle.seeds))
        known = (("x-imageway-seeds", seeds),) if seeds else ()
        return (*fixed, *label, *known, *warnings_header(self.handle.warnings))

    async def _written(
        self, source: AsyncIterator[Event], pending: asyncio.Future[Event]
    ) -> AsyncIterator[StreamEvent | bytes]:
        try:
            while True:
                if not pending.done():
                    if self.dialect.heartbeat:
                        yield self.dialect.heartbeat
                    await asyncio.wait({pending}, timeout=self.heartbeat_s)
                    continue
                event = self._result(pending)
                for written in self._encoded(event):
                    yield written
                if isinstance(event, Finished | Broken):
                    return
                pending = asyncio.ensure_future(anext(source))
                await asyncio.wait({pending}, timeout=self.heartbeat_s)
        finally:
            pending.cancel()

    def _result(self, pending: asyncio.Future[Event]) -> Event:
        """There is nobody left to raise to: a stream that has begun ends with an event."""
        try:
            return pending.result()
        except GatewayError as error:
            return Broken(self.handle.id, error)
        except StoreFailed as error:
            logger().error(events.STORE_FAILED, path=self.handle.id, detail=str(error))
            busy = GatewayError("overloaded", "the database does not answer just now", retry_after_s=1)
            return Broken(self.handle.id, busy)
        except Exception as error:  # noqa: BLE001  # the last wall: a hole of ours is logged whole
            logger().exception(events.REQUEST_CRASHED, path=self.handle.id, exc_info=error)
            return Broken(self.handle.id, GatewayError("internal_error", "the gateway failed on this request"))

    def _encoded(self, event: Event) -> tuple[StreamEvent, ...]:
        encode = self.dialect.encode_event
        return encode(self.intent, event) if encode else ()
