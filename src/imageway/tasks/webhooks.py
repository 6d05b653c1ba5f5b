"""Who is told when a task has ended: endpoints, the secrets that sign what they get, and every delivery as a durable
row. A delivery is made by the commit that ends its task, claimed by one process at a time, tried until it was taken,
and then kept for a while."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from msgspec.structs import force_setattr

from imageway.core.ops import Op, Query
from imageway.tasks.ops import one_line
from imageway.tasks.states import FINAL_TASK

LOW_BALANCE: Final = "wallet.low_balance"
EVENTS: Final = (*sorted(f"task.{state}" for state in FINAL_TASK), LOW_BALANCE)
ENDS: Final = frozenset({"delivered", "dead"})
PENDING: Final = "pending"


def event_of(state: str) -> str:
    """What a task that ended like this is announced as."""
    return f"task.{state}"


def message_id(task_id: str, endpoint_id: str = "") -> str:
    """The same for every try and every process: one for the address that came with the request, one for each
    endpoint. AddDelivery is given it, NotifyEndpoints makes it where it runs."""
    own = _without_prefix(task_id)
    return f"msg_{own}_{_without_prefix(endpoint_id)}" if endpoint_id else f"msg_{own}"


def _without_prefix(id_: str) -> str:
    return id_[id_.find("_") + 1 :]


# What changes


class AddEndpoint(Op, frozen=True, kw_only=True):
    """`events`: of EVENTS; empty: all. At most `limit` of one workspace. Refused: "no_workspace", "duplicate" (the id,
    or this URL in this workspace), "too_many"."""

    id: str
    workspace_id: str
    url: str
    events: tuple[str, ...]
    limit: int
    at_ms: int


class RemoveEndpoint(Op, frozen=True):
    """With its secrets. What is still to be delivered there will find nobody. Refused: "no_endpoint"."""

    id: str


class DisableEndpoint(Op, frozen=True):
    """Gets nothing any more; nothing happens when there is none, or it is disabled already."""

    id: str
    at_ms: int


class EnableEndpoint(Op, frozen=True):
    """Refused: "not_disabled" (or no such endpoint)."""

    id: str


class AddSecret(Op, frozen=True):
    """The first secret of an endpoint, or of a workspace: of the addresses that come with its requests. The secret
    itself is sealed in the same commit (ledger.sealed.PutSecret, under this id); `hint` is its end. Refused:
    "duplicate" (the id, or the holder has one)."""

    id: str
    holder_id: str
    hint: str
    at_ms: int


class RotateSecret(Op, frozen=True):
    """A new secret beside the one there was, which signs until `until_ms`; one that was on its way out already goes
    now. Refused: "no_secret", "duplicate" (the id)."""

    id: str
    holder_id: str
    hint: str
    at_ms: int
    until_ms: int


class AddDelivery(Op, frozen=True):
    """One for the address that came with a request, due at once. Refused: "duplicate"."""

    id: str
    workspace_id: str
    task_id: str
    url: str
    event: str
    at_ms: int


class NotifyEndpoints(Op, frozen=True):
    """One delivery for each endpoint of the workspace that is not disabled and wants this event, due at once. Of what
    is no task's, `task_id` is an id of its own."""

    task_id: str
    workspace_id: str
    event: str
    at_ms: int


class ClaimDelivery(Op, frozen=True):
    """Nobody else's until `until_ms`: fence + 1, tries + 1. Refused: "not_due" (not yet, ended, or somebody was
    faster)."""

    id: str
    fence: int
    at_ms: int
    until_ms: int


class PostponeDelivery(Op, frozen=True):
    """A try that failed, by whoever has the claim of this fence. `status` 0: nothing was answered. Refused:
    "not_claimed" (somebody else has it by now, or it has ended)."""

    id: str
    fence: int
    status: int
    detail: str
    due_ms: int
    at_ms: int

    def __post_init__(self) -> None:
        force_setattr(self, "detail", one_line(self.detail))


class EndDelivery(Op, frozen=True):
    """`state`: delivered, or dead (it is not tried any more). Refused: "not_claimed"."""

    id: str
    fence: int
    state: str
    status: int
    detail: str
    at_ms: int

    def __post_init__(self) -> None:
        if self.state not in ENDS:
            raise ValueError(f'a delivery does not end "{self.state}": it ends {" or ".join(sorted(ENDS))}')
        force_setattr(self, "detail", one_line(self.detail))


class ReplayDelivery(Op, frozen=True):
    """Due at once, with all its tries before it. Refused: "not_final" (or no such delivery)."""

    id: str
    at_ms: int


class ForgetDeliveries(Op, frozen=True):
    """Removes ended deliveries made before `before_ms`, the oldest `limit` of them."""

    before_ms: int
    limit: int


# What is asked


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    id: str
    workspace_id: str
    workspace: str
    url: str
    events: tuple[str, ...]
    created_ms: int
    disabled_ms: int | None


@dataclass(frozen=True, slots=True)
class Secret:
    """`until_ms` None: the current one of its holder."""

    id: str
    holder_id: str
    hint: str
    created_ms: int
    until_ms: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """`endpoint_id` is empty for the address that came with the request. `state`: pending, delivered, dead. `due_ms`:
    when it is tried next, or the claim on it ends. `status` and `detail` tell of the last try."""

    id: str
    workspace_id: str
    task_id: str
    endpoint_id: str
    url: str
    event: str
    state: str
    fence: int
    tries: int
    due_ms: int
    status: int
    detail: str
    created_ms: int
    changed_ms: int


@dataclass(frozen=True, slots=True)
class ListEndpoints(Query[tuple[Endpoint, ...]]):
    """In the order they were made, from the one after `after` (created ms, id) on."""

    workspace_id: str | None = None
    after: tuple[int, str] = (-1, "")
    limit: int = 10_000


@dataclass(frozen=True, slots=True)
class FindEndpoint(Query[Endpoint | None]):
    id: str


@dataclass(frozen=True, slots=True)
class ListSecrets(Query[tuple[Secret, ...]]):
    """At most two: the current one first."""

    holder_id: str


@dataclass(frozen=True, slots=True)
class FindDelivery(Query[Delivery | None]):
    id: str


@dataclass(frozen=True, slots=True)
class DueDeliveries(Query[tuple[Delivery, ...]]):
    """What may be claimed now, the longest due first; nothing of the workspaces that are `busy`."""

    now_ms: int
    limit: int
    busy: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ListDeliveries(Query[tuple[Delivery, ...]]):
    """Newest first, from the one before `before` (created ms, id) on."""

    workspace_id: str | None = None
    state: str | None = None
    before: tuple[int, str] = (2**62, "")
    limit: int = 1000
