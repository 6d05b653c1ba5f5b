"""Single worlds, written down: what happened once, or what the billing law says of one case. Every promise is checked
in each of them besides."""

from __future__ import annotations

from typing import Any

import pytest
from structlog.testing import capture_logs

from imageway.bodies import blob_of
from imageway.core.errors import GatewayError
from imageway.core.ops import Op
from imageway.core.requests import ImageData, ImageLink, ImageRequest, Operation
from imageway.engine import recovery, rows, settlement
from imageway.engine.attempts import PartRun
from imageway.engine.exchanges import Exchanges
from imageway.engine.harvest import Harvest
from imageway.engine.results import unpack_result
from imageway.engine.settings import EngineSettings
from imageway.ledger.ops import Capture, MarkDelivery, Void
from imageway.ledger.queries import HoldRow
from imageway.tasks.ops import AdoptTask, BeginAttempt, CreateTask, DropLease, EndAttempt, KeepMemo
from imageway.tasks.queries import Task
from imageway.tasks.queue import QueuedTasks, QueueTask
from tests.sim.checkers import tables_of, violations
from tests.sim.logs import CRASHES
from tests.sim.machine import EPOCH_MS, ObjectsDoor, StoreDoor, Weather
from tests.sim.pictures import picture
from tests.sim.plans import Script
from tests.sim.seeds import with_inputs
from tests.sim.upstreams import Link
from tests.sim.world import Order, Shape, Trouble, Visit, World, catalog, run_world
from tests.values import replace

COUNTED = ImageRequest(model="gpt-image-1", prompt="a cat", quality="low", n=2)
SINGLE = ImageRequest(model="gemini-2.5-flash-image", prompt="a cat")
POLLED = ImageRequest(model="qwen-image", prompt="a cat")
PARTS = replace(SINGLE, n=3)
LATE_INPUT = replace(
    SINGLE, operation=Operation.EDIT, images=(ImageLink("https://pictures.example/late.png", "image"),)
)


def shape_of(plan: Script, request: ImageRequest = COUNTED, *, troubles: Any = (), **order: Any) -> Shape:
    return Shape(seed=1, plan=plan, orders=(Order(number=0, request=request, **order),), troubles=troubles)


def play(shape: Shape, *, crashes: bool = False) -> World:
    """The world at its end, with every promise kept. `crashes`: a crash is what it is about."""
    CRASHES.clear()
    world = run_world(shape, meddle=with_inputs)
    found = violations(world)
    if crashes:
        assert CRASHES
        found.pop("what_came_is_delivered", None)
    else:
        assert CRASHES == []
    assert found == {}
    return world


def only(world: World) -> tuple[Task, HoldRow, Visit]:
    (task,) = tables_of(world).tasks.values()
    return task, tables_of(world).holds[task.id], world.visits[0]


def code(visit: Visit) -> str | None:
    return visit.error.code if isinstance(visit.error, GatewayError) else None


# Stores that lose answers


@pytest.mark.parametrize("fate", ["fails", "untold"])
@pytest.mark.parametrize("op", [KeepMemo, Capture, EndAttempt])
def test_a_hiccup_of_the_store_costs_nobody_a_picture(op: type[Op], fate: str) -> None:
    shape = shape_of(Script(), POLLED)
    world = play(replace(shape, weather=Weather(planted={op: [fate, fate]})))
    task, hold, visit = only(world)
    assert (task.state, hold.captured, visit.delivered) == ("succeeded", 35_000, True)


@pytest.mark.parametrize("fate", ["fails", "untold"])
def test_a_failover_goes_on_after_a_hiccup(fate: str) -> None:
    shape = shape_of(Script(("denied", "ok")))
    world = play(replace(shape, weather=Weather(planted={BeginAttempt: ["done", fate]})))
    task, _, visit = only(world)
    assert (task.state, visit.delivered) == ("succeeded", True)
    assert [attempt.state for attempt in task.attempts] == ["failed", "proved"]


