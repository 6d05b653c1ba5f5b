"""What a key may do and spend: operations, the price of one request, and budgets by UTC's days and months."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imageway.catalog.terms import DAY_MS
from imageway.core.access import Budget, KeyScope, Period
from imageway.core.errors import GatewayError
from imageway.core.requests import Caller
from imageway.engine.limits import (
    Spending,
    anew_op,
    check_operation,
    check_price,
    exceeded,
    held_of,
    release_ops,
    spend_ops,
    spending_of,
    window_end_ms,
    window_of,
)
from imageway.engine.memos import KeptTask, pack_task
from imageway.ledger.ops import ReleaseBudget, SpendBudget

MOMENTS = st.integers(0, int(datetime(2100, 1, 1, tzinfo=UTC).timestamp() * 1000))


def ms(*moment: int) -> int:
    return int(datetime(*moment, tzinfo=UTC).timestamp() * 1000)  # type: ignore[misc, arg-type]


def caller(*budgets: Budget, **scope: object) -> Caller:
    return Caller("key_1", "ws_1", scope=KeyScope(**scope), budget_id="key_0", budgets=budgets)  # type: ignore[arg-type]


def test_a_key_without_limits_may_do_everything() -> None:
    check_operation(caller(), "edit")
    check_price(caller(), 10**15)


def test_a_key_may_be_for_some_operations() -> None:
    check_operation(caller(operations=("generate", "edit")), "edit")
    with pytest.raises(GatewayError) as refused:
        check_operation(caller(operations=("generate", "edit")), "upscale", "input.function")
    assert (refused.value.code, refused.value.kind.status) == ("key_not_allowed", 403)
    assert refused.value.param == "input.function"
    assert refused.value.message == 'this key may not be used for the operation "upscale", only for generate, edit'


def test_a_request_may_hold_as_much_as_the_key_allows_and_no_more() -> None:
    check_price(caller(max_price_usd_micros=40_000), 40_000)
    with pytest.raises(GatewayError) as refused:
        check_price(caller(max_price_usd_micros=40_000), 40_001)
    assert refused.value.kind.status == 403
    assert "$0.040000" in refused.value.message
    assert "$0.040001" in refused.value.message
    check_price(caller(max_price_usd_micros=0), 0)
    with pytest.raises(GatewayError):
        check_price(caller(max_price_usd_micros=0), 1)


def test_days_and_months_are_those_of_utc() -> None:
    now = ms(2024, 2, 29, 23, 59, 59)
    assert window_of("day", now) == ms(2024, 2, 29)
    assert window_of("month", now) == ms(2024, 2, 1)
    assert window_of("total", now) == 0
    assert window_of("day", now + 1000) == window_of("month", now + 1000) == ms(2024, 3, 1)
    assert window_end_ms("month", ms(2024, 12, 1)) == ms(2025, 1, 1)
    assert window_end_ms("total", 0) is None


@given(MOMENTS)
def test_every_moment_lies_in_one_window_of_each_kind(now_ms: int) -> None:
    for period in ("day", "month"):
        begun = window_of(period, now_ms)
        ends = window_end_ms(period, begun)
        assert ends is not None
        assert begun <= now_ms < ends
        assert window_of(period, begun) == window_of(period, ends - 1) == begun
        assert window_of(period, ends) == ends


def test_a_hold_takes_of_every_budget_in_one_order_and_gives_back_to_the_same_windows() -> None:
    now = ms(2024, 2, 29, 12)
    spending = spending_of(caller(Budget("total", 9), Budget("month", 9), Budget("day", 9)), now)
    windows = (("day", ms(2024, 2, 29)), ("month", ms(2024, 2, 1)), ("total", 0))
    assert spending == Spending("key_0", windows)
    assert spend_ops(spending, 7) == tuple(SpendBudget("key_0", period, window, 7) for period, window in windows)
    assert release_ops(spending, 3) == tuple(ReleaseBudget("key_0", period, window, 3) for period, window in windows)


def test_a_clock_that_lags_takes_and_gives_back_in_the_window_that_others_have_begun() -> None:
    """Else what it takes would count nowhere."""
    now, tomorrow = ms(2024, 2, 29, 23, 59), ms(2024, 3, 1)
    begun = Budget("day", 9, used_usd_micros=2, window_ms=tomorrow), Budget("month", 9, window_ms=ms(2024, 2, 1))
    spending = spending_of(caller(*begun), now)
    assert spending == Spending("key_0", (("day", tomorrow), ("month", ms(2024, 2, 1))))


def test_without_budgets_or_a_rest_there_is_nothing_to_write() -> None:
    assert spending_of(caller(), 1) is None
    assert spend_ops(None, 7) == release_ops(None, 7) == ()
    assert release_ops(Spending("key_0", (("day", 0),)), 0) == ()


def test_what_was_held_is_read_from_a_row_that_is_not_readable_otherwise() -> None:
    """A task that nobody here can run any more still gives back what it took."""
    spending = Spending("key_0", (("day", 5), ("total", 0)))
    kept = KeptTask({"model": "gone"}, (1,), "url", hold_usd_micros=7, spending=spending)
    assert held_of(pack_task(kept)) == (spending, 7)
    of_another_version = pack_task(kept).replace(b'"counts":[1]', b'"counts":"one"')
    assert held_of(of_another_version) == (spending, 7)
    for nothing in (b"", b"{", b"[]", b'{"spending": 3}'):
        assert held_of(nothing) == (None, 0)


def test_who_is_over_his_budget_is_told_which_how_much_and_when_it_begins_anew() -> None:
    window = ms(2026, 11, 20)
    refused = SpendBudget("key_0", "day", window, 120_000)
    told = exceeded(refused, (Budget("total", 1), Budget("day", 5_000_000, 4_960_000, window)))
    assert (told.code, told.kind.status, told.kind.type) == ("budget_exceeded", 402, "billing_error")
    assert told.message == (
        "this key's daily budget is $5.000000, $4.960000 of it is spent or held, and $0.120000 must be held for this "
        "request; it begins anew at 2026-11-21T00:00:00Z"
    )


def test_what_was_spent_in_another_window_is_not_counted() -> None:
    refused = SpendBudget("key_0", "month", ms(2026, 12, 1), 120_000)
    told = exceeded(refused, (Budget("month", 100_000, 90_000, ms(2026, 11, 1)),)).message
    assert "$0.000000 of it is spent" in told
    assert "2027-01-01T00:00:00Z" in told


def test_what_came_late_is_told_of_the_window_that_it_was_refused_for() -> None:
    refused = SpendBudget("key_0", "day", ms(2026, 11, 20), 120_000)
    told = exceeded(refused, (Budget("day", 100_000, 90_000, ms(2026, 11, 21)),)).message
    assert "$0.090000 of it is spent" in told
    assert "2026-11-22T00:00:00Z" in told


@pytest.mark.parametrize(
    ("period", "reset_ms", "anew"),
    [
        ("day", ms(2026, 11, 20) + 1, "2026-11-21T00:00:00Z"),
        ("day", ms(2026, 11, 21) - 1, "2026-11-21T00:00:00Z"),
        ("month", ms(2027, 1, 31) + 5, "2027-02-01T00:00:00Z"),
        ("month", ms(2027, 1, 1) + 5, "2027-02-01T00:00:00Z"),
    ],
)
def test_what_was_reset_begins_anew_with_the_next_day_or_month(period: Period, reset_ms: int, anew: str) -> None:
    told = exceeded(SpendBudget("key_0", period, reset_ms, 2), (Budget(period, 5, 4, reset_ms),)).message
    assert "$0.000004 of it is spent" in told
    assert told.endswith(f"it begins anew at {anew}")


def test_a_reset_begins_a_window_of_its_own_until_the_next_day() -> None:
    """However often, and by whatever clock: each is later than the one that it ends."""
    noon = ms(2026, 11, 20) + DAY_MS // 2
    assert anew_op("key_0", "day", noon, window_ms=ms(2026, 11, 20)) == SpendBudget("key_0", "day", noon, 0)
    assert anew_op("key_0", "day", noon, window_ms=noon) == SpendBudget("key_0", "day", noon + 1, 0)
    assert anew_op("key_0", "day", noon, window_ms=noon + 9) == SpendBudget("key_0", "day", noon + 10, 0)
    assert anew_op("key_0", "total", noon) == SpendBudget("key_0", "total", noon, 0)
    for now_ms, window_ms in ((noon - 1, noon), (noon + 5, noon), (noon + DAY_MS // 2, noon + DAY_MS // 2)):
        assert spending_of(caller(Budget("day", 9, window_ms=noon)), now_ms) == Spending("key_0", (("day", window_ms),))


def test_a_total_begins_anew_when_somebody_says_so() -> None:
    told = exceeded(SpendBudget("key_0", "total", 0, 2), (Budget("total", 5, 4, 0),)).message
    assert told.endswith("it begins anew when somebody resets it")


def test_a_budget_that_is_gone_by_now_is_still_named() -> None:
    assert "daily budget" in exceeded(SpendBudget("key_0", "day", 0, 2), ()).message
