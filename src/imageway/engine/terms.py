"""What models are sold for to whom, by the rules that operators made: looked up for every request, read anew from the
store about once a second, so that a rule counts on every replica soon after it was made."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from imageway.catalog.schema import Model
from imageway.catalog.terms import DAY_MS, sold
from imageway.core.access import CATALOG_TERMS, Terms
from imageway.core.failures import StoreFailed
from imageway.core.ops import Store
from imageway.core.ports import Clock
from imageway.ledger.terms import ListPriceRules, PriceRule, terms_for
from imageway.telemetry import events, logger

REFRESH_S: Final = 1.0
REMEMBERED: Final = 10_000  # pairs of workspace and model


@dataclass(slots=True)
class PriceTerms:
    """The rules as they were read last."""

    rules: tuple[PriceRule, ...] = ()
    _known: dict[tuple[str, str], tuple[int, Terms]] = field(default_factory=dict)

    def sold(self, model: Model, workspace_id: str, at_ms: int) -> tuple[Model, Terms]:
        """The model with the prices that this workspace pays at that time, and why."""
        terms = self._terms(workspace_id, model.id, at_ms) if self.rules else CATALOG_TERMS
        return sold(model, terms, at_ms // DAY_MS), terms

    def learn(self, rules: tuple[PriceRule, ...]) -> None:
        if rules != self.rules:
            self.rules = rules
            self._known.clear()

    async def keep_going(self, store: Store, clock: Clock) -> None:
        """Until it is cancelled."""
        while True:
            await self.look(store, clock.now_ms())
            await clock.sleep(REFRESH_S)

    async def read_rules(self, store: Store, now_ms: int) -> None:
        """Before anything is sold: whoever does not know the rules would sell at the catalog's prices. Those that were
        over a day ago concern nobody any more. Raises StoreFailed."""
        self.learn(await store.read(ListPriceRules(now_ms - DAY_MS)))

    async def look(self, store: Store, now_ms: int) -> None:
        """While the store does not answer, what was known before holds."""
        try:
            await self.read_rules(store, now_ms)
        except StoreFailed as error:
            logger().error(events.STORE_FAILED, detail=str(error))
        except Exception as error:  # noqa: BLE001  # the next look comes, whatever hole this one fell into
            logger().exception(events.ROUND_FAILED, exc_info=error)

    def _terms(self, workspace_id: str, model: str, at_ms: int) -> Terms:
        """Remembered until the next moment at which a rule begins or ends."""
        pair = workspace_id, model
        known = self._known.get(pair)
        if known is not None and at_ms < known[0]:
            return known[1]
        terms = terms_for(self.rules, workspace_id=workspace_id, model=model, at_ms=at_ms)
        if len(self._known) >= REMEMBERED:
            self._known.clear()
        self._known[pair] = self._next_change_ms(at_ms), terms
        return terms

    def _next_change_ms(self, at_ms: int) -> int:
        changes = [ms for rule in self.rules for ms in (rule.from_ms, rule.until_ms) if ms is not None and ms > at_ms]
        return min(changes, default=2**62)
