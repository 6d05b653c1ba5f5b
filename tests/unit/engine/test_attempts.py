"""One part against scripted answers: what is asked again, what is learned about a route, and what the next candidate
may still try."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
from typing import Any, cast

import pytest
from msgspec.structs import replace as replace_row
from structlog.testing import capture_logs

from imageway.bodies import Scope, blob_of
from imageway.core.failures import TransportFailed
from imageway.core.intents import Generate
from imageway.core.ops import Committed, Op
from imageway.core.requests import Caller, ImageData, ImageRequest
from imageway.core.steps import Adapter, Done, Failed, FailureKind, HttpRequest, More, Page, Produced, Reply, Send, Step
from imageway.engine.attempts import PartResult, PartRun
from imageway.engine.ports import Tools
from imageway.engine.preparation import prepare
from imageway.routing import Health
from imageway.routing.health import FAILURES_TO_OPEN
from imageway.tasks.ops import BeginAttempt
from imageway.telemetry import events
from tests.sim.logs import quiet
from tests.sim.pictures import broken, picture
from tests.unit.engine.conftest import StillClock, upstream
from tests.values import replace

ANSWERED = Reply(200, {}, Page(b""))
POLL = Send(HttpRequest("GET", "/task/1"), memo={"task": "1"}, effect="read")
WHOLE = Done((Produced(blob_of(picture("png", 1))),))
CUT = Done((Produced(blob_of(broken("png"))),))
OVERSIZE = TransportFailed(FailureKind.SPOILED, "the answer is larger than the 5 bytes allowed")


@dataclass
class Line:
    """A transport that gives these replies, or raises them."""

    replies: list[Reply | TransportFailed]
    sent: list[str] = field(default_factory=list)
    closed: int = 0

    async def send(self, upstream: Any, request: HttpRequest, scope: Scope, **limits: Any) -> Reply:
        self.sent.append(f"{upstream.id} {request.method}")
        reply = self.replies.pop(0) if self.replies else ANSWERED
        if isinstance(reply, TransportFailed):
            raise reply
        return reply

    async def stream(
        self, upstream: Any, request: HttpRequest, scope: Scope, **limits: Any
    ) -> AsyncGenerator[Reply, None]:
        """As many events as there are steps; a reply that is to be raised ends it."""
        self.sent.append(f"{upstream.id} STREAM")
        try:
            while True:
                reply = self.replies.pop(0) if self.replies else ANSWERED
                if isinstance(reply, TransportFailed):
                    raise reply
                yield reply
        finally:
            self.closed += 1


@dataclass
class Book:
    """A store that takes everything."""

    ops: list[Op] = field(default_factory=list)

    async def commit(self, *ops: Op) -> Committed:
        self.ops += ops
        return Committed()


class Points:
    def reach(self, name: str) -> None: ...


@dataclass
class Bench:
    """Everything one part needs. `steps` are what the adapter makes of one reply after the other."""

    tools: Tools
    line: Line
    book: Book
    steps: list[Step]
    streams: bool = False
    count: int = 1

    def part(self, *, deadline_s: float = 2000.0) -> PartRun:
        request = ImageRequest(model="gemini-2.5-flash-image", prompt="a cat", stream=self.streams or None)
        intent = Generate(request=request)
        prepared = prepare(self.tools, intent, Caller("key", "ws"))
        return PartRun(
            tools=self.tools,
            scope=self.tools.spool.scope(),
            task_id="req_1",
            part=0,
            count=self.count,
            options=prepared.options,
            attempt_id="att_1",
            deadline_s=deadline_s,
        )

    def play(self, *steps: Step, replies: tuple[Reply | TransportFailed, ...] = ()) -> PartResult:
        self.steps[:] = steps
        self.line.replies[:] = replies
        part = self.part()
        try:
            return asyncio.run(part.run())
        finally:
            part.scope.release()


@pytest.fixture
def bench(tools: Tools) -> Bench:
    steps: list[Step] = []
    adapter = Adapter(
        "scripted",
        lambda call: Send(HttpRequest("POST", "/images")),
        lambda call, memo, reply: steps.pop(0),
    )
    line, book = Line([]), Book()
    return Bench(
        replace(
            tools,
            upstreams=(upstream("google"),),
            adapters=dict.fromkeys(tools.adapters, adapter),
            health=Health(),
            store=cast("Any", book),
            transport=cast("Any", line),
            faults=Points(),
        ),
        line,
        book,
        steps,
    )


def due_s(bench: Bench) -> float:
    return bench.tools.health.due_s(bench.part().option.candidate.route)


@pytest.mark.parametrize(("extras", "told"), [({}, events.VALIDATION_HOLE), ({"newest": 1}, events.ATTEMPT_FAILED)])
def test_parameters_that_are_refused_are_our_mistake_unless_the_caller_brought_his_own(
    bench: Bench, extras: dict[str, int], told: str
) -> None:
    bench.steps[:] = [Failed(FailureKind.INVALID)]
    part = bench.part()
    request = replace(part.option.fitted.request, extras=extras)
    part.options = (replace(part.option, fitted=replace(part.option.fitted, request=request)),)
    with capture_logs() as logs:
        asyncio.run(part.run())
    part.scope.release()
    assert [line["event"] for line in logs] == [told]


def test_a_linked_image_that_a_seller_does_not_take_goes_to_the_next(bench: Bench) -> None:
    """How large it is, nobody knew before it was fetched."""
    bench.steps[:] = [WHOLE]
    part = bench.part()
    candidate = part.option.candidate
    small = replace(candidate, offering=replace_row(candidate.offering, max_input_bytes=10))
    part.request = replace(part.option.fitted.request, images=(ImageData(blob_of(picture("png", 1)), "image"),))
    part.options = (replace(part.option, candidate=small), part.option)
    result = asyncio.run(part.run())
    part.scope.release()
    assert (result.state, result.option.candidate) == ("proved", candidate)
    assert len(bench.line.sent) == 1


def test_proved_images_speak_for_a_route(bench: Bench) -> None:
    for _ in range(FAILURES_TO_OPEN - 1):
        bench.play(Failed(FailureKind.FAILED))
    assert bench.play(WHOLE).state == "proved"
    bench.play(Failed(FailureKind.FAILED))
    assert due_s(bench) == 0


def test_an_answer_whose_images_cannot_be_proved_is_a_failure_of_its_route(bench: Bench) -> None:
    for _ in range(FAILURES_TO_OPEN):
        result = bench.play(CUT)
        assert result.failure is not None
        assert result.failure.kind is FailureKind.SPOILED
    assert due_s(bench) > bench.tools.clock.monotonic_s()


def test_where_nothing_was_sent_nothing_is_learned(bench: Bench) -> None:
    """A deadline that passed while inputs were fetched is not the upstream's fault."""
    for _ in range(FAILURES_TO_OPEN):
        part = bench.part(deadline_s=bench.tools.clock.monotonic_s())
        part.begin()
        result = asyncio.run(part.run())
        assert result.failure is not None
        assert result.failure.kind is FailureKind.NEVER_SENT
    assert due_s(bench) == 0


