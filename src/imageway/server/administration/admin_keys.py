"""Operators' own keys, for the admin API: made and shown once, kept as digests, listed, revoked."""

from __future__ import annotations

from typing import Final

from msgspec import Struct

from imageway.core.errors import GatewayError
from imageway.core.wording import moment
from imageway.ledger.access import ADMIN_ROLES, AdminKey, CreateAdminKey, ListAdminKeys, RevokeAdminKey, ShowAdminKey
from imageway.server.administration.office import Office, unless
from imageway.server.administration.written import Reader
from imageway.server.auth import PREFIX, digest_of, new_key

ADMIN_PREFIX: Final = f"{PREFIX}admin-"


class AdminKeyAsked(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`role`: admin (may change everything) or viewer (may only look)."""

    name: str = ""
    role: str = "admin"


class AdminKeyShown(Struct, frozen=True, kw_only=True):
    """An operator's key as operators see it: `key` is its end alone."""

    id: str
    name: str
    role: str
    key: str
    created: str
    revoked: str | None


class AdminKeyMade(Struct, frozen=True, kw_only=True):
    """The only time that the key itself is shown."""

    key: str
    id: str
    name: str
    role: str


async def create_admin_key(office: Office, asked: AdminKeyAsked) -> AdminKeyMade:
    """Raises InvalidRequest with everything that is wrong."""
    reader = Reader()
    name = reader.name("name", asked.name, needed=False)
    reader.words("role", (asked.role,), tuple(sorted(ADMIN_ROLES)))
    unless(reader.problems)
    key, key_id, now_ms = (
        ADMIN_PREFIX + new_key(office.random).removeprefix(PREFIX),
        office.new_id("adm"),
        office.now_ms(),
    )
    create = CreateAdminKey(key_id, name, digest_of(key), key[-4:], asked.role, now_ms)
    after = _shown(AdminKey(key_id, name, create.hint, asked.role, now_ms, None))
    await office.change("admin_key.create", key_id, create, after=after)
    return AdminKeyMade(key=key, id=key_id, name=name, role=asked.role)


async def list_admin_keys(office: Office) -> tuple[AdminKeyShown, ...]:
    """In the order they were made, revoked ones too."""
    return tuple(_shown(row) for row in await office.store.read(ListAdminKeys()))


async def revoke_admin_key(office: Office, key_id: str) -> None:
    """From its next request on it is worth nothing. Raises GatewayError 404."""
    found = await office.store.read(ShowAdminKey(key_id))
    if found is None or found.revoked_ms is not None:
        raise GatewayError("not_found", f'there is no admin key "{key_id}", or it is revoked', param="key")
    await office.change("admin_key.revoke", key_id, RevokeAdminKey(key_id, office.now_ms()), before=_shown(found))


def _shown(row: AdminKey) -> AdminKeyShown:
    return AdminKeyShown(
        id=row.id,
        name=row.name,
        role=row.role,
        key=f"{ADMIN_PREFIX}…{row.hint}",
        created=moment(row.created_ms),
        revoked=None if row.revoked_ms is None else moment(row.revoked_ms),
    )