def test_an_accept_whose_fate_is_untold_is_taken_back() -> None:
    world = play(replace(shape_of(Script()), weather=Weather(planted={CreateTask: ["untold"]})))
    task, hold, visit = only(world)
    assert (task.state, hold.state, code(visit)) == ("cancelled", "voided", "overloaded")
    assert world.providers.submits == []


@pytest.mark.parametrize("fate", ["fails", "late"])
def test_an_accept_that_failed_leaves_nothing_but_a_used_id(fate: str) -> None:
    """By which what comes late is refused."""
    world = play(replace(shape_of(Script()), weather=Weather(planted={CreateTask: [fate]})))
    (task,) = tables_of(world).tasks.values()
    assert (task.state, tables_of(world).holds, world.providers.submits) == ("cancelled", {}, [])
    assert code(world.visits[0]) == "overloaded"


@pytest.mark.parametrize("fate", ["fails", "late"])
def test_a_task_whose_caller_was_turned_away_never_waits(fate: str) -> None:
    request = replace(SINGLE, operation=Operation.EDIT, images=(ImageData(blob_of(picture("png", 3)), "image"),))
    shape = shape_of(Script(), request, background=True)
    world = play(replace(shape, weather=Weather(planted={QueueTask: [fate]})))
    (task,) = tables_of(world).tasks.values()
    assert (task.state, tables_of(world).holds, world.objects.rows) == ("cancelled", {}, {})
    assert code(world.visits[0]) == "overloaded"


def test_a_task_that_waits_although_nobody_said_so_is_the_callers() -> None:
    """He is told that it was accepted as soon as that is known, and gets what he pays for."""
    weather = Weather(planted={QueueTask: ["untold"], CreateTask: ["fails", "fails", "untold"]})
    task, hold, visit = only(play(replace(shape_of(Script(), POLLED, background=True), weather=weather)))
    assert visit.view is not None
    assert (task.state, hold.state, visit.view.id) == ("succeeded", "captured", task.id)


def test_a_failure_is_settled_once_although_nobody_said_so() -> None:
    world = play(replace(shape_of(Script(("refused",))), weather=Weather(planted={Void: ["untold"]})))
    task, hold, visit = only(world)
    assert (task.state, hold.state, code(visit)) == ("failed", "voided", "content_policy_violation")


def test_a_delivery_is_marked_in_the_end() -> None:
    world = play(replace(shape_of(Script()), weather=Weather(planted={MarkDelivery: ["fails", "untold"]})))
    assert [row.delivery for row in tables_of(world).usage.values()] == ["delivered"]


@pytest.mark.parametrize("op", [AdoptTask, DropLease])
def test_an_adoption_survives_a_hiccup(op: type[Op]) -> None:
    shape = shape_of(Script(), POLLED, troubles=(Trouble(process=0, die_at=("after_memo", 1)),))
    world = play(replace(shape, weather=Weather(planted={op: ["untold"]})))
    task, hold, _ = only(world)
    assert (task.state, hold.captured) == ("succeeded", 35_000)


# Processes that die: captured, then killed


@pytest.mark.parametrize(
    ("point", "request_", "proves", "state", "hold", "delivery"),
    [
        ("after_accept", COUNTED, True, "unknown", "voided", "none"),
        ("after_submit", COUNTED, True, "unknown", "voided", "none"),
        ("after_submit", COUNTED, False, "unknown", "voided", "none"),
        ("after_capture", COUNTED, True, "succeeded", "refunded", "refunded"),
        ("after_capture", COUNTED, False, "succeeded", "refunded", "refunded"),
        ("after_submit", POLLED, True, "unknown", "voided", "none"),
        ("after_memo", POLLED, True, "succeeded", "captured", "stored"),
        ("after_memo", POLLED, False, "succeeded", "captured", "stored"),
        ("after_capture", POLLED, True, "succeeded", "captured", "stored"),
    ],
)
def test_what_a_kill_leaves_behind(
    point: str, request_: ImageRequest, proves: bool, state: str, hold: str, delivery: str
) -> None:
    shape = shape_of(Script(), request_, troubles=(Trouble(process=0, die_at=(point, 1)),))
    world = play(replace(shape, proves=proves))
    task, row, visit = only(world)
    assert (task.state, row.state, tables_of(world).usage[task.id].delivery) == (state, hold, delivery)
    assert visit.end == "cut"
    assert len(world.providers.submits) == (0 if point == "after_accept" else 1)


