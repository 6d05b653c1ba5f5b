"""Brings word of ended tasks to whoever wants it: claims deliveries that are due, signs and sends them, and writes down
how each try went. What a try needs is read anew for each: an endpoint may have been removed meanwhile, and links in the
message are worth as much as those of any other answer.

At least once: a process that dies between sending and writing down leaves a claim that runs out, and somebody else
sends the same message, under the same id, again."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

import msgspec

from imageway.core.blobs import Tree
from imageway.core.failures import FetchRefused, StoreFailed, TransportFailed
from imageway.core.intents import TaskView
from imageway.core.ops import Committed, Op
from imageway.core.wording import moment
from imageway.engine.alerts import Unwanted, low_balance
from imageway.engine.patience import surely
from imageway.engine.ports import Tools
from imageway.engine.results import view_of
from imageway.engine.webhook_secrets import WebhookSecrets
from imageway.ledger.sealed import SealingError
from imageway.providers.fields import wait_s
from imageway.tasks.queries import ShowTask
from imageway.tasks.signatures import signed_headers
from imageway.tasks.webhooks import (
    LOW_BALANCE,
    ClaimDelivery,
    Delivery,
    DisableEndpoint,
    DueDeliveries,
    EndDelivery,
    FindEndpoint,
    ForgetDeliveries,
    PostponeDelivery,
)
from imageway.telemetry import events, logger

RETRY_AFTER_S: Final = (5, 30, 120, 900, 3600, 4 * 3600, 12 * 3600, 24 * 3600, 48 * 3600)
"""After the first try, the second …: with the first, ten tries in four days."""
JITTER: Final = 0.2
LAST_WORDS_S: Final = 5.0
FORGOTTEN_AT_ONCE: Final = 1000
FORGOTTEN_EVERY_S: Final = 10.0  # with the line above: a hundred a second, more than any one process delivers for long
GONE: Final = 410
_encoder: Final = msgspec.json.Encoder()


class Undeliverable(Exception):
    """Nobody is there to be told, or there is nothing to tell: no other try will help."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """Of one try. `status` 0: nothing was answered. `wait_s`: what the receiver asks for."""

    status: int
    detail: str
    wait_s: float = 0.0
    final: bool = False

    @property
    def delivered(self) -> bool:
        return 200 <= self.status < 300


@dataclass(slots=True)
class Courier:
    """Of one process. `show`: a task as its owner sees it."""

    tools: Tools
    secrets: WebhookSecrets
    show: Callable[[TaskView], Tree]
    closing: bool = False
    _under_way: dict[asyncio.Task[None], str] = field(default_factory=dict)  # → workspace
    _behind: bool = False  # more was due than could be begun
    _turn: asyncio.Lock = field(default_factory=asyncio.Lock)  # one round at a time
    _forgets_at_s: float = 0.0

    async def keep_going(self) -> None:
        """Until it is cancelled or closed."""
        while not self.closing:
            if not await self._look():
                await self._news_or_time()

    async def _news_or_time(self) -> None:
        """Until something is due in this process, or may be by now for all we know."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self.tools.settings.webhook_poll_s):
                await self.tools.outbox.wait()
        self.tools.outbox.clear()

    async def close(self) -> None:
        """Looks a last time; what is being sent may still be taken. What is cut off, somebody sends again."""
        self.closing = True
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LAST_WORDS_S):
                await self._look()
                while self._under_way:
                    await asyncio.wait(self._under_way)
        left = list(self._under_way)
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)

    async def _look(self) -> bool:
        """One round, and whatever it falls into, the next one comes. Whether that should be at once."""
        async with self._turn:
            try:
                return await self._round()
            except StoreFailed as error:
                logger().error(events.STORE_FAILED, detail=str(error))
            except Exception as error:  # noqa: BLE001  # see above; it is logged whole
                logger().exception(events.WEBHOOK_CRASHED, exc_info=error)
            return False

    async def _round(self) -> bool:
        """Whether to look again at once."""
        await self._forget()
        free = self.tools.settings.webhooks_at_once - len(self._under_way)
        if free <= 0:
            await asyncio.wait(self._under_way, return_when=asyncio.FIRST_COMPLETED)
            return True
        now_ms, busy = self.tools.clock.now_ms(), self._busy()
        due = await self.tools.store.read(DueDeliveries(now_ms, free, busy))
        chosen = self._fairly(due)
        self._behind = bool(busy) or len(due) == free or len(chosen) < len(due)
        claimed = await self._claimed(chosen, now_ms)
        for row in claimed:
            self._spawn(row)
        return len(due) == free and bool(claimed)

    def _busy(self) -> tuple[str, ...]:
        """Workspaces that have as much under way as one may: a slow receiver must not hold up the others'."""
        most = self.tools.settings.webhooks_per_workspace_at_once
        return tuple(sorted(name for name, count in Counter(self._under_way.values()).items() if count >= most))

    def _fairly(self, due: Sequence[Delivery]) -> list[Delivery]:
        most, counts = self.tools.settings.webhooks_per_workspace_at_once, Counter(self._under_way.values())
        chosen = []
        for row in due:
            counts[row.workspace_id] += 1
            if counts[row.workspace_id] <= most:
                chosen.append(row)
        return chosen

    async def _claimed(self, rows: Sequence[Delivery], now_ms: int) -> list[Delivery]:
        """Those of them that nobody else had claimed. One whose claim may or may not have happened comes again."""
        until_ms = now_ms + int(self.tools.settings.webhook_claim_s * 1000)
        claims = (self.tools.store.commit(ClaimDelivery(row.id, row.fence, now_ms, until_ms)) for row in rows)
        outcomes = await asyncio.gather(*claims, return_exceptions=True)
        for outcome in outcomes:
            if isinstance(outcome, StoreFailed):
                logger().error(events.STORE_FAILED, detail=str(outcome))
            elif isinstance(outcome, BaseException):
                raise outcome
        return [
            replace(row, fence=row.fence + 1, tries=row.tries + 1)
            for row, outcome in zip(rows, outcomes, strict=True)
            if isinstance(outcome, Committed)
        ]

    def _spawn(self, row: Delivery) -> None:
        task = asyncio.get_running_loop().create_task(self._deliver(row))
        self._under_way[task] = row.workspace_id
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        del self._under_way[task]
        if self._behind:
            self.tools.outbox.set()

    async def _deliver(self, row: Delivery) -> None:
        try:
            outcome = await self._try(row)
        except StoreFailed as error:  # it comes again when the claim runs out
            logger().error(events.STORE_FAILED, detail=str(error))
            return
        except Exception as error:  # noqa: BLE001  # a hole of ours must not make it come again at once, for ever
            logger().exception(events.WEBHOOK_CRASHED, webhook=row.id, task=row.task_id, exc_info=error)
            outcome = Outcome(0, "the gateway failed on it")
        self.tools.faults.reach("after_webhook")
        ops = self._noted(row, outcome)
        # Refused: somebody else has it by now, because this took longer than the claim.
        await surely(self.tools, lambda: self.tools.store.commit(*ops))
        if not outcome.delivered:
            event = events.WEBHOOK_DEAD if isinstance(ops[0], EndDelivery) else events.WEBHOOK_FAILED
            logger().warning(event, webhook=row.id, task=row.task_id, status=outcome.status, detail=outcome.detail)

    async def _try(self, row: Delivery) -> Outcome:
        tools = self.tools
        try:
            await self._check_endpoint(row)
            content = await self._content(row)
            secrets = await self.secrets.signing(row.endpoint_id or row.workspace_id, tools.clock.now_ms())
            signs = [plain for _, plain in secrets]
            headers = signed_headers(row.id, tools.clock.now_ms() // 1000, content, signs)
            deadline_s = tools.settings.webhook_deadline_s
            answer = await tools.transport.notify(row.url, headers, content, deadline_s=deadline_s)
        except (Undeliverable, Unwanted) as why:
            return Outcome(0, str(why), final=True)
        except SealingError as error:
            logger().error(events.SEAL_CLOSED, webhook=row.id, detail=str(error))
            return Outcome(0, "its secret does not open in this process: see imageway doctor")
        except TransportFailed as failed:
            return Outcome(0, failed.detail)
        except FetchRefused as refused:
            return Outcome(0, refused.message)
        return Outcome(answer.status, f"it answered {answer.status}", wait_s(answer.headers) or 0.0)

    async def _check_endpoint(self, row: Delivery) -> None:
        """Raises Undeliverable when there is none any more. The address that came with a request is always there."""
        if not row.endpoint_id:
            return
        endpoint = await self.tools.store.read(FindEndpoint(row.endpoint_id))
        if endpoint is None:
            raise Undeliverable("the endpoint was removed")
        if endpoint.disabled_ms is not None:
            raise Undeliverable("the endpoint is disabled")

    async def _content(self, row: Delivery) -> bytes:
        if row.event == LOW_BALANCE:
            return _encoder.encode(await low_balance(self.tools.store, row))
        task = await self.tools.store.read(ShowTask(row.task_id))
        if task is None or task.finished_ms is None:
            raise Undeliverable("there is no such task")
        view = view_of(task, self.tools.signer, self.tools.clock.now_ms())
        message = {"type": row.event, "timestamp": moment(task.finished_ms), "data": self.show(view)}
        return _encoder.encode(message)

    def _noted(self, row: Delivery, outcome: Outcome) -> tuple[Op, ...]:
        """What is written down of a try."""
        now_ms = self.tools.clock.now_ms()
        if outcome.delivered:
            return (EndDelivery(row.id, row.fence, "delivered", outcome.status, "", now_ms),)
        if outcome.status == GONE or outcome.final or row.tries > len(RETRY_AFTER_S):
            end = EndDelivery(row.id, row.fence, "dead", outcome.status, outcome.detail, now_ms)
            gone = outcome.status == GONE and row.endpoint_id
            return (end, DisableEndpoint(row.endpoint_id, now_ms)) if gone else (end,)
        delay_s = RETRY_AFTER_S[row.tries - 1] * (1 + JITTER * self.tools.random.uniform())
        asked_s = min(outcome.wait_s, self.tools.settings.webhook_wait_longest_s)
        due_ms = now_ms + int(max(delay_s, asked_s) * 1000)
        return (PostponeDelivery(row.id, row.fence, outcome.status, outcome.detail, due_ms, now_ms),)

    async def _forget(self) -> None:
        """What ended long ago, now and then."""
        settings, clock = self.tools.settings, self.tools.clock
        if clock.monotonic_s() < self._forgets_at_s:
            return
        self._forgets_at_s = clock.monotonic_s() + min(settings.sweep_every_s, FORGOTTEN_EVERY_S)
        before_ms = clock.now_ms() - int(settings.keep_webhooks_s * 1000)
        await self.tools.store.commit(ForgetDeliveries(before_ms, FORGOTTEN_AT_ONCE))
