"""Questions about tasks, with the shapes of their answers."""

from __future__ import annotations

from dataclasses import dataclass

from imageway.core.ops import Query


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """`at_ms`: when it began; `changed_ms`: when its memo or its end was written last. `memo` is empty until there is
    one."""

    id: str
    part: int
    upstream_id: str
    offering: str
    state: str
    memo: bytes
    detail: str
    at_ms: int
    deadline_ms: int
    changed_ms: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """`result` is empty until the task is final. `cancel_ms`: when its caller said that he wants no more of it."""

    id: str
    workspace_id: str
    key_id: str
    model: str
    state: str
    owner: str
    fence: int
    request: bytes
    result: bytes
    created_ms: int
    deadline_ms: int
    finished_ms: int | None
    cancel_ms: int | None = None
    attempts: tuple[Attempt, ...] = ()


@dataclass(frozen=True, slots=True)
class ShowTask(Query[Task | None]):
    """With its attempts, in the order they began. A task of another workspace is None, like one that never was."""

    id: str
    workspace_id: str | None = None


@dataclass(frozen=True, slots=True)
class TaskPage:
    """`total` counts all that match; 0 where that was not asked for."""

    tasks: tuple[Task, ...]
    total: int


@dataclass(frozen=True, slots=True, kw_only=True)
class FindTasks(Query[TaskPage]):
    """One page of a workspace's tasks with their attempts, newest first: created from `since_ms` until before
    `until_ms`, in one of `states` (empty: any), of `model`; `limit` of them after the first `skip`, or from the one
    before `before` (created ms, id) on. `counted` False: nobody asks how many there are in all."""

    workspace_id: str
    since_ms: int | None = None
    until_ms: int | None = None
    states: tuple[str, ...] = ()
    model: str | None = None
    limit: int = 20
    skip: int = 0
    before: tuple[int, str] | None = None
    counted: bool = True


@dataclass(frozen=True, slots=True)
class Claim:
    """Which task used an Idempotency-Key last, for what (`fingerprint`), and when. Whether it is over,
    tasks.ops.ClaimKey says."""

    task_id: str
    fingerprint: bytes
    at_ms: int


@dataclass(frozen=True, slots=True)
class FindClaim(Query[Claim | None]):
    """The last claim of this Idempotency-Key of this workspace."""

    workspace_id: str
    key: str


@dataclass(frozen=True, slots=True)
class RunningTasks(Query[tuple[Task, ...]]):
    """Tasks not final, of these owners (None: of anybody), with their attempts; oldest first. Never more than those
    owners may run at once."""

    owners: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class CountUnderWay(Query[int]):
    """How many tasks have sent something to this upstream of which they do not know the end."""

    upstream_id: str


@dataclass(frozen=True, slots=True)
class Owners(Query[tuple[tuple[str, int], ...]]):
    """Every process that has a lease row, owns a running task or an undelivered usage row: (owner, lease until ms;
    0 when it has no lease), by name."""


@dataclass(frozen=True, slots=True)
class UnknownTasks(Query[tuple[Task, ...]]):
    """The reconciliation report: final tasks that ended `unknown` or hold an attempt that did (a part of one that
    succeeded otherwise), the last to end first; those that ended from `since_ms` on, before `before` (finished ms, id).
    Compare them with the providers' own bills. `request` and `result` are left empty: there may be many, and nobody
    looks into those."""

    limit: int = 1000
    since_ms: int = 0
    before: tuple[int, str] = (2**62, "")