@pytest.mark.parametrize(("proves", "at_once"), [(True, True), (False, False)])
def test_without_proof_of_death_evidence_is_waited_for(proves: bool, at_once: bool) -> None:
    """The lost process may have been cut off only: until the deadline of its attempt it may still bring the images."""
    shape = shape_of(Script(), troubles=(Trouble(process=0, die_at=("after_submit", 1)),))
    task, _, _ = only(play(replace(shape, proves=proves)))
    waited_ms = (task.finished_ms or 0) - task.attempts[0].deadline_ms
    assert (waited_ms < -200_000) is at_once
    assert waited_ms < 15_000


def test_evidence_of_a_process_that_only_stalled_is_taken() -> None:
    """Its lease ran out and its task was adopted; the images it brings are charged once and delivered once."""
    stall = Trouble(process=0, at_s=2, what="stall", stall_s=60)
    world = play(replace(shape_of(Script(delays_s=(5.0,)), troubles=(stall,), process=0), processes=2, proves=False))
    task, hold, visit = only(world)
    assert (task.state, task.owner, task.fence) == ("succeeded", "proc-1", 2)
    assert (hold.state, visit.delivered) == ("captured", True)


@pytest.mark.parametrize("proves", [True, False])
def test_who_takes_over_stores_images_under_numbers_of_his_own(proves: bool) -> None:
    """Who had the task before may only have been cut off, and store his as well."""
    shape = shape_of(Script(), replace(POLLED, n=2), troubles=(Trouble(process=0, die_at=("after_memo", 2)),))
    world = play(replace(shape, proves=proves))
    task, _, _ = only(world)
    names = [picture.name for picture in unpack_result(task.result).pictures]
    assert names == [f"{task.id}-{100 * task.fence + number}.png" for number in (0, 1)]


def test_a_deposed_process_starts_nothing_new() -> None:
    """What *starts* is fenced: after a stall that cost it the task, "busy" no longer leads to another upstream."""
    stall = Trouble(process=0, at_s=2, what="stall", stall_s=60)
    plan = Script(("busy", "ok"), delays_s=(5.0,))
    world = play(replace(shape_of(plan, troubles=(stall,), process=0), processes=2, proves=False))
    task, hold, visit = only(world)
    assert [submit.fate for submit in world.providers.submits] == ["busy"]
    assert (task.state, hold.state, code(visit)) == ("failed", "voided", "rate_limit_exceeded")


def test_a_row_that_nobody_can_read_gives_its_hold_back(monkeypatch: pytest.MonkeyPatch) -> None:
    def unreadable(content: bytes) -> None:
        raise ValueError("a row of another version")

    monkeypatch.setattr(recovery, "unpack_task", unreadable)
    world = play(shape_of(Script(), troubles=(Trouble(process=0, die_at=("after_submit", 1)),)), crashes=True)
    task, hold, _ = only(world)
    assert (task.state, hold.state) == ("unknown", "voided")


def test_a_waiting_row_that_nobody_can_read_ends_at_its_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    """Though nobody has a hand free to find that out by beginning it; and those behind it end as well."""

    def gone(tools: Any, task: Task, kept: Any) -> Any:
        if task.model == POLLED.model:
            raise KeyError(task.model)
        return facts_of(tools, task, kept)

    facts_of = rows.facts_of
    monkeypatch.setattr(rows, "facts_of", gone)
    orders = tuple(
        Order(number=number, request=replace(request, prompt=f"a cat, number {number}"), background=True, deadline_s=5)
        for number, request in enumerate((POLLED, SINGLE))
    )
    world = play(replace(shape_of(Script()), orders=orders, workers=0), crashes=True)
    assert [task.state for task in tables_of(world).tasks.values()] == ["failed", "cancelled"]
    assert {hold.state for hold in tables_of(world).holds.values()} == {"voided"}


