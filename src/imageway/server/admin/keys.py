"""/admin/v1/keys: made, listed, changed, rotated, revoked, and what they may spend."""

from __future__ import annotations

from typing import Annotated, Final

from msgspec import Meta, Struct

from imageway.server.admin.endpoints import Endpoint, Page, Visit
from imageway.server.administration import keys
from imageway.server.administration.keys import KeyAsked, KeyChange, KeyMade, KeyShown


class AskedKeys(Struct, frozen=True, kw_only=True):
    workspace: str | None = None


class RotationAsked(Struct, frozen=True, kw_only=True):
    """How long the old key stays good, such as 24h."""

    overlap: str = "24h"


class BudgetsAsked(Struct, frozen=True, kw_only=True):
    """`limits`: dollars as decimal text by period (day, month, total; null: no budget of that period). `reset`: periods
    of which nothing counts as spent from now on."""

    limits: dict[str, str | None] = {}
    reset: Annotated[tuple[str, ...], Meta(max_length=3)] = ()


async def _list(visit: Visit) -> Page:
    return Page(data=await keys.list_keys(visit.office, visit.query.workspace))


async def _create(visit: Visit) -> KeyMade:
    return await keys.create_key(visit.office, visit.vault, visit.body)


async def _show(visit: Visit) -> KeyShown:
    return await keys.show_key(visit.office, visit.params["key"])


async def _change(visit: Visit) -> KeyShown:
    return await keys.update_key(visit.office, visit.params["key"], visit.body)


async def _rotate(visit: Visit) -> KeyMade:
    return await keys.rotate_key(visit.office, visit.vault, visit.params["key"], visit.body.overlap)


async def _revoke(visit: Visit) -> None:
    await keys.revoke_key(visit.office, visit.params["key"])


async def _budgets(visit: Visit) -> KeyShown:
    asked: BudgetsAsked = visit.body
    return await keys.change_budgets(visit.office, visit.params["key"], asked.limits, asked.reset)


_ONE: Final = "keys/{key}"

ENDPOINTS: Final = (
    Endpoint(
        method="GET",
        path="keys",
        name="listKeys",
        summary="All API keys, revoked ones too.",
        work=_list,
        query=AskedKeys,
        answer=Page,
    ),
    Endpoint(
        method="POST",
        path="keys",
        name="createKey",
        summary="Makes an API key. It is shown once.",
        work=_create,
        body=KeyAsked,
        answer=KeyMade,
        status=201,
    ),
    Endpoint(method="GET", path=_ONE, name="showKey", summary="One API key.", work=_show, answer=KeyShown),
    Endpoint(
        method="PATCH",
        path=_ONE,
        name="changeKey",
        summary="Changes what a key may do.",
        work=_change,
        body=KeyChange,
        answer=KeyShown,
    ),
    Endpoint(
        method="POST",
        path=f"{_ONE}/rotate",
        name="rotateKey",
        summary="Makes a new key for the same; the old one stays good for a while.",
        work=_rotate,
        body=RotationAsked,
        answer=KeyMade,
        status=201,
    ),
    Endpoint(
        method="PUT",
        path=f"{_ONE}/budgets",
        name="setBudgets",
        summary="Sets, drops or resets a key's budgets.",
        work=_budgets,
        body=BudgetsAsked,
        answer=KeyShown,
    ),
    Endpoint(method="DELETE", path=_ONE, name="revokeKey", summary="Revokes a key.", work=_revoke, status=204),
)
