"""`imageway wallet …`, `imageway usage` and `imageway ledger …`: how they are written. What they do is imported when
they run."""

from __future__ import annotations

from typing import Annotated

from cyclopts import App, Parameter

from imageway.cli.options import Config, Data, Json

wallet = App(name="wallet", help="Wallets.")
ledger = App(name="ledger", help="The books.")
MoveId = Annotated[
    str | None, Parameter(name="--id", help="Of your own, such as an invoice's number: under it this happens once.")
]


@wallet.command(name="topup")
def top_up(
    workspace: str, usd: str, /, *, move_id: MoveId = None, json: Json = False, data: Data = None, config: Config = None
) -> None:
    """Add dollars to a wallet.

    Args:
        workspace: Name or id.
        usd: Dollars with at most six decimals, such as 12.50.
    """
    from imageway.cli import ledger as work
    from imageway.cli.books import Books
    from imageway.server.administration.wallets import MoveAsked

    work.top_up(Books(data, config), workspace, MoveAsked(usd=usd, id=move_id), as_json=json)


@wallet.command(name="grant")
def grant(
    workspace: str, usd: str, /, *, move_id: MoveId = None, json: Json = False, data: Data = None, config: Config = None
) -> None:
    """Add dollars that nobody paid for.

    Args:
        workspace: Name or id.
        usd: Dollars with at most six decimals, such as 12.50.
    """
    from imageway.cli import ledger as work
    from imageway.cli.books import Books
    from imageway.server.administration.wallets import MoveAsked

    work.grant(Books(data, config), workspace, MoveAsked(usd=usd, id=move_id), as_json=json)


@wallet.command(name="adjust")
def adjust(
    workspace: str,
    usd: Annotated[str, Parameter(allow_leading_hyphen=True)],
    /,
    *,
    reason: str,
    move_id: MoveId = None,
    json: Json = False,
    data: Data = None,
    config: Config = None,
) -> None:
    """Correct a wallet by hand.

    Args:
        workspace: Name or id.
        usd: Dollars to add, or with a minus to take away: -0.50.
        reason: Why, in one line; the audit log keeps it.
    """
    from imageway.cli import ledger as work
    from imageway.cli.books import Books
    from imageway.server.administration.wallets import MoveAsked

    work.adjust(Books(data, config), workspace, MoveAsked(usd=usd, id=move_id, reason=reason), as_json=json)


@wallet.command(name="show")
def show_wallet(workspace: str, /, *, json: Json = False, data: Data = None, config: Config = None) -> None:
    """Show what is available, held and spent, and where it came from.

    Args:
        workspace: Name or id.
    """
    from imageway.cli import books

    books.show_wallet(books.Books(data, config), workspace, as_json=json)


def usage(
    *,
    workspace: str | None = None,
    key: str | None = None,
    model: str | None = None,
    outcome: str | None = None,
    since: str | None = None,
    until: str | None = None,
    limit: int = 1000,
    json: Json = False,
    data: Data = None,
    config: Config = None,
) -> None:
    """List usage records, newest first.

    Args:
        workspace: Name or id; all when left out.
        key: Id of a key.
        model: Id of a model.
        outcome: succeeded, failed, cancelled or unknown.
        since: A date or a moment, such as 2026-03-01 or 2026-03-01T12:30:00+02:00, UTC where it says nothing else; or
            days ago, such as 30d.
        until: The same; what happened then is not listed any more.
        limit: At most so many; a last line says when there are more.
    """
    from imageway.cli import ledger as work
    from imageway.cli.books import Books

    wanted = work.Wanted(workspace=workspace, key=key, model=model, outcome=outcome, since=since, until=until)
    work.list_usage(Books(data, config), wanted, limit=limit, as_json=json)


@ledger.command(name="verify")
def verify(*, workspace: str | None = None, json: Json = False, data: Data = None, config: Config = None) -> None:
    """Work every balance, hold, price and sum out anew from the single rows, and tell what differs. Exits with 1 when
    anything does.

    Args:
        workspace: Name or id; all, and the operator's costs, when left out.
    """
    from imageway.cli import ledger as work
    from imageway.cli.books import Books

    work.verify_books(Books(data, config), workspace, as_json=json)