@pytest.mark.parametrize(("deadline_s", "learned"), [(5.0, False), (149.0, False), (151.0, True), (2000.0, True)])
def test_silence_until_a_deadline_counts_where_there_was_time_to_answer(
    bench: Bench, deadline_s: float, learned: bool
) -> None:
    """Else one caller in a hurry would turn everybody away from a seller that is well. An attempt may take 300 s."""

    class Patient(StillClock):
        now_s = 0.0

        def monotonic_s(self) -> float:
            return self.now_s

    class Silent(Line):
        async def send(self, upstream: Any, request: HttpRequest, scope: Scope, **limits: Any) -> Reply:
            clock.now_s += limits["deadline_s"]
            raise TransportFailed(FailureKind.UNKNOWN, "no complete reply in time")

    clock = Patient()
    bench.tools = replace(bench.tools, clock=clock, transport=cast("Any", Silent([])))
    for _ in range(FAILURES_TO_OPEN):
        part = bench.part(deadline_s=clock.now_s + deadline_s)
        part.begin()
        asyncio.run(part.run())
        part.scope.release()
    assert (due_s(bench) > 0) is learned


def test_of_who_was_not_asked_nothing_is_learned(bench: Bench) -> None:
    """The one before him was, and failed; then the deadline had passed."""
    bench.tools = replace(bench.tools, upstreams=(upstream("google"), upstream("google", 2)))
    for _ in range(FAILURES_TO_OPEN):
        bench.steps[:] = [Failed(FailureKind.DENIED)]
        part = bench.part()
        first, second = sorted(part.options, key=lambda option: option.candidate.upstream.id)
        none = replace_row(second.candidate.offering, max_input_bytes=1)
        part.options = (first, replace(second, candidate=replace(second.candidate, offering=none)))
        part.request = replace(first.fitted.request, images=(ImageData(blob_of(picture("png", 1)), "image"),))
        result = asyncio.run(part.run())
        part.scope.release()
        assert result.failure is not None
        assert result.failure.kind is FailureKind.NEVER_SENT
        assert bench.tools.health.due_s(second.candidate.route) == 0
        bench.tools.health.succeeded(first.candidate.route)


