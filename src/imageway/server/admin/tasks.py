"""/admin/v1/tasks: every workspace's, and their end when they must."""

from __future__ import annotations

import re
from typing import Annotated, Final, Literal

from msgspec import Meta, Struct

from imageway.core.errors import GatewayError
from imageway.core.requests import Caller
from imageway.server.admin.endpoints import Endpoint, Page, Visit
from imageway.server.administration.tasks import TaskShown, as_shown, find_task, list_tasks
from imageway.server.administration.usage import no_place
from imageway.tasks.queries import Task

Limit = Annotated[int, Meta(ge=1, le=1000)]
State = Literal["", "queued", "running", "succeeded", "failed", "cancelled", "unknown"]
_PLACE: Final = re.compile(r"([0-9]{1,18})-([!-~]{1,100})")


class AskedTasks(Struct, frozen=True, kw_only=True):
    """Of one workspace. `before`: `next` of the page before."""

    workspace: str
    state: State = ""
    before: str | None = None
    limit: Limit = 100


async def _list(visit: Visit) -> Page:
    asked: AskedTasks = visit.query
    before = _place(asked.before)
    data, following = await list_tasks(
        visit.office, asked.workspace, state=asked.state, before=before, limit=asked.limit
    )
    return Page(data=data, next=following)


async def _show(visit: Visit) -> TaskShown:
    return as_shown(await _found(visit))


async def _cancel(visit: Visit) -> TaskShown:
    """As its owner would: what was sent already is delivered and charged. Once it is cancelled, that is all. Raises
    GatewayError 409 when it has ended otherwise."""
    task = await _found(visit)
    if task.state == "cancelled":
        return as_shown(task)
    if task.finished_ms is not None:
        raise GatewayError("task_final", f'the task "{task.id}" has ended already: it is "{task.state}"', param="task")
    await visit.engine.cancel_task(task.id, Caller(task.key_id, task.workspace_id))
    after = await _found(visit)
    await visit.office.change("task.cancel", task.id, before={"state": task.state}, after={"state": after.state})
    return as_shown(after)


async def _found(visit: Visit) -> Task:
    return await find_task(visit.office, visit.params["task"])


def _place(written: str | None) -> tuple[int, str] | None:
    """Raises InvalidRequest."""
    if written is None:
        return None
    found = _PLACE.fullmatch(written)
    if found is None:
        raise no_place(written)
    return int(found[1]), found[2]


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
