"""`imageway keys …`: how its commands are written. What they do is imported when they run."""

from __future__ import annotations

from typing import Annotated

from cyclopts import App, Parameter

from imageway.cli.options import Config, Data, Json, Switch, Words

keys = App(name="keys", help="API keys.")


@keys.command(name="create")
def create_key(
    *,
    workspace: str = "default",
    name: str = "",
    models: Words = None,
    operations: Words = None,
    dialects: Words = None,
    network: Words = None,
    max_price: str | None = None,
    expires: str | None = None,
    budget: Words = None,
    signed: Switch = False,
    json: Json = False,
    data: Data = None,
    config: Config = None,
) -> None:
    """Make a key and show it, once. A missing workspace is made, with a $0 wallet.

    Args:
        workspace: The workspace that pays for it.
        name: What it is for.
        models: Patterns of the models it may use, such as "gemini-*"; all when left out.
        operations: generate, edit, upscale, remove_background, variation; all when left out.
        dialects: Formats that it may be used in, such as openai_images; all when left out.
        network: CIDR blocks that it may be used from; all when left out.
        max_price: Dollars that one request may hold at most.
        expires: A time, such as 2027-01-31, or a span, such as 90d; never when left out.
        budget: Dollars by period: day=5.00 month=100 total=500.
        signed: It takes signed requests alone; their secret is shown with it.
    """
    from imageway.cli import access
    from imageway.cli.books import Books
    from imageway.server.administration.keys import KeyAsked

    asked = KeyAsked(
        workspace=workspace,
        name=name,
        models=tuple(models or ()),
        operations=tuple(operations or ()),
        dialects=tuple(dialects or ()),
        networks=tuple(network or ()),
        max_price_usd=max_price,
        expires=expires,
        budgets=access.limits_in(budget or ()),
        signed=signed,
    )
    access.create_key(Books(data, config), asked, as_json=json)


@keys.command(name="list")
def list_keys(*, workspace: str | None = None, json: Json = False, data: Data = None, config: Config = None) -> None:
    """List keys; never their secrets.

    Args:
        workspace: Name or id; all when left out.
    """
    from imageway.cli import access
    from imageway.cli.books import Books

    access.list_keys(Books(data, config), workspace, as_json=json)


@keys.command(name="show")
def show_key(key_id: str, /, *, json: Json = False, data: Data = None, config: Config = None) -> None:
    """Show what a key may do, and what it has spent of its budgets.

    Args:
        key_id: The id that `keys list` shows.
    """
    from imageway.cli import access
    from imageway.cli.books import Books

    access.show_key(Books(data, config), key_id, as_json=json)


@keys.command(name="update")
def update_key(
    key_id: str,
    /,
    *,
    name: str | None = None,
    models: Words = None,
    operations: Words = None,
    dialects: Words = None,
    network: Words = None,
    max_price: str | None = None,
    expires: str | None = None,
    json: Json = False,
    data: Data = None,
    config: Config = None,
) -> None:
    """Change what a key may do; what is left out stays.

    Args:
        key_id: The id that `keys list` shows.
        name: What it is for.
        models: Patterns of the models it may use; "all" for all.
        operations: Operations it may be used for; "all" for all.
        dialects: Formats it may be used in; "all" for all.
        network: CIDR blocks that it may be used from; "all" for all.
        max_price: Dollars that one request may hold at most; "none" for no such limit.
        expires: A time or a span; "never".
    """
    from imageway.cli import access
    from imageway.cli.books import Books

    changes = {
        "name": name,
        "models": access.all_or(models),
        "operations": access.all_or(operations),
        "dialects": access.all_or(dialects),
        "networks": access.all_or(network),
        "max_price_usd": max_price,
        "expires": expires,
    }
    access.update_key(Books(data, config), key_id, changes, as_json=json)


@keys.command(name="rotate")
def rotate_key(
    key_id: str, /, *, overlap: str = "24h", json: Json = False, data: Data = None, config: Config = None
) -> None:
    """Make a new key for the same, with the same budgets, and show it, once. The old one is good for a while.

    Args:
        key_id: The id that `keys list` shows.
        overlap: How long: 24h, 30m, 7d; 0s ends it now.
    """
    from imageway.cli import access
    from imageway.cli.books import Books

    access.rotate_key(Books(data, config), key_id, overlap, as_json=json)


@keys.command(name="budget")
def budget_of_key(
    key_id: str,
    limits: Annotated[list[str] | None, Parameter(negative="")] = None,
    /,
    *,
    reset: Words = None,
    json: Json = False,
    data: Data = None,
    config: Config = None,
) -> None:
    """Set what a key, with those that were made of it by rotation, may spend.

    Args:
        key_id: The id that `keys list` shows.
        limits: Dollars by period: day=5.00 month=100 total=500; day=none for no such budget.
        reset: Periods whose spending begins anew now: day, month, total.
    """
    from imageway.cli import access
    from imageway.cli.books import Books

    access.change_budgets(Books(data, config), key_id, limits or [], reset=tuple(reset or ()), as_json=json)


@keys.command(name="revoke")
def revoke_key(key_id: str, /, *, json: Json = False, data: Data = None, config: Config = None) -> None:
    """Revoke a key: from the next request on it is worth nothing.

    Args:
        key_id: The id that `keys list` shows.
    """
    from imageway.cli import access
    from imageway.cli.books import Books

    access.revoke_key(Books(data, config), key_id, as_json=json)
