"""The audit log, read: who changed what."""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import Struct

from imageway.ledger.access import Change, ListChanges
from imageway.server.administration.office import Office
from imageway.server.administration.usage import iso


class ChangeShown(Struct, frozen=True, kw_only=True):
    """`actor`: `cli`, or the id of an admin key. `before` and `after`: as the target was and is, without secrets."""

    seq: int
    at: str
    actor: str
    action: str
    target: str
    before: Any
    after: Any


async def list_changes(
    office: Office, target: str, *, before: int, limit: int
) -> tuple[tuple[ChangeShown, ...], str | None]:
    """One page, newest first, of one target (an id; empty: any), and the `before` of the next (None: that was all)."""
    rows = await office.store.read(ListChanges(target, before, limit + 1))
    following = str(rows[limit - 1].seq) if len(rows) > limit else None
    return tuple(map(_shown, rows[:limit])), following


def _shown(change: Change) -> ChangeShown:
    return ChangeShown(
        seq=change.seq,
        at=iso(change.at_ms),
        actor=change.actor,
        action=change.action,
        target=change.target,
        before=msgspec.json.decode(change.before),
        after=msgspec.json.decode(change.after),
    )