# Processes that stop in order


def test_a_polled_task_outlives_an_orderly_stop() -> None:
    """Its caller is told that it goes on; the next process delivers it."""
    close = Trouble(process=0, at_s=8, what="close", drain_s=0, successor_after_s=1)
    task, hold, visit = only(play(shape_of(Script(polls_s=60), POLLED, troubles=(close,))))
    assert (task.state, hold.captured) == ("succeeded", 35_000)
    assert code(visit) == "request_timeout"
    assert "by its id" in str(visit.error)


def test_what_was_sent_without_a_memo_is_unknown_after_the_drain() -> None:
    close = Trouble(process=0, at_s=8, what="close", drain_s=3, successor_after_s=1)
    task, hold, visit = only(play(shape_of(Script(delays_s=(60.0,)), troubles=(close,))))
    assert (task.state, hold.state, code(visit)) == ("unknown", "voided", "request_timeout")
    assert task.finished_ms is not None
    assert task.finished_ms - EPOCH_MS < 15_000


def test_what_came_before_the_stop_is_delivered() -> None:
    """Of three parts, two were there when the drain was over."""
    close = Trouble(process=0, at_s=8, what="close", drain_s=3, successor_after_s=1)
    task, hold, visit = only(play(shape_of(Script(delays_s=(1.0, 60.0, 4.0)), PARTS, troubles=(close,))))
    assert (task.state, hold.captured, visit.delivered) == ("succeeded", 78_000, True)
    assert [attempt.state for attempt in task.attempts] == ["proved", "unknown", "proved"]


def test_a_drain_lets_finish_what_can() -> None:
    close = Trouble(process=0, at_s=2, what="close", drain_s=30, successor_after_s=1)
    task, _, visit = only(play(shape_of(Script(delays_s=(10.0,)), troubles=(close,))))
    assert (task.state, visit.delivered) == ("succeeded", True)


def test_a_request_that_is_being_accepted_while_the_engine_closes_is_taken_back() -> None:
    close = Trouble(process=0, at_s=0.05, what="close", drain_s=0)
    shape = shape_of(Script(), troubles=(close,))
    world = play(replace(shape, weather=Weather(commit_s=1.0)))
    task, hold, visit = only(world)
    assert (task.state, hold.state, code(visit)) == ("cancelled", "voided", "overloaded")
    assert world.providers.submits == []


# Hanging up


def test_who_leaves_before_anything_was_sent_pays_nothing() -> None:
    task, hold, _ = only(play(shape_of(Script(), LATE_INPUT, patience_s=2)))
    assert (task.state, hold.state) == ("cancelled", "voided")


@pytest.mark.parametrize(("key", "ended"), [(None, ("cancelled", "voided")), ("mine", ("succeeded", "captured"))])
def test_who_leaves_while_he_is_being_accepted(key: str | None, ended: tuple[str, str]) -> None:
    """Nothing of it leaves the house, unless he said that he will come back."""
    shape = shape_of(Script(), patience_s=0.5, key=key)
    task, hold, _ = only(world := play(replace(shape, weather=Weather(commit_s=1.0))))
    assert (task.state, hold.state) == ended
    assert bool(world.providers.submits) == (key is not None)


@pytest.mark.parametrize("patience_s", [1.0, 1.5, 2.0, 2.5, 3.0, 3.5])
def test_who_leaves_while_his_failure_is_written_down_leaves_no_hold(patience_s: float) -> None:
    """His linked image is not there; the commit that says so is under way when he hangs up."""
    missing = replace(LATE_INPUT, images=(ImageLink("https://pictures.example/missing.png", "image"),))
    shape = shape_of(Script(), missing, patience_s=patience_s)
    _, hold, _ = only(play(replace(shape, weather=Weather(commit_s=2.0))))
    assert hold.state == "voided"


def test_who_leaves_with_a_key_may_come_back_for_his_pictures() -> None:
    """An Idempotency-Key says that he will: nothing is cancelled, even before it was sent."""
    task, hold, _ = only(play(shape_of(Script(), LATE_INPUT, patience_s=2, key="mine")))
    assert (task.state, hold.state) == ("succeeded", "captured")


