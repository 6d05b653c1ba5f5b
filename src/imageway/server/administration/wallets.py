"""Wallets: shown, and filled or corrected by hand. What is done under an id is done once, however often it is asked."""

from __future__ import annotations

import re
from typing import Final, Literal

import msgspec
from msgspec import UNSET, Struct, UnsetType
from msgspec.structs import replace

from imageway.core.errors import GatewayError, Problem
from imageway.core.money import format_usd, parse_usd
from imageway.core.ops import Op
from imageway.ledger.access import ListChanges
from imageway.ledger.ops import MAX_USD_MICROS, Adjust, Grant, TopUp
from imageway.ledger.queries import ListTransfers, ShowWallet, Wallet, Workspace
from imageway.server.administration.office import Conflict, Office, unless
from imageway.server.administration.usage import iso
from imageway.server.administration.written import Reader

Kind = Literal["topup", "grant", "adjust"]
_ID: Final = re.compile(r"[A-Za-z0-9._:-]{1,100}")
MOST_REASON: Final = 500
PAGE: Final = 1000


class WalletShown(Struct, frozen=True, kw_only=True):
    """Dollars as decimal text. available + held + spent = topped up + granted + adjusted. `replayed`, where something
    was to be moved: it had been before, under the same id."""

    workspace: str
    available_usd: str
    held_usd: str
    spent_usd: str
    topped_up_usd: str
    granted_usd: str
    adjusted_usd: str
    replayed: bool | UnsetType = UNSET


class MoveAsked(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`usd` is decimal text; an adjustment's may be negative. `id`: of the operator's own, such as an invoice number:
    under it this happens once. `reason` goes into the audit log; an adjustment needs one."""

    usd: str
    id: str | None = None
    reason: str = ""


class TransferShown(Struct, frozen=True, kw_only=True):
    seq: int
    kind: str
    task: str | None
    usd: str
    at: str


async def show(office: Office, workspace: str) -> WalletShown:
    """Raises GatewayError 404."""
    found = await office.store.read(ShowWallet((await office.workspace(workspace)).id))
    if found is None:
        raise GatewayError("not_found", f'the workspace "{workspace}" has no wallet')
    return _shown(found)


async def move(office: Office, workspace: str, kind: Kind, asked: MoveAsked) -> WalletShown:
    """Tops up, grants or adjusts. Raises GatewayError: 404, 400 with everything that is wrong, 402 when less than
    nothing would be left, 409 when something else was done under this id before."""
    owner = await office.workspace(workspace)
    usd_micros = _checked(asked, by_hand=kind == "adjust")
    move_id = f"{owner.id}:{asked.id}" if asked.id else office.new_id("top")
    op = _op(kind, move_id, owner.id, usd_micros, office.now_ms())
    after = {"usd": format_usd(usd_micros), "id": asked.id, "reason": asked.reason}
    done = False
    try:
        await office.change(f"wallet.{kind}", owner.id, op, after=after)
    except GatewayError as error:
        done = error.code == "duplicate"
        if not done:
            raise await _not_moved(office, owner, error) from None
        if await _moved(office, owner.id, asked.id or "") != (f"wallet.{kind}", after["usd"]):
            message = f'something else was done under the id "{asked.id}" before: nothing has moved'
            raise Conflict("duplicate", message, param="id") from None
    return replace(await show(office, owner.id), replayed=done)


async def _moved(office: Office, workspace_id: str, move_id: str) -> tuple[str, str] | None:
    """What was done under an id of the operator's, and with how much: every move stands in the audit log."""
    before = 0
    while rows := await office.store.read(ListChanges(workspace_id, before, PAGE)):
        for row in rows:
            after = msgspec.json.decode(row.after)
            if row.action.startswith("wallet.") and after.get("id") == move_id:
                return row.action, after["usd"]
        before = rows[-1].seq
    return None


async def _not_moved(office: Office, owner: Workspace, error: GatewayError) -> GatewayError:
    """In words that name the wallet."""
    if error.code != "insufficient_balance":
        return error
    available = (await show(office, owner.id)).available_usd
    message = f'the workspace "{owner.name}" has ${available} available: less than nothing would be left'
    return GatewayError(error.code, message, param="usd")


async def transfers(office: Office, workspace: str, after_seq: int, limit: int) -> tuple[TransferShown, ...]:
    """In the order they were written. Raises GatewayError 404."""
    owner = await office.workspace(workspace)
    rows = await office.store.read(ListTransfers(owner.id, after_seq, limit))
    return tuple(
        TransferShown(seq=row.seq, kind=row.kind, task=row.task_id, usd=format_usd(row.usd_micros), at=iso(row.at_ms))
        for row in rows
    )


def _op(kind: Kind, move_id: str, workspace_id: str, usd_micros: int, at_ms: int) -> Op:
    if kind == "adjust":
        return Adjust(move_id, workspace_id, usd_micros, at_ms)
    make = TopUp if kind == "topup" else Grant
    return make(move_id, workspace_id, usd_micros, at_ms)


def _checked(asked: MoveAsked, *, by_hand: bool) -> int:
    """In micro-dollars. `by_hand`: it may be negative, and says why. Raises InvalidRequest."""
    problems: list[Problem] = []
    text = asked.usd.strip()
    negative = by_hand and text.startswith("-")
    try:
        usd_micros = parse_usd(text.removeprefix("-") if negative else text)
    except ValueError as error:
        usd_micros = 0
        problems.append(Problem("usd", "invalid_value", str(error)))
    else:
        if not 0 < usd_micros <= MAX_USD_MICROS:
            accepted = f"more than zero, at most {format_usd(MAX_USD_MICROS)}"
            problems.append(Problem("usd", "invalid_value", f'usd is "{asked.usd}"; accepted: {accepted}'))
    if asked.id is not None and not _ID.fullmatch(asked.id):
        accepted = "1 to 100 of the characters A–Z a–z 0–9 . _ : -"
        problems.append(Problem("id", "invalid_value", f'id is "{asked.id[:120]}"; accepted: {accepted}'))
    if by_hand and not asked.reason.strip():
        problems.append(Problem("reason", "missing_required_parameter", '"reason" is missing: say why'))
    reader = Reader()
    reader.line("reason", asked.reason, MOST_REASON)
    unless([*problems, *reader.problems])
    return -usd_micros if negative else usd_micros


def _shown(wallet: Wallet) -> WalletShown:
    return WalletShown(
        workspace=wallet.workspace,
        available_usd=format_usd(wallet.available),
        held_usd=format_usd(wallet.held),
        spent_usd=format_usd(wallet.spent),
        topped_up_usd=format_usd(wallet.topped_up),
        granted_usd=format_usd(wallet.granted),
        adjusted_usd=format_usd(wallet.adjusted),
    )
