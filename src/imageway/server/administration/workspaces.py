"""Workspaces, what they have set for all of their requests, and who belongs to them."""

from __future__ import annotations

from typing import Final, Literal

import msgspec
from msgspec import UNSET, Struct, UnsetType

from imageway.catalog import Catalog
from imageway.core.access import WorkspaceSettings
from imageway.core.errors import GatewayError
from imageway.core.money import format_usd
from imageway.ledger.access import ROLES, AddMember, ListMembers, Member, RemoveMember, SetWorkspace
from imageway.ledger.ops import CreateWorkspace
from imageway.ledger.queries import FindWorkspace, ListWorkspaces, Workspace
from imageway.server.administration.office import Conflict, Office, unless
from imageway.server.administration.written import MOST_ENTRIES, Reader, iso_second
from imageway.server.auth import read_settings

MOST_KEPT_S: Final = 10 * 366 * 86_400
"""Ten years: what is to be kept for longer is kept elsewhere."""


class WorkspaceChange(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What is to become different; what is left out stays, null goes back to what models and the gateway have.
    `aliases`: name → model (null: no alias any more). `alert_below_usd`: dollars as decimal text."""

    aliases: dict[str, str | None] = {}
    form: Literal["b64", "url"] | UnsetType | None = UNSET
    watermark: bool | UnsetType | None = UNSET
    keep_images_s: int | UnsetType | None = UNSET
    alert_below_usd: str | UnsetType | None = UNSET


class WorkspaceShown(Struct, frozen=True, kw_only=True):
    """`alert_below_usd`: the balance under which its webhook endpoints are told (null: never)."""

    id: str
    name: str
    aliases: dict[str, str]
    form: str | None
    watermark: bool | None
    keep_images_s: int | None
    alert_below_usd: str | None
    created: str


class MemberShown(Struct, frozen=True, kw_only=True):
    name: str
    role: str
    since: str


async def create_workspace(office: Office, name: str) -> WorkspaceShown:
    """With a $0 wallet. Raises GatewayError 409 for a name that is taken, InvalidRequest."""
    reader, now_ms = Reader(), office.now_ms()
    made = Workspace(office.new_id("ws"), reader.name("name", name), now_ms)
    unless(reader.problems)
    if await office.store.read(FindWorkspace(name)) is not None:
        raise Conflict("name_taken", f'there is a workspace "{name}" already', param="name")
    after = _shown(made)
    await office.change("workspace.create", made.id, CreateWorkspace(made.id, made.name, now_ms), after=after)
    return after


async def list_workspaces(office: Office) -> tuple[WorkspaceShown, ...]:
    """In the order they were made."""
    found: list[Workspace] = []
    after = (-1, "")
    while page := await office.store.read(ListWorkspaces(after=after)):
        found += page
        after = (found[-1].created_ms, found[-1].id)
    return tuple(map(_shown, found))


async def show_workspace(office: Office, name_or_id: str) -> WorkspaceShown:
    """Raises GatewayError 404."""
    return _shown(await office.workspace(name_or_id))


async def set_workspace(office: Office, catalog: Catalog, name_or_id: str, change: WorkspaceChange) -> WorkspaceShown:
    """Counts from the next request on. Raises GatewayError 404, InvalidRequest with everything that is wrong."""
    workspace, reader = await office.workspace(name_or_id), Reader()
    have = read_settings(workspace.settings)
    changed = WorkspaceSettings(
        aliases=_aliases(reader, catalog, have.aliases, change.aliases),
        form=have.form if isinstance(change.form, UnsetType) else change.form,
        watermark=have.watermark if isinstance(change.watermark, UnsetType) else change.watermark,
        keep_images_s=have.keep_images_s if isinstance(change.keep_images_s, UnsetType) else change.keep_images_s,
    )
    if changed.keep_images_s is not None and not 1 <= changed.keep_images_s <= MOST_KEPT_S:
        accepted = f"seconds from 1 to {MOST_KEPT_S} are needed"
        reader.wrong("keep_images_s", f'keep_images_s "{changed.keep_images_s}": {accepted}')
    below = workspace.alert_below_usd_micros
    if not isinstance(change.alert_below_usd, UnsetType):
        below = None if change.alert_below_usd is None else reader.usd("alert_below_usd", change.alert_below_usd)
    unless(reader.problems)
    content = msgspec.json.encode(changed)
    after = _shown(Workspace(workspace.id, workspace.name, workspace.created_ms, content, below))
    op = SetWorkspace(workspace.id, content, below)
    await office.change("workspace.set", workspace.id, op, before=_shown(workspace), after=after)
    return after


async def add_member(office: Office, workspace: str, name: str, role: str) -> MemberShown:
    """Who is there already gets the role. Raises GatewayError 404, InvalidRequest."""
    owner, reader, now_ms = await office.workspace(workspace), Reader(), office.now_ms()
    reader.name("name", name)
    reader.words("role", (role,), tuple(sorted(ROLES)))
    unless(reader.problems)
    was = await _role(office, owner.id, name)
    before = None if was is None else {"name": name, "role": was}
    op = AddMember(owner.id, name, role, now_ms)
    await office.change("member.add", owner.id, op, before=before, after={"name": name, "role": role})
    return next(_member(one) for one in await office.store.read(ListMembers(owner.id)) if one.name == name)


async def _role(office: Office, workspace_id: str, name: str) -> str | None:
    members = await office.store.read(ListMembers(workspace_id))
    return next((member.role for member in members if member.name == name), None)


async def remove_member(office: Office, workspace: str, name: str) -> None:
    """Raises GatewayError 404."""
    owner = await office.workspace(workspace)
    role = await _role(office, owner.id, name)
    if role is None:
        raise GatewayError("not_found", f'the workspace "{owner.name}" has no member "{name}"', param="member")
    before = {"name": name, "role": role}
    await office.change("member.remove", owner.id, RemoveMember(owner.id, name), before=before)


async def list_members(office: Office, workspace: str) -> tuple[MemberShown, ...]:
    """By name. Raises GatewayError 404."""
    owner = await office.workspace(workspace)
    return tuple(_member(one) for one in await office.store.read(ListMembers(owner.id)))


def _aliases(reader: Reader, catalog: Catalog, have: dict[str, str], change: dict[str, str | None]) -> dict[str, str]:
    merged = {**have, **change}
    for name, model in change.items():
        reader.name("aliases", name)
        if model is not None and catalog.find(model) is None:
            near = catalog.closest(model)
            hint = f"; did you mean {', '.join(near)}?" if near else ""
            reader.wrong(f"aliases.{name}", f'there is no model "{model}"{hint}', near)
    aliases = {name: model for name, model in merged.items() if model is not None}
    if len(aliases) > MOST_ENTRIES:
        reader.wrong("aliases", f"{len(aliases)} aliases, at most {MOST_ENTRIES} are taken")
    return aliases


def _shown(workspace: Workspace) -> WorkspaceShown:
    settings, below = read_settings(workspace.settings), workspace.alert_below_usd_micros
    return WorkspaceShown(
        id=workspace.id,
        name=workspace.name,
        aliases=settings.aliases,
        form=settings.form,
        watermark=settings.watermark,
        keep_images_s=settings.keep_images_s,
        alert_below_usd=None if below is None else format_usd(below),
        created=iso_second(workspace.created_ms),
    )


def _member(member: Member) -> MemberShown:
    return MemberShown(name=member.name, role=member.role, since=iso_second(member.created_ms))
