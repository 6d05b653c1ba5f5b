"""/admin/v1/audit: who changed what."""

from __future__ import annotations

from typing import Annotated, Final

from msgspec import Meta, Struct

from imageway.server.admin.endpoints import Endpoint, Page, Visit
from imageway.server.administration.changes import list_changes


class AskedChanges(Struct, frozen=True, kw_only=True):
    """Of one target (an id) where it is named. `before`: `next` of the page before."""

    target: str = ""
    before: Annotated[int, Meta(ge=0, le=2**62)] = 0
    limit: Annotated[int, Meta(ge=1, le=1000)] = 100


async def _list(visit: Visit) -> Page:
    asked: AskedChanges = visit.query
    data, following = await list_changes(visit.office, asked.target, before=asked.before, limit=asked.limit)
    return Page(data=data, next=following)


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
