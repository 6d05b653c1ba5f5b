"""Commands on what has been used: sums, files of all rows, statements, and our books against a provider's."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO, TypeVar, cast, get_args

from imageway.catalog import load
from imageway.cli.books import Books, show_rows
from imageway.cli.operating import operate, plain
from imageway.cli.printing import Stop, print_json
from imageway.core.errors import GatewayError
from imageway.ledger.usage import By, FindUsage, SumUsage
from imageway.server.administration import usage
from imageway.server.administration.office import Office
from imageway.server.administration.reconciliation import Invoice, Reconciliation, read_invoice, reconcile
from imageway.server.administration.statements import Statement, statement

T = TypeVar("T")
SUM_COLUMNS = ("requests", "delivered", "net_usd", "cost_usd", "margin_usd", "tokens", "mean_ms")
UNKNOWN_COLUMNS = ("task", "model", "ended", "upstreams")
ROUTE_COLUMNS = ("upstream", "requests", "revenue_usd", "cost_usd", "unknown_cost_usd", "margin_usd")
INVOICE_COLUMNS = ("day", "model", "invoiced_usd", "booked_usd", "difference_usd")


def sums(books: Books, query: SumUsage, workspace: str | None, *, as_json: bool) -> None:
    async def read(office: Office) -> tuple[usage.SumShown, ...]:
        return await usage.sums(office.store, replace(query, workspace_id=await _workspace_id(office, workspace)))

    found = [plain(one) for one in operate(books, read)]
    if as_json:
        print_json(found)
    else:
        show_rows([row["group"] | row for row in found], (*query.by, *SUM_COLUMNS), as_json=False)


def export(books: Books, query: FindUsage, workspace: str | None, form: usage.Form, output: Path | None) -> None:
    async def write(office: Office) -> None:
        asked = replace(query, workspace_id=await _workspace_id(office, workspace))
        target = _writable(output) if output else sys.stdout.buffer
        try:
            async for chunk in usage.export(office.store, asked, form).chunks():
                _put(target, chunk, output)
        finally:
            if output:
                target.close()

    operate(books, write)


def _put(target: BinaryIO, chunk: bytes, output: Path | None) -> None:
    try:
        target.write(chunk)
    except BrokenPipeError:
        raise
    except OSError as error:
        raise Stop(f"{output or 'standard output'} cannot be written: {error.strerror}") from None


def show_statement(books: Books, workspace: str, month: str, *, as_json: bool) -> None:
    async def read(office: Office) -> Statement:
        return await statement(office, workspace, month)

    shown = plain(operate(books, read))
    if as_json:
        print_json(shown)
        return
    models = shown.pop("models")
    show_rows([shown], tuple(shown), as_json=False)
    if models:
        print()
        show_rows([row["group"] | row for row in models], ("model", *SUM_COLUMNS), as_json=False)


def show_reconciliation(books: Books, month: str, invoice: Path | None, upstream: str | None, *, as_json: bool) -> None:
    if (invoice is None) != (upstream is None):
        raise Stop("--invoice and --upstream go together: whose invoice is it?")
    catalog = load(books.settings().catalog)
    read_in = _invoice(invoice, upstream) if invoice and upstream else None

    async def read(office: Office) -> Reconciliation:
        return await reconcile(office, catalog, month, read_in)

    shown = plain(operate(books, read))
    if as_json:
        print_json(shown)
        return
    print(f"{len(shown['unknown'])} task(s) ended unknown; overrun ${shown['overrun_usd']}\n")
    for rows, columns in (
        (shown["unknown"], UNKNOWN_COLUMNS),
        (shown["upstreams"], ROUTE_COLUMNS),
        (shown["invoice"], INVOICE_COLUMNS),
    ):
        if rows:
            show_rows(rows, columns, as_json=False)
            print()


def grouped(by: str) -> tuple[By, ...]:
    names = tuple(name.strip() for name in by.split(",") if name.strip())
    for name in names:
        if name not in get_args(By):
            raise Stop(f'--by "{name}" is none of {", ".join(get_args(By))}')
    return cast("tuple[By, ...]", names)


def _writable(file: Path) -> BinaryIO:
    try:
        return file.open("wb")
    except OSError as error:
        raise Stop(f"{file} cannot be written: {error.strerror}") from None


def _invoice(file: Path, upstream: str) -> Invoice:
    try:
        with file.open(newline="", encoding="utf-8-sig") as lines:
            return read_invoice(upstream, lines)
    except OSError as error:
        raise Stop(f"{file} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise Stop(f"{file} is not UTF-8 text") from None
    except GatewayError as error:
        raise Stop(f"{file}: " + "; ".join(problem.message for problem in error.details)) from None


async def _workspace_id(office: Office, workspace: str | None) -> str:
    return (await office.workspace(workspace)).id if workspace else ""