def test_what_has_a_memo_is_not_sent_again_under_it(bench: Bench) -> None:
    """Its task ended as "busy" and says to wait a moment: who took over then would read that task, not the new one."""
    result = bench.play(POLL, Failed(FailureKind.BUSY, retry_after_s=1), WHOLE)
    assert result.failure is not None
    assert result.failure.kind is FailureKind.BUSY
    assert bench.line.sent == ["google-1 POST", "google-1 GET"]


def test_an_answer_over_the_limit_is_not_read_again(bench: Bench) -> None:
    """It would be as large the next time; the task ends now, not at its deadline."""
    result = bench.play(POLL, WHOLE, replies=(ANSWERED, OVERSIZE))
    assert result.failure is not None
    assert result.failure.kind is FailureKind.SPOILED
    assert bench.line.sent == ["google-1 POST", "google-1 GET"]


def test_a_read_that_failed_is_repeated(bench: Bench) -> None:
    cut = TransportFailed(FailureKind.UNKNOWN, "cut")
    assert bench.play(POLL, WHOLE, replies=(ANSWERED, cut, Reply(500, {}, Page(b"")))).state == "proved"
    assert bench.line.sent == ["google-1 POST"] + 3 * ["google-1 GET"]


def test_spoiled_images_are_never_bought_again_elsewhere(bench: Bench) -> None:
    bench.tools = replace(bench.tools, upstreams=(upstream("google"), upstream("google", 2)))
    assert bench.play(CUT, WHOLE).state == "failed"
    assert len(bench.line.sent) == 1


def test_the_next_candidate_begins_durably_before_it_is_asked(bench: Bench) -> None:
    bench.tools = replace(bench.tools, upstreams=(upstream("google"), upstream("google", 2)))
    assert bench.play(Failed(FailureKind.DENIED), WHOLE).state == "proved"
    ended, begun = bench.book.ops
    assert (ended.attempt_id, ended.state) == ("att_1", "failed")  # type: ignore[attr-defined]
    assert isinstance(begun, BeginAttempt)
    assert [line.split()[0] for line in bench.line.sent][1] == begun.upstream_id


async def test_a_failover_is_not_torn_in_two(bench: Bench) -> None:
    """Who is stopped while its commit is under way is stopped after it: then he knows which attempt is open."""
    committing, may_go_on = asyncio.Event(), asyncio.Event()

    class Slow(Book):
        async def commit(self, *ops: Op) -> Committed:
            committing.set()
            await may_go_on.wait()
            return await super().commit(*ops)

    book = Slow()
    bench.tools = replace(bench.tools, upstreams=(upstream("google"), upstream("google", 2)), store=cast("Any", book))
    bench.steps[:] = [Failed(FailureKind.DENIED), WHOLE]
    part = bench.part()
    running = asyncio.create_task(part.run())
    await committing.wait()
    running.cancel()
    await asyncio.sleep(0)
    assert not running.done()
    may_go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await running
    part.scope.release()
    assert [op.id for op in book.ops if isinstance(op, BeginAttempt)] == [part.attempt_id]
    assert len(bench.line.sent) == 1


# Streams

