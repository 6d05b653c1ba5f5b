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

from imageway.sandbox import Sandbox, SandboxAnswer, SandboxRequest

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
    sent = Sent()
    try:
        answer = await sandbox.handle(_request(scope, receive))
        await _answer(answer, scope["method"], send, sent)
    except ConnectionResetError:
        transport = _find_transport(send)
        if transport is None:
            raise
        await _cut(transport, quietly=sent.body_bytes > 0)
        await _until_gone(receive)


@dataclass(slots=True)
class Sent:
    """How much of an answer is out."""

    body_bytes: int = 0


async def _answer(answer: SandboxAnswer, method: str, send: Send, sent: Sent) -> None:
    headers = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in answer.headers]
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    async for chunk in answer.chunks:
        if method != "HEAD":
            await send({"type": "http.response.body", "body": chunk, "more_body": True})
            sent.body_bytes += len(chunk)
    await send({"type": "http.response.body", "body": b"", "more_body": False})


def _request(scope: Scope, receive: Receive) -> SandboxRequest:
    headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
    return SandboxRequest(
        method=scope["method"],
        path=scope["path"],
        origin=f"{scope['scheme']}://{headers.get('host') or _address(scope)}",
        query=dict(parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True)),
        headers=headers,
        body=_body(receive),
    )


def _address(scope: Scope) -> str:
    host, port = scope.get("server") or ("127.0.0.1", None)
    return f"{host}:{port}" if port else str(host)


async def _body(receive: Receive) -> AsyncIterator[bytes]:
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ConnectionResetError("the client went away while it was sending")
        if chunk := message.get("body", b""):
            yield chunk
        if not message.get("more_body", False):
            return


async def _until_gone(receive: Receive) -> None:
    """Servers take an application that returns early for a failed one; it returns once the connection is known dead."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(5):
            while (await receive())["type"] != "http.disconnect":
                pass


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
