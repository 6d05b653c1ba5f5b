"""/admin/v1/usage: rows, files of them, sums, statements, and our books against the world."""

from __future__ import annotations

from typing import Annotated, Final, Literal, get_args

from msgspec import Meta, Struct

from imageway.core.errors import InvalidRequest, Problem
from imageway.ledger.usage import By, FindUsage, SumUsage
from imageway.server.admin.endpoints import Download, Endpoint, Page, Visit
from imageway.server.administration import usage
from imageway.server.administration.reconciliation import Reconciliation, reconcile
from imageway.server.administration.statements import Statement, statement

Milliseconds = Annotated[int, Meta(ge=0, le=2**53)]
Limit = Annotated[int, Meta(ge=1, le=1000)]
Outcome = Literal["", "succeeded", "failed", "cancelled", "unknown"]


class Asked(Struct, frozen=True, kw_only=True):
    """Which rows: all conditions hold. Times in milliseconds since 1970."""

    workspace: str = ""
    key: str = ""
    model: str = ""
    outcome: Outcome = ""
    since_ms: Milliseconds = 0
    until_ms: Milliseconds | None = None
    before: str | None = None
    limit: Limit = 100


class AskedFile(Struct, frozen=True, kw_only=True):
    format: usage.Form = "csv"
    workspace: str = ""
    key: str = ""
    model: str = ""
    outcome: Outcome = ""
    since_ms: Milliseconds = 0
    until_ms: Milliseconds | None = None


class AskedSums(Struct, frozen=True, kw_only=True):
    """`by`: hour, day, month, workspace, key, model, upstream, outcome; several with commas between."""

    by: str = "day"
    workspace: str = ""
    key: str = ""
    model: str = ""
    since_ms: Milliseconds = 0
    until_ms: Milliseconds | None = None
    limit: Limit = 1000


class Month(Struct, frozen=True, kw_only=True):
    """Such as 2026-11, UTC's."""

    month: str


class OneWorkspacesMonth(Struct, frozen=True, kw_only=True):
    workspace: str
    month: str


async def _workspace_id(visit: Visit) -> str:
    """Raises GatewayError 404."""
    name = visit.query.workspace
    return (await visit.office.workspace(name)).id if name else ""


async def _rows(visit: Visit) -> Page:
    asked: Asked = visit.query
    query = FindUsage(
        workspace_id=await _workspace_id(visit),
        key_id=asked.key,
        model=asked.model,
        outcome=asked.outcome,
        since_ms=asked.since_ms,
        until_ms=asked.until_ms,
        before=usage.place(asked.before),
        limit=asked.limit,
    )
    rows, following = await usage.page(visit.office.store, query)
    return Page(data=rows, next=following)


async def _file(visit: Visit) -> Download:
    asked: AskedFile = visit.query
    query = FindUsage(
        workspace_id=await _workspace_id(visit),
        key_id=asked.key,
        model=asked.model,
        outcome=asked.outcome,
        since_ms=asked.since_ms,
        until_ms=asked.until_ms,
    )
    return Download(payload=usage.export(visit.office.store, query, asked.format), filename=f"usage.{asked.format}")


async def _sums(visit: Visit) -> Page:
    asked: AskedSums = visit.query
    query = SumUsage(
        workspace_id=await _workspace_id(visit),
        key_id=asked.key,
        model=asked.model,
        since_ms=asked.since_ms,
        until_ms=asked.until_ms,
        by=_grouped(asked.by),
        limit=asked.limit,
    )
    return Page(data=await usage.sums(visit.office.store, query))


def _grouped(by: str) -> tuple[By, ...]:
    """Raises InvalidRequest."""
    known: dict[str, By] = {name: name for name in get_args(By)}
    names = [name.strip() for name in by.split(",") if name.strip()]
    wrong = [name for name in names if name not in known]
    if wrong:
        accepted = ", ".join(known)
        raise InvalidRequest(Problem("by", "invalid_value", f'by is "{wrong[0]}"; accepted: {accepted}', tuple(known)))
    return tuple(known[name] for name in names)


async def _statement(visit: Visit) -> Statement:
    return await statement(visit.office, visit.query.workspace, visit.query.month)


async def _reconciliation(visit: Visit) -> Reconciliation:
    return await reconcile(visit.office, visit.catalog, visit.query.month)


ENDPOINTS: Final = (
    Endpoint(
        method="GET",
        path="usage",
        name="listUsage",
        summary="Usage records, newest first.",
        work=_rows,
        query=Asked,
        answer=Page,
    ),
    Endpoint(
        method="GET",
        path="usage/export",
        name="exportUsage",
        summary="All usage records that fit, as a file.",
        work=_file,
        query=AskedFile,
        content_types=tuple(usage.CONTENT_TYPES.values()),
    ),
    Endpoint(
        method="GET",
        path="usage/sums",
        name="sumUsage",
        summary="Usage, added up.",
        work=_sums,
        query=AskedSums,
        answer=Page,
    ),
    Endpoint(
        method="GET",
        path="usage/statement",
        name="showStatement",
        summary="What happened to a wallet in a month.",
        work=_statement,
        query=OneWorkspacesMonth,
        answer=Statement,
    ),
    Endpoint(
        method="GET",
        path="usage/reconciliation",
        name="reconcile",
        summary="What ended unknown, and what upstreams cost and brought.",
        work=_reconciliation,
        query=Month,
        answer=Reconciliation,
    ),
)
