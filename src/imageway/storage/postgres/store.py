"""The PostgreSQL executor: a group of units travels as one JSON text and comes back as one list of outcomes."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from functools import lru_cache
from itertools import count
from typing import TYPE_CHECKING, Any, Final, TypeVar, cast

import asyncpg
import msgspec

from imageway.core.ops import Committed, Op, Query, Refused
from imageway.ledger import ops as ledger
from imageway.storage.errors import StorageClosed, StorageError, assert_known
from imageway.storage.postgres.connection import OUTSIDE, open_pool
from imageway.storage.pump import COMMITTED, Outcome, Pump, Unit
from imageway.storage.rows import Rows
from imageway.storage.selects import select
from imageway.tasks import ops as tasks
from imageway.tasks import queue, webhooks

if TYPE_CHECKING:
    from imageway.storage.postgres.connection import Pool

T = TypeVar("T")
TRIES: Final = 10
PAUSE_S: Final = 0.01
KNOWN: Final[frozenset[type[Op]]] = frozenset(
    {
        ledger.CreateWorkspace,
        ledger.TopUp,
        ledger.Grant,
        ledger.Adjust,
        ledger.Hold,
        ledger.Capture,
        ledger.Void,
        ledger.Refund,
        ledger.BookCost,
        ledger.BookOverrun,
        ledger.SpendBudget,
        ledger.ReleaseBudget,
        ledger.CreateKey,
        ledger.RevokeKey,
        ledger.RecordUsage,
        ledger.MarkDelivery,
        tasks.CreateTask,
        tasks.BeginAttempt,
        tasks.KeepMemo,
        tasks.EndAttempt,
        tasks.FinishTask,
        tasks.ReplaceResult,
        tasks.AdoptTask,
        tasks.RenewLease,
        tasks.DropLease,
        tasks.ClaimKey,
        queue.QueueTask,
        queue.ClaimTask,
        queue.RequeueTask,
        queue.MarkCancel,
        webhooks.AddEndpoint,
        webhooks.RemoveEndpoint,
        webhooks.DisableEndpoint,
        webhooks.EnableEndpoint,
        webhooks.AddSecret,
        webhooks.RotateSecret,
        webhooks.AddDelivery,
        webhooks.NotifyEndpoints,
        webhooks.ClaimDelivery,
        webhooks.PostponeDelivery,
        webhooks.EndDelivery,
        webhooks.ReplayDelivery,
        webhooks.ForgetDeliveries,
    }
)


@dataclass(frozen=True, slots=True)
class Parcel:
    """A unit on its way: `[["Hold", {"task_id": …}], …]` as JSON, bytes as base64. `workspace_id` is empty when no op
    names one."""

    unit: Unit
    workspace_id: str
    text: bytes


async def open_postgres(url: str, *, create: bool) -> PostgresStore:
    """Raises StorageError with a sentence when the database cannot be had or belongs to a newer Imageway."""
    return PostgresStore(await open_pool(url, create=create))


class PostgresStore:
    """Belongs to the loop it was opened in. Any number of replicas may use the same database."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._pump = Pump(self._commit_group)
        self._closed = False

    async def commit(self, *ops: Op) -> Committed | Refused:
        assert_known(ops, KNOWN)
        return await self._pump.submit(_parcel(ops))

    async def read(self, query: Query[T]) -> T:
        wanted = select(query)
        if self._closed:
            raise StorageClosed("the store is closed")
        try:
            rows = await self._pool.fetch(_numbered(wanted.sql), *wanted.values)
        except OUTSIDE as error:
            raise StorageError(f"the database could not be read: {error}") from error
        return cast("T", wanted.shape(cast("Rows", rows)))

    async def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        await self._pump.close()
        await self._pool.close()

    async def _commit_group(self, parcels: list[Parcel]) -> list[Outcome]:
        """Sorted by workspace, so that two replicas take the locks of wallets in the same order."""
        order = sorted(range(len(parcels)), key=lambda place: parcels[place].workspace_id)
        group = b",".join(parcels[place].text for place in order)
        try:
            answer = await self._call(f"[{group.decode()}]")
        except asyncpg.DataError as error:
            if len(parcels) == 1:
                return [_failed("nothing was committed", error)]
            # One of them holds what no jsonb takes (a NUL); the others must not suffer for it.
            return [outcome for parcel in parcels for outcome in await self._commit_group([parcel])]
        except OUTSIDE as error:
            return [_failed("whether the commit happened is not known", error)] * len(parcels)
        outcomes: list[Outcome] = [COMMITTED] * len(parcels)
        for place, said in zip(order, answer, strict=True):
            outcomes[place] = _outcome(parcels[place].unit, said)
        return outcomes

    async def _call(self, group: str) -> list[Any]:
        """A deadlock or a serialization failure has undone everything, so the same call may be sent again."""
        for turn in count(1):
            try:
                return cast("list[Any]", json.loads(await self._pool.fetchval("SELECT imageway_commit($1)", group)))
            except (asyncpg.DeadlockDetectedError, asyncpg.SerializationError):
                if turn == TRIES:
                    raise
                await asyncio.sleep(PAUSE_S * turn)
        raise AssertionError


def _parcel(unit: Unit) -> Parcel:
    workspace_id = next((found for op in unit if (found := getattr(op, "workspace_id", ""))), "")
    return Parcel(unit, workspace_id, msgspec.json.encode([(type(op).__name__, op) for op in unit]))


def _outcome(unit: Unit, said: Any) -> Outcome:
    if said is None:
        return COMMITTED
    if isinstance(said, str):
        return StorageError(f"nothing was committed: {said}")
    place, why = said
    return Refused(unit[place], why)


def _failed(what: str, error: Exception) -> StorageError:
    failed = StorageError(f"{what}: {error}")
    failed.__cause__ = error
    return failed


@lru_cache(maxsize=256)
def _numbered(sql: str) -> str:
    """`?` becomes `$1`, `$2` … : none of our texts holds a question mark of another kind."""
    numbers = count(1)
    return "".join(f"${next(numbers)}" if char == "?" else char for char in sql)
