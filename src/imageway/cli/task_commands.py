"""`imageway tasks …` and `imageway audit`: how they are written. What they do is imported when they run."""

from __future__ import annotations

from cyclopts import App

from imageway.cli.options import Config, Data, Json

tasks = App(name="tasks", help="What became of requests, upstream by upstream.")


@tasks.command(name="list")
def list_tasks(
    workspace: str,
    /,
    *,
    state: str | None = None,
    limit: int = 100,
    json: Json = False,
    data: Data = None,
    config: Config = None,
) -> None:
    """List a workspace's tasks, newest first.

    Args:
        workspace: Name or id.
        state: queued, running, succeeded, failed, cancelled or unknown.
        limit: At most so many; a last line says when there are more.
    """
    from imageway.cli import tasks as work
    from imageway.cli.books import Books

    work.list_tasks(Books(data, config), workspace, state or "", limit=limit, as_json=json)


@tasks.command(name="show")
def show_task(task_id: str, /, *, json: Json = False, data: Data = None, config: Config = None) -> None:
    """Show which upstreams were asked for one task, and what became of each.

    Args:
        task_id: The id of its request.
    """
    from imageway.cli import tasks as work
    from imageway.cli.books import Books

    work.show_task(Books(data, config), task_id, as_json=json)


def audit(*, target: str = "", limit: int = 100, json: Json = False, data: Data = None, config: Config = None) -> None:
    """List what operators changed, newest first: who, what, before, after.

    Args:
        target: The id of what was changed, such as a key's or a workspace's.
        limit: At most so many; a last line says when there are more.
    """
    from imageway.cli import tasks as work
    from imageway.cli.books import Books

    work.list_changes(Books(data, config), target, limit=limit, as_json=json)