NOTHING = More()
ONE = More((Produced(blob_of(picture("png", 1))),))
DIED = TransportFailed(FailureKind.UNKNOWN, "reset")


@pytest.fixture
def stream(bench: Bench) -> Bench:
    """Two candidates, and an upstream that streams."""
    bench.tools = replace(bench.tools, upstreams=(upstream("google"), upstream("google", 2)))
    bench.streams = True
    return bench


def asked(bench: Bench) -> list[str]:
    return [line.partition(" ")[2] for line in bench.line.sent]


def test_a_stream_is_read_up_to_its_last_word_and_closed(stream: Bench) -> None:
    result = stream.play(NOTHING, ONE, Done(()))
    assert (result.state, len(result.images), result.failure) == ("proved", 1, None)
    assert (asked(stream), stream.line.closed) == (["STREAM"], 1)


@pytest.mark.parametrize("kind", [FailureKind.BUSY, FailureKind.DENIED, FailureKind.FAILED])
def test_the_next_candidate_tries_only_before_the_first_event(stream: Bench, kind: FailureKind) -> None:
    assert stream.play(Failed(kind), WHOLE).state == "proved"
    assert asked(stream) == ["STREAM", "STREAM"]
    for step in (NOTHING, More(text="I"), More(missing=(Failed(FailureKind.FAILED),)), ONE):
        stream.line.sent.clear()
        stream.count = 2
        result = stream.play(step, Failed(kind, retry_after_s=1), WHOLE)
        assert asked(stream) == ["STREAM"]
        assert result.failure is not None
        assert result.failure.kind is kind


def test_a_short_wait_is_for_what_has_not_begun(stream: Bench) -> None:
    assert stream.play(Failed(FailureKind.BUSY, retry_after_s=1), WHOLE).state == "proved"
    assert stream.line.sent == [stream.line.sent[0]] * 2


def test_a_stream_that_dies_delivers_what_was_complete(stream: Bench) -> None:
    stream.count = 3
    result = stream.play(ONE, ONE, replies=(ANSWERED, ANSWERED, DIED))
    assert (result.state, len(result.images), result.produced) == ("proved", 2, 2)
    assert result.failure is not None
    assert result.failure.kind is FailureKind.UNKNOWN


def test_a_stream_that_dies_after_its_last_image_is_whole(stream: Bench) -> None:
    result = stream.play(ONE, replies=(ANSWERED, DIED))
    assert (result.state, result.failure) == ("proved", None)


def test_a_stream_without_a_last_word_is_unknown(stream: Bench) -> None:
    """Whatever an adapter makes of its end."""

    async def short(self: Line, *order: Any, **limits: Any) -> AsyncGenerator[Reply, None]:
        yield ANSWERED

    stream.tools = replace(stream.tools, transport=cast("Any", type("Short", (), {"stream": short})()))
    result = stream.play(NOTHING)
    assert result.failure is not None
    assert (result.failure.kind, result.failure.code) == (FailureKind.UNKNOWN, "stream_cut")


def test_a_stream_with_a_last_word_and_no_image_says_why(stream: Bench) -> None:
    unsafe = Failed(FailureKind.REFUSED, "unsafe")
    assert stream.play(More(missing=(unsafe,)), Done(())).failure == unsafe
    empty = stream.play(NOTHING, Done(())).failure
    assert empty is not None
    assert (empty.kind, empty.empty) == (FailureKind.SPOILED, True)


def test_more_where_one_answer_was_asked_for_spoils_it(bench: Bench) -> None:
    result = bench.play(ONE)
    assert result.failure is not None
    assert (result.failure.kind, result.failure.code) == (FailureKind.SPOILED, "stream")


def test_what_came_before_a_hole_of_ours_is_not_lost(stream: Bench) -> None:
    stream.count = 2
    stream.steps[:] = [ONE]  # and nothing for the next event: the adapter raises
    part = stream.part()
    with quiet():
        result = asyncio.run(part.beside_others(part.run))
    assert (result.state, len(result.images)) == ("proved", 1)
    assert result.failure is not None
    assert (result.failure.kind, result.failure.code) == (FailureKind.UNKNOWN, "crashed")
    part.scope.release()
