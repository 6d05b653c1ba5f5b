"""Where operators' changes are made: every one is durable together with the record of who made it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from imageway.core.errors import ErrorKind, GatewayError, InvalidRequest, Problem
from imageway.core.ids import new_id
from imageway.core.ops import Op, Refused, Store
from imageway.core.ports import Clock, Random
from imageway.ledger.access import RecordChange
from imageway.ledger.queries import FindWorkspace, Workspace
from imageway.ledger.sealed import SealingError

_ENCODE: Final = msgspec.json.Encoder(order="deterministic").encode
WORDS: Final[Mapping[str, tuple[str, str]]] = {
    "no_workspace": ("not_found", "there is no such workspace"),
    "no_key": ("not_found", "there is no such key, or it is revoked"),
    "no_rule": ("not_found", "there is no such price rule, or it has ended"),
    "no_budget": ("not_found", "there is no such budget"),
    "no_member": ("not_found", "there is no such member"),
    "no_upstream": ("not_found", "there is no such upstream"),
    "name_taken": ("name_taken", "there is a workspace of that name already"),
    "duplicate": ("duplicate", "this was done before, under the same id"),
    "insufficient_balance": ("insufficient_balance", "less than nothing would be left"),
}
"""Word of a refusal → error code and what to say."""
CONFLICTS: Final = frozenset({"name_taken", "duplicate"})


class Conflict(GatewayError):
    """What is asked for is there already, or was done before."""

    @property
    def kind(self) -> ErrorKind:
        return ErrorKind(409, "invalid_request_error")


@dataclass(frozen=True, slots=True)
class Office:
    """One operator at work. `actor` is how the audit log names him: `cli`, or the id of his admin key."""

    store: Store
    clock: Clock
    random: Random
    actor: str

    def now_ms(self) -> int:
        return self.clock.now_ms()

    def new_id(self, prefix: str) -> str:
        return new_id(prefix, self.random)

    async def change(self, action: str, target: str, *ops: Op, before: Any = None, after: Any = None) -> None:
        """`before` and `after` are plain values (JSON), without secrets. Raises GatewayError when an op is refused:
        nothing has changed then."""
        record = RecordChange(self.actor, action, target, _ENCODE(before), _ENCODE(after), self.now_ms())
        committed = await self.store.commit(*ops, record)
        if isinstance(committed, Refused):
            code, message = WORDS.get(committed.why, ("invalid_value", committed.why.replace("_", " ")))
            refused = Conflict if committed.why in CONFLICTS else GatewayError
            raise refused(code, f"{message}: {target}")

    async def workspace(self, name_or_id: str) -> Workspace:
        """Raises GatewayError 404."""
        found = await self.store.read(FindWorkspace(name_or_id))
        if found is None:
            raise GatewayError("not_found", f'there is no workspace "{name_or_id}"', param="workspace")
        return found


@contextlib.contextmanager
def sealing() -> Iterator[None]:
    """What cannot be sealed or opened is for who operates the machine. Raises GatewayError 500."""
    try:
        yield
    except SealingError as error:
        raise GatewayError("internal_error", str(error)) from None


def unless(problems: list[Problem]) -> None:
    """Raises InvalidRequest with all of them, when there are any."""
    if problems:
        raise InvalidRequest(*problems)
