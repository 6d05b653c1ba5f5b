"""The sandbox over HTTP: a raw ASGI application that passes requests on and, where a fault asks for it, cuts the
connection for real. It knows no provider."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, MutableMapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import parse_qsl

from imageway.sandbox import Sandbox, SandboxRequest

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
DRAIN_S: Final = 5.0
DRAIN_STEPS: Final = 500
Application = Callable[[Scope, Receive, Send], Awaitable[None]]


def sandbox_app(sandbox: Sandbox) -> Application:
    """An ASGI application. Under uvicorn a ConnectionResetError of the sandbox becomes a TCP reset, or the end of the
    connection in the middle of a body; under a server whose transport cannot be reached, whatever that server does
    with an application that fails."""

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await _live(receive, send)
        elif scope["type"] == "http":
            await _serve(sandbox, scope, receive, send)

    return application


async def _live(receive: Receive, send: Send) -> None:
    for phase in ("startup", "shutdown"):
        await receive()
        await send({"type": f"lifespan.{phase}.complete"})


async def _serve(sandbox: Sandbox, scope: Scope, receive: Receive, send: Send) -> None:
    """Answers, unless the client goes away first: nobody then waits for an answer that may be ten minutes off."""
    inbox = Inbox(receive)
    sent = Sent()
    work = asyncio.create_task(_respond(sandbox, _request(scope, inbox), send, sent))
    watch = asyncio.create_task(inbox.until_gone())
    try:
        await asyncio.wait((work, watch), return_when=asyncio.FIRST_COMPLETED)
        if work.done():
            await work
    except ConnectionResetError:
        transport = _find_transport(send)
        if transport is None:
            raise
        await _cut(transport, quietly=sent.body_bytes > 0)
        with contextlib.suppress(
            TimeoutError
        ):  # an application that returns while its client is there counts as failed
            await asyncio.wait_for(asyncio.shield(watch), DRAIN_S)
    finally:
        work.cancel()
        watch.cancel()
        await asyncio.gather(work, watch, return_exceptions=True)


class Inbox:
    """What a client sends: a body, and at some time after it that he is gone. One reader each, the body first."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._body_read = asyncio.Event()

    async def body(self) -> AsyncIterator[bytes]:
        try:
            while True:
                message = await self._receive()
                if message["type"] == "http.disconnect":
                    raise ConnectionResetError("the client went away while it was sending")
                if chunk := message.get("body", b""):
                    yield chunk
                if not message.get("more_body", False):
                    return
        finally:
            self._body_read.set()

    async def until_gone(self) -> None:
        await self._body_read.wait()
        while (await self._receive())["type"] != "http.disconnect":
            pass


@dataclass(slots=True)
class Sent:
    """How much of an answer is out."""

    body_bytes: int = 0


async def _respond(sandbox: Sandbox, request: SandboxRequest, send: Send, sent: Sent) -> None:
    answer = await sandbox.handle(request)
    headers = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in answer.headers]
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    async for chunk in answer.chunks:
        if request.method != "HEAD":
            await send({"type": "http.response.body", "body": chunk, "more_body": True})
            sent.body_bytes += len(chunk)
    await send({"type": "http.response.body", "body": b"", "more_body": False})


def _request(scope: Scope, inbox: Inbox) -> SandboxRequest:
    headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
    return SandboxRequest(
        method=scope["method"],
        path=scope["path"],
        origin=f"{scope['scheme']}://{headers.get('host') or _address(scope)}",
        query=dict(parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True)),
        headers=headers,
        body=inbox.body(),
    )


def _address(scope: Scope) -> str:
    host, port = scope.get("server") or ("127.0.0.1", None)
    return f"{host}:{port}" if port else str(host)


async def _cut(transport: asyncio.Transport, *, quietly: bool) -> None:
    """Ends a connection in the middle: with an ordinary end once part of a body is out, else with a reset. What was
    written is let out first, so that the headers of a cut answer arrive."""
    for _ in range(DRAIN_STEPS):
        if transport.is_closing() or not transport.get_write_buffer_size():
            break
        await asyncio.sleep(DRAIN_S / DRAIN_STEPS)
    if quietly:
        transport.close()
        return
    handle = transport.get_extra_info("socket")
    if handle is not None:  # the loop's own object may not let options be set; a duplicate of the descriptor does
        with contextlib.suppress(OSError), socket.socket(fileno=os.dup(handle.fileno())) as own:
            own.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()


def _find_transport(send: object, depth: int = 8) -> asyncio.Transport | None:
    """The transport behind `send`. ASGI has no word for cutting a connection, so we look where servers keep it: on the
    object whose method `send` is, beneath any wrappers."""
    found = getattr(getattr(send, "__self__", None), "transport", None)
    if found is not None:
        return found if hasattr(found, "abort") else None
    for inner in _wrapped(send):
        if depth and (deeper := _find_transport(inner, depth - 1)) is not None:
            return deeper
    return None


def _wrapped(send: object) -> Iterable[object]:
    for cell in getattr(send, "__closure__", None) or ():
        with contextlib.suppress(ValueError):  # an empty cell
            if callable(cell.cell_contents):
                yield cell.cell_contents
