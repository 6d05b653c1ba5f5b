"""Ops and queries refuse, when they are made, what no row may hold."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from imageway.core.ops import Op
from imageway.ledger import ops
from imageway.tasks import ops as tasks
from tests.store.places import finish, usage

TOO_MUCH = ops.MAX_USD_MICROS + 1


@pytest.mark.parametrize("amount", [-1, TOO_MUCH])
@pytest.mark.parametrize(
    "make",
    [
        lambda amount: ops.TopUp("top_1", "ws_1", amount, 1),
        lambda amount: ops.Hold("req_1", "ws_1", amount, 1),
        lambda amount: ops.Capture("req_1", amount, 1),
        lambda amount: ops.BookCost("req_1", "up_1", amount, 1),
        lambda amount: ops.BookOverrun("req_1", amount, 1),
    ],
)
def test_an_amount_is_neither_negative_nor_absurd(make: Callable[[int], Op], amount: int) -> None:
    with pytest.raises(ValueError, match=f'"{amount}" micro-dollars cannot be moved'):
        make(amount)


def test_the_largest_amount_is_a_billion_dollars() -> None:
    assert ops.TopUp("top_1", "ws_1", ops.MAX_USD_MICROS, 1).usd_micros == 1_000_000_000 * 1_000_000


@pytest.mark.parametrize(
    "make",
    [
        lambda: usage(outcome="done"),
        lambda: usage(delivery="lost"),
        lambda: ops.MarkDelivery("req_1", "lost", 1),
        lambda: finish(state="running"),
        lambda: tasks.EndAttempt("att_1", "polling", "", 1),
    ],
)
def test_a_word_of_state_is_one_of_those_that_exist(make: Callable[[], Op]) -> None:
    with pytest.raises(ValueError, match=r'"(done|lost|running|polling)"'):
        make()


def test_the_detail_of_an_end_is_one_printable_line_of_limited_length() -> None:
    """A provider's words may hold anything; a NUL or half a surrogate pair is taken by no database."""
    ended = tasks.EndAttempt("att_1", "failed", "bad\0 \ud83d line\nbreak 猫 " + "x" * 5000, 1)
    assert ended.detail.startswith("bad    line break 猫 xxx")
    assert len(ended.detail) == tasks.MAX_DETAIL
    assert tasks.EndAttempt("att_1", "failed", "plain", 1).detail == "plain"
