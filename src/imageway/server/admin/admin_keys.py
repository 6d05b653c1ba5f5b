"""/admin/v1/admin-keys: operators' own keys."""

from __future__ import annotations

from typing import Final

from imageway.server.admin.endpoints import Endpoint, Page, Visit
from imageway.server.administration import admin_keys
from imageway.server.administration.admin_keys import AdminKeyAsked, AdminKeyMade


async def _list(visit: Visit) -> Page:
    return Page(data=await admin_keys.list_admin_keys(visit.office))


async def _create(visit: Visit) -> AdminKeyMade:
    return await admin_keys.create_admin_key(visit.office, visit.body)


async def _revoke(visit: Visit) -> None:
    await admin_keys.revoke_admin_key(visit.office, visit.params["key"])


ENDPOINTS: Final = (
    Endpoint(
        method="GET", path="admin-keys", name="listAdminKeys", summary="Operators' keys.", work=_list, answer=Page
    ),
    Endpoint(
        method="POST",
        path="admin-keys",
        name="createAdminKey",
        summary="Makes an operator's key. It is shown once.",
        work=_create,
        body=AdminKeyAsked,
        answer=AdminKeyMade,
        status=201,
    ),
    Endpoint(
        method="DELETE",
        path="admin-keys/{key}",
        name="revokeAdminKey",
        summary="Revokes an operator's key.",
        work=_revoke,
        status=204,
    ),
)
