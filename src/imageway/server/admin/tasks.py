"""/admin/v1/tasks: every workspace's, and their end when they must."""

from __future__ import annotations

import re
from typing import Annotated, Final, Literal

from msgspec import Meta, Struct

from imageway.core.errors import GatewayError
from imageway.core.requests import Caller
from imageway.server.admin.endpoints import Endpoint, Page, Visit
from imageway.server.administration.usage import iso, no_place
from imageway.tasks.queries import Attempt, FindTasks, ShowTask, Task

Limit = Annotated[int, Meta(ge=1, le=1000)]
State = Literal["", "queued", "running", "succeeded", "failed", "cancelled", "unknown"]
_PLACE: Final = re.compile(r"([0-9]{1,18})-([!-~]{1,100})")


class AskedTasks(Struct, frozen=True, kw_only=True):
    """Of one workspace. `before`: `next` of the page before."""

    workspace: str
    state: State = ""
    before: str | None = None
    limit: Limit = 100


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


async def _list(visit: Visit) -> Page:
    asked: AskedTasks = visit.query
    workspace = await visit.office.workspace(asked.workspace)
    query = FindTasks(
        workspace_id=workspace.id,
        states=(asked.state,) if asked.state else (),
        before=_place(asked.before),
        limit=asked.limit + 1,
    )
    found = (await visit.office.store.read(query)).tasks
    shown = found[: asked.limit]
    following = f"{shown[-1].created_ms}-{shown[-1].id}" if len(found) > len(shown) else None
    return Page(data=tuple(map(_shown, shown)), next=following)


async def _show(visit: Visit) -> TaskShown:
    return _shown(await _found(visit))


async def _cancel(visit: Visit) -> TaskShown:
    """As its owner would: what was sent already is delivered and charged. Once it is cancelled, that is all. Raises
    GatewayError 409 when it has ended otherwise."""
    task = await _found(visit)
    if task.state == "cancelled":
        return _shown(task)
    if task.finished_ms is not None:
        raise GatewayError("task_final", f'the task "{task.id}" has ended already: it is "{task.state}"', param="task")
    await visit.engine.cancel_task(task.id, Caller(task.key_id, task.workspace_id))
    after = await _found(visit)
    await visit.office.change("task.cancel", task.id, before={"state": task.state}, after={"state": after.state})
    return _shown(after)


async def _found(visit: Visit) -> Task:
    """Raises GatewayError 404."""
    task_id = visit.params["task"]
    found = await visit.office.store.read(ShowTask(task_id))
    if found is None:
        raise GatewayError("task_not_found", f'there is no task "{task_id}"', param="task")
    return found


def _place(written: str | None) -> tuple[int, str] | None:
    """Raises InvalidRequest."""
    if written is None:
        return None
    found = _PLACE.fullmatch(written)
    if found is None:
        raise no_place(written)
    return int(found[1]), found[2]


def _shown(task: Task) -> TaskShown:
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


ENDPOINTS: Final = (
    Endpoint(
        method="GET",
        path="tasks",
        name="listTasks",
        summary="A workspace's tasks, newest first.",
        work=_list,
        query=AskedTasks,
        answer=Page,
    ),
    Endpoint(
        method="GET",
        path="tasks/{task}",
        name="showTask",
        summary="One task with its attempts.",
        work=_show,
        answer=TaskShown,
    ),
    Endpoint(
        method="POST",
        path="tasks/{task}/cancel",
        name="cancelTask",
        summary="Ends a task of which nothing was sent.",
        work=_cancel,
        answer=TaskShown,
    ),
)
