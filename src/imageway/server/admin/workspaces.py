"""/admin/v1/workspaces: tenants, their settings and their members."""

from __future__ import annotations

from typing import Final

from msgspec import Struct

from imageway.server.admin.endpoints import Endpoint, Page, Visit
from imageway.server.administration import workspaces
from imageway.server.administration.workspaces import MemberShown, WorkspaceChange, WorkspaceShown


class WorkspaceAsked(Struct, frozen=True, kw_only=True):
    name: str


class MemberAsked(Struct, frozen=True, kw_only=True):
    """`role`: owner, admin, member or viewer."""

    role: str = "member"


async def _list(visit: Visit) -> Page:
    return Page(data=await workspaces.list_workspaces(visit.office))


async def _create(visit: Visit) -> WorkspaceShown:
    return await workspaces.create_workspace(visit.office, visit.body.name)


async def _show(visit: Visit) -> WorkspaceShown:
    return await workspaces.show_workspace(visit.office, visit.params["workspace"])


async def _change(visit: Visit) -> WorkspaceShown:
    return await workspaces.set_workspace(visit.office, visit.catalog, visit.params["workspace"], visit.body)


async def _members(visit: Visit) -> Page:
    return Page(data=await workspaces.list_members(visit.office, visit.params["workspace"]))


async def _add_member(visit: Visit) -> MemberShown:
    name, workspace = visit.params["member"], visit.params["workspace"]
    return await workspaces.add_member(visit.office, workspace, name, visit.body.role)


async def _remove_member(visit: Visit) -> None:
    await workspaces.remove_member(visit.office, visit.params["workspace"], visit.params["member"])


_ONE: Final = "workspaces/{workspace}"
_MEMBER: Final = f"{_ONE}/members/{{member}}"

ENDPOINTS: Final = (
    Endpoint(
        method="GET", path="workspaces", name="listWorkspaces", summary="All workspaces.", work=_list, answer=Page
    ),
    Endpoint(
        method="POST",
        path="workspaces",
        name="createWorkspace",
        summary="Makes a workspace with a $0 wallet.",
        work=_create,
        body=WorkspaceAsked,
        answer=WorkspaceShown,
        status=201,
    ),
    Endpoint(
        method="GET", path=_ONE, name="showWorkspace", summary="One workspace.", work=_show, answer=WorkspaceShown
    ),
    Endpoint(
        method="PATCH",
        path=_ONE,
        name="changeWorkspace",
        summary="Changes a workspace's settings.",
        work=_change,
        body=WorkspaceChange,
        answer=WorkspaceShown,
    ),
    Endpoint(
        method="GET",
        path=f"{_ONE}/members",
        name="listMembers",
        summary="A workspace's members.",
        work=_members,
        answer=Page,
    ),
    Endpoint(
        method="PUT",
        path=_MEMBER,
        name="addMember",
        summary="Adds a member, or gives one another role.",
        work=_add_member,
        body=MemberAsked,
        answer=MemberShown,
    ),
    Endpoint(
        method="DELETE", path=_MEMBER, name="removeMember", summary="Removes a member.", work=_remove_member, status=204
    ),
)
