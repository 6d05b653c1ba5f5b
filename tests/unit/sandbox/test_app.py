"""The sandbox's site, driven without a connection: requests are passed on whole, answers and faults come back."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from imageway.sandbox import SandboxAnswer, SandboxRequest
from imageway.server.gate import Outgoing
from imageway.server.routes import Head
from imageway.server.sandbox_app import sandbox_app


class Echo:
    """Answers what it was asked; or cuts, before its answer or in the middle of it."""

    def __init__(self, cuts: str = "") -> None:
        self._cuts = cuts

    async def handle(self, request: SandboxRequest) -> SandboxAnswer:
        if self._cuts == "before":
            raise ConnectionResetError
        body = b"".join([chunk async for chunk in request.body])
        seen = {"path": request.path, "origin": request.origin, "query": dict(request.query), "body": body.decode()}
        return SandboxAnswer(200, (("content-type", "application/json"),), self._answer(json.dumps(seen).encode()))

    async def _answer(self, content: bytes) -> AsyncIterator[bytes]:
        yield content[:5]
        if self._cuts == "in the middle":
            raise ConnectionResetError
        yield content[5:]


async def sent(*chunks: bytes) -> AsyncIterator[bytes]:
    for chunk in chunks:
        yield chunk


async def drive(sandbox: Any, headers: dict[str, str] | None = None) -> Outgoing:
    head = Head("POST", "/x", {"a": "2", "b": ""}, {"host": "localhost:8500"} if headers is None else headers)
    return await sandbox_app(sandbox).handle(head, sent(b"ab", b"c"))


async def read(outgoing: Outgoing) -> bytes:
    return b"".join([chunk async for chunk in outgoing.payload.chunks()])


async def test_a_request_is_passed_on_whole() -> None:
    outgoing = await drive(Echo())
    assert (outgoing.status, outgoing.headers) == (200, (("content-type", "application/json"),))
    assert json.loads(await read(outgoing)) == {
        "path": "/x",
        "origin": "http://localhost:8500",
        "query": {"a": "2", "b": ""},
        "body": "abc",
    }


async def test_an_answer_is_a_stream_unless_its_headers_tell_a_length() -> None:
    assert (await drive(Echo())).payload.length == -1


async def test_answers_by_url_point_somewhere_even_without_a_host() -> None:
    assert json.loads(await read(await drive(Echo(), {})))["origin"] == "http://127.0.0.1"


async def test_a_cut_is_passed_on_wherever_it_happens() -> None:
    with pytest.raises(ConnectionResetError):
        await drive(Echo("before"))
    chunks = (await drive(Echo("in the middle"))).payload.chunks()
    assert await anext(chunks) == b'{"pat'
    with pytest.raises(ConnectionResetError):
        await anext(chunks)
