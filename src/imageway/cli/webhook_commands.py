"""`imageway webhooks …`: how its commands are written. What they do is imported when they run."""

from __future__ import annotations

from cyclopts import App

from imageway.cli.options import Config, Data, Json, Switch, Words

webhooks = App(name="webhooks", help="Who is told when tasks have ended.")


@webhooks.command(name="add")
def add_endpoint(
    workspace: str,
    url: str,
    /,
    *,
    event: Words = None,
    json: Json = False,
    data: Data = None,
    config: Config = None,
) -> None:
    """Tell this URL of every task of the workspace. Its secret is shown once.

    Args:
        workspace: Name or id.
        url: http:// or https://, at a public address.
        event: task.succeeded, task.failed, task.cancelled, task.unknown or wallet.low_balance; several may follow
            [all].
    """
    from imageway.cli import webhooks as work
    from imageway.cli.books import Books

    events = None if event is None else tuple(event)
    work.add_endpoint(Books(data, config), workspace, url, events=events, as_json=json)


@webhooks.command(name="list")
def list_endpoints(
    *, workspace: str | None = None, json: Json = False, data: Data = None, config: Config = None
) -> None:
    """List endpoints; never their secrets.

    Args:
        workspace: Name or id; all when left out.
    """
    from imageway.cli import webhooks as work
    from imageway.cli.books import Books

    work.list_endpoints(Books(data, config), workspace, as_json=json)


@webhooks.command(name="remove")
def remove_endpoint(endpoint: str, /, *, json: Json = False, data: Data = None, config: Config = None) -> None:
    """Tell an endpoint nothing any more, not even what waits for it.

    Args:
        endpoint: The id that `webhooks list` shows.
    """
    from imageway.cli import webhooks as work
    from imageway.cli.books import Books

    work.remove_endpoint(Books(data, config), endpoint, as_json=json)


@webhooks.command(name="enable")
def enable_endpoint(endpoint: str, /, *, json: Json = False, data: Data = None, config: Config = None) -> None:
    """Tell an endpoint again that was disabled because it answered 410.

    Args:
        endpoint: The id that `webhooks list` shows.
    """
    from imageway.cli import webhooks as work
    from imageway.cli.books import Books

    work.enable_endpoint(Books(data, config), endpoint, as_json=json)


@webhooks.command(name="rotate")
def rotate_secret(
    holder: str,
    /,
    *,
    now: Switch = False,
    json: Json = False,
    data: Data = None,
    config: Config = None,
) -> None:
    """Make a new secret and show it. For a while both sign.

    Args:
        holder: An endpoint's id; or a workspace, for the URLs that come with its requests.
        now: The old secret signs nothing from now on.
    """
    from imageway.cli import webhooks as work
    from imageway.cli.books import Books

    work.rotate_secret(Books(data, config), holder, at_once=now, as_json=json)


@webhooks.command(name="secret")
def show_secret(workspace: str, /, *, json: Json = False, data: Data = None, config: Config = None) -> None:
    """Show what signs for the URLs that come with a workspace's requests; it is made when there is none.

    Args:
        workspace: Name or id.
    """
    from imageway.cli import webhooks as work
    from imageway.cli.books import Books

    work.show_secret(Books(data, config), workspace, as_json=json)


@webhooks.command(name="deliveries")
def list_deliveries(
    *,
    workspace: str | None = None,
    dead: Switch = False,
    limit: int = 1000,
    json: Json = False,
    data: Data = None,
    config: Config = None,
) -> None:
    """List who was told what, newest first.

    Args:
        workspace: Name or id; all when left out.
        dead: Only those that are not tried any more.
        limit: At most so many; a last line says when there are more.
    """
    from imageway.cli import webhooks as work
    from imageway.cli.books import Books

    work.list_deliveries(Books(data, config), workspace, dead=dead, limit=limit, as_json=json)


@webhooks.command(name="replay")
def replay(
    delivery: str | None = None,
    /,
    *,
    all_dead: Switch = False,
    workspace: str | None = None,
    json: Json = False,
    data: Data = None,
    config: Config = None,
) -> None:
    """Deliver again, under the same id and with all tries before it.

    Args:
        delivery: The id that `webhooks deliveries` shows.
        all_dead: All that are not tried any more.
        workspace: With --all-dead: of one workspace, by name or id.
    """
    from imageway.cli import webhooks as work
    from imageway.cli.books import Books

    work.replay(Books(data, config), delivery, all_dead=all_dead, workspace=workspace, as_json=json)
