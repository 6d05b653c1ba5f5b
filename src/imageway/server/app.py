"""The ASGI callable: bytes in and out, hang-ups noticed, nothing decided. Everything else happens behind `gate`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import parse_qsl

from imageway.core.errors import GatewayError
from imageway.core.ids import new_id
from imageway.core.ports import FaultPoints
from imageway.media.links import PREFIX
from imageway.server.gate import Gate, Head, Outgoing
from imageway.server.limits import ConnectionLimits
from imageway.server.links import MediaLinks
from imageway.telemetry import events, logger

LINGER_S = 1.0
LINGER_BYTES = 4 * 1024 * 1024

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]


class HungUp(asyncio.CancelledError):
    """The client went away before its request was complete: to everyone within, the same as being cancelled."""


@dataclass(slots=True)
class App:
    """`ready` False: /readyz says so, and load balancers look elsewhere."""

    gate: Gate
    media: MediaLinks
    faults: FaultPoints
    limits: ConnectionLimits = field(default_factory=ConnectionLimits)
    ready: bool = True

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        path: str = scope["path"]
        if path in ("/healthz", "/readyz"):
            await self._health(scope["method"], path, send)
            return
        head = head_of(scope)
        if path.startswith(PREFIX):
            await self._media(head, receive, send)
        else:
            await self._image(head, receive, send)

    async def _image(self, head: Head, receive: Receive, send: Send) -> None:
        working = asyncio.current_task()
        watch: asyncio.Task[None] | None = None

        def watch_now() -> None:
            nonlocal watch
            if working is not None:
                watch = asyncio.get_running_loop().create_task(_cancel_on_hang_up(receive, working))

        outgoing: Outgoing | None = None
        complete = False
        try:
            outgoing = await self.gate.handle(head, _chunks(receive, watch_now, self.limits))
            early = watch is None  # answered before the body was read: only errors are
            await self._answer(outgoing, send, receive if early and head.method == "POST" else None)
            complete = early or (watch is not None and not watch.done())
        except HungUp:
            pass
        except OSError as error:  # the spool: what was not delivered is kept, or refunded
            logger().error(events.REQUEST_FAILED, path=head.path, detail=str(error))
        except asyncio.CancelledError:
            if watch is None or not watch.done():
                raise  # the server itself is ending this request
        finally:
            if watch is not None:
                watch.cancel()
            if outgoing is not None:
                outgoing.finish(complete)

    async def _answer(self, outgoing: Outgoing, send: Send, unread: Receive | None = None) -> None:
        """`unread`: what is left of the request; it is discarded for a moment, so that the client, still sending, gets
        to read the answer before the connection is closed on it."""
        payload = outgoing.payload
        headers = [(name.encode("latin-1"), value.encode("latin-1", "replace")) for name, value in outgoing.headers]
        if payload.length >= 0:
            headers += [(b"content-type", payload.content_type.encode()), (b"content-length", b"%d" % payload.length)]
        if unread is not None:
            headers.append((b"connection", b"close"))
        await send({"type": "http.response.start", "status": outgoing.status, "headers": headers})
        held: bytes | None = None
        async for chunk in payload.chunks():
            if held is not None:
                await send({"type": "http.response.body", "body": held, "more_body": True})
            held = chunk
        if outgoing.status == 200:
            await _notice_hang_up()
            self.faults.reach("before_last_byte")
        if unread is not None:
            await send({"type": "http.response.body", "body": held or b"", "more_body": True})
            await _discard(unread)
            held = None
        await send({"type": "http.response.body", "body": held or b""})

    async def _media(self, head: Head, receive: Receive, send: Send) -> None:
        try:
            outgoing = await self.media.serve(head)
        except GatewayError as error:
            outgoing = self.gate.refuse(error)
        except OSError as error:
            logger().error(events.REQUEST_FAILED, path=head.path, detail=str(error))
            busy = GatewayError("overloaded", "the image could not be read just now", retry_after_s=1)
            outgoing = self.gate.refuse(busy)
        else:
            named = ("x-request-id", new_id("req", self.gate.random))
            outgoing = replace(outgoing, headers=(*outgoing.headers, named))
        try:
            await self._answer(outgoing, send)
        except (OSError, EOFError) as error:
            # Its length was told: a connection that ends before says that something is missing.
            logger().error(events.MEDIA_FAILED, path=head.path, detail=str(error))
        finally:
            outgoing.finish(True)

    async def _health(self, method: str, path: str, send: Send) -> None:
        if method not in ("GET", "HEAD"):
            refused = GatewayError("method_not_allowed", f'"{method}" is not for {path}; use GET or HEAD')
            outgoing = self.gate.refuse(refused)
            await self._answer(outgoing, send)
            outgoing.finish(True)
            return
        ok = path == "/healthz" or self.ready
        body = b'{"status":"ok"}' if ok else b'{"status":"draining"}'
        headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
        headers.append((b"x-request-id", new_id("req", self.gate.random).encode()))
        if not ok:
            headers.append((b"retry-after", b"1"))
        await send({"type": "http.response.start", "status": 200 if ok else 503, "headers": headers})
        await send({"type": "http.response.body", "body": body})


def head_of(scope: Message) -> Head:
    """Header names arrive in lower case; of repeated ones the last counts, as of query names."""
    headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
    text = scope["query_string"].decode("latin-1")
    query = dict(parse_qsl(text, keep_blank_values=True)) if text else {}
    return Head(scope["method"], scope["path"], query, headers)


async def _chunks(receive: Receive, complete: Callable[[], None], limits: ConnectionLimits) -> AsyncIterator[bytes]:
    """The body, with `complete` called when it is all there. A client that sends nothing for a while is refused, and
    one that takes too long over it."""
    until_s = asyncio.get_running_loop().time() + limits.body_s
    while True:
        left_s = until_s - asyncio.get_running_loop().time()
        try:
            async with asyncio.timeout(min(limits.body_idle_s, left_s)):
                message = await receive()
        except TimeoutError:
            why = f"no more of it came for {limits.body_idle_s:g} s, or it took longer than {limits.body_s:g} s"
            raise GatewayError("request_timeout_body", f"the body is not complete: {why}") from None
        if message["type"] == "http.disconnect":
            raise HungUp
        body: bytes = message.get("body", b"")
        if not message.get("more_body", False):
            complete()
            if body:
                yield body
            return
        if body:
            yield body


async def _notice_hang_up() -> None:
    """Lets the loop tell of a connection that broke while nothing waited for it: what is written to one is dropped
    without a word, and an answer would pass for delivered. The first turn ends the connection, the second the task."""
    await asyncio.sleep(0)
    await asyncio.sleep(0)


async def _discard(receive: Receive) -> None:
    left_bytes = LINGER_BYTES
    try:
        async with asyncio.timeout(LINGER_S):
            while left_bytes > 0:
                message = await receive()
                if message["type"] == "http.disconnect" or not message.get("more_body", False):
                    return
                left_bytes -= len(message.get("body", b""))
    except TimeoutError:
        return


async def _cancel_on_hang_up(receive: Receive, working: asyncio.Task[Any]) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    working.cancel()
