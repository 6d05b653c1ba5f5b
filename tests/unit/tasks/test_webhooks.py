"""Names of events and messages: one for each way a task can end, the same whoever makes them."""

from __future__ import annotations

import pytest

from imageway.core.intents import TASK_EVENTS
from imageway.tasks.states import FINAL_TASK
from imageway.tasks.webhooks import ENDS, EVENTS, LOW_BALANCE, EndDelivery, event_of, message_id


def test_every_end_of_a_task_has_its_event_and_callers_may_name_them_all() -> None:
    assert (*TASK_EVENTS, LOW_BALANCE) == EVENTS
    assert {event_of(state) for state in FINAL_TASK} == set(TASK_EVENTS)


def test_a_message_is_named_after_its_task_and_its_endpoint() -> None:
    assert message_id("req_abc") == "msg_abc"
    assert message_id("req_abc", "end_xyz") == "msg_abc_xyz"
    assert "." not in message_id("req_abc", "end_xyz"), "what is signed is joined by full stops"


@pytest.mark.parametrize("state", ["pending", "failed", ""])
def test_a_delivery_ends_in_one_of_two_ways(state: str) -> None:
    with pytest.raises(ValueError, match="dead or delivered"):
        EndDelivery("msg_1", 1, state, 0, "", 5)
    assert frozenset({"dead", "delivered"}) == ENDS
