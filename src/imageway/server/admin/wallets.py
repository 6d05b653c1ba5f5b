"""/admin/v1/workspaces/{workspace}/wallet: shown, filled, corrected, and every transfer of it."""

from __future__ import annotations

from typing import Annotated, Final

from msgspec import Meta, Struct

from imageway.server.admin.endpoints import Endpoint, Page, Visit
from imageway.server.administration import wallets
from imageway.server.administration.wallets import Kind, MoveAsked, WalletShown


class AskedTransfers(Struct, frozen=True, kw_only=True):
    """`after` is the seq of the last one of the page before."""

    after: Annotated[int, Meta(ge=0, le=2**62)] = 0
    limit: Annotated[int, Meta(ge=1, le=1000)] = 100


async def _show(visit: Visit) -> WalletShown:
    return await wallets.show(visit.office, visit.params["workspace"])


async def _top_up(visit: Visit) -> WalletShown:
    return await _move(visit, "topup")


async def _grant(visit: Visit) -> WalletShown:
    return await _move(visit, "grant")


async def _adjust(visit: Visit) -> WalletShown:
    return await _move(visit, "adjust")


async def _move(visit: Visit, kind: Kind) -> WalletShown:
    return await wallets.move(visit.office, visit.params["workspace"], kind, visit.body)


async def _transfers(visit: Visit) -> Page:
    asked: AskedTransfers = visit.query
    rows = await wallets.transfers(visit.office, visit.params["workspace"], asked.after, asked.limit + 1)
    more = len(rows) > asked.limit
    return Page(data=rows[: asked.limit], next=str(rows[asked.limit - 1].seq) if more else None)


_WALLET: Final = "workspaces/{workspace}/wallet"

ENDPOINTS: Final = (
    Endpoint(
        method="GET", path=_WALLET, name="showWallet", summary="A wallet's balances.", work=_show, answer=WalletShown
    ),
    Endpoint(
        method="POST",
        path=f"{_WALLET}/topup",
        name="topUpWallet",
        summary="Adds money that was paid for.",
        work=_top_up,
        body=MoveAsked,
        answer=WalletShown,
    ),
    Endpoint(
        method="POST",
        path=f"{_WALLET}/grant",
        name="grantToWallet",
        summary="Adds money that nobody paid for.",
        work=_grant,
        body=MoveAsked,
        answer=WalletShown,
    ),
    Endpoint(
        method="POST",
        path=f"{_WALLET}/adjust",
        name="adjustWallet",
        summary="Corrects a wallet, up or down.",
        work=_adjust,
        body=MoveAsked,
        answer=WalletShown,
    ),
    Endpoint(
        method="GET",
        path=f"{_WALLET}/transfers",
        name="listTransfers",
        summary="Every transfer of a wallet, oldest first.",
        work=_transfers,
        query=AskedTransfers,
        answer=Page,
    ),
)
