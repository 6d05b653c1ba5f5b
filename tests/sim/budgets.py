"""Budgets of a world's keys, and the promise that is kept about them: whatever dies, a budget is what the holds that
were taken of it came to."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from imageway.core.access import Budget, Period
from imageway.core.requests import Caller
from imageway.engine.limits import window_of
from imageway.storage.memory.tables import Tables

PERIODS: Final[tuple[Period, ...]] = ("day", "month", "total")
AMPLE_USD_MICROS: Final = 10**12  # nobody is refused for it: what it adds up to is what matters
TIGHT: Final[dict[tuple[str, Period], int]] = {("key-modest", "day"): 400_000}


def give_budgets(tables: Tables, key_id: str) -> None:
    for period in PERIODS:
        tables.budgets[key_id, period] = _budget(key_id, period)


def _budget(key_id: str, period: Period) -> Budget:
    return Budget(period, TIGHT.get((key_id, period), AMPLE_USD_MICROS))


def spender(key_id: str, workspace_id: str) -> Caller:
    """Who calls with a key that has all of them."""
    known = tuple(_budget(key_id, period) for period in PERIODS)
    return Caller(key_id, workspace_id, budget_id=key_id, budgets=known)


def misspent(tables: Tables) -> Iterator[str]:
    """Used is what open holds hold and captured ones took, of the tasks of this key that began in this window."""
    for (key_id, period), budget in tables.budgets.items():
        owed = 0
        for task in tables.tasks.values():
            hold = tables.holds.get(task.id)
            if hold and task.key_id == key_id and window_of(budget.period, task.created_ms) == budget.window_ms:
                owed += {"open": hold.usd_micros, "captured": hold.captured}.get(hold.state, 0)
        if budget.used_usd_micros != owed:
            yield f"of the {period} of {key_id} {budget.used_usd_micros} are used, and its holds took {owed}"


def overspent(tables: Tables) -> Iterator[str]:
    """At no moment was more of a budget held and spent in the latest window than it has, as the transfers tell it in
    their order."""
    for (key_id, period), limit_usd_micros in TIGHT.items():
        used = begun_ms = 0
        for transfer in tables.transfers.values():
            task = tables.tasks.get(transfer.task_id or "")
            if task is None or task.key_id != key_id:
                continue
            window_ms = window_of(period, task.created_ms)
            if window_ms > begun_ms:
                used, begun_ms = 0, window_ms
            if window_ms == begun_ms:
                used += {"hold": 1, "void": -1, "refund": -1}.get(transfer.kind, 0) * transfer.usd_micros
            if used > limit_usd_micros:
                yield f"{used} of the {period} of {key_id} were used, which is {limit_usd_micros}"
                break
