"""Low balances: noticed by all, told by one, with what is there when it is sent."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, cast

import pytest
from structlog.testing import capture_logs

from imageway.core.ops import Committed, Op, Refused
from imageway.engine.alerts import Alerts, Unwanted, low_balance
from imageway.engine.ports import Tools
from imageway.ledger.access import LowWallet, LowWallets, MarkAlerted, RearmAlerts
from imageway.ledger.queries import FindWorkspace, ShowWallet, Wallet, Workspace
from imageway.tasks.webhooks import LOW_BALANCE, Delivery, NotifyEndpoints
from tests.unit.engine.conftest import NOW_MS
from tests.values import replace


@dataclass
class Books:
    """Wallets that are low, and what is asked of them."""

    low: tuple[LowWallet, ...] = ()
    told: set[str] = field(default_factory=set)
    threshold: int | None = 10_000_000
    commits: list[tuple[Op, ...]] = field(default_factory=list)

    async def commit(self, *ops: Op) -> Committed | Refused:
        self.commits.append(ops)
        for op in ops:
            if isinstance(op, MarkAlerted):
                if op.workspace_id in self.told:
                    return Refused(op, "not_low")
                self.told.add(op.workspace_id)
        return Committed()

    async def read(self, query: Any) -> Any:
        match query:
            case LowWallets():
                return self.low
            case FindWorkspace(name) if name == "ws_1":
                return Workspace("ws_1", "studio", 1, b"{}", self.threshold)
            case ShowWallet(name) if name == "ws_1":
                return Wallet("ws_1", "studio", available=9_960_000, held=0, spent=0)
        return None


LOW = LowWallet("ws_1", "studio", 9_960_000, 10_000_000)


def alerts(tools: Tools, books: Books) -> Alerts:
    return Alerts(replace(tools, store=cast("Any", books)))


async def test_a_low_wallet_is_marked_and_told_in_one_commit(tools: Tools) -> None:
    books = Books((LOW,))
    found = alerts(tools, books)
    with capture_logs() as logs:
        await found.look()
    rearm, (mark, notify) = books.commits
    assert rearm == (RearmAlerts(NOW_MS),)
    assert mark == MarkAlerted("ws_1", NOW_MS)
    assert isinstance(notify, NotifyEndpoints)
    assert (notify.workspace_id, notify.event, notify.at_ms) == ("ws_1", LOW_BALANCE, NOW_MS)
    assert notify.task_id.startswith("low_")
    assert found.tools.outbox.is_set()
    assert [(line["event"], line["workspace"]) for line in logs] == [(LOW_BALANCE, "ws_1")]


async def test_what_another_process_tells_is_not_told_here(tools: Tools) -> None:
    found = alerts(tools, Books((LOW,), told={"ws_1"}))
    with capture_logs() as logs:
        await found.look()
    assert not found.tools.outbox.is_set()
    assert logs == []


def delivery(workspace_id: str = "ws_1") -> Delivery:
    return Delivery(
        id="msg_1_2",
        workspace_id=workspace_id,
        task_id="low_1",
        endpoint_id="end_2",
        url="https://caller.example/hook",
        event=LOW_BALANCE,
        state="pending",
        fence=1,
        tries=1,
        due_ms=0,
        status=0,
        detail="",
        created_ms=1_760_000_000_000,
        changed_ms=0,
    )


async def test_the_message_has_the_balance_as_it_is_now() -> None:
    assert await low_balance(cast("Any", Books()), delivery()) == {
        "type": "wallet.low_balance",
        "timestamp": "2025-10-09T08:53:20Z",
        "data": {
            "workspace": "studio",
            "workspace_id": "ws_1",
            "available_usd": "9.960000",
            "threshold_usd": "10.000000",
        },
    }


@pytest.mark.parametrize(("books", "workspace"), [(Books(threshold=None), "ws_1"), (Books(), "ws_2")])
async def test_nobody_is_told_of_what_nobody_wants_to_know_any_more(books: Books, workspace: str) -> None:
    with pytest.raises(Unwanted):
        await low_balance(cast("Any", books), delivery(workspace))
