"""Low balances: when a wallet falls below what its workspace has set, the workspace's webhook endpoints are told, once,
and again only after it was above. Any process may notice; one of them tells."""

from __future__ import annotations

from dataclasses import dataclass

from imageway.core.blobs import Tree
from imageway.core.failures import StoreFailed
from imageway.core.ids import new_id
from imageway.core.money import format_usd
from imageway.core.ops import Committed, Store
from imageway.core.wording import moment
from imageway.engine.ports import Tools
from imageway.ledger.access import LowWallet, LowWallets, MarkAlerted, RearmAlerts
from imageway.ledger.queries import FindWorkspace, ShowWallet
from imageway.tasks.webhooks import LOW_BALANCE, Delivery, NotifyEndpoints
from imageway.telemetry import events, logger


class Unwanted(Exception):
    """There is nobody any more who wants to be told."""


@dataclass(frozen=True, slots=True)
class Alerts:
    """Of one process."""

    tools: Tools

    async def keep_going(self) -> None:
        """Until it is cancelled."""
        while True:
            await self.tools.clock.sleep(self.tools.settings.alerts_every_s)
            try:
                await self.look()
            except StoreFailed as error:
                logger().error(events.STORE_FAILED, detail=str(error))
            except Exception as error:  # noqa: BLE001  # the next round comes, whatever hole this one fell into
                logger().exception(events.ROUND_FAILED, exc_info=error)

    async def look(self) -> None:
        """One round."""
        store, now_ms = self.tools.store, self.tools.clock.now_ms()
        await store.commit(RearmAlerts(now_ms))
        for low in await store.read(LowWallets()):
            await self._tell(low, now_ms)

    async def _tell(self, low: LowWallet, now_ms: int) -> None:
        """That it is told and that it was noticed is one commit: neither is there without the other."""
        alert_id = new_id("low", self.tools.random, now_ms)
        mark = MarkAlerted(low.workspace_id, now_ms)
        notify = NotifyEndpoints(alert_id, low.workspace_id, LOW_BALANCE, now_ms)
        if isinstance(await self.tools.store.commit(mark, notify), Committed):
            self.tools.outbox.set()
            logger().warning(events.LOW_BALANCE, workspace=low.workspace_id, usd_micros=low.available)


async def low_balance(store: Store, row: Delivery) -> dict[str, Tree]:
    """The message of one delivery: the balance as it is now. Raises Unwanted."""
    workspace = await store.read(FindWorkspace(row.workspace_id))
    wallet = await store.read(ShowWallet(row.workspace_id))
    if workspace is None or wallet is None or workspace.alert_below_usd_micros is None:
        raise Unwanted("nobody wants to be told of this balance any more")
    data: dict[str, Tree] = {
        "workspace": workspace.name,
        "workspace_id": workspace.id,
        "available_usd": format_usd(wallet.available),
        "threshold_usd": format_usd(workspace.alert_below_usd_micros),
    }
    return {"type": row.event, "timestamp": moment(row.created_ms), "data": data}
