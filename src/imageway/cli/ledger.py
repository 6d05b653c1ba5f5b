"""Commands on money beyond topups, on usage records, and on whether the books are right."""

from __future__ import annotations

import asyncio
import re
import sys
from dataclasses import dataclass
from typing import Final

from imageway.cli.books import MOST_ROWS, Books, day, show_rows, show_wallet
from imageway.cli.books import workspace_named as named
from imageway.cli.moments import moment_ms
from imageway.cli.operating import operate, said
from imageway.cli.printing import Stop, print_json
from imageway.core.errors import GatewayError
from imageway.core.money import format_usd, parse_usd
from imageway.core.ops import Store
from imageway.ledger.ops import MAX_USD_MICROS, OUTCOMES
from imageway.ledger.usage import FindUsage, UsageDetail
from imageway.ledger.verifying import Finding, verify
from imageway.server.administration.wallets import Kind, MoveAsked, move
from imageway.storage.errors import StorageError
from imageway.storage.snapshots import open_snapshot

PAGE: Final = 1000
_LONG_AMOUNT = re.compile(r"[0-9]{13,}(?:\.[0-9]{1,6})?")
_COLUMNS: Final = ("request_id", "model", "outcome", "n", "delivered", "price_usd", "cost_usd", "delivery", "at")
_SAID: Final = {
    "wallet": "its transfers come to",
    "hold": "its transfers come to",
    "price": "its hold says",
    "cost": "what was booked comes to",
    "sum": "its usage rows come to",
}
_MADE: Final = {
    "wallet": "the wallet says",
    "hold": "the hold says",
    "price": "its usage row says",
    "cost": "its usage row says",
    "sum": "the sum says",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Which usage records, as they were typed; None: any."""

    workspace: str | None = None
    key: str | None = None
    model: str | None = None
    outcome: str | None = None
    since: str | None = None
    until: str | None = None


def top_up(books: Books, workspace: str, asked: MoveAsked, *, as_json: bool) -> None:
    if _amount(asked.usd) == 0:
        raise Stop("nothing to add: the amount is zero")
    _move(books, workspace, "topup", asked, as_json=as_json)


def grant(books: Books, workspace: str, asked: MoveAsked, *, as_json: bool) -> None:
    if _amount(asked.usd) == 0:
        raise Stop("nothing to grant: the amount is zero")
    _move(books, workspace, "grant", asked, as_json=as_json)


def adjust(books: Books, workspace: str, asked: MoveAsked, *, as_json: bool) -> None:
    if _amount(asked.usd.removeprefix("-")) == 0:
        raise Stop("nothing to adjust: the amount is zero")
    if not asked.reason.strip() or not asked.reason.isprintable():
        raise Stop("--reason needs a line that says why")
    _move(books, workspace, "adjust", asked, as_json=as_json)


def _move(books: Books, workspace: str, kind: Kind, asked: MoveAsked, *, as_json: bool) -> None:
    """As the admin API does it, audit log included."""
    done = operate(books, lambda office: move(office, workspace, kind, asked), _not_moved)
    if done.replayed:
        print(f'imageway: this was done before, under the id "{asked.id}": nothing has moved', file=sys.stderr)
    show_wallet(books, workspace, as_json=as_json)


def _not_moved(error: GatewayError) -> str:
    """By the name of the option."""
    return f"--{said(error)}" if error.message.startswith("id is ") else said(error)


def _amount(usd: str) -> int:
    """In micro-dollars."""
    too_much = Stop(f"${usd} is more than can be added at once: at most ${format_usd(MAX_USD_MICROS)}")
    if _LONG_AMOUNT.fullmatch(usd.strip()):
        raise too_much
    try:
        usd_micros = parse_usd(usd)
    except ValueError as error:
        raise Stop(str(error)) from None
    if usd_micros > MAX_USD_MICROS:
        raise too_much
    return usd_micros


def list_usage(books: Books, wanted: Wanted, *, limit: int, as_json: bool) -> None:
    if not 1 <= limit <= MOST_ROWS:
        raise Stop(f'--limit "{limit}": a number from 1 to {MOST_ROWS} is needed')
    if wanted.outcome and wanted.outcome not in OUTCOMES:
        raise Stop(f'--outcome "{wanted.outcome}": one of {", ".join(sorted(OUTCOMES))} is needed')
    since_ms, until_ms = moment_ms("--since", wanted.since), moment_ms("--until", wanted.until)

    async def read(store: Store) -> list[UsageDetail]:
        found: list[UsageDetail] = []
        workspace_id = (await named(store, wanted.workspace)).id if wanted.workspace else ""
        while len(found) <= limit:  # one more tells that there are more
            query = FindUsage(
                workspace_id=workspace_id,
                key_id=wanted.key or "",
                model=wanted.model or "",
                outcome=wanted.outcome or "",
                since_ms=since_ms or 0,
                until_ms=until_ms,
                before=(found[-1].at_ms, found[-1].seq) if found else None,
                limit=min(PAGE, limit + 1 - len(found)),
            )
            page = await store.read(query)
            found += page
            if len(page) < query.limit:
                break
        return found

    found = books.do(read)
    show_rows([_usage(row) for row in found[:limit]], _COLUMNS, as_json=as_json)
    if len(found) > limit:
        print(f"… there are more; use --limit (this was {limit})", file=sys.stderr if as_json else sys.stdout)


def _usage(row: UsageDetail) -> dict[str, object]:
    return {
        "request_id": row.request_id,
        "workspace": row.workspace,
        "model": row.model,
        "outcome": row.outcome,
        "n": row.n,
        "delivered": row.delivered,
        "price_usd": format_usd(row.price_usd_micros),
        "cost_usd": format_usd(row.cost_usd_micros),
        "delivery": row.delivery,
        "upstream": row.upstream_id,
        "at": day(row.at_ms),
    }


def verify_books(books: Books, workspace: str | None, *, as_json: bool) -> None:
    """All of it as it was at one moment, so that a gateway may go on."""
    settings = books.settings()

    async def look() -> tuple[Finding, ...]:
        async with open_snapshot(settings.database_url) as moment:
            return await verify(moment, (await named(moment, workspace)).id if workspace else None)

    try:
        findings = asyncio.run(look())
    except (OSError, StorageError) as error:
        raise Stop(str(error)) from None
    if as_json:
        print_json([_told(finding) for finding in findings])
    else:
        print("\n".join(map(_sentence, findings)) or "The books are right.")
    if findings:
        raise Stop(f"{len(findings)} figure(s) of the books differ")


def _told(finding: Finding) -> dict[str, object]:
    return {
        "law": finding.law,
        "name": finding.name,
        "what": finding.what,
        "rows": finding.rows,
        "made": finding.made,
    }


def _sentence(finding: Finding) -> str:
    rows, made = _figure(finding, finding.rows), _figure(finding, finding.made)
    return f"{finding.law} {finding.name}: {finding.what}: {_SAID[finding.law]} {rows}, {_MADE[finding.law]} {made}"


def _figure(finding: Finding, value: int) -> str:
    if finding.law == "sum" and not finding.what.endswith("usd_micros"):
        return str(value)
    return f"-${format_usd(-value)}" if value < 0 else f"${format_usd(value)}"
