"""The gate with nothing behind it: what it makes of a database that is silent, of an answer that cannot be rendered,
and of two dialects that want one path."""

from __future__ import annotations

import asyncio
import gc
import hashlib
import hmac
import json
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import pytest
from structlog.testing import capture_logs

from imageway.bodies import Budget, Spool, blob_of
from imageway.core.access import KeyScope
from imageway.core.errors import GatewayError
from imageway.core.failures import StoreFailed
from imageway.core.intents import Answer, CancelTask, Dialect, Generate, Inbound, Intent, Route, Upload, Uploaded, Where
from imageway.core.ops import Committed, Op
from imageway.core.requests import Caller, ImageRequest
from imageway.dialects import DIALECTS
from imageway.server.gate import Gate, Head, Outgoing
from imageway.server.machine import SystemClock
from imageway.server.routes import RouteTable
from imageway.server.scopes import check_entry
from imageway.server.signing import Seal, Signatures
from tests.values import replace

POST = Head("POST", "/v1/images/generations", {}, {"authorization": "Bearer k", "content-type": "application/json"})


@dataclass
class Handle:
    """A task that has ended, well or not."""

    error: GatewayError | None = None

    async def outcome(self) -> object:
        if self.error:
            raise self.error
        return object()


@dataclass
class Engine:
    handle: Handle = field(default_factory=Handle)
    cancel_error: GatewayError | None = None
    queue_error: Exception | None = None
    asked: asyncio.Event = field(default_factory=asyncio.Event)
    told: asyncio.Event = field(default_factory=asyncio.Event)
    said: list[str] = field(default_factory=list)

    def start(self, intent: Generate, caller: Caller, scope: Any) -> Handle:
        return self.handle

    async def cancel_task(self, task_id: str, caller: Caller) -> None:
        if self.cancel_error:
            raise self.cancel_error

    async def enqueue(self, intent: Generate, caller: Caller) -> None:
        self.asked.set()
        await self.told.wait()
        if self.queue_error:
            raise self.queue_error

    def leave(self, handle: Handle) -> None:
        self.said.append("left")

    def delivered(self, handle: Handle) -> None:
        self.said.append("delivered")


class OneSecret:
    """A vault that opens all the same."""

    async def open(self, kind: str, holder_id: str) -> str:
        assert (kind, holder_id) == ("signing", "key")
        return "iwsig_" + "0" * 64


@dataclass
class Keys:
    silent: bool = False
    who: Caller = field(default_factory=lambda: Caller("key", "ws"))
    signatures: Signatures = field(
        default_factory=lambda: Signatures(cast("Any", Commits()), SystemClock(), cast("Any", OneSecret()))
    )

    async def caller(self, key: str | None) -> Caller:
        if self.silent:
            raise StoreFailed("the connection to the database is gone")
        return self.who

    def admit(self, caller: Caller, dialect: str, head: Head) -> None:
        check_entry(caller.scope, dialect, head, ())

    async def seal(self, caller: Caller, head: Head, chunks: AsyncIterator[bytes]) -> Seal:
        return await self.signatures.begin(caller.key_id, head, chunks)


class Commits:
    async def commit(self, *ops: Op) -> Committed:
        return Committed()


class Chance:
    def token_bytes(self, count: int) -> bytes:
        return bytes(count)

    def uniform(self) -> float:
        return 0.0


class Shelf:
    def family_of(self, name: str) -> str | None:
        return None


class Uploads:
    full = False

    @contextmanager
    def reading(self) -> Iterator[None]:
        if self.full:
            raise GatewayError("overloaded", "too many files are being uploaded just now")
        yield

    async def take(self, intent: Upload) -> Uploaded:
        return Uploaded(intent.name)


@dataclass
class Bench:
    gate: Gate
    engine: Engine
    keys: Keys
    spool: Spool

    async def ask(self, head: Head = POST, body: bytes = b"{}") -> tuple[Outgoing, bytes]:
        async def chunks() -> AsyncIterator[bytes]:
            yield body

        outgoing = await self.gate.handle(head, chunks())
        content = b"".join([chunk async for chunk in outgoing.payload.chunks()])
        outgoing.finish(True)
        return outgoing, content


