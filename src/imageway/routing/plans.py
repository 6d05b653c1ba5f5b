"""Candidates in the order we would try them: healthy before cooling, then who changes least of the request, then by
weighted chance.

An unhealthy candidate goes last, never away: with nobody better there, asking it is the caller's right. What somebody
really sells is never pretended."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from msgspec import Struct

from imageway.catalog.schema import Model, Offering
from imageway.core.upstreams import Upstream
from imageway.routing.health import Health, Route


class Candidate(Struct, frozen=True):
    """One offering through one upstream."""

    offering: Offering
    upstream: Upstream

    @property
    def route(self) -> Route:
        return (self.upstream.id, self.offering.upstream_name)


def candidates(model: Model, upstreams: Sequence[Upstream]) -> tuple[Candidate, ...]:
    """Everyone who sells this model, in the catalog's order; pretend sellers only where there is no other."""
    real: list[Candidate] = []
    pretend: list[Candidate] = []
    for offering in model.offerings:
        for upstream in upstreams:
            if upstream.provider == offering.provider:
                (pretend if upstream.sandbox else real).append(Candidate(offering, upstream))
    return tuple(real or pretend)


def in_order(
    sellers: Sequence[Candidate],
    health: Health,
    *,
    now_s: float,
    uniform: Callable[[], float],
    changes: Callable[[Candidate], int] = lambda candidate: 0,
) -> tuple[Candidate, ...]:
    """Exponential keys make a weighted shuffle: the heavier an upstream, the likelier it comes first. Pretend sellers
    keep their order: what is tried out there can be tried again. `changes`: how much of the request one would not
    honour as it was asked."""
    if len(sellers) == 1:
        return tuple(sellers)

    def key(candidate: Candidate) -> tuple[float, int, float]:
        due_s, upstream = health.due_s(candidate.route), candidate.upstream
        luck = 0.0 if upstream.sandbox else uniform() ** (1.0 / max(upstream.weight, 1))
        return (due_s if due_s > now_s else 0.0, changes(candidate), -luck)

    return tuple(sorted(sellers, key=key))
