"""Each checker proves itself: a bug is planted in the gateway, in the smallest world in which it can do harm, and the
checker that watches over that promise finds it. Without the bug the same world is in order."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

import pytest

from imageway.bodies import blob_of
from imageway.core.errors import GatewayError
from imageway.core.intents import Webhook
from imageway.core.requests import ImageData, ImageLink, ImageRequest, Operation
from imageway.core.steps import Failed, FailureKind
from imageway.engine import (
    acceptance,
    attempts,
    courier,
    harvest,
    limits,
    pictures,
    preparation,
    recovery,
    replay,
    runs,
    service,
    settlement,
    verdicts,
)
from imageway.engine.arrivals import Arrivals
from imageway.engine.attempts import PartResult, PartRun
from imageway.engine.crew import Crew
from imageway.engine.harvest import Harvest
from imageway.engine.recovery import Recovery
from imageway.engine.runs import TaskRun
from imageway.engine.service import Engine
from imageway.ledger import ops
from imageway.ledger.queries import Undelivered
from imageway.ledger.terms import PriceRule
from imageway.storage.memory import ledger as books
from imageway.storage.memory.store import WRITES
from imageway.storage.memory.tables import Tables
from imageway.tasks.ops import BeginAttempt, ClaimKey, CreateTask, FinishTask
from imageway.tasks.queue import QueueTask
from imageway.tasks.webhooks import AddEndpoint, ClaimDelivery
from tests.sim.checkers import CHECKERS, violations
from tests.sim.logs import CRASHES
from tests.sim.machine import EPOCH_MS, Weather
from tests.sim.pictures import picture
from tests.sim.plans import Script
from tests.sim.seeds import shape_of, with_inputs
from tests.sim.upstreams import Link
from tests.sim.world import Order, Shape, Trouble, run_world
from tests.values import replace

Plant = Callable[[pytest.MonkeyPatch], None]
COUNTED = ImageRequest(model="gpt-image-1", prompt="a cat", quality="low", n=2)
SINGLE = ImageRequest(model="gemini-2.5-flash-image", prompt="a cat")
POLLED = ImageRequest(model="qwen-image", prompt="a cat")
PARTS = replace(SINGLE, n=3)


def world_of(*fates: str, request: ImageRequest = COUNTED, **order: Any) -> Shape:
    """One visitor, one process, these fates in order."""
    return Shape(seed=1, plan=Script(fates or ("ok",)), orders=(Order(number=0, request=request, **order),))


def dying(point: str, request: ImageRequest = COUNTED, **order: Any) -> Shape:
    """The process dies there, the first time; two seconds later there is another."""
    return replace(world_of(request=request, **order), troubles=(Trouble(process=0, die_at=(point, 1)),))


def telling(*fates: str, path: str = "hook") -> Shape:
    """One visitor who names an address, in a workspace with an endpoint; what their messages meet, in order."""
    hook = Webhook(f"https://caller.example/{path}")
    url = f"https://endpoint.example/{path}"
    endpoint = AddEndpoint(id="end_1", workspace_id="rich", url=url, events=(), limit=9, at_ms=0)
    return replace(world_of(webhook=hook), endpoints=(endpoint,), told=fates or ("ok",))


def hiccup(fate: str, request: ImageRequest = COUNTED, **order: Any) -> Shape:
    """Of the store, while the request is being accepted."""
    op = QueueTask if order.get("background") else CreateTask
    return replace(world_of(request=request, **order), weather=Weather(planted={op: [fate]}))


KILLED_WHILE_TELLING = (Trouble(process=0, at_s=8),)


def sold_otherwise(shape: Shape) -> Shape:
    rule = PriceRule("rule-1", "rich", "*", 1_500_000, 5, b"", EPOCH_MS, None, "a test", EPOCH_MS)
    return replace(shape, rules=(rule,))


SPENDERS = replace(
    world_of(), orders=tuple(Order(number=number, request=PARTS, workspace="modest") for number in range(9))
)
"""Nine at once, whose keys' daily budget covers three."""


