"""The PostgreSQL executor: a group of units travels as one JSON text and comes back as one list of outcomes."""

from __future__ import annotations

import asyncio
import json
from functools import lru_cache
from itertools import count
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeVar, cast

import asyncpg
import msgspec

from imageway.core.ops import Committed, Op, Query, Refused
from imageway.ledger import access, sealed, terms
from imageway.ledger import ops as ledger
from imageway.storage.errors import StorageClosed, StorageError, assert_known
from imageway.storage.postgres.connection import OUTSIDE, open_pool
from imageway.storage.pump import COMMITTED, Outcome, Pump, Unit, side_by_side
from imageway.storage.rows import Rows
from imageway.storage.selects import select
from imageway.tasks import ops as tasks
from imageway.tasks import queue, sweeping, webhooks

if TYPE_CHECKING:
    from imageway.storage.postgres.connection import Pool

T = TypeVar("T")
_encode: Final = msgspec.json.Encoder().encode
TRIES: Final = 10
PAUSE_S: Final = 0.01
UNITS_AT_ONCE: Final = 256  # side by side; the server works at them, and this loop goes on
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
        sweeping.ForgetTasks,
        sweeping.ForgetClaims,
        access.ExpireKey,
        access.ChangeKey,
        access.SetBudget,
        access.DropBudget,
        access.SetWorkspace,
        access.MarkAlerted,
        access.RearmAlerts,
        access.AddMember,
        access.RemoveMember,
        access.CreateAdminKey,
        access.RevokeAdminKey,
        access.UseSignature,
        access.RecordChange,
        terms.SetPriceRule,
        terms.EndPriceRule,
        sealed.PutSecret,
        sealed.ResealSecret,
        sealed.DropSecret,
        sealed.PutUpstream,
        sealed.DropUpstream,
    }
)


ONE_BY_ONE: Final = ("IW", "20", "22", "23")
"""Classes of states in which something stood in the way of one unit: refused, or not fit for the tables."""


class Parcel(NamedTuple):
    """A unit on its way. `workspace_id` is empty when no op names one."""

    workspace_id: str
    unit: Unit


async def open_postgres(url: str, *, create: bool) -> PostgresStore:
    """Raises StorageError with a sentence when the database cannot be had or belongs to a newer Imageway."""
    return PostgresStore(await open_pool(url, create=create))


class PostgresStore:
    """Belongs to the loop it was opened in. Any number of replicas may use the same database."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._pump = Pump(self._commit_group, most=UNITS_AT_ONCE)
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
        units = [parcels[place].unit for place in order]
        workspaces = sorted({parcel.workspace_id for parcel in parcels} - {""})
        outcomes: list[Outcome] = [COMMITTED] * len(parcels)
        for place, outcome in zip(order, await self._commit_all(units, workspaces), strict=True):
            outcomes[place] = outcome
        return outcomes

    async def _commit_all(self, units: list[Unit], workspaces: list[str]) -> list[Outcome]:
        """Side by side, as if none could be refused, which is nearly always so; else once more, one by one."""
        try:
            await self._call("SELECT imageway_commit_alike($1, $2)", side_by_side_text(units), workspaces)
        except asyncpg.PostgresError as error:
            if (error.sqlstate or "")[:2] not in ONE_BY_ONE:
                return [_failed(error)] * len(units)
        except OUTSIDE as error:
            return [_failed(error)] * len(units)
        except UnicodeEncodeError:  # half a surrogate pair in one of them
            pass
        else:
            return [COMMITTED] * len(units)
        return await self._commit_each(units)

    async def _commit_each(self, units: list[Unit]) -> list[Outcome]:
        try:
            answer = json.loads(await self._call("SELECT imageway_commit($1)", one_by_one_text(units)))
        except (asyncpg.DataError, UnicodeEncodeError) as error:
            if len(units) == 1:
                return [error if isinstance(error, UnicodeEncodeError) else _failed(error, undone=True)]
            # One of them holds what no jsonb takes (a NUL); the others must not suffer for it.
            return [outcome for unit in units for outcome in await self._commit_each([unit])]
        except OUTSIDE as error:
            return [_failed(error)] * len(units)
        return [_outcome(unit, said) for unit, said in zip(units, answer, strict=True)]

    async def _call(self, sql: str, *values: object) -> Any:
        """A deadlock or a serialization failure has undone everything, so the same call may be sent again."""
        for turn in count(1):
            try:
                return await self._pool.fetchval(sql, *values)
            except (asyncpg.DeadlockDetectedError, asyncpg.SerializationError):
                if turn == TRIES:
                    raise
                await asyncio.sleep(PAUSE_S * turn)
        raise AssertionError


def side_by_side_text(units: list[Unit]) -> str:
    """`[["Hold", [{"task_id": …}, …]], …]` as JSON, bytes as base64."""
    return _encode([(kind.__name__, ops) for kind, ops in side_by_side(units)]).decode()


def one_by_one_text(units: list[Unit]) -> str:
    """`[[["Hold", {"task_id": …}], …], …]` likewise."""
    return _encode([[(type(op).__name__, op) for op in unit] for unit in units]).decode()


def _parcel(unit: Unit) -> Parcel:
    workspace_id = next((found for op in unit if (found := getattr(op, "workspace_id", ""))), "")
    return Parcel(workspace_id, unit)


def _outcome(unit: Unit, said: Any) -> Outcome:
    if said is None:
        return COMMITTED
    if isinstance(said, str):
        return StorageError(f"nothing was committed: {said}", undone=True)
    place, why = said
    return Refused(unit[place], why)


def _failed(error: Exception, *, undone: bool = False) -> StorageError:
    what = "nothing was committed" if undone else "whether the commit happened is not known"
    failed = StorageError(f"{what}: {error}", undone=undone)
    failed.__cause__ = error
    return failed


@lru_cache(maxsize=256)
def _numbered(sql: str) -> str:
    """`?` becomes `$1`, `$2` … : none of our texts holds a question mark of another kind."""
    numbers = count(1)
    return "".join(f"${next(numbers)}" if char == "?" else char for char in sql)
