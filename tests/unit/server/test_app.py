"""What stands at which path, and who is told when an answer could not be sent to its end."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any, cast

import pytest
from structlog.testing import capture_logs

from imageway.bodies import Payload, json_payload
from imageway.core.errors import GatewayError
from imageway.server.app import App
from imageway.server.gate import Head, Outgoing
from imageway.telemetry import events

GENERATE, STORED = "/v1/images/generations", "/media/a.png"


@dataclass
class Behind:
    """Gate, media store, chance and fault points at once."""

    error: Exception | None = None
    reached: list[str] = field(default_factory=list)

    @property
    def random(self) -> Any:
        return self

    def token_bytes(self, count: int) -> bytes:
        return bytes(count)

    async def handle(self, head: Head, chunks: AsyncIterator[bytes]) -> Outgoing:
        return answer(200, "the gate")

    async def serve(self, head: Head) -> Outgoing:
        if self.error is not None:
            raise self.error
        return answer(200, "the store")

    def refuse(self, error: GatewayError) -> Outgoing:
        return answer(error.kind.status, error.code)

    def reach(self, name: str) -> None:
        self.reached.append(name)


def answer(status: int, told: str) -> Outgoing:
    return Outgoing(status, (), json_payload({"told": told}), lambda complete: None)


async def nothing() -> AsyncIterator[bytes]:
    return
    yield b""


def app_before(behind: Behind) -> App:
    return App(cast("Any", behind), cast("Any", behind), cast("Any", behind), cast("Any", behind))


async def ask(app: App, method: str, path: str) -> tuple[int, Any, dict[str, str]]:
    outgoing = await app.handle(Head(method, path, {}, {}), nothing())
    content = b"".join([chunk async for chunk in outgoing.payload.chunks()])
    return outgoing.status, json.loads(content), dict(outgoing.headers)


async def test_everything_has_its_place() -> None:
    app = app_before(Behind())
    assert (await ask(app, "POST", GENERATE))[:2] == (200, {"told": "the gate"})
    status, told, headers = await ask(app, "GET", STORED)
    assert (status, told) == (200, {"told": "the store"})
    assert headers["x-request-id"].startswith("req")


async def test_health_and_readiness_are_two_things() -> None:
    app = app_before(Behind())
    for path in ("/healthz", "/readyz"):
        status, told, headers = await ask(app, "GET", path)
        assert (status, told) == (200, {"status": "ok"})
        assert headers["x-request-id"]
    app.ready = False
    assert (await ask(app, "GET", "/healthz"))[0] == 200
    status, told, headers = await ask(app, "GET", "/readyz")
    assert (status, told, headers["retry-after"]) == (503, {"status": "draining"}, "1")


@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
async def test_health_is_only_asked_for(path: str) -> None:
    assert (await ask(app_before(Behind()), "POST", path))[:2] == (405, {"told": "method_not_allowed"})


async def test_a_store_that_cannot_be_read_is_told_as_busy() -> None:
    app = app_before(Behind(OSError(5, "Input/output error")))
    with capture_logs() as told:
        assert (await ask(app, "GET", STORED))[:2] == (503, {"told": "overloaded"})
    assert [line["event"] for line in told] == [events.REQUEST_FAILED]
    gone = app_before(Behind(GatewayError("link_expired", "it has expired")))
    assert (await ask(gone, "GET", STORED))[:2] == (410, {"told": "link_expired"})


@pytest.mark.parametrize(
    ("path", "error", "event"),
    [
        (STORED, OSError(5, "Input/output error"), events.MEDIA_FAILED),
        (STORED, EOFError("cut"), events.MEDIA_FAILED),
        (GENERATE, FileNotFoundError("swept"), events.REQUEST_FAILED),
        (GENERATE, ValueError("a hole"), events.REQUEST_CRASHED),
    ],
)
async def test_who_is_told_of_an_answer_that_ends_early(path: str, error: Exception, event: str) -> None:
    with capture_logs() as told:
        app_before(Behind()).cut(Head("GET", path, {}, {}), error)
    assert [line["event"] for line in told] == [event]


async def test_the_last_byte_of_what_was_paid_for_is_a_point_of_its_own() -> None:
    behind = Behind()
    app = app_before(behind)
    for path, status in ((GENERATE, 200), (STORED, 200), (GENERATE, 400), ("/healthz", 200)):
        app.before_last_byte(Head("GET", path, {}, {}), Outgoing(status, (), Payload(0, "", nothing), print))
    assert behind.reached == ["before_last_byte"] * 2