CALLED_OFF = replace(
    world_of(request=SINGLE, background=True, process=0, called_off_after_s=5.0),
    troubles=(Trouble(process=0, die_at=("after_claim", 1), successor_after_s=100),),
    processes=2,
    proves=False,
)
"""By the time that anybody knows that who had it is dead."""


def dying_stream(fate: str, request: ImageRequest | None = None) -> Shape:
    """After two events."""
    return world_of(fate, "ok", request=request or PREVIEWS)


def broken(shape: Shape) -> dict[str, list[str]]:
    CRASHES.clear()
    world = run_world(shape, meddle=with_inputs)
    world.crashes += CRASHES
    return violations(world)


@dataclass(frozen=True)
class Bug:
    checker: str
    plant: Plant
    shape: Shape

    def __str__(self) -> str:
        return f"{self.checker}-{self.plant.__name__}"


# The bugs


def nobody_adopts(patch: pytest.MonkeyPatch) -> None:
    async def adopt(self: Recovery, task: object, *, proven: bool) -> None: ...

    patch.setattr(Recovery, "_adopt", adopt)


def cancelled_attempts_are_forgotten(patch: pytest.MonkeyPatch) -> None:
    cancelled = settlement.cancelled
    patch.setattr(runs, "cancelled", lambda tools, facts, attempt_ids: cancelled(tools, facts, ()))