@pytest.mark.parametrize("patience_s", [1.5, 5.0, 5.3, 5.6, 6.0, 6.4, 6.8, 7.5, 9.0])
def test_pictures_are_kept_whenever_he_left(patience_s: float) -> None:
    """Before the answer came, while it was being settled, or while he was reading it."""
    shape = shape_of(Script(delays_s=(5.0,)), patience_s=patience_s, delivery_s=100)
    task, hold, _ = only(world := play(replace(shape, weather=Weather(commit_s=1.0))))
    assert (task.state, hold.state) == ("succeeded", "captured")
    assert tables_of(world).usage[task.id].delivery == "stored"
    assert len(world.objects.rows) == 2


def test_pictures_that_cannot_be_kept_are_refunded() -> None:
    shape = shape_of(Script(), delivery_s=5, patience_s=3)
    task, hold, _ = only(world := play(replace(shape, weather=Weather(put_fails=1.0))))
    assert (task.state, hold.state) == ("succeeded", "refunded")
    assert tables_of(world).usage[task.id].delivery == "refunded"


@pytest.mark.parametrize("order", [{"form": "url"}, {"patience_s": 3, "delivery_s": 5}])
def test_a_media_store_that_fails_for_a_moment_costs_nobody_a_picture(order: dict[str, Any]) -> None:
    """Before they are charged, and after their caller hung up."""
    world = play(replace(shape_of(Script(), **order), weather=Weather(first_puts_fail=3)))
    task, hold, _ = only(world)
    assert (task.state, hold.state) == ("succeeded", "captured")
    assert tables_of(world).usage[task.id].delivery == "stored"


def test_pictures_that_cannot_be_stored_are_not_charged() -> None:
    """Which is the media store's failure, told as that, and no crash of ours."""
    shape = shape_of(Script(), form="url")
    with capture_logs() as logs:
        task, hold, visit = only(play(replace(shape, weather=Weather(put_fails=1.0))))
    assert (task.state, hold.state, code(visit)) == ("failed", "voided", "overloaded")
    assert [line["event"] for line in logs if line["log_level"] == "error"] == ["media.failed"]


# Deadlines


def test_following_links_does_not_restart_the_clock() -> None:
    task, _, visit = only(play(shape_of(Script(delays_s=(40.0,), links=(Link(b"", 0, "never"),)), POLLED)))
    assert (task.finished_ms or 0) - EPOCH_MS < 301_000
    assert code(visit) == "request_timeout"


def test_what_the_deadline_kept_from_being_sent_is_not_unknown() -> None:
    shape = shape_of(Script(), LATE_INPUT)
    world = play(replace(shape, settings=EngineSettings(attempt_deadline_s=5, task_deadline_s=8)))
    task, hold, visit = only(world)
    assert (task.state, hold.state, code(visit)) == ("failed", "voided", "no_healthy_route")
    assert world.providers.submits == []
    assert tables_of(world).usage[task.id].cost_usd_micros == 0


def test_nobody_else_is_asked_after_the_deadline_of_the_task() -> None:
    shape = shape_of(Script(("failed",), delays_s=(7.0,)))
    world = play(replace(shape, settings=EngineSettings(attempt_deadline_s=60, task_deadline_s=10)))
    assert [submit.at_s < 10 for submit in world.providers.submits] == [True, True]


# Parts


def test_a_part_that_crashes_does_not_lose_what_the_others_bought(monkeypatch: pytest.MonkeyPatch) -> None:
    attempt = PartRun._attempt

    async def stumbling(self: PartRun, exchanges: Exchanges) -> Any:
        outcome = await attempt(self, exchanges)
        if self.part == 1:
            raise KeyError("a hole of ours")
        return outcome

    monkeypatch.setattr(PartRun, "_attempt", stumbling)
    task, hold, visit = only(play(shape_of(Script(), PARTS), crashes=True))
    assert (task.state, hold.captured) == ("succeeded", 78_000)
    assert visit.answer is not None
    assert [warning.code for warning in visit.answer.warnings][:1] == ["partial_result"]


