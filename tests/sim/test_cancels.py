"""Single worlds in which somebody wants no more of a task that is under way."""

from __future__ import annotations

import pytest

from imageway.core.requests import ImageRequest
from tests.sim.checkers import tables_of
from tests.sim.plans import Script
from tests.sim.test_regressions import COUNTED, POLLED, SINGLE, code, only, play, shape_of
from tests.sim.world import Trouble
from tests.values import replace


@pytest.mark.parametrize("words_lost", [0.0, 1.0])
@pytest.mark.parametrize("stream", [None, True])
def test_who_waits_for_what_another_could_not_call_off_is_given_it(words_lost: float, stream: bool | None) -> None:
    """It was sent already: what the provider makes is delivered to whoever waits, as if nobody had said anything."""
    request = replace(COUNTED, stream=stream)
    shape = shape_of(Script(delays_s=(20.0,)), request, process=0, called_off_after_s=3.0)
    world = play(replace(shape, processes=2, words_lost=words_lost))
    task, hold, visit = only(world)
    assert task.cancel_ms is not None
    assert (task.state, hold.state, code(visit), visit.delivered) == ("succeeded", "captured", None, True)
    assert tables_of(world).usage[task.id].delivery == "delivered"


def test_what_another_calls_off_in_time_ends_for_who_waits() -> None:
    """The provider gave it up: he is told so at once."""
    shape = shape_of(Script(polls_s=50), POLLED, process=0, called_off_after_s=3.0)
    task, hold, visit = only(play(replace(shape, processes=2, words_lost=0.0)))
    assert (task.state, hold.state, code(visit)) == ("cancelled", "voided", "request_timeout")
    assert (task.finished_ms or 0) - task.created_ms < 20_000


@pytest.mark.parametrize("proves", [True, False])
def test_a_task_whose_provider_failed_after_a_restart_has_failed(proves: bool) -> None:
    """Its caller wished nothing, so it is not `cancelled`."""
    shape = shape_of(Script(stories=("failed",)), POLLED, troubles=(Trouble(process=0, die_at=("after_memo", 1)),))
    task, hold, _ = only(play(replace(shape, proves=proves)))
    assert (task.state, hold.state) == ("failed", "voided")


def test_a_task_that_was_taken_over_can_be_cancelled_at_its_provider() -> None:
    """Which has not begun it yet."""
    died = Trouble(process=0, die_at=("after_memo", 1), successor_after_s=1)
    shape = shape_of(Script(polls_s=50), POLLED, troubles=(died,), called_off_after_s=12.0)
    task, hold, _ = only(play(shape))
    assert (task.state, hold.state, task.owner) == ("cancelled", "voided", "proc-1")


def test_nothing_is_sent_again_for_who_wants_no_more_of_it() -> None:
    """The provider was busy for a moment, and in that moment it was called off."""
    request: ImageRequest = COUNTED
    shape = shape_of(Script(("busy_soon", "ok"), delays_s=(2.0,)), request, process=0, called_off_after_s=2.5)
    world = play(replace(shape, processes=2, words_lost=0.0))
    _, hold, _ = only(world)
    assert [submit.fate for submit in world.providers.submits] == ["busy_soon"]
    assert hold.state == "voided"


def test_what_was_called_off_while_nobody_had_it_is_never_sent() -> None:
    """Who had it is dead, which nobody knows yet; whoever comes next finds the mark, and does not begin."""
    died = Trouble(process=0, die_at=("after_claim", 1), successor_after_s=100)
    shape = shape_of(Script(), SINGLE, troubles=(died,), background=True, process=0, called_off_after_s=5.0)
    world = play(replace(shape, processes=2, proves=False))
    task, hold, _ = only(world)
    assert (task.state, hold.state, world.providers.submits) == ("cancelled", "voided", [])
