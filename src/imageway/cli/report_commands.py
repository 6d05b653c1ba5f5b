"""`imageway report …`: how its commands are written. What they do is imported when they run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import App, Parameter

from imageway.cli.options import Config, Data, Json

report = App(name="report", help="What has been used, and what it came to.")


@report.command(name="sums")
def show_sums(
    *,
    by: str = "day",
    workspace: str | None = None,
    key: str = "",
    model: str = "",
    since: str = "30d",
    until: str | None = None,
    json: Json = False,
    data: Data = None,
    config: Config = None,
) -> None:
    """Add up usage.

    Args:
        by: hour, day, month, workspace, key, model, upstream, outcome; several with commas between.
        workspace: Name or id; all when left out.
        key: A key's id.
        model: A model's id.
        since: A time, ISO 8601, or days ago, such as 30d.
        until: The same; up to now when left out.
    """
    from imageway.cli import reports as work
    from imageway.cli.books import Books
    from imageway.cli.moments import moment_ms
    from imageway.ledger.usage import SumUsage

    query = SumUsage(
        key_id=key,
        model=model,
        since_ms=moment_ms("--since", since),
        until_ms=moment_ms("--until", until),
        by=work.grouped(by),
    )
    work.sums(Books(data, config), query, workspace, as_json=json)


@report.command(name="export")
def export_usage(
    *,
    format: Literal["csv", "jsonl"] = "csv",  # noqa: A002  (it is the name of the option)
    output: Annotated[Path | None, Parameter(name=["--output", "-o"])] = None,
    workspace: str | None = None,
    since: str | None = None,
    until: str | None = None,
    data: Data = None,
    config: Config = None,
) -> None:
    """Write every usage row, however many there are.

    Args:
        format: csv or jsonl.
        output: A file; standard output when left out.
        workspace: Name or id; all when left out.
        since: A time, ISO 8601, or days ago, such as 30d; everything when left out.
        until: The same; up to now when left out.
    """
    from imageway.cli import reports as work
    from imageway.cli.books import Books
    from imageway.cli.moments import moment_ms
    from imageway.ledger.usage import FindUsage

    query = FindUsage(since_ms=moment_ms("--since", since) or 0, until_ms=moment_ms("--until", until))
    work.export(Books(data, config), query, workspace, format, output)


@report.command(name="statement")
def show_statement(
    workspace: str, month: str, /, *, json: Json = False, data: Data = None, config: Config = None
) -> None:
    """Show what happened to a wallet in a month.

    Args:
        workspace: Name or id.
        month: Such as 2026-11.
    """
    from imageway.cli import reports as work
    from imageway.cli.books import Books

    work.show_statement(Books(data, config), workspace, month, as_json=json)


@report.command(name="reconcile")
def show_reconciliation(
    month: str,
    /,
    *,
    invoice: Path | None = None,
    upstream: str | None = None,
    json: Json = False,
    data: Data = None,
    config: Config = None,
) -> None:
    """Show what ended unknown, what upstreams cost and brought, and where a provider's invoice differs from our books.

    Args:
        month: Such as 2026-11.
        invoice: The provider's, as CSV: a day, a model and dollars in each row.
        upstream: The id of the upstream that was invoiced.
    """
    from imageway.cli import reports as work
    from imageway.cli.books import Books

    work.show_reconciliation(Books(data, config), month, invoice, upstream, as_json=json)