def test_a_task_whose_end_crashes_gives_its_hold_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """Once for what came, and once for its being given up: what it costs cannot be said."""

    def stumbling(*about: object) -> Any:
        raise KeyError("a hole of ours")

    monkeypatch.setattr(settlement, "costs_of", stumbling)
    task, hold, visit = only(play(shape_of(Script()), crashes=True))
    assert (task.state, hold.state, code(visit)) == ("unknown", "voided", "request_timeout")


def test_a_task_that_crashes_is_settled(monkeypatch: pytest.MonkeyPatch) -> None:
    async def stumbling(self: Harvest, produced: object) -> Any:
        raise KeyError("a hole of ours")

    monkeypatch.setattr(Harvest, "_looked_at", stumbling)
    task, hold, visit = only(play(shape_of(Script()), crashes=True))
    assert (task.state, hold.state, code(visit)) == ("unknown", "voided", "request_timeout")


def test_parts_fail_over_each_for_itself() -> None:
    world = play(shape_of(Script(("denied", "ok")), PARTS))
    assert sorted(submit.fate for submit in world.providers.submits) == ["denied"] * 3 + ["ok"] * 3
    assert only(world)[2].delivered


# The billing law


@pytest.mark.parametrize(
    ("fates", "state", "captured", "told"),
    [
        (("ok",), "succeeded", 21_660, None),
        (("partial",), "succeeded", 10_860, None),
        (("one_spoiled",), "succeeded", 10_830, None),
        (("as_jpeg",), "succeeded", 21_660, None),
        (("refused",), "failed", 0, "content_policy_violation"),
        (("invalid",), "failed", 0, "bad_response"),
        (("html",), "failed", 0, "bad_response"),
        (("truncated",), "failed", 0, "bad_response"),
        (("not_an_image",), "failed", 0, "bad_response"),
        (("failed",), "failed", 0, "bad_response"),
        (("busy",), "failed", 0, "rate_limit_exceeded"),
        (("denied",), "failed", 0, "no_healthy_route"),
        (("never_sent",), "failed", 0, "no_healthy_route"),
        (("reset_before",), "unknown", 0, "request_timeout"),
        (("reset_after",), "unknown", 0, "request_timeout"),
        (("proxy",), "unknown", 0, "request_timeout"),
        (("silent",), "unknown", 0, "request_timeout"),
        (("never_sent", "ok"), "succeeded", 21_660, None),
        (("busy", "ok"), "succeeded", 21_660, None),
        (("busy_soon", "ok"), "succeeded", 21_660, None),
        (("busy_soon", "busy_soon", "ok"), "succeeded", 21_660, None),
        (("denied", "failed", "ok"), "succeeded", 21_660, None),
    ],
)
def test_who_pays_for_what(fates: tuple[str, ...], state: str, captured: int, told: str | None) -> None:
    task, hold, visit = only(world := play(shape_of(Script(fates))))
    assert (task.state, hold.captured, code(visit)) == (state, captured, told)
    assert hold.state == ("captured" if captured else "voided")
    stops = {
        "refused",
        "invalid",
        "html",
        "truncated",
        "not_an_image",
        "reset_before",
        "reset_after",
        "proxy",
        "silent",
    }
    assert len(world.providers.submits) == 1 or not stops & set(fates)


def test_more_than_was_held_is_the_operators_loss() -> None:
    _, hold, _ = only(world := play(shape_of(Script(("huge_usage",)))))
    overrun = [row.usd_micros for row in tables_of(world).transfers.values() if row.account == "overrun"]
    assert hold.captured == hold.usd_micros
    assert overrun == [180_000 * 40 + 60 - hold.usd_micros]


def test_an_empty_wallet_is_told_before_anything_is_sent() -> None:
    world = play(replace(shape_of(Script(), workspace="poor"), wallets=(("poor", 100),)))
    assert code(world.visits[0]) == "insufficient_balance"
    assert world.providers.submits == []
    assert tables_of(world).tasks == {}


# Limits


