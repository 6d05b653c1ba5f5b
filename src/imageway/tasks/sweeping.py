"""What is forgotten when it is old: tasks that ended long ago, and claims that stand for nothing any more. Money and
usage are kept for ever."""

from __future__ import annotations

from dataclasses import dataclass

from imageway.core.ops import Op, Query


class ForgetTasks(Op, frozen=True):
    """Removes these tasks with their attempts and deliveries, those of them that are final and that nobody needs: whose
    captured answer is not still `undelivered`, and that no delivery is still to tell of. Never refused."""

    ids: tuple[str, ...]


class ForgetClaims(Op, frozen=True):
    """Removes claims made at `expired_ms` or before, the oldest `limit` of them; another process may be at some."""

    expired_ms: int
    limit: int


@dataclass(frozen=True, slots=True)
class OldTasks(Query[tuple[str, ...]]):
    """Ids of tasks that ended before `before_ms` and that `ForgetTasks` would remove, the oldest ends first."""

    before_ms: int
    limit: int


@dataclass(frozen=True, slots=True)
class OldestClaim(Query[int | None]):
    """When the oldest claim was made, epoch ms."""
