"""The order of trying: who sells the model, the healthy before the cooling, the heavier more often first; nobody is
left out."""

from __future__ import annotations

import random
from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from imageway.catalog.schema import Geometry, Model, Offering
from imageway.core.steps import FailureKind
from imageway.core.upstreams import Upstream
from imageway.routing import Candidate, Health, candidates, in_order


def offering(provider: str, name: str = "m") -> Offering:
    return Offering(provider=provider, upstream_name=name, adapter="a")


def upstream(id_: str, provider: str = "p", weight: int = 1, *, sandbox: bool = False) -> Upstream:
    base_url = "sandbox:/p" if sandbox else "https://p.test"
    return Upstream(id=id_, provider=provider, base_url=base_url, auth="bearer", weight=weight, sandbox=sandbox)


def sellers(*weights: int) -> list[Candidate]:
    return [Candidate(offering("p"), upstream(f"u{index}", weight=weight)) for index, weight in enumerate(weights)]


def names(order: tuple[Candidate, ...]) -> list[str]:
    return [candidate.upstream.id for candidate in order]


def test_everyone_who_sells_it_is_a_candidate_in_the_catalogs_order() -> None:
    model = Model(
        id="m", family="f", title="M", geometry=Geometry(kind="none"), offerings=(offering("q", "q-m"), offering("p"))
    )
    ups = (upstream("p1"), upstream("q1", "q"), upstream("other", "r"), upstream("p2"))
    found = candidates(model, ups)
    assert [candidate.route for candidate in found] == [("q1", "q-m"), ("p1", "m"), ("p2", "m")]


def model_of(*providers: str) -> Model:
    offerings = tuple(map(offering, providers))
    return Model(id="m", family="f", title="M", geometry=Geometry(kind="none"), offerings=offerings)


def test_what_somebody_really_sells_is_never_pretended() -> None:
    pretend = (upstream("sandbox-p", sandbox=True), upstream("sandbox-q", "q", sandbox=True))
    found = candidates(model_of("p", "q"), (*pretend, upstream("q1", "q")))
    assert [candidate.upstream.id for candidate in found] == ["q1"]
    found = candidates(model_of("q", "p"), pretend)
    assert [candidate.upstream.id for candidate in found] == ["sandbox-q", "sandbox-p"]


def test_pretend_sellers_keep_their_order_while_they_are_well() -> None:
    sellers = candidates(
        model_of("p", "q", "r"), [upstream(f"sandbox-{name}", name, sandbox=True) for name in ("r", "q", "p")]
    )
    for seed in range(20):
        order = in_order(sellers, Health(), now_s=0, uniform=random.Random(seed).random)
        assert names(order) == ["sandbox-p", "sandbox-q", "sandbox-r"]
    health = Health()
    health.failed(("sandbox-p", "m"), FailureKind.BUSY, now_s=0, retry_after_s=5)
    order = in_order(sellers, health, now_s=1, uniform=random.Random(1).random)
    assert names(order) == ["sandbox-q", "sandbox-r", "sandbox-p"]


def test_the_cooling_come_after_the_healthy_the_soonest_first() -> None:
    health = Health()
    health.failed(("u0", "m"), FailureKind.BUSY, now_s=0, retry_after_s=60)
    health.failed(("u1", "m"), FailureKind.BUSY, now_s=0, retry_after_s=20)
    order = in_order(sellers(100, 100, 1), health, now_s=10, uniform=random.Random(1).random)
    assert names(order) == ["u2", "u1", "u0"]


def test_a_pause_that_is_over_counts_no_more() -> None:
    health = Health()
    health.failed(("u0", "m"), FailureKind.BUSY, now_s=0, retry_after_s=5)
    first = Counter(
        names(in_order(sellers(1, 1), health, now_s=5, uniform=random.Random(seed).random))[0] for seed in range(200)
    )
    assert first["u0"] > 60


def test_the_heavier_come_first_more_often() -> None:
    chance = random.Random(4)
    first = Counter(names(in_order(sellers(3, 1), Health(), now_s=0, uniform=chance.random))[0] for _ in range(4000))
    assert 2850 < first["u0"] < 3150


def test_who_changes_least_of_a_request_comes_first_among_the_well() -> None:
    """However heavy the others are; an unhealthy one stays behind them all."""
    health = Health()
    health.failed(("u0", "m"), FailureKind.BUSY, now_s=0, retry_after_s=60)
    changes = {"u0": 0, "u1": 2, "u2": 1, "u3": 0}
    for seed in range(20):
        order = in_order(
            sellers(1, 10**6, 10**6, 1),
            health,
            now_s=1,
            uniform=random.Random(seed).random,
            changes=lambda candidate: changes[candidate.upstream.id],
        )
        assert names(order) == ["u3", "u2", "u1", "u0"]


def test_one_alone_costs_no_chance() -> None:
    def never() -> float:
        raise AssertionError

    assert names(in_order(sellers(1), Health(), now_s=0, uniform=never)) == ["u0"]


@given(st.lists(st.integers(0, 1000), min_size=1, max_size=8), st.integers(0, 2**32), st.sets(st.integers(0, 7)))
def test_nobody_is_left_out(weights: list[int], seed: int, cooling: set[int]) -> None:
    """Even a weight of zero, even a chance of exactly zero, even with everybody unhealthy."""
    health = Health()
    for index in cooling:
        health.failed((f"u{index}", "m"), FailureKind.DENIED, now_s=0)
    chance = random.Random(seed)
    order = in_order(sellers(*weights), health, now_s=1, uniform=lambda: chance.choice((0.0, chance.random())))
    assert sorted(names(order)) == sorted(f"u{index}" for index in range(len(weights)))
