"""/admin/v1/audit: who changed what."""

from __future__ import annotations

from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta, Struct

from imageway.ledger.access import Change, ListChanges
from imageway.server.admin.endpoints import Endpoint, Page, Visit
from imageway.server.administration.usage import iso


class AskedChanges(Struct, frozen=True, kw_only=True):
    """Of one target (an id) where it is named. `before`: `next` of the page before."""

    target: str = ""
    before: Annotated[int, Meta(ge=0, le=2**62)] = 0
    limit: Annotated[int, Meta(ge=1, le=1000)] = 100


class ChangeShown(Struct, frozen=True, kw_only=True):
    """`actor`: `cli`, or the id of an admin key. `before` and `after`: as the target was and is, without secrets."""

    seq: int
    at: str
    actor: str
    action: str
    target: str
    before: Any
    after: Any


async def _list(visit: Visit) -> Page:
    asked: AskedChanges = visit.query
    rows = await visit.office.store.read(ListChanges(asked.target, asked.before, asked.limit + 1))
    more = len(rows) > asked.limit
    return Page(data=tuple(map(_shown, rows[: asked.limit])), next=str(rows[asked.limit - 1].seq) if more else None)


def _shown(change: Change) -> ChangeShown:
    return ChangeShown(
        seq=change.seq,
        at=iso(change.at_ms),
        actor=change.actor,
        action=change.action,
        target=change.target,
        before=msgspec.json.decode(change.before),
        after=msgspec.json.decode(change.after),
    )


ENDPOINTS: Final = (
    Endpoint(
        method="GET",
        path="audit",
        name="listChanges",
        summary="What operators changed, newest first.",
        work=_list,
        query=AskedChanges,
        answer=Page,
    ),
)
