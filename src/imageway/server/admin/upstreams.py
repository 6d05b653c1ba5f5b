"""/admin/v1/upstreams: credentials at providers, kept in the database, sealed. They go in and never come out."""

from __future__ import annotations

from typing import Final

from msgspec import Struct

from imageway.server.admin.endpoints import Endpoint, Page, Visit
from imageway.server.administration import upstreams
from imageway.server.administration.upstreams import UpstreamAsked, UpstreamShown


class SwitchAsked(Struct, frozen=True, kw_only=True):
    enabled: bool


class Forced(Struct, frozen=True, kw_only=True):
    """`force`: also while tasks are under way there."""

    force: bool = False


async def _list(visit: Visit) -> Page:
    return Page(data=await upstreams.list_upstreams(visit.office, visit.installation))


async def _put(visit: Visit) -> UpstreamShown:
    return await upstreams.put_upstream(visit.office, visit.installation, visit.body, force=visit.query.force)


async def _switch(visit: Visit) -> UpstreamShown:
    upstream = visit.params["upstream"]
    return await upstreams.switch_upstream(visit.office, visit.installation, upstream, enabled=visit.body.enabled)


async def _drop(visit: Visit) -> None:
    upstream, force = visit.params["upstream"], visit.query.force
    await upstreams.drop_upstream(visit.office, visit.installation, upstream, force=force)


_ONE: Final = "upstreams/{upstream}"

ENDPOINTS: Final = (
    Endpoint(
        method="GET",
        path="upstreams",
        name="listUpstreams",
        summary="All upstreams, the configuration's too.",
        work=_list,
        answer=Page,
    ),
    Endpoint(
        method="PUT",
        path="upstreams",
        name="putUpstream",
        summary="Makes or replaces an upstream; it leads nowhere else while tasks are under way there.",
        work=_put,
        query=Forced,
        body=UpstreamAsked,
        answer=UpstreamShown,
    ),
    Endpoint(
        method="PATCH",
        path=_ONE,
        name="switchUpstream",
        summary="Switches an upstream on or off.",
        work=_switch,
        body=SwitchAsked,
        answer=UpstreamShown,
    ),
    Endpoint(
        method="DELETE",
        path=_ONE,
        name="dropUpstream",
        summary="Drops an upstream; not while tasks are under way there.",
        work=_drop,
        query=Forced,
        status=204,
    ),
)
