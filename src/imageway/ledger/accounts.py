"""Double entry: which two accounts each kind of transfer moves money between. What leaves one arrives in the other, so
all entries of all accounts sum to zero, whatever happened."""

from __future__ import annotations

from typing import Final

from msgspec import Struct


class Entry(Struct, frozen=True):
    """One side of a transfer. `workspace_id` None: an account of the operator's. What leaves is negative."""

    workspace_id: str | None
    account: str
    usd_micros: int


WALLET: Final = ("available", "held", "spent", "topped_up", "granted", "adjusted")
"""The accounts of a workspace whose balances its wallet row holds: the first three as they are, the others as what has
left them (they are where money comes from)."""

WALLET_KINDS: Final = {
    "topup": ("topped_up", "available"),
    "grant": ("granted", "available"),
    "adjust_up": ("adjusted", "available"),
    "adjust_down": ("available", "adjusted"),
    "hold": ("available", "held"),
    "capture": ("held", "spent"),
    "void": ("held", "available"),
    "refund": ("spent", "available"),
}
"""Kind → the account that money leaves, the account it arrives in; both of one workspace."""

OPERATOR_KINDS: Final = {
    "cost": ("cost", "payable"),
    "unknown": ("unknown", "payable"),
    "overrun": ("overrun", "revenue"),
}
"""Of the operator: costs known and unknown are owed per upstream; an overrun is revenue that nobody paid. His revenue
is what the workspaces' `spent` accounts hold: it has no entries of its own."""


def entries(kind: str, workspace_id: str | None, account: str, usd_micros: int) -> tuple[Entry, Entry]:
    """Both sides of one transfer, as its row has it. Raises KeyError for a kind there is not."""
    if kind in WALLET_KINDS:
        source, target = WALLET_KINDS[kind]
        return Entry(workspace_id, source, -usd_micros), Entry(workspace_id, target, usd_micros)
    source, target = OPERATOR_KINDS[kind]
    _, _, upstream_id = account.partition(":")
    owed = f"{target}:{upstream_id}" if upstream_id else target
    return Entry(None, account if upstream_id else source, -usd_micros), Entry(None, owed, usd_micros)
