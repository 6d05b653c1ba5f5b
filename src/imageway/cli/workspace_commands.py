"""`imageway workspaces …` and `imageway members …`: how their commands are written. What they do is imported when they
run."""

from __future__ import annotations

from typing import Annotated

from cyclopts import App, Parameter

from imageway.cli.options import Config, Data, Json

workspaces = App(name="workspaces", help="Workspaces.")
members = App(name="members", help="Who belongs to a workspace.")


@workspaces.command(name="create")
def create_workspace(name: str, /, *, json: Json = False, data: Data = None, config: Config = None) -> None:
    """Make a workspace with a $0 wallet.

    Args:
        name: Its name.
    """
    from imageway.cli import access
    from imageway.cli.books import Books

    access.create_workspace(Books(data, config), name, as_json=json)


@workspaces.command(name="list")
def list_workspaces(*, json: Json = False, data: Data = None, config: Config = None) -> None:
    """List workspaces."""
    from imageway.cli import access
    from imageway.cli.books import Books

    access.list_workspaces(Books(data, config), as_json=json)


@workspaces.command(name="show")
def show_workspace(workspace: str, /, *, json: Json = False, data: Data = None, config: Config = None) -> None:
    """Show what a workspace has set.

    Args:
        workspace: Name or id.
    """
    from imageway.cli import access
    from imageway.cli.books import Books

    access.show_workspace(Books(data, config), workspace, as_json=json)


@workspaces.command(name="set")
def set_workspace(
    workspace: str,
    settings: Annotated[list[str], Parameter(negative="")],
    /,
    *,
    json: Json = False,
    data: Data = None,
    config: Config = None,
) -> None:
    """Set what holds for all requests of a workspace.

    Args:
        workspace: Name or id.
        settings: alias.NAME=MODEL, form=b64 or url, watermark=true or false, keep_images_s=3600, alert_below=10.00;
            none takes one back, as in form=none.
    """
    from imageway.cli import access
    from imageway.cli.books import Books

    access.set_workspace(Books(data, config), workspace, settings, as_json=json)


@members.command(name="add")
def add_member(
    workspace: str, name: str, /, *, role: str = "member", json: Json = False, data: Data = None, config: Config = None
) -> None:
    """Add somebody, or give a member another role.

    Args:
        workspace: Name or id.
        name: How the member is known, such as an address.
        role: owner, admin, member or viewer.
    """
    from imageway.cli import access
    from imageway.cli.books import Books

    access.add_member(Books(data, config), workspace, name, role=role, as_json=json)


@members.command(name="list")
def list_members(workspace: str, /, *, json: Json = False, data: Data = None, config: Config = None) -> None:
    """List members.

    Args:
        workspace: Name or id.
    """
    from imageway.cli import access
    from imageway.cli.books import Books

    access.list_members(Books(data, config), workspace, as_json=json)


@members.command(name="remove")
def remove_member(
    workspace: str, name: str, /, *, json: Json = False, data: Data = None, config: Config = None
) -> None:
    """Remove a member.

    Args:
        workspace: Name or id.
        name: As `members list` shows it.
    """
    from imageway.cli import access
    from imageway.cli.books import Books

    access.remove_member(Books(data, config), workspace, name, as_json=json)
