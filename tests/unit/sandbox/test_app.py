"""The sandbox's HTTP host as an ASGI application, driven without a server."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, MutableMapping
from typing import Any

import pytest

from imageway.sandbox import SandboxAnswer, SandboxRequest
from imageway.server.sandbox_app import sandbox_app

Message = MutableMapping[str, Any]


class Echo:
    """Answers what it was asked; or cuts."""

    def __init__(self, *, cuts: bool = False) -> None:
        self._cuts = cuts

    async def handle(self, request: SandboxRequest) -> SandboxAnswer:
        if self._cuts:
            raise ConnectionResetError
        body = b"".join([chunk async for chunk in request.body])
        seen = {"path": request.path, "origin": request.origin, "query": dict(request.query), "body": body.decode()}
        return SandboxAnswer(200, (("content-type", "application/json"),), _once(json.dumps(seen).encode()))


async def _once(content: bytes) -> AsyncIterator[bytes]:
    yield content


async def drive(sandbox: Any, *messages: Message, method: str = "POST") -> list[Message]:
    scope = {
        "type": "http",
        "method": method,
        "path": "/x",
        "query_string": b"a=1&b=&a=2",
        "scheme": "http",
        "headers": [(b"Host", b"localhost:8500")],
        "server": ("127.0.0.1", 9),
    }
    waiting, sent = list(messages), []

    async def receive() -> Message:
        if not waiting:
            await asyncio.Event().wait()
        return waiting.pop(0)

    async def send(message: Message) -> None:
        sent.append(message)

    await sandbox_app(sandbox)(scope, receive, send)
    return sent


async def test_a_request_is_passed_on_whole() -> None:
    sent = await drive(
        Echo(),
        {"type": "http.request", "body": b"ab", "more_body": True},
        {"type": "http.request", "body": b"c", "more_body": False},
    )
    assert sent[0]["status"] == 200
    assert json.loads(sent[1]["body"]) == {
        "path": "/x",
        "origin": "http://localhost:8500",
        "query": {"a": "2", "b": ""},
        "body": "abc",
    }
    assert sent[-1] == {"type": "http.response.body", "body": b"", "more_body": False}


async def test_head_has_no_body() -> None:
    sent = await drive(Echo(), {"type": "http.request"}, method="HEAD")
    assert b"".join(message.get("body", b"") for message in sent) == b""


async def test_without_a_transport_a_cut_is_left_to_the_server() -> None:
    with pytest.raises(ConnectionResetError):
        await drive(Echo(cuts=True))


async def test_a_client_that_goes_away_while_sending_is_not_answered() -> None:
    with pytest.raises(ConnectionResetError):
        await drive(Echo(), {"type": "http.request", "body": b"a", "more_body": True}, {"type": "http.disconnect"})


async def test_nobody_waits_for_a_client_that_hung_up() -> None:
    class Endless:
        async def handle(self, request: SandboxRequest) -> SandboxAnswer:
            async for _ in request.body:
                pass
            await asyncio.sleep(600)
            raise AssertionError("unreachable")

    async with asyncio.timeout(2):
        assert await drive(Endless(), {"type": "http.request"}, {"type": "http.disconnect"}) == []


async def test_it_starts_and_stops_with_its_server() -> None:
    waiting: list[Message] = [{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}]
    sent: list[Message] = []

    async def receive() -> Message:
        return waiting.pop(0)

    async def send(message: Message) -> None:
        sent.append(message)

    await sandbox_app(Echo())({"type": "lifespan"}, receive, send)
    assert [message["type"] for message in sent] == ["lifespan.startup.complete", "lifespan.shutdown.complete"]
