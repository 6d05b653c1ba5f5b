"""Tasks that wait until somebody has a hand free: accepted, held for and durable, and nobody's yet. Whoever claims one
runs it like any other; what was claimed and not begun may be put back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from imageway.core.ops import Op, Query

NOBODY: Final = ""
"""The owner of a task that waits."""


class QueueTask(Op, frozen=True, kw_only=True):
    """State `queued`, fence 1, nobody's. `request` is JSON: everything that any process needs to run it. At most
    `limit` of one workspace wait at once. Refused: "key_revoked" (or no such key), "duplicate", "queue_full"."""

    id: str
    workspace_id: str
    key_id: str
    model: str
    request: bytes
    created_ms: int
    deadline_ms: int
    limit: int


class ClaimTask(Op, frozen=True):
    """queued → running: from now on `owner`'s, fence + 1. Refused: "not_queued" (somebody was faster, or it was put
    back since, or there is none)."""

    id: str
    fence: int
    owner: str


class RequeueTask(Op, frozen=True):
    """running → queued: nobody's again, in its old place. Only what nothing was sent of. Refused: "not_owner" (owner or
    fence differ, task final or unknown), "begun" (an attempt of it is open)."""

    id: str
    owner: str
    fence: int


class MarkCancel(Op, frozen=True):
    """Tells the owner of a running task that its caller wants no more of it; the first mark stays. Refused:
    "not_running" (or no such task)."""

    id: str
    at_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """What deciding about a waiting task takes."""

    id: str
    workspace_id: str
    key_id: str
    fence: int
    created_ms: int
    deadline_ms: int


@dataclass(frozen=True, slots=True)
class QueuedTasks(Query[tuple[Waiting, ...]]):
    """Whose turn it is: the oldest of every workspace, then the second of each …; of one turn the older first. None of
    the keys that are `busy`."""

    limit: int
    busy: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class OverdueTasks(Query[tuple[Waiting, ...]]):
    """Waiting tasks whose deadline has passed, the oldest first."""

    now_ms: int
    limit: int = 100


@dataclass(frozen=True, slots=True)
class CancelMarks(Query[tuple[str, ...]]):
    """The running tasks of one owner whose callers want no more of them, by id."""

    owner: str


@dataclass(frozen=True, slots=True)
class TaskState:
    """Differs whenever something about the task that its caller may see has changed."""

    id: str
    state: str
    fence: int
    attempts: int


@dataclass(frozen=True, slots=True)
class TaskStates(Query[tuple[TaskState, ...]]):
    """Of those of these tasks that there are, by id."""

    ids: tuple[str, ...]
