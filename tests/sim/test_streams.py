"""Single worlds in which somebody follows a task, or leaves it alone: what he hears, what he pays, and what becomes of
it when the stream, the process or his patience ends."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from imageway.core.intents import Arrived, Generated, ListTasks, Missing, Preview
from imageway.core.requests import Caller, Geometry, Group, ImageRequest
from imageway.engine.results import unpack_result
from imageway.engine.runs import TaskHandle
from imageway.engine.settings import EngineSettings
from tests.sim.checkers import tables_of
from tests.sim.plans import Script
from tests.sim.test_regressions import LATE_INPUT, PARTS, POLLED, SINGLE, code, only, play, shape_of
from tests.sim.upstreams import Link
from tests.sim.world import Order, Process, Trouble, Visit
from tests.values import replace

STREAM = replace(SINGLE, stream=True)
PREVIEWED = ImageRequest(model="gpt-image-1", prompt="a cat", quality="low", stream=True, partial_images=2)
PAIR = replace(PREVIEWED, n=2, partial_images=None)
GROUP = ImageRequest(model="doubao-seedream-4-0-250828", prompt="seasons", group=Group(3, counted=True), stream=True)
ONE_TOKENS_USD_MICROS = 12 * 5 + 270 * 40


def heard(visit: Visit) -> list[str]:
    """ "p0.1" is the second preview of the first image, "i0" that image."""
    return [
        f"p{event.image}.{event.index}" if isinstance(event, Preview) else f"i{event.image}" for event in visit.told
    ]


def test_previews_come_first_then_the_image_then_the_last_word() -> None:
    task, hold, visit = only(play(shape_of(Script(), PREVIEWED)))
    assert heard(visit) == ["p0.0", "p0.1", "i0"]
    assert visit.answer is not None
    assert (task.state, hold.captured, visit.delivered) == ("succeeded", ONE_TOKENS_USD_MICROS, True)
    assert visit.answer.missing == ()


def test_images_of_one_call_are_told_as_they_come() -> None:
    _, hold, visit = only(play(shape_of(Script(pause_s=5.0), PAIR)))
    assert heard(visit) == ["i0", "i1"]
    assert hold.captured == 2 * ONE_TOKENS_USD_MICROS


@pytest.mark.parametrize("request_", [replace(PARTS, stream=True), ImageRequest(model="qwen-image", n=3, stream=True)])
def test_parts_and_upstreams_that_do_not_stream_tell_what_they_finished(request_: ImageRequest) -> None:
    _, _, visit = only(play(shape_of(Script(), replace(request_, prompt="a cat"))))
    assert sorted(heard(visit)) == ["i0", "i1", "i2"]
    assert visit.answer is not None
    assert len(visit.answer.pictures) == 3


def test_who_wants_links_gets_them_at_once_and_they_stay_the_same() -> None:
    world = play(shape_of(Script(), GROUP, form="url"))
    _, _, visit = only(world)
    assert visit.answer is not None
    links = [event.picture.url for event in visit.told if isinstance(event, Arrived)]
    assert sorted(map(str, links)) == sorted(str(picture.url) for picture in visit.answer.pictures)
    assert list(world.objects.puts.values()) == [1, 1, 1]


def test_a_hanging_result_link_holds_up_nothing_else() -> None:
    """Its own image is lost at the deadline; the others were told long before."""
    links = (Link(b"", ending="never"), Link(b""), Link(b""))
    world = play(shape_of(Script(links=links), GROUP))
    task, hold, visit = only(world)
    assert heard(visit) == ["i0", "i1"]
    assert (task.state, hold.captured) == ("succeeded", 60_000)
    assert visit.answer is not None
    assert [missing.code for missing in visit.answer.missing] == ["request_timeout"]


# Deaths


@pytest.mark.parametrize(("fate", "told"), [("died", "request_timeout"), ("cut_end", "request_timeout")])
def test_a_stream_that_dies_delivers_and_charges_what_was_complete(fate: str, told: str) -> None:
    world = play(shape_of(Script((fate,), events=1), PAIR))
    task, hold, visit = only(world)
    assert (task.state, hold.captured, heard(visit)) == ("succeeded", ONE_TOKENS_USD_MICROS, ["i0"])
    assert visit.answer is not None
    assert "partial_result" in {warning.code for warning in visit.answer.warnings}
    assert visit.answer.missing == (Missing(told, "the provider took the request but its answer never arrived"),)
    assert len(world.providers.submits) == 1


def test_a_stream_that_fails_by_its_own_word_says_so_of_what_is_missing() -> None:
    _, hold, visit = only(play(shape_of(Script(("error_event",), events=1), PAIR)))
    assert hold.captured == ONE_TOKENS_USD_MICROS
    assert visit.answer is not None
    assert [missing.code for missing in visit.answer.missing] == ["bad_response"]


@pytest.mark.parametrize(("fate", "state"), [("died", "unknown"), ("cut_end", "unknown"), ("error_event", "failed")])
def test_after_a_preview_nobody_else_is_asked(fate: str, state: str) -> None:
    world = play(shape_of(Script((fate, "ok"), events=1), PREVIEWED))
    task, hold, visit = only(world)
    assert (task.state, hold.state, heard(visit)) == (state, "voided", ["p0.0"])
    assert visit.answer is None
    assert code(visit) in ("request_timeout", "bad_response")
    assert len(world.providers.submits) == 1


def test_before_the_first_event_the_next_one_is_asked() -> None:
    for fate in ("busy", "denied", "error_first"):
        world = play(shape_of(Script((fate, "ok")), PREVIEWED))
        task, _, visit = only(world)
        assert (task.state, heard(visit)) == ("succeeded", ["p0.0", "p0.1", "i0"])
        assert [attempt.state for attempt in task.attempts] == ["failed", "proved"]


def test_a_stream_that_is_too_slow_ends_at_its_deadline() -> None:
    shape = shape_of(Script(pause_s=40.0), PAIR)
    task, hold, visit = only(play(replace(shape, settings=EngineSettings(attempt_deadline_s=30))))
    assert (task.state, hold.captured, heard(visit)) == ("succeeded", ONE_TOKENS_USD_MICROS, ["i0"])


# Those who leave


@pytest.mark.parametrize("form", ["b64_json", "url"])
def test_who_hangs_up_in_the_middle_finds_everything(form: Any) -> None:
    world = play(shape_of(Script(pause_s=5.0), PAIR, leaves_after=1, form=form))
    task, hold, visit = only(world)
    assert (visit.end, task.state, hold.captured) == ("hung_up", "succeeded", 2 * ONE_TOKENS_USD_MICROS)
    assert len(unpack_result(task.result).pictures) == 2
    assert sorted(world.objects.rows) == [f"{task.id}-0.png", f"{task.id}-1.png"]


def test_a_process_that_stops_delivers_what_came() -> None:
    """The rest is unknown, and not charged."""
    stop = Trouble(process=0, at_s=8.0, what="close", drain_s=1.0)
    task, hold, visit = only(play(shape_of(Script(pause_s=60.0), PAIR, troubles=(stop,))))
    assert (task.state, hold.captured, heard(visit)) == ("succeeded", ONE_TOKENS_USD_MICROS, ["i0"])


def test_a_process_that_dies_charges_nothing_for_what_it_told() -> None:
    die = Trouble(process=0, at_s=8.0)
    world = play(shape_of(Script(pause_s=60.0), PAIR, troubles=(die,)))
    task, hold, visit = only(world)
    assert (visit.end, task.state, hold.state, heard(visit)) == ("cut", "unknown", "voided", ["i0"])


Look = Callable[[Process, Visit, TaskHandle], Coroutine[Any, Any, Any]]


@pytest.fixture
def looking(monkeypatch: pytest.MonkeyPatch) -> Callable[[Look], list[Any]]:
    """Whoever was answered looks once more, with his handle still in his hand; what he saw."""

    def install(look: Look) -> list[Any]:
        seen: list[Any] = []
        answer = Process._answer

        async def twice(self: Process, visit: Visit, handle: TaskHandle) -> Generated:
            generated = await answer(self, visit, handle)
            seen.append(await look(self, visit, handle))
            return generated

        monkeypatch.setattr(Process, "_answer", twice)
        return seen

    return install


async def events_again(process: Process, visit: Visit, handle: TaskHandle) -> list[str]:
    return [type(event).__name__ async for event in handle.events()]


def test_who_follows_late_hears_of_finished_images_again(looking: Callable[[Look], list[Any]]) -> None:
    seen = looking(events_again)
    play(shape_of(Script(), PREVIEWED))
    assert seen == [["Arrived", "Finished"]]


def test_without_a_stream_there_is_only_the_last_word(looking: Callable[[Look], list[Any]]) -> None:
    """And nothing is made for followers that nobody asked for."""
    seen = looking(events_again)
    play(shape_of(Script(), PARTS))
    assert seen == [["Finished"]]


def test_what_is_not_honoured_is_known_before_the_first_event(looking: Callable[[Look], list[Any]]) -> None:
    async def look(process: Process, visit: Visit, handle: TaskHandle) -> Any:
        return [warning.param for warning in handle.warnings], handle.sandbox

    seen = looking(look)
    play(shape_of(Script(), replace(STREAM, seed=3, style="vivid", geometry=Geometry(ratio="5:1"))))
    assert seen == [(["style", "geometry"], False)]


def test_a_workspace_lists_its_own_tasks(looking: Callable[[Look], list[Any]]) -> None:
    async def look(process: Process, visit: Visit, handle: TaskHandle) -> Any:
        if visit.order.number != 2:
            return None
        caller = Caller("key-rich", "rich")
        page = await process.engine.list_tasks(ListTasks(limit=1, skip=1), caller)
        stranger = await process.engine.list_tasks(ListTasks(), Caller("key-poor", "poor"))
        return page, stranger.total

    seen = looking(look)
    orders = tuple(Order(number=n, request=SINGLE, at_s=20.0 * n, form="url") for n in range(3))
    world = play(replace(shape_of(Script()), orders=orders))
    page, strangers = seen[2]
    assert (page.total, page.skip, page.limit, strangers) == (3, 1, 1, 0)
    (view,) = page.tasks
    assert (view.id, view.status, len(view.pictures)) == (world.visits[1].task_id, "succeeded", 1)
    assert view.created_ms <= view.started_ms <= view.finished_ms


# In the background


def test_a_task_in_the_background_is_a_receipt_and_then_stored_pictures() -> None:
    world = play(shape_of(Script(), PARTS, background=True))
    task, hold, visit = only(world)
    assert visit.view is not None
    assert (visit.view.id, visit.view.status, visit.view.requested) == (task.id, "queued", 3)
    assert (visit.view.created_ms, visit.view.finished_ms) == (task.created_ms, None)
    assert (task.state, hold.captured) == ("succeeded", 117_000)
    assert [row.delivery for row in tables_of(world).usage.values()] == ["stored"]
    assert len(world.objects.rows) == 3


def test_what_was_not_sent_yet_is_cancelled_for_nothing() -> None:
    world = play(shape_of(Script(), LATE_INPUT, background=True, cancels_after_s=1))
    task, hold, visit = only(world)
    assert visit.view is not None
    assert (visit.view.status, task.state, hold.state) == ("cancelled", "cancelled", "voided")
    assert world.providers.submits == []


def test_what_was_sent_is_delivered_although_it_was_cancelled() -> None:
    """And the one who cancels is told so."""
    task, hold, visit = only(play(shape_of(Script(delays_s=(20.0,)), background=True, cancels_after_s=5)))
    assert visit.view is not None
    assert (visit.view.status, [w.code for w in visit.view.warnings]) == ("running", ["not_cancelled"])
    assert (task.state, hold.state) == ("succeeded", "captured")


def test_what_waits_at_its_provider_is_given_up_there() -> None:
    world = play(shape_of(Script(polls_s=50), POLLED, background=True, cancels_after_s=5))
    task, hold, visit = only(world)
    assert visit.view is not None
    assert (visit.view.status, visit.view.warnings) == ("cancelled", ())
    assert (task.state, hold.state, tables_of(world).usage[task.id].cost_usd_micros) == ("cancelled", "voided", 0)
    assert len(world.providers.submits) == 1


def test_what_its_provider_does_not_give_up_is_delivered() -> None:
    task, hold, visit = only(play(shape_of(Script(polls_s=8), POLLED, background=True, cancels_after_s=12)))
    assert visit.view is not None
    assert (visit.view.status, [w.code for w in visit.view.warnings]) == ("running", ["not_cancelled"])
    assert (task.state, hold.state) == ("succeeded", "captured")


def test_nobody_else_is_asked_for_what_was_cancelled() -> None:
    plan = Script(("failed", "ok"), delays_s=(20.0,))
    world = play(shape_of(plan, background=True, cancels_after_s=5))
    task, hold, _ = only(world)
    assert (task.state, hold.state, len(world.providers.submits)) == ("cancelled", "voided", 1)


def test_what_has_ended_is_shown_as_it_ended() -> None:
    task, _, visit = only(play(shape_of(Script(), SINGLE, background=True, cancels_after_s=30)))
    assert visit.view is not None
    assert (visit.view.status, len(visit.view.pictures)) == ("succeeded", 1)
    assert "not_cancelled" not in {warning.code for warning in visit.view.warnings}
    assert visit.view.finished_ms == task.finished_ms
