"""Tasks as operators see them: with every upstream that was asked, and what it said."""

from __future__ import annotations

from msgspec import Struct

from imageway.core.errors import GatewayError
from imageway.server.administration.office import Office
from imageway.server.administration.usage import iso
from imageway.tasks.queries import Attempt, FindTasks, ShowTask, Task


class AttemptShown(Struct, frozen=True, kw_only=True):
    """One upstream asked for one part. `detail` is for operators alone: it may hold the provider's own words."""

    id: str
    part: int
    upstream: str
    offering: str
    state: str
    detail: str
    at: str
    deadline: str


class TaskShown(Struct, frozen=True, kw_only=True):
    """`owner` is the process that has it (empty: none); `fence` grows each time another one takes it over."""

    id: str
    workspace_id: str
    key_id: str
    model: str
    state: str
    owner: str
    fence: int
    created: str
    deadline: str
    finished: str | None
    attempts: tuple[AttemptShown, ...]


async def list_tasks(
    office: Office, workspace: str, *, state: str, before: tuple[int, str] | None, limit: int
) -> tuple[tuple[TaskShown, ...], str | None]:
    """One page of a workspace's, newest first, in one state (empty: any), and what leads to the next one (None: that
    was all): created ms and id of its last, with a hyphen between. Raises GatewayError 404."""
    owner, states = await office.workspace(workspace), (state,) if state else ()
    query = FindTasks(workspace_id=owner.id, states=states, before=before, limit=limit + 1, counted=False)
    found = (await office.store.read(query)).tasks
    shown = found[:limit]
    following = f"{shown[-1].created_ms}-{shown[-1].id}" if len(found) > len(shown) else None
    return tuple(map(as_shown, shown)), following


async def find_task(office: Office, task_id: str) -> Task:
    """Raises GatewayError 404."""
    found = await office.store.read(ShowTask(task_id))
    if found is None:
        raise GatewayError("task_not_found", f'there is no task "{task_id}"', param="task")
    return found


def as_shown(task: Task) -> TaskShown:
    return TaskShown(
        id=task.id,
        workspace_id=task.workspace_id,
        key_id=task.key_id,
        model=task.model,
        state=task.state,
        owner=task.owner,
        fence=task.fence,
        created=iso(task.created_ms),
        deadline=iso(task.deadline_ms),
        finished=iso(task.finished_ms) if task.finished_ms is not None else None,
        attempts=tuple(map(_attempt, task.attempts)),
    )


def _attempt(attempt: Attempt) -> AttemptShown:
    return AttemptShown(
        id=attempt.id,
        part=attempt.part,
        upstream=attempt.upstream_id,
        offering=attempt.offering,
        state=attempt.state,
        detail=attempt.detail,
        at=iso(attempt.at_ms),
        deadline=iso(attempt.deadline_ms),
    )
