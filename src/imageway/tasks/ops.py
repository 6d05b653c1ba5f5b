"""A task's life as durable changes. What *starts* something is guarded by owner and fence; *evidence* (a memo, an end)
is accepted by attempt id while the task is not final, whoever brings it (docs/architecture.md)."""

from __future__ import annotations

from typing import Final

from msgspec.structs import force_setattr

from imageway.core.ops import Op
from imageway.tasks.states import FINAL_PART, FINAL_TASK

MAX_DETAIL: Final = 1000


def one_line(text: str) -> str:
    """Others' own words may hold a NUL or half a surrogate pair, which no database takes."""
    if len(text) <= MAX_DETAIL and text.isprintable():
        return text
    return "".join(char if char.isprintable() else " " for char in text[:MAX_DETAIL])


def _assert_final(state: str, accepted: frozenset[str]) -> None:
    if state not in accepted:
        raise ValueError(f'nothing ends "{state}": an end is one of {", ".join(sorted(accepted))}')


class CreateTask(Op, frozen=True, kw_only=True):
    """State `running`, fence 1. `request` is JSON: what a restart needs to go on decoding and settling.
    Refused: "key_revoked" (or no such key, or one that has expired), "duplicate"."""

    id: str
    workspace_id: str
    key_id: str
    model: str
    owner: str
    request: bytes
    created_ms: int
    deadline_ms: int


class BeginAttempt(Op, frozen=True, kw_only=True):
    """State `submitted`, before the first byte leaves. Refused: "not_owner" (owner or fence differ, task final or
    unknown), "duplicate"."""

    id: str
    task_id: str
    part: int
    upstream_id: str
    offering: str
    owner: str
    fence: int
    at_ms: int
    deadline_ms: int


class KeepMemo(Op, frozen=True):
    """State `polling`; `memo` is a JSON object of strings. Refused: "task_final" (or no such attempt), "attempt_final"
    (it has ended: `tasks.states.PART` has no way back)."""

    attempt_id: str
    memo: bytes
    at_ms: int


class EndAttempt(Op, frozen=True):
    """`state`: proved, failed, unknown, cancelled. `detail` is the operator's: one line, cut to MAX_DETAIL characters,
    what cannot be printed replaced by a space. Refused: "task_final" (or no such attempt), "attempt_final" (it has
    ended before)."""

    attempt_id: str
    state: str
    detail: str
    at_ms: int

    def __post_init__(self) -> None:
        _assert_final(self.state, FINAL_PART)
        force_setattr(self, "detail", one_line(self.detail))


class FinishTask(Op, frozen=True):
    """running → succeeded, failed, cancelled or unknown, once. `result` is JSON. Refused: "task_final" (or no such
    task)."""

    id: str
    state: str
    result: bytes
    at_ms: int

    def __post_init__(self) -> None:
        _assert_final(self.state, FINAL_TASK)


class ReplaceResult(Op, frozen=True):
    """Replaces the result of a final task (its images were moved to the media store, or one was deleted there); with
    `was`, only while it is still that. Refused: "not_final" (or no such task), "changed"."""

    id: str
    result: bytes
    was: bytes | None = None


class AdoptTask(Op, frozen=True):
    """Takes a running task over from a dead process: fence + 1. Refused: "not_owner" (somebody was faster)."""

    id: str
    from_owner: str
    from_fence: int
    to_owner: str


class RenewLease(Op, frozen=True):
    """This process lives until then, unless renewed. Creates the row the first time."""

    owner: str
    until_ms: int


class DropLease(Op, frozen=True):
    """Gives up what is left of a lease; nothing happens when there is none."""

    owner: str


class ClaimKey(Op, frozen=True):
    """An Idempotency-Key is used once per workspace. `fingerprint` is a digest of what was asked. A claim is over, and
    may be taken anew, when its task failed or was cancelled, when that task is gone, and when it was made at
    `expired_ms` or before; so the task is created before its claim, in the same unit. Refused: "in_use"."""

    workspace_id: str
    key: str
    task_id: str
    at_ms: int
    fingerprint: bytes = b""
    expired_ms: int = -1