def test_nobody_slips_past_a_limit_while_others_are_being_accepted() -> None:
    """Of four requests of one key at the same moment two are taken, although accepting takes a while; when those are
    done there is room again."""
    orders = tuple(Order(number=number, request=COUNTED, at_s=at_s) for number, at_s in enumerate((0, 0, 0, 0, 60)))
    settings = EngineSettings(tasks_per_key_at_once=2)
    world = play(replace(shape_of(Script()), orders=orders, settings=settings, weather=Weather(commit_s=1.0)))
    assert [code(visit) for visit in world.visits[:4]].count("rate_limit_exceeded") == 2
    assert world.visits[4].delivered


def test_what_finds_no_room_holds_up_nobody_and_ends_at_its_deadline() -> None:
    """One that would fill the whole spool waits beside a small one that lasts. It is looked at less and less often, a
    small one that comes later is served, and at its deadline its caller is told, and pays nothing."""
    room = max(offering.max_answer_bytes for offering in catalog().models[SINGLE.model].offerings)
    orders = (
        Order(number=0, request=SINGLE),
        Order(number=1, request=PARTS, at_s=1, background=True, deadline_s=100),
        Order(number=2, request=SINGLE, at_s=2, background=True),
    )
    with capture_logs() as logs:
        world = play(replace(shape_of(Script(delays_s=(200.0,))), orders=orders, spool_bytes=3 * room))
    _, large, small = (tables_of(world).tasks[visit.task_id or ""] for visit in world.visits)
    assert (large.state, unpack_result(large.result).error) == (
        "cancelled",
        ("request_timeout", "the deadline passed before anybody could begin; nothing was charged"),
    )
    assert tables_of(world).holds[large.id].state == "voided"
    assert small.state == "succeeded"
    assert (small.finished_ms or 0) - EPOCH_MS < 210_000
    rests = [
        line["again_after_s"] for line in logs if line["event"] == "task.without_room" and line["task"] == large.id
    ]
    assert rests == [1, 2, 4, 8, 16, 32, 60]


def crowd(*, commit_s: float) -> Shape:
    """Thirty tasks that wait, and two processes."""
    requests = [replace(POLLED, prompt=f"a cat, number {number}") for number in range(30)]
    orders = tuple(Order(number=number, request=one, background=True) for number, one in enumerate(requests))
    return replace(shape_of(Script()), orders=orders, processes=2, weather=Weather(commit_s=commit_s))


def test_what_began_since_somebody_looked_is_not_overlooked() -> None:
    """Its owner's lease had run out, because commits take long; but he was alive, and went on until he was deposed."""
    world = play(crowd(commit_s=10.0))
    assert {task.state for task in tables_of(world).tasks.values()} == {"succeeded"}
    assert any(task.fence == 3 for task in tables_of(world).tasks.values())