def nobody_is_told(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(TaskRun, "_tell", lambda self, answer: None)


def proving_crashes(patch: pytest.MonkeyPatch) -> None:
    async def look(self: Harvest, produced: object) -> Any:
        raise KeyError("a hole of ours")

    patch.setattr(Harvest, "_looked_at", look)


def deadlines_are_forgotten(patch: pytest.MonkeyPatch) -> None:
    begin = PartRun.begin

    def begin_for_ever(self: PartRun) -> BeginAttempt:
        begun = begin(self)
        self.until_s += 5000
        return begun

    patch.setattr(PartRun, "begin", begin_for_ever)


def downloads_restart_the_clock(patch: pytest.MonkeyPatch) -> None:
    download = Harvest._download

    async def late(self: Harvest, url: str) -> Any:
        self.attempt = replace(self.attempt, until_s=self.attempt.tools.clock.monotonic_s() + 300)
        return await download(self, url)

    patch.setattr(Harvest, "_download", late)


def budgets_are_never_refused(patch: pytest.MonkeyPatch) -> None:
    def spend(tables: Tables, op: ops.SpendBudget) -> None:
        budget = tables.budgets[op.budget_id, op.period]
        used = budget.used_usd_micros + op.usd_micros
        spent = replace(budget, used_usd_micros=used, window_ms=op.window_ms)
        tables.put(tables.budgets, (op.budget_id, op.period), spent)

    patch.setitem(WRITES, ops.SpendBudget, spend)


def what_is_held_late_counts_in_the_new_day(patch: pytest.MonkeyPatch) -> None:
    """Which begins half a minute after the world did."""
    patch.setattr(limits, "DAY_MS", EPOCH_MS + 30_000)
    in_time = WRITES[ops.SpendBudget]

    def spend(tables: Tables, op: ops.SpendBudget) -> str | None:
        present = tables.budgets[op.budget_id, op.period].window_ms
        return in_time(tables, replace(op, window_ms=max(present, op.window_ms)))

    patch.setitem(WRITES, ops.SpendBudget, spend)


def sums_are_not_added_up(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(books, "_add_up", lambda tables, row, added: None)


def rules_are_forgotten_when_it_is_settled(patch: pytest.MonkeyPatch) -> None:
    charge_all = settlement.charge_all

    def by_the_catalog(book: Any, model: Any, bills: Any) -> Any:
        return charge_all(book, book.models[model.id], bills)

    patch.setattr(settlement, "charge_all", by_the_catalog)


def rules_are_not_kept_with_the_task(patch: pytest.MonkeyPatch) -> None:
    kept = acceptance._kept
    patch.setattr(acceptance, "_kept", lambda *about: replace(kept(*about), terms=None))


def settled_without_void(patch: pytest.MonkeyPatch) -> None:
    patch.setitem(WRITES, ops.Void, lambda tables, op: None)


def voided_twice(patch: pytest.MonkeyPatch) -> None:
    def void(tables: Tables, op: ops.Void) -> str | None:
        row = tables.holds[op.task_id]
        why = books.void(tables, op)
        wallet = tables.wallets[row.workspace_id]
        tables.put(tables.wallets, row.workspace_id, replace(wallet, available=wallet.available + row.usd_micros))
        return why

    patch.setitem(WRITES, ops.Void, void)


def captured_less_than_spent(patch: pytest.MonkeyPatch) -> None:
    def capture(tables: Tables, op: ops.Capture) -> str | None:
        why = books.capture(tables, op)
        row = tables.holds[op.task_id]
        tables.put(tables.holds, op.task_id, replace(row, captured=row.captured - 1))
        return why

    patch.setitem(WRITES, ops.Capture, capture)


def captured_above_the_hold(patch: pytest.MonkeyPatch) -> None:
    """The engine forgets to cap, and the store to guard."""

    def capture(tables: Tables, op: ops.Capture) -> str | None:
        row = tables.holds[op.task_id]
        wallet = tables.wallets[row.workspace_id]
        missing = max(0, op.usd_micros - row.usd_micros)
        tables.put(
            tables.wallets,
            row.workspace_id,
            replace(wallet, available=wallet.available - missing, held=wallet.held + missing),
        )
        tables.put(tables.holds, op.task_id, replace(row, usd_micros=row.usd_micros + missing))
        why = books.capture(tables, op)
        tables.put(tables.holds, op.task_id, replace(tables.holds[op.task_id], usd_micros=row.usd_micros))
        return why

    patch.setitem(WRITES, ops.Capture, capture)
    patch.setattr(settlement, "min", max, raising=False)


def marked_refunded_and_not_refunded(patch: pytest.MonkeyPatch) -> None:
    async def refund(self: Recovery, owner: str) -> None:
        for row in await self.tools.store.read(Undelivered((owner,))):
            await self.tools.store.commit(ops.MarkDelivery(row.request_id, "refunded", 0))

    patch.setattr(Recovery, "_refund", refund)


def nothing_goes_back_to_budgets(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(settlement, "release_ops", lambda spending, usd_micros: ())


def everything_goes_back_to_budgets(patch: pytest.MonkeyPatch) -> None:
    release = settlement.release_ops
    patch.setattr(settlement, "release_ops", lambda spending, usd_micros: release(spending, 10**9))


def a_restart_forgets_budgets(patch: pytest.MonkeyPatch) -> None:
    facts_of = recovery.facts_of
    patch.setattr(recovery, "facts_of", lambda *about: replace(facts_of(*about), spending=None))


def refunds_forget_budgets(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(recovery, "held_of", lambda request: (None, 0))


def nobody_refunds(patch: pytest.MonkeyPatch) -> None:
    async def refund(self: Recovery, owner: str) -> None: ...

    patch.setattr(Recovery, "_refund", refund)


def nothing_is_kept(patch: pytest.MonkeyPatch) -> None:
    async def keep(self: TaskRun) -> None: ...

    patch.setattr(TaskRun, "keep", keep)


def nothing_is_kept_when_the_last_one_leaves_late(patch: pytest.MonkeyPatch) -> None:
    """Hanging up while the settlement is being committed."""

    async def commit(self: TaskRun, settled: Any) -> None:
        if await self._commit_surely(settled):
            self.settlement = settled
            self._tell(settled.answer)

    patch.setattr(TaskRun, "_commit", commit)


def all_tokens_are_billed(patch: pytest.MonkeyPatch) -> None:
    bills_of = settlement.bills_of

    def of_all(served: Any) -> Any:
        return tuple(replace(bill, produced=None) for bill in bills_of(served))

    patch.setattr(settlement, "bills_of", of_all)


def costs_are_told_and_not_booked(patch: pytest.MonkeyPatch) -> None:
    patch.setitem(WRITES, ops.BookCost, lambda tables, op: None)


def unknown_fails_over(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(attempts, "NEXT", attempts.NEXT | {FailureKind.UNKNOWN})


def refused_fails_over(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(attempts, "NEXT", attempts.NEXT | {FailureKind.REFUSED})


def spoiled_fails_over(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(attempts, "NEXT", attempts.NEXT | {FailureKind.SPOILED})


def every_busy_one_is_waited_for(patch: pytest.MonkeyPatch) -> None:
    attempt = PartRun._attempt

    async def stubborn(self: PartRun, exchanges: Any) -> Any:
        outcome = await attempt(self, exchanges)
        return await attempt(self, exchanges) if isinstance(outcome, Failed) else outcome

    patch.setattr(PartRun, "_attempt", stubborn)


def recovery_sends_again(patch: pytest.MonkeyPatch) -> None:
    resolve = Recovery._end_of

    async def end_of(self: Recovery, part: PartRun, attempt: Any, proven: bool) -> PartResult:
        if attempt.memo:
            return await resolve(self, part, attempt, proven)
        part.deadline_s = part.until_s = self.tools.clock.monotonic_s() + 300
        return await part.run()

    patch.setattr(Recovery, "_end_of", end_of)


def anything_is_proved(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(harvest, "prove", lambda blob: blob.facts or "nothing")


def the_last_image_is_lost(patch: pytest.MonkeyPatch) -> None:
    images = cast("property", Harvest.images).fget
    patch.setattr(Harvest, "images", property(lambda self: images(self)[:1]))


def unknown_is_called_failed(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(settlement, "task_state", lambda failures: "failed")


def keys_are_never_claimed(patch: pytest.MonkeyPatch) -> None:
    patch.setitem(WRITES, ClaimKey, lambda tables, op: None)


def running_ones_bind_nobody(patch: pytest.MonkeyPatch) -> None:
    """Two who come at once both find the key free; the books do not tell the second."""
    claim = WRITES[ClaimKey]

    def take(tables: Tables, op: ClaimKey) -> str | None:
        before = tables.claims.get((op.workspace_id, op.key))
        runs = before is not None and tables.tasks[before.task_id].state == "running"
        return claim(tables, replace(op, expired_ms=op.at_ms) if runs else op)

    patch.setitem(WRITES, ClaimKey, take)


def unknown_ones_free_their_key(patch: pytest.MonkeyPatch) -> None:
    claim = WRITES[ClaimKey]

    def take(tables: Tables, op: ClaimKey) -> str | None:
        before = tables.claims.get((op.workspace_id, op.key))
        lost = before is not None and tables.tasks[before.task_id].state == "unknown"
        return claim(tables, replace(op, expired_ms=op.at_ms) if lost else op)

    patch.setitem(WRITES, ClaimKey, take)
    patch.setattr(replay, "FREED", (*replay.FREED, "unknown"))


def answers_come_again_in_another_order(patch: pytest.MonkeyPatch) -> None:
    answer_of = replay.answer_of

    async def turned(*about: Any, **more: Any) -> Any:
        answer = await answer_of(*about, **more)
        return replace(answer, pictures=answer.pictures[::-1])

    patch.setattr(replay, "answer_of", turned)


def what_was_asked_for_is_not_compared(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(replay, "fingerprint", lambda *about: b"{}")


def unknown_ones_are_told_otherwise(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(replay, "ended_badly", lambda view, *, sandbox: GatewayError("bad_response", "it failed"))


def memos_are_not_read(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Recovery, "_upstream", lambda self, attempt: None)


def nobody_knows_what_became_of_a_commit(patch: pytest.MonkeyPatch) -> None:
    """So that what was committed all the same is run."""

    async def unknown(self: Engine, prepared: object, facts: object) -> bool:
        return False

    patch.setattr(Engine, "_is_accepted", unknown)


def what_was_not_accepted_has_failed(patch: pytest.MonkeyPatch) -> None:
    never = service.never_ops

    def failing(tools: Any, prepared: Any, facts: Any) -> Any:
        create, finish = never(tools, prepared, facts)
        return create, FinishTask(finish.id, "failed", finish.result, finish.at_ms)

    patch.setattr(service, "never_ops", failing)


def marks_are_not_seen_by_who_comes_next(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Crew, "_wanted", lambda self, run, kept, task: True)
    patch.setattr(TaskRun, "cancel_unsent", lambda self: False)


def what_failed_is_called_cancelled(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(TaskRun, "_is_given_up", lambda self, results: all(map(runs._came_to_nothing, results)))


def the_first_thing_done_for_a_task_is_its_end(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Engine, "heed", lambda self, run: _heed_and_tell(run))


async def _heed_and_tell(run: TaskRun) -> bool:
    run.last_word()
    return False


def a_code_of_no_table(patch: pytest.MonkeyPatch) -> None:
    patch.setitem(verdicts._TOLD, FailureKind.REFUSED, ("made_up", "the provider's safety system refused this request"))


def the_provider_is_quoted(patch: pytest.MonkeyPatch) -> None:
    def quoting(failures: list[Failed], *more: Any) -> Exception:
        error = verdicts.verdict(failures, *more)
        error.message = f"{error.message}: {failures[0].detail}"
        return error

    patch.setattr(settlement, "verdict", quoting)


def everything_may_be_sent_again(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(verdicts, "_NEVER_RESEND", frozenset())


def warnings_are_swallowed(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(settlement, "_told", lambda facts, results: ())


def failover_asks_for_less(patch: pytest.MonkeyPatch) -> None:
    fail_over = PartRun._fail_over

    async def modest(self: PartRun, result: PartResult) -> bool:
        self.count = max(1, self.count - 1)
        return await fail_over(self, result)

    patch.setattr(PartRun, "_fail_over", modest)


def scopes_are_held_twice(patch: pytest.MonkeyPatch) -> None:
    supervise = Engine.supervise

    def holding(self: Engine, run: TaskRun, prepared: preparation.Prepared) -> None:
        run.scope.hold()
        supervise(self, run, prepared)

    patch.setattr(Engine, "supervise", holding)


def began_streams_fail_over(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(attempts, "_made_nothing", lambda result, _: bool(result.failure and not result.images))


def dead_streams_lose_their_images(patch: pytest.MonkeyPatch) -> None:
    brought = PartRun._brought

    def lossy(self: PartRun, bag: Harvest, died: Failed | None) -> PartResult:
        if died:
            bag._slots.clear()
        return brought(self, bag, died)

    patch.setattr(PartRun, "_brought", lossy)


def the_last_word_comes_too_soon(patch: pytest.MonkeyPatch) -> None:
    commit = TaskRun._commit

    async def hasty(self: TaskRun, settled: Any) -> None:
        self.settlement = settled
        self._tell(settled.answer)
        await commit(self, settled)

    patch.setattr(TaskRun, "_commit", hasty)


def what_was_made_ready_is_forgotten(patch: pytest.MonkeyPatch) -> None:
    """So that the settlement does it again."""
    bring = Arrivals.bring

    async def forgetful(self: Arrivals, image: Any, place: int) -> Any:
        await bring(self, image, place)
        return image

    patch.setattr(Arrivals, "bring", forgetful)


def all_images_have_one_name(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(pictures, "count", lambda first: itertools.repeat(first))


def previews_are_never_counted(patch: pytest.MonkeyPatch) -> None:
    preview = Arrivals.preview
    patch.setattr(Arrivals, "preview", lambda self, blob, index: preview(self, blob, 7))


def who_leaves_cancels_what_runs_in_the_background(patch: pytest.MonkeyPatch) -> None:
    begin = Crew._begin

    async def unkind(self: Crew, task: Any) -> bool:
        begun = await begin(self, task)
        for run in filter(None, self.engine._running.values()):
            asyncio.get_running_loop().call_later(0.001, run.cancel_unsent)
        return begun

    patch.setattr(Crew, "_begin", unkind)


def inputs_are_never_swept(patch: pytest.MonkeyPatch) -> None:
    async def forget(*_: object) -> None:
        """Nothing goes."""

    patch.setattr("imageway.engine.runs.drop_ask", forget)


def nobody_writes_down_whom_to_tell(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(settlement, "notices", lambda facts, state, at_ms: ())


def every_end_is_told_as_a_success(patch: pytest.MonkeyPatch) -> None:
    notices = settlement.notices
    patch.setattr(settlement, "notices", lambda facts, state, at_ms: notices(facts, "succeeded", at_ms))


def claims_never_run_out(patch: pytest.MonkeyPatch) -> None:
    claim = WRITES[ClaimDelivery]
    patch.setitem(WRITES, ClaimDelivery, lambda tables, op: claim(tables, replace(op, until_ms=op.until_ms * 2)))


def claims_keep_nobody_away(patch: pytest.MonkeyPatch) -> None:
    patch.setitem(WRITES, ClaimDelivery, lambda tables, op: None)


def every_try_has_an_id_of_its_own(patch: pytest.MonkeyPatch) -> None:
    headers, count = courier.signed_headers, itertools.count()
    patch.setattr(courier, "signed_headers", lambda name, *about: headers(f"{name}{next(count)}", *about))


def the_body_is_signed_before_it_is_written(patch: pytest.MonkeyPatch) -> None:
    headers = courier.signed_headers
    patch.setattr(courier, "signed_headers", lambda name, at_s, body, keys: headers(name, at_s, body + b" ", keys))


def what_was_taken_is_forgotten(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(courier.Outcome, "delivered", property(lambda self: False))


def gone_is_an_error_like_any_other(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(courier, "GONE", 0)


# The worlds they do harm in

PREVIEWS = replace(COUNTED, n=1, stream=True, partial_images=2)
STREAM = replace(SINGLE, stream=True)
SENT_ALONG = replace(SINGLE, operation=Operation.EDIT, images=(ImageData(blob_of(picture("png", 3)), "image"),))

LEAVES_EARLY = replace(
    COUNTED, operation=Operation.EDIT, images=(ImageLink("https://pictures.example/late.png", "image"),)
)


def twice(*fates: str, after_s: float = 60, other: ImageRequest = COUNTED) -> Shape:
    """Two visitors with one key."""
    first = Order(number=0, request=COUNTED, key="one")
    return Shape(
        seed=1,
        plan=Script(fates or ("ok",)),
        orders=(first, Order(number=1, request=other, key="one", at_s=after_s)),
    )


BUGS = (
    Bug("every_task_ends", nobody_adopts, dying("after_submit")),
    Bug("every_hold_is_resolved", nobody_adopts, dying("after_submit")),
    Bug("every_hold_is_resolved", settled_without_void, world_of("reset_before")),
    Bug(
        "every_attempt_ends_with_its_task",
        cancelled_attempts_are_forgotten,
        world_of(request=LEAVES_EARLY, patience_s=1),
    ),
    Bug("every_visitor_is_answered", nobody_is_told, world_of()),
    Bug("nothing_crashes", proving_crashes, world_of()),
    Bug("deadlines_hold", deadlines_are_forgotten, world_of("silent")),
    Bug(
        "deadlines_hold",
        downloads_restart_the_clock,
        replace(world_of(request=POLLED), plan=Script(delays_s=(40.0,), links=(Link(b"", 0, "never"),))),
    ),
    Bug("wallets_add_up", voided_twice, world_of("refused")),
    Bug("budgets_are_what_their_holds_took", nothing_goes_back_to_budgets, world_of("refused")),
    Bug("budgets_are_what_their_holds_took", everything_goes_back_to_budgets, world_of()),
    Bug("budgets_are_what_their_holds_took", a_restart_forgets_budgets, dying("after_submit")),
    Bug("budgets_are_what_their_holds_took", refunds_forget_budgets, dying("after_capture")),
    Bug("budgets_are_what_their_holds_took", what_is_held_late_counts_in_the_new_day, shape_of(2)),
    Bug("nobody_spends_more_than_his_budget", budgets_are_never_refused, SPENDERS),
    Bug("the_books_verify", sums_are_not_added_up, world_of()),
    Bug("prices_are_the_published_ones", rules_are_forgotten_when_it_is_settled, sold_otherwise(world_of())),
    Bug("prices_are_the_published_ones", rules_are_not_kept_with_the_task, sold_otherwise(dying("after_memo", POLLED))),
    Bug("spent_is_what_was_captured", captured_less_than_spent, world_of()),
    Bug("captures_stay_within_holds", captured_above_the_hold, world_of("huge_usage")),
    Bug("only_pictures_are_charged", marked_refunded_and_not_refunded, dying("after_capture")),
    Bug("undelivered_never_survives", nobody_refunds, dying("after_capture")),
    Bug("undelivered_never_survives", nothing_is_kept, world_of(delivery_s=5, patience_s=3)),
    Bug("prices_are_the_published_ones", all_tokens_are_billed, world_of("one_spoiled")),
    Bug("costs_are_booked_once", costs_are_told_and_not_booked, world_of()),
    Bug("nothing_is_sent_again_after_a_maybe", unknown_fails_over, world_of("reset_after", "ok")),
    Bug("nothing_is_sent_again_after_a_maybe", spoiled_fails_over, world_of("html", "ok")),
    Bug("nothing_is_sent_again_after_a_maybe", recovery_sends_again, dying("after_submit")),
    Bug(
        "the_same_candidate_is_asked_twice_only_when_busy_for_a_moment",
        every_busy_one_is_waited_for,
        world_of("busy_long", "ok"),
    ),
    Bug("refused_never_fails_over", refused_fails_over, world_of("refused", "ok")),
    Bug("no_more_is_bought_than_was_asked", recovery_sends_again, dying("after_submit")),
    Bug("no_more_is_bought_than_was_asked", unknown_fails_over, world_of("reset_after", "ok")),
    Bug("pictures_come_from_good_answers", anything_is_proved, world_of("truncated")),
    Bug("what_came_is_delivered", the_last_image_is_lost, world_of()),
    Bug("unknown_is_told_as_unknown", unknown_is_called_failed, world_of("reset_before")),
    Bug("every_hold_is_resolved", nobody_knows_what_became_of_a_commit, hiccup("untold")),
    Bug("every_hold_is_resolved", nobody_knows_what_became_of_a_commit, hiccup("late")),
    Bug("what_was_not_accepted_is_nothing", what_was_not_accepted_has_failed, hiccup("fails")),
    Bug(
        "who_was_turned_away_pays_nothing",
        nobody_knows_what_became_of_a_commit,
        hiccup("untold", request=POLLED, background=True),
    ),
    Bug("nothing_is_sent_of_what_was_called_off", marks_are_not_seen_by_who_comes_next, CALLED_OFF),
    Bug("only_who_wished_so_is_cancelled", what_failed_is_called_cancelled, world_of("failed")),
    Bug(
        "who_waits_is_given_what_was_paid_for",
        the_first_thing_done_for_a_task_is_its_end,
        world_of(called_off_after_s=0.5),
    ),
    Bug("a_key_buys_once", keys_are_never_claimed, twice()),
    Bug("a_key_buys_once", running_ones_bind_nobody, twice(after_s=0)),
    Bug("a_key_buys_once", unknown_ones_free_their_key, twice("reset_after", "ok")),
    Bug("who_asks_again_gets_the_same", answers_come_again_in_another_order, twice()),
    Bug(
        "who_asks_again_gets_the_same",
        what_was_asked_for_is_not_compared,
        twice(other=replace(COUNTED, prompt="a dog")),
    ),
    Bug("who_asks_again_gets_the_same", unknown_ones_are_told_otherwise, twice("reset_after")),
    Bug("a_memo_is_resumed", memos_are_not_read, dying("after_memo", POLLED)),
    Bug("errors_are_in_the_table", a_code_of_no_table, world_of("refused")),
    Bug("no_provider_speaks_through_us", the_provider_is_quoted, world_of("refused")),
    Bug("what_sending_again_would_buy_is_not_resent", everything_may_be_sent_again, world_of("reset_after")),
    Bug("answers_tell_the_truth", warnings_are_swallowed, world_of("partial")),
    Bug("who_hung_up_finds_his_pictures", nothing_is_kept, world_of(delivery_s=5, patience_s=3)),
    Bug("parts_add_up", failover_asks_for_less, world_of("denied", "ok")),
    Bug("a_stream_that_began_is_not_asked_for_elsewhere", began_streams_fail_over, dying_stream("error_event")),
    Bug("what_a_dead_stream_completed_is_captured", dead_streams_lose_their_images, dying_stream("died", STREAM)),
    Bug("what_a_dead_stream_completed_is_captured", dead_streams_lose_their_images, dying_stream("cut_end", STREAM)),
    Bug("the_last_event_comes_after_the_capture", the_last_word_comes_too_soon, world_of(request=STREAM)),
    Bug(
        "events_tell_what_is_delivered",
        what_was_made_ready_is_forgotten,
        world_of(request=replace(STREAM, output_format="webp")),
    ),
    Bug("nothing_is_stored_twice", what_was_made_ready_is_forgotten, world_of(request=STREAM, form="url")),
    Bug("no_image_is_replaced", all_images_have_one_name, world_of(form="url")),
    Bug("previews_are_of_images_to_come", previews_are_never_counted, world_of(request=PREVIEWS)),
    Bug(
        "background_tasks_run_on",
        who_leaves_cancels_what_runs_in_the_background,
        world_of(request=LEAVES_EARLY, background=True),
    ),
    Bug(
        "inputs_go_with_their_task",
        inputs_are_never_swept,
        world_of(request=SENT_ALONG, background=True),
    ),
    Bug("every_end_is_told", nobody_writes_down_whom_to_tell, telling()),
    Bug("every_end_is_told", claims_never_run_out, replace(telling("silent", "ok"), troubles=KILLED_WHILE_TELLING)),
    Bug("only_what_happened_is_told", every_end_is_told_as_a_success, replace(telling(), plan=Script(("refused",)))),
    Bug("only_what_happened_is_told", every_try_has_an_id_of_its_own, telling("error", "ok")),
    Bug("only_what_happened_is_told", the_body_is_signed_before_it_is_written, telling()),
    Bug("nobody_is_told_by_two_at_once", claims_keep_nobody_away, telling("late", "ok")),
    Bug("who_took_it_is_left_alone", what_was_taken_is_forgotten, telling()),
    Bug("who_is_gone_is_left_alone", gone_is_an_error_like_any_other, telling("gone", "ok", path="gone")),
    Bug("spools_are_empty", scopes_are_held_twice, world_of()),
)


@pytest.mark.parametrize("bug", BUGS, ids=str)
def test_a_planted_bug_is_found(bug: Bug, monkeypatch: pytest.MonkeyPatch) -> None:
    assert broken(bug.shape) == {}
    bug.plant(monkeypatch)
    assert bug.checker in broken(bug.shape)


def test_every_checker_has_its_bug() -> None:
    assert {checker.__name__ for checker in CHECKERS} == {bug.checker for bug in BUGS}