def unable(intent: object, outcome: object) -> Any:
    raise KeyError("a hole of ours")


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    intent = Generate(request=ImageRequest(model="m", prompt="a cat"))
    dialect = replace(DIALECTS[0], decode=lambda inbound: intent, encode=unable)
    engine, keys, spool = Engine(), Keys(), Spool(tmp_path, Budget(1 << 20))
    gate = Gate(
        engine=cast("Any", engine),
        shelf=cast("Any", Shelf()),
        uploads=cast("Any", Uploads()),
        images=cast("Any", None),
        contents=cast("Any", None),
        keys=cast("Any", keys),
        spool=spool,
        random=Chance(),
        dialects=(dialect,),
        request_bytes=1000,
    )
    yield Bench(gate, engine, keys, spool)
    spool.close()


async def test_a_silent_database_is_a_503_that_may_be_sent_again(bench: Bench) -> None:
    """Not a 500: nothing of ours is broken, and nothing was bought."""
    bench.keys.silent = True
    outgoing, content = await bench.ask()
    headers = dict(outgoing.headers)
    assert (outgoing.status, headers["retry-after"]) == (503, "1")
    assert b'"overloaded"' in content
    assert b"connection" not in content


async def test_an_answer_that_cannot_be_rendered_counts_as_not_received(bench: Bench) -> None:
    """Its pictures were paid for: they are kept, or refunded."""
    outgoing, content = await bench.ask()
    assert (outgoing.status, bench.engine.said) == (500, ["left"])
    assert b"a hole of ours" not in content


@pytest.mark.parametrize(
    ("error", "logged"),
    [
        (None, []),
        (GatewayError("insufficient_balance", "none"), []),
        (StoreFailed("the connection to the database is gone"), ["store.failed"]),
        (KeyError("ours"), ["request.crashed"]),
    ],
)
async def test_what_is_queued_for_one_who_hung_up_is_not_left_unread(
    bench: Bench, error: Exception | None, logged: list[str]
) -> None:
    """Its body stays until it is queued or refused. A refusal nobody hears; a hole of ours is told once, by its name,
    and not by the event loop."""
    unread: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: unread.append(context["message"]))
    intent = Generate(request=ImageRequest(model="m", prompt="a cat"), background=True)
    bench.gate.routes = RouteTable((replace(bench.gate.dialects[0], decode=lambda inbound: intent),))
    bench.engine.queue_error = error
    asking = asyncio.ensure_future(bench.ask())
    await bench.engine.asked.wait()
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    with capture_logs() as logs:
        bench.engine.told.set()
        for _ in range(3):
            await asyncio.sleep(0)
        gc.collect()
    assert unread == []
    assert [entry["event"] for entry in logs] == logged


async def test_who_was_refused_listens_no_more(bench: Bench) -> None:
    bench.engine.handle.error = GatewayError("bad_response", "the provider failed")
    outgoing, _ = await bench.ask()
    assert (outgoing.status, bench.engine.said) == (502, ["left"])


async def test_a_key_for_other_formats_or_networks_is_refused_before_the_body_is_read(bench: Bench) -> None:
    for scope in (KeyScope(dialects=("another",)), KeyScope(networks=("203.0.113.0/24",))):
        bench.keys.who = Caller("key", "ws", scope=scope)
        outgoing = await bench.gate.handle(replace(POST, peer="198.51.100.1"), unread := Unread())
        assert (outgoing.status, unread.asked) == (403, False)
        assert b'"key_not_allowed"' in b"".join([chunk async for chunk in outgoing.payload.chunks()])
    assert bench.engine.said == []
    bench.keys.who = Caller("key", "ws", scope=KeyScope(networks=("203.0.113.0/24",), dialects=(DIALECTS[0].name,)))
    await bench.ask(replace(POST, peer="203.0.113.1"))
    assert bench.engine.said == ["left"]


async def test_a_signed_request_goes_on_when_its_last_byte_was_looked_at(bench: Bench) -> None:
    bench.keys.who = Caller("key", "ws", signed=True)
    for signed, said in ((b"{}", ["left"]), (b"{} ", [])):
        bench.engine.said.clear()
        timestamp = str(time.time())
        message = f"{timestamp}.POST.{POST.path}.".encode() + signed
        secret = (await OneSecret().open("signing", "key")).encode()
        signature = f"sha256={hmac.new(secret, message, hashlib.sha256).hexdigest()}"
        headers = {**POST.headers, "x-imageway-timestamp": timestamp, "x-imageway-signature": signature}
        outgoing, content = await bench.ask(replace(POST, headers=headers, target=POST.path))
        assert bench.engine.said == said
        assert (outgoing.status == 401) == (not said)
    assert b'"signature_mismatch"' in content


async def test_an_unsigned_request_of_a_signed_key_is_refused_before_the_body_is_read(bench: Bench) -> None:
    bench.keys.who = Caller("key", "ws", signed=True)
    outgoing = await bench.gate.handle(POST, unread := Unread())
    assert (outgoing.status, unread.asked) == (401, False)


