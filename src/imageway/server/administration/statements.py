"""What happened to a wallet in a month, so that its owner can add it up: from one balance to the next."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Final

from msgspec import Struct

from imageway.core.errors import InvalidRequest, Problem
from imageway.core.money import format_usd
from imageway.ledger.reports import SumTransfers, TransferSum
from imageway.ledger.usage import SumUsage
from imageway.server.administration.office import Office
from imageway.server.administration.usage import SumShown, sums

_MONTH: Final = re.compile(r"(20\d\d)-(0[1-9]|1[0-2])")
_SIGNS: Final = {"topup": 1, "grant": 1, "adjust_up": 1, "adjust_down": -1, "capture": -1, "refund": 1}
"""What each kind does to a balance of available and held money together; holds and voids only move it within."""


class Statement(Struct, frozen=True, kw_only=True):
    """One workspace, one month (UTC). `opening_usd` and `closing_usd` are available and held together; opening + topped
    up + granted + adjusted − captured + refunded = closing, to the last micro-dollar. `models` are the month's requests
    by model, as usage counts them: by when they ended."""

    workspace: str
    month: str
    opening_usd: str
    topped_up_usd: str
    granted_usd: str
    adjusted_usd: str
    captured_usd: str
    refunded_usd: str
    closing_usd: str
    models: tuple[SumShown, ...]


async def statement(office: Office, workspace: str, month: str) -> Statement:
    """Raises GatewayError 404, InvalidRequest for a month that is none."""
    since_ms, until_ms = span_ms(month)
    found = await office.workspace(workspace)
    before = await office.store.read(SumTransfers(workspace_id=found.id, until_ms=since_ms))
    within = await office.store.read(SumTransfers(workspace_id=found.id, since_ms=since_ms, until_ms=until_ms))
    by_model = SumUsage(workspace_id=found.id, since_ms=since_ms, until_ms=until_ms, by=("model",))
    moved = {row.kind: row.usd_micros for row in within}
    opening = _balance(before)
    return Statement(
        workspace=found.name,
        month=month,
        opening_usd=format_usd(opening),
        topped_up_usd=format_usd(moved.get("topup", 0)),
        granted_usd=format_usd(moved.get("grant", 0)),
        adjusted_usd=format_usd(moved.get("adjust_up", 0) - moved.get("adjust_down", 0)),
        captured_usd=format_usd(moved.get("capture", 0)),
        refunded_usd=format_usd(moved.get("refund", 0)),
        closing_usd=format_usd(opening + _balance(within)),
        models=await sums(office.store, by_model),
    )


def span_ms(month: str) -> tuple[int, int]:
    """`2026-11` → when it begins, and when the next one does. Raises InvalidRequest."""
    match = _MONTH.fullmatch(month)
    if match is None:
        raise InvalidRequest(Problem("month", "invalid_value", f'the month is "{month}"; write it like 2026-11'))
    year, number = int(match[1]), int(match[2])
    return _begin_ms(year, number), _begin_ms(year + number // 12, number % 12 + 1)


def _begin_ms(year: int, month: int) -> int:
    return int(datetime(year, month, 1, tzinfo=UTC).timestamp() * 1000)


def _balance(rows: Iterable[TransferSum]) -> int:
    return sum(_SIGNS.get(row.kind, 0) * row.usd_micros for row in rows)