def test_a_store_that_takes_long_to_commit_is_not_asked_in_circles(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is being claimed is found again and again until that is done; hands that are free wait for it."""
    looks, read = [0.0], StoreDoor.read

    async def counted(self: StoreDoor, query: Any) -> Any:
        looks[0] += isinstance(query, QueuedTasks)
        return await read(self, query)

    monkeypatch.setattr(StoreDoor, "read", counted)
    world = play(crowd(commit_s=10.0))
    assert {task.state for task in tables_of(world).tasks.values()} == {"succeeded"}
    assert looks[0] < 4 * world.ended_s


def test_a_sweep_that_takes_long_does_not_cost_the_lease(monkeypatch: pytest.MonkeyPatch) -> None:
    """While a minute-long sweep runs, the task of its process is nobody else's."""

    async def slowly(self: ObjectsDoor, now_ms: int) -> int:
        await self.machine.pause(60 if self.machine.owner == "proc-0" else 0)
        return 0

    monkeypatch.setattr(ObjectsDoor, "sweep", slowly)
    shape = shape_of(Script(polls_s=120), POLLED, process=0)
    settings = EngineSettings(sweep_every_s=3)
    task, hold, visit = only(play(replace(shape, processes=2, proves=False, settings=settings)))
    assert (task.owner, task.fence) == ("proc-0", 1)
    assert (hold.state, visit.delivered) == ("captured", True)


# Keys that come again


def keyed(fates: Script, *at_s: float, request: ImageRequest = COUNTED, **order: Any) -> Shape:
    """Visitors with one key and one request, at these moments."""
    orders = tuple(Order(number=number, request=request, at_s=when, key="one") for number, when in enumerate(at_s))
    return Shape(seed=1, plan=fates, orders=tuple(replace(each, **order) for each in orders))


@pytest.mark.parametrize("background_first", [True, False])
def test_who_attaches_takes_no_room_from_what_he_waits_for(background_first: bool) -> None:
    """Two come at once; the second had reserved room for an answer of his own when the key was taken. There is room for
    one."""
    shape = keyed(Script(), 0, 0, request=SINGLE)
    first, second = shape.orders
    orders = (replace(first, background=background_first), replace(second, background=not background_first))
    most = max(offering.max_answer_bytes for offering in catalog().models[SINGLE.model].offerings)
    world = play(replace(shape, orders=orders, spool_bytes=most + most // 2, workers=1))
    (task,) = tables_of(world).tasks.values()
    assert task.state == "succeeded"
    assert (task.finished_ms or 0) - task.created_ms < 60_000


@pytest.mark.parametrize("moment_s", [0.0, 0.002, 0.5, 40.0])
def test_a_crowd_with_one_key_buys_once(moment_s: float) -> None:
    """In three processes, however close together they come."""
    shape = keyed(Script(), *(number * moment_s / 63 for number in range(64)))
    world = play(replace(shape, processes=3, weather=Weather(commit_s=0.02)))
    (task,) = tables_of(world).tasks.values()
    assert len(world.providers.submits) == 1
    assert all(visit.delivered for visit in world.visits)
    assert {visit.answer.request_id for visit in world.visits if visit.answer} == {task.id}
    assert [visit.replayed for visit in world.visits].count(False) == 1


def test_a_failure_frees_its_key_and_an_unknown_outcome_does_not() -> None:
    """Who waited for what failed is told so; who comes later buys anew. Nobody buys after an unknown one."""
    failing = play(keyed(Script(("refused",)), 0, 0, 60))
    assert [code(visit) for visit in failing.visits] == ["content_policy_violation"] * 3
    assert [visit.replayed for visit in failing.visits].count(True) == 1
    assert len(failing.providers.submits) == 2
    lost = play(keyed(Script(("reset_after",)), 0, 0, 60, 3600))
    assert [code(visit) for visit in lost.visits] == ["request_timeout"] * 4
    assert len(lost.providers.submits) == 1


@pytest.mark.parametrize(("request_", "told"), [(POLLED, None), (COUNTED, "request_timeout")])
@pytest.mark.parametrize("proves", [True, False])
def test_who_comes_back_after_a_death_finds_what_became_of_it(
    request_: ImageRequest, told: str | None, proves: bool
) -> None:
    """What had a memo is resumed and delivered to him, once; what had none is unknown, and never sent again. He waits
    meanwhile, in another process."""
    shape = keyed(Script(), 0, 6, 2000, request=request_)
    first, *others = shape.orders
    dying = (Trouble(process=0, die_at=("after_memo" if told is None else "after_submit", 1)),)
    orders = (replace(first, process=0), *(replace(each, process=1) for each in others))
    world = play(replace(shape, orders=orders, processes=2, troubles=dying, proves=proves))
    assert world.visits[0].end == "cut"
    assert [code(visit) for visit in world.visits[1:]] == [told] * 2
    assert len(world.providers.submits) == 1
    (hold,) = tables_of(world).holds.values()
    assert hold.state == ("captured" if told is None else "voided")


def test_a_key_is_over_after_a_day() -> None:
    """Or as long as the operator says."""
    brief = EngineSettings(idempotency_keep_s=1800)
    world = play(replace(keyed(Script(), 0, 1700, 1900, request=SINGLE), settings=brief))
    assert [visit.replayed for visit in world.visits] == [False, True, False]
    assert len(tables_of(world).tasks) == 2
