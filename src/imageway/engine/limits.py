"""What a key may do and spend beyond its models: operations, the price of one request, and budgets. Everything is
decided before anything is held; what a hold took of budgets is kept with its task and given back with its rest."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final

from msgspec import DecodeError, Struct, json

from imageway.catalog.terms import DAY_MS
from imageway.core.access import Budget, Period
from imageway.core.errors import GatewayError
from imageway.core.money import format_usd
from imageway.core.ops import Op
from imageway.core.requests import Caller
from imageway.core.wording import moment
from imageway.ledger.ops import ReleaseBudget, SpendBudget


class Spending(Struct, frozen=True):
    """Of whose budgets a hold was taken: (period, window), in the order in which everybody takes them."""

    budget_id: str
    windows: tuple[tuple[Period, int], ...]


class KeptHold(Struct, frozen=True):
    """The part of a task's row that says what was held, whatever the rest of it has become."""

    hold_usd_micros: int = 0
    spending: Spending | None = None


_decoder = json.Decoder(KeptHold)


def held_of(request: bytes) -> tuple[Spending | None, int]:
    """Of a task's row that may not be readable otherwise: the budgets that its hold was taken of, and how much; nothing
    where nobody can say."""
    try:
        kept = _decoder.decode(request)
    except DecodeError:
        return None, 0
    return kept.spending, kept.hold_usd_micros


def check_operation(caller: Caller, operation: str, param: str | None = None) -> None:
    """Raises GatewayError 403. `param`: the field that names the operation, if there is one."""
    accepted = caller.scope.operations
    if accepted and operation not in accepted:
        message = f'this key may not be used for the operation "{operation}", only for {", ".join(accepted)}'
        raise GatewayError("key_not_allowed", message, param=param)


def check_price(caller: Caller, hold_usd_micros: int) -> None:
    """Raises GatewayError 403 for a request that would hold more than the key may at once."""
    most = caller.scope.max_price_usd_micros
    if most is not None and hold_usd_micros > most:
        needed, allowed = format_usd(hold_usd_micros), format_usd(most)
        message = f"this key may spend at most ${allowed} on one request; for this one ${needed} must be held"
        raise GatewayError("key_not_allowed", message)


def window_of(period: Period, now_ms: int) -> int:
    """When the period began that is running now, in epoch milliseconds; 0 for one that never ends."""
    if period == "day":
        return now_ms - now_ms % DAY_MS
    if period == "month":
        now = datetime.fromtimestamp(now_ms / 1000, UTC)
        return int(datetime(now.year, now.month, 1, tzinfo=UTC).timestamp()) * 1000
    return 0


def window_end_ms(period: Period, window_ms: int) -> int | None:
    """When the day or month is over in which this window began; None: when somebody resets it."""
    begun_ms = window_of(period, window_ms)
    if period == "day":
        return begun_ms + DAY_MS
    if period == "month":
        return window_of("month", begun_ms + 31 * DAY_MS)
    return None


def spending_of(caller: Caller, now_ms: int) -> Spending | None:
    """None: the key has no budgets. Where a later window has begun, by a reset since midnight or by a clock that is
    ahead of this one, what is held counts there, and goes back there."""
    if not caller.budgets:
        return None
    budgets = sorted(caller.budgets, key=lambda budget: budget.period)
    windows = ((one.period, max(window_of(one.period, now_ms), one.window_ms)) for one in budgets)
    return Spending(caller.budget_id, tuple(windows))


def anew_op(budget_id: str, period: Period, now_ms: int, *, window_ms: int = 0) -> SpendBudget:
    """Begins a window in the middle of a day or month: a reset. `window_ms` is the one that it ends; what was held in
    that one gives nothing back to this."""
    return SpendBudget(budget_id, period, max(now_ms, window_ms + 1), 0)


def spend_ops(spending: Spending | None, usd_micros: int) -> tuple[Op, ...]:
    """What the commit of a hold takes of budgets; one that does not cover it refuses the whole."""
    if spending is None:
        return ()
    return tuple(SpendBudget(spending.budget_id, period, window, usd_micros) for period, window in spending.windows)


def release_ops(spending: Spending | None, usd_micros: int) -> tuple[Op, ...]:
    """What a hold took of budgets and its caller does not pay, in the commit that gives it back."""
    if spending is None or not usd_micros:
        return ()
    return tuple(ReleaseBudget(spending.budget_id, period, window, usd_micros) for period, window in spending.windows)


def exceeded(refused: SpendBudget, budgets: Sequence[Budget]) -> GatewayError:
    """402, with what is known of that budget."""
    needed = f"${format_usd(refused.usd_micros)} must be held for this request"
    budget = next((one for one in budgets if one.period == refused.period), None)
    if budget is None:
        return GatewayError("budget_exceeded", f"this key's {_NAMES[refused.period]} does not cover it: {needed}")
    window_ms = max(budget.window_ms, refused.window_ms)  # what came late was refused for a later window's sake
    used = budget.used_usd_micros if budget.window_ms == window_ms else 0
    ends_ms = window_end_ms(budget.period, window_ms)
    again = f"it begins anew at {moment(ends_ms)}" if ends_ms is not None else "it begins anew when somebody resets it"
    limit = f"${format_usd(budget.limit_usd_micros)}"
    message = f"this key's {_NAMES[budget.period]} is {limit}, ${format_usd(used)} of it is spent or held, and {needed}"
    return GatewayError("budget_exceeded", f"{message}; {again}")


_NAMES: Final = {"day": "daily budget", "month": "monthly budget", "total": "total budget"}