class Unread:
    """A body that notices when somebody asks for it."""

    asked = False

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        self.asked = True
        raise StopAsyncIteration


async def test_a_path_is_repeated_only_so_far(bench: Bench) -> None:
    outgoing, content = await bench.ask(Head("GET", "/" + "x" * 50_000, {}, {}))
    assert outgoing.status == 404
    assert len(content) < 1000


async def test_a_length_in_other_digits_is_no_length(bench: Bench) -> None:
    outgoing, _ = await bench.ask(replace(POST, headers={**POST.headers, "content-length": "²"}))
    assert outgoing.status == 500
    assert bench.engine.said == ["left"]  # it came as far as the dialect


@pytest.fixture
def door(bench: Bench) -> Bench:
    """A dialect with a route that no caller is asked for, and one whose body says nothing."""

    def decode(inbound: Inbound) -> Intent:
        if inbound.route == "upload":
            return Upload("folder/a.png", {}, blob_of(b""))
        assert inbound.body is None
        return CancelTask(inbound.params["id"])

    def told(where: Where, error: GatewayError) -> Answer:
        return Answer(error.kind.status, {"code": error.code, "of": dict(where.params)}, (("x-request-id", "req_e"),))

    dialect = replace(
        DIALECTS[0],
        routes=(Route("upload", "POST", "/uploads", public=True), Route("cancel", "POST", "/tasks/{id}/cancel")),
        decode=decode,
        encode=lambda intent, outcome: Answer(200, {"name": cast("Any", outcome).name}, id_key="request_id"),
        encode_error=told,
        schema=lambda route: None,
    )
    bench.gate.dialects = (dialect,)
    bench.gate.routes = RouteTable((dialect,))
    return bench


async def test_an_upload_is_taken_without_a_caller(door: Bench) -> None:
    door.keys.silent = True
    outgoing, content = await door.ask(Head("POST", "/uploads", {}, {}))
    assert outgoing.status == 200
    assert json.loads(content) == {"name": "folder/a.png", "request_id": dict(outgoing.headers)["x-request-id"]}


async def test_strangers_have_their_own_places(door: Bench) -> None:
    """Before a byte of theirs is kept."""
    cast("Any", door.gate.uploads).full = True
    outgoing, _ = await door.ask(Head("POST", "/uploads", {}, {}), b"not even JSON")
    assert outgoing.status == 503


async def test_what_is_not_an_upload_needs_a_caller(door: Bench) -> None:
    door.gate.dialects = (replace(door.gate.dialects[0], decode=lambda inbound: CancelTask("t")),)
    door.gate.routes = RouteTable(door.gate.dialects)
    outgoing, _ = await door.ask(Head("POST", "/uploads", {}, {}))
    assert outgoing.status == 500


async def test_a_route_without_a_schema_needs_no_body_and_errors_know_the_path(door: Bench) -> None:
    door.engine.cancel_error = GatewayError("task_not_found", "no such task")
    outgoing, content = await door.ask(Head("POST", "/tasks/t_1/cancel", {}, {}), b"")
    assert outgoing.status == 404
    assert json.loads(content) == {"code": "task_not_found", "of": {"id": "t_1"}}


def speaking(name: str, *routes: tuple[str, str]) -> Dialect:
    claimed = tuple(Route(f"{name}-{number}", method, path) for number, (method, path) in enumerate(routes))
    return replace(DIALECTS[0], name=name, routes=claimed)


@pytest.mark.parametrize(
    ("mine", "yours"), [("/v1/models", "/v1/models"), ("/v1/models/{id}", "/v1/models/{name}"), ("/{a}/x", "/{b}/x")]
)
def test_two_dialects_that_claim_one_path_fail_at_start(mine: str, yours: str) -> None:
    """Whatever they call its segments."""
    with pytest.raises(ValueError, match="both claim GET"):
        RouteTable((speaking("a", ("GET", mine)), speaking("b", ("GET", yours))))


def test_one_path_may_have_several_methods() -> None:
    table = RouteTable((speaking("a", ("GET", "/v1/{id}"), ("DELETE", "/v1/{id}")), speaking("b", ("GET", "/v2/{id}"))))
    assert table.find(Head("DELETE", "/v1/7", {}, {})).params == {"id": "7"}
    with pytest.raises(GatewayError) as refused:
        table.find(Head("PUT", "/v1/7", {}, {}))
    assert refused.value.code == "method_not_allowed"
