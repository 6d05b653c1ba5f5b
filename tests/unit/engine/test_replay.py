"""What somebody is told who asks again under his key, of a task in every state that it may be in (the simulation plays
how it gets there)."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest

from imageway.bodies import Scope
from imageway.core.errors import GatewayError
from imageway.core.intents import Arrived, Finished, Generate, Generated, Missing, TaskView
from imageway.core.ops import Committed, Op
from imageway.core.requests import Caller, ImageRequest
from imageway.engine.memos import KeptTask, pack_task, plain_fields
from imageway.engine.ports import Tools
from imageway.engine.replay import LATE_S, Replay, find_earlier, marked
from imageway.engine.results import REFUNDED, KeptPicture, KeptResult, pack_result
from imageway.engine.service import Engine
from imageway.ledger.ops import CreateKey, CreateWorkspace
from imageway.storage.memory import MemoryStore
from imageway.tasks.ops import BeginAttempt, ClaimKey, CreateTask, FinishTask
from tests.turns import some_turns, until
from tests.unit.engine.conftest import NOW_MS, Shelf, upstream
from tests.values import replace

CALLER = Caller("key_1", "ws_1")
CAT = Generate(request=ImageRequest(model="gemini-2.5-flash-image", prompt="a cat"), idempotency_key="one")
TWO = KeptResult(
    pictures=tuple(KeptPicture("image/png", 4, 3, f"req_1-{number}.png", f"cat {number}") for number in (0, 1)),
    price_usd_micros=78_000,
    expires_ms=NOW_MS + 5000,
)
FAILED = KeptResult(error=("request_timeout", "nobody knows"))


class Ticking:
    """Time passes when somebody waits for it, and only then."""

    def __init__(self) -> None:
        self.s = 1000.0

    def now_ms(self) -> int:
        return NOW_MS

    def monotonic_s(self) -> float:
        self.s += 100
        return self.s


@pytest.fixture
def engine(tools: Tools) -> Engine:
    shelf = Shelf({f"req_1-{number}.png": b"image %d" % number for number in (0, 1)})
    return Engine(replace(tools, store=MemoryStore(), objects=cast("Any", shelf)))


@pytest.fixture
def scope(tools: Tools) -> Any:
    scope = tools.spool.scope()
    yield scope
    scope.release()


async def commit(engine: Engine, *ops: Op) -> None:
    assert isinstance(await engine.tools.store.commit(*ops), Committed)


async def earlier(engine: Engine, state: str, result: KeptResult = TWO, **claim: Any) -> None:
    """A task under the key, in that state."""
    asked = await marked(engine, CAT, CALLER)
    request = pack_task(KeptTask(request=plain_fields(CAT.request), counts=(2,), form="b64_json", hold_usd_micros=1))
    made = CreateTask(
        id="req_1",
        workspace_id="ws_1",
        key_id="key_1",
        model=CAT.request.model,
        owner="proc_other",
        request=request,
        created_ms=NOW_MS,
        deadline_ms=NOW_MS + 60_000,
    )
    claimed = {"workspace_id": "ws_1", "key": "one", "task_id": "req_1", "at_ms": NOW_MS} | claim
    await commit(engine, CreateWorkspace("ws_1", "w", 0), CreateKey("key_1", "ws_1", "", b"k" * 32, "", (), 0))
    await commit(engine, made, ClaimKey(**({"fingerprint": asked.fingerprint} | claimed)))
    if state != "running":
        await commit(engine, FinishTask("req_1", state, pack_result(result), NOW_MS))


async def find(engine: Engine, scope: Scope, intent: Generate = CAT) -> Replay | None:
    return await find_earlier(engine, await marked(engine, intent, CALLER), CALLER, scope)


async def found(engine: Engine, scope: Scope, intent: Generate = CAT) -> Replay:
    replay = await find(engine, scope, intent)
    assert replay is not None
    return replay


async def refusal(replay: Replay) -> GatewayError:
    with pytest.raises(GatewayError) as told:
        await replay.outcome()
    return told.value


async def test_nobody_was_here_before(engine: Engine, scope: Scope) -> None:
    assert await find(engine, scope) is None


@pytest.mark.parametrize("state", ["failed", "cancelled"])
async def test_an_end_that_brought_nothing_binds_nobody(engine: Engine, scope: Scope, state: str) -> None:
    await earlier(engine, state, FAILED)
    assert await find(engine, scope) is None


@pytest.mark.parametrize(("age_s", "binds"), [(86_399, True), (86_400, False)])
async def test_a_claim_is_over_when_the_setting_says_so(engine: Engine, scope: Scope, age_s: int, binds: bool) -> None:
    await earlier(engine, "succeeded", at_ms=NOW_MS - age_s * 1000)
    assert (await find(engine, scope) is not None) == binds


async def test_a_claim_whose_task_is_gone_binds_nobody(engine: Engine, scope: Scope) -> None:
    await earlier(engine, "succeeded", task_id="req_2")
    assert await find(engine, scope) is None


async def test_a_success_is_read_from_the_media_store(engine: Engine, scope: Scope) -> None:
    """In the form of the first request where this one names none, in its own where it does."""
    await earlier(engine, "succeeded")
    inline = await (await found(engine, scope)).outcome()
    assert [picture.blob.head for picture in inline.pictures if picture.blob] == [b"image 0", b"image 1"]
    assert (inline.request_id, inline.price_usd_micros, inline.prompt) == ("req_1", 78_000, "a cat")
    assert [picture.revised_prompt for picture in inline.pictures] == ["cat 0", "cat 1"]
    linked = await (await found(engine, scope, replace(CAT, form="url"))).outcome()
    assert ["req_1-0.png" in (picture.url or "") for picture in linked.pictures] == [True, False]
    assert {picture.blob for picture in linked.pictures} == {None}


async def test_a_stream_has_every_image_at_its_place(engine: Engine, scope: Scope) -> None:
    """Those that failed keep theirs."""
    await earlier(engine, "succeeded", replace(TWO, missing=(Missing("failed", "it failed", 1),)))
    *told, last = [event async for event in (await found(engine, scope)).events()]
    assert [(event.image, event.place) for event in told if isinstance(event, Arrived)] == [(0, 0), (1, 2)]
    assert isinstance(last, Finished)
    assert last.generated.pictures == tuple(event.picture for event in told if isinstance(event, Arrived))


@pytest.mark.parametrize(
    ("state", "result", "code", "words"),
    [
        ("unknown", FAILED, "request_timeout", "nobody knows"),
        ("succeeded", REFUNDED, "request_timeout", "refunded"),
        ("succeeded", replace(TWO, expires_ms=NOW_MS), "link_expired", "expired at 2025-10-09T08:53:20Z"),
        (
            "succeeded",
            replace(TWO, pictures=(TWO.pictures[0], replace(TWO.pictures[1], deleted=True, deleted_ms=NOW_MS))),
            "link_expired",
            "deleted at 2025-10-09T08:53:20Z",
        ),
    ],
    ids=["unknown", "refunded", "expired", "deleted"],
)
async def test_what_cannot_be_given_again_is_told(
    engine: Engine, scope: Scope, state: str, result: KeptResult, code: str, words: str
) -> None:
    """As an answer to the first request, whose id it bears; sending it again would not help."""
    await earlier(engine, state, result)
    error = await refusal(await found(engine, scope))
    assert (error.code, error.request_id, error.replayed, error.resend) == (code, "req_1", True, False)
    assert words in error.message


async def test_another_request_is_refused(engine: Engine, scope: Scope) -> None:
    """By the names that this caller uses, without a word of what is asked."""
    await earlier(engine, "unknown", FAILED)
    other = replace(CAT.request, prompt="a dog", n=3, spelled={"prompt": "contents"})
    with pytest.raises(GatewayError) as told:
        await find(engine, scope, replace(CAT, request=other))
    assert (told.value.code, told.value.kind.status, told.value.replayed) == ("idempotency_key_reused", 422, False)
    assert [problem.param for problem in told.value.details] == ["n", "contents"]
    assert "req_1" in told.value.message
    assert "dog" not in told.value.message


async def test_a_claim_of_before_fingerprints_is_no_claim_to_its_answer(engine: Engine, scope: Scope) -> None:
    await earlier(engine, "succeeded", fingerprint=b"")
    with pytest.raises(GatewayError) as told:
        await find(engine, scope)
    assert told.value.code == "idempotency_key_reused"


async def test_who_does_not_wait_is_told_when_to_come_again(engine: Engine, scope: Scope) -> None:
    """Which is safe: libraries may do so by themselves."""
    await earlier(engine, "running")
    with pytest.raises(GatewayError) as told:
        await find(engine, scope, replace(CAT, reject_running=True))
    error = told.value
    assert (error.code, error.retry_after_s, error.resend) == ("idempotency_key_in_use", 1, True)


async def test_who_waits_hears_of_the_end_wherever_it_happens(engine: Engine, scope: Scope) -> None:
    await earlier(engine, "running")
    waiting = asyncio.ensure_future((await found(engine, scope)).outcome())
    await some_turns()
    assert not waiting.done()
    await commit(engine, FinishTask("req_1", "succeeded", pack_result(TWO), NOW_MS))
    engine.tools.watch.tell("req_1")
    await until(waiting.done)
    answer = await waiting
    assert isinstance(answer, Generated)
    assert len(answer.pictures) == 2


async def test_nobody_waits_for_ever(engine: Engine, scope: Scope) -> None:
    """A while longer than the task may run, and no longer than the gateway itself."""
    await earlier(engine, "running")
    replay = await found(engine, scope)
    replay = replace(replay, engine=Engine(replace(engine.tools, clock=cast("Any", Ticking()))))
    assert LATE_S < 100
    late = await refusal(replay)
    assert (late.code, late.resend, late.replayed) == ("overloaded", True, False)
    assert "still running" in late.message
    engine.closing = True
    stopped = await refusal(await found(engine, scope))
    assert "being stopped" in stopped.message


async def test_a_task_is_shown_as_it_stands(engine: Engine, scope: Scope) -> None:
    await earlier(engine, "running")
    replay = await found(engine, scope, replace(CAT, background=True))
    view = await replay.shown(CALLER)
    assert isinstance(view, TaskView)
    assert (view.id, view.status) == ("req_1", "running")
    await commit(engine, FinishTask("req_1", "succeeded", pack_result(TWO), NOW_MS))
    ended = await replay.shown(CALLER)
    assert isinstance(ended, TaskView)
    assert (ended.status, len(ended.pictures)) == ("succeeded", 2)
    waited = await replace(replay, intent=replace(CAT, background=True, wait_s=5.0)).shown(CALLER)
    assert isinstance(waited, Generated)


async def test_a_pretend_upstream_is_named_by_whoever_repeats_it(engine: Engine, scope: Scope) -> None:
    """By its attempts; as long as it has none, by who might serve it."""
    await earlier(engine, "running")
    assert not (await found(engine, scope)).sandbox
    pretend = replace(engine.tools, upstreams=(upstream("google", sandbox=True),))
    engine = Engine(pretend)
    assert (await found(engine, scope)).sandbox
    attempt = BeginAttempt(
        id="att_1",
        task_id="req_1",
        part=0,
        upstream_id="openai-1",
        offering="o",
        owner="proc_other",
        fence=1,
        at_ms=NOW_MS,
        deadline_ms=NOW_MS,
    )
    await commit(engine, attempt)
    assert not (await found(engine, scope)).sandbox


async def test_what_was_pretended_stays_so_when_a_real_upstream_comes(engine: Engine) -> None:
    assert "sandbox-openai" in replace(engine.tools, upstreams=(upstream("openai"),)).pretend
    named = replace(engine.tools, upstreams=(replace(upstream("openai"), id="sandbox-openai"),))
    assert "sandbox-openai" not in named.pretend, "somebody may call a real one so"
