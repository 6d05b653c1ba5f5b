"""`imageway upstreams …`, `imageway secrets …`, `imageway admin-keys …`: how their commands are written. What they do
is imported when they run."""

from __future__ import annotations

import sys
from typing import Annotated

from cyclopts import App, Parameter

from imageway.cli.options import Config, Data, Json, Switch, Words

upstreams = App(name="upstreams", help="Credentials at providers, kept in the database.")
secrets = App(name="secrets", help="Secrets at rest.")
admin_keys = App(name="admin-keys", help="Operators' keys, for the admin API.")


@upstreams.command(name="list")
def list_upstreams(*, json: Json = False, data: Data = None, config: Config = None) -> None:
    """List upstreams, those of the configuration too; never their credentials."""
    from imageway.cli import upstreams as work
    from imageway.cli.books import Books

    work.list_upstreams(Books(data, config), as_json=json)


@upstreams.command(name="add")
def add_upstream(
    provider: str,
    /,
    *,
    name: Annotated[str, Parameter(name="--id")] = "",
    key_env: str | None = None,
    keep_key: Switch = False,
    base_url: str = "",
    weight: int = 1,
    value: Words = None,
    force: Switch = False,
    json: Json = False,
    data: Data = None,
    config: Config = None,
) -> None:
    """Add an upstream, or replace the one of that id. Its credential is asked for, or read from standard input. Where
    it leads is not changed while tasks are under way there.

    Args:
        provider: Whose it is: see docs/configuration.md.
        name: How it is known [the provider's name].
        key_env: The variable that holds the credential.
        keep_key: The credential that it has stays.
        base_url: Another address than the provider's.
        weight: How often it is chosen beside others of the same model.
        value: NAME=VALUE that its provider asks for, such as project=my-project; several may follow.
        force: Lead elsewhere also while tasks are under way there.
    """
    from imageway.cli import upstreams as work
    from imageway.cli.books import Books
    from imageway.server.administration.upstreams import UpstreamAsked

    values = work.values_in(value or ())
    asked = UpstreamAsked(provider=provider, id=name, base_url=base_url, weight=weight, values=values)
    work.add_upstream(Books(data, config), asked, key_env=key_env, keep_key=keep_key, force=force, as_json=json)


@upstreams.command(name="remove")
def remove_upstream(
    upstream: str,
    /,
    *,
    force: Switch = False,
    json: Json = False,
    data: Data = None,
    config: Config = None,
) -> None:
    """Remove an upstream with its credential. It is refused while tasks are under way there.

    Args:
        upstream: The id that `upstreams list` shows.
        force: Also while tasks are under way there.
    """
    from imageway.cli import upstreams as work
    from imageway.cli.books import Books

    work.remove_upstream(Books(data, config), upstream, force=force, as_json=json)


@upstreams.command(name="enable")
def enable_upstream(upstream: str, /, *, json: Json = False, data: Data = None, config: Config = None) -> None:
    """Use an upstream again.

    Args:
        upstream: The id that `upstreams list` shows.
    """
    from imageway.cli import upstreams as work
    from imageway.cli.books import Books

    work.switch_upstream(Books(data, config), upstream, enabled=True, as_json=json)


@upstreams.command(name="disable")
def disable_upstream(upstream: str, /, *, json: Json = False, data: Data = None, config: Config = None) -> None:
    """Send nothing new to an upstream; it keeps its credential.

    Args:
        upstream: The id that `upstreams list` shows.
    """
    from imageway.cli import upstreams as work
    from imageway.cli.books import Books

    work.switch_upstream(Books(data, config), upstream, enabled=False, as_json=json)


@secrets.command(name="list")
def list_secrets(*, json: Json = False, data: Data = None, config: Config = None) -> None:
    """List whose secrets are kept, and the key that seals each; never the secrets."""
    from imageway.cli import upstreams as work
    from imageway.cli.books import Books

    work.list_secrets(Books(data, config), as_json=json)


@secrets.command(name="status")
def count_secrets(*, json: Json = False, data: Data = None, config: Config = None) -> None:
    """Say how many secrets are sealed with which key of the ring, and how many are not sealed yet."""
    from imageway.cli import upstreams as work
    from imageway.cli.books import Books

    work.count_secrets(Books(data, config), as_json=json)


@secrets.command(name="rotate")
def rotate_secrets(*, json: Json = False, data: Data = None, config: Config = None) -> None:
    """Make a new key and seal every secret with it. One that was cut short is ended."""
    from imageway.cli import upstreams as work
    from imageway.cli.books import Books

    sys.exit(0 if work.rotate_secrets(Books(data, config), as_json=json) else 1)


@admin_keys.command(name="create")
def create_admin_key(
    *, name: str = "", role: str = "admin", json: Json = False, data: Data = None, config: Config = None
) -> None:
    """Make an operator's key and show it, once.

    Args:
        name: Whose it is.
        role: admin, who may change everything, or viewer, who may only look.
    """
    from imageway.cli import upstreams as work
    from imageway.cli.books import Books
    from imageway.server.administration.admin_keys import AdminKeyAsked

    work.create_admin_key(Books(data, config), AdminKeyAsked(name=name, role=role), as_json=json)


@admin_keys.command(name="list")
def list_admin_keys(*, json: Json = False, data: Data = None, config: Config = None) -> None:
    """List operators' keys; never the keys themselves."""
    from imageway.cli import upstreams as work
    from imageway.cli.books import Books

    work.list_admin_keys(Books(data, config), as_json=json)


@admin_keys.command(name="revoke")
def revoke_admin_key(key_id: str, /, *, json: Json = False, data: Data = None, config: Config = None) -> None:
    """Revoke an operator's key: from the next request on it is worth nothing.

    Args:
        key_id: The id that `admin-keys list` shows.
    """
    from imageway.cli import upstreams as work
    from imageway.cli.books import Books

    work.revoke_admin_key(Books(data, config), key_id, as_json=json)
