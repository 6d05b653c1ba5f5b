"""Three hundred worlds of some thirty requests each, every one different and every one the same each time: providers
that fail in all known ways, visitors who hang up, processes that die, stall and close, stores that lose answers. No
promise may break in any of them.

One world alone: `SIM_SEED=417 pytest tests/sim/test_worlds.py -k no_promise`."""

from __future__ import annotations

import os

import pytest

from imageway.core.intents import TASK_EVENTS, Arrived, Preview
from imageway.engine import limits
from tests.sim.checkers import violations
from tests.sim.logs import CRASHES
from tests.sim.machine import EPOCH_MS
from tests.sim.receivers import HEARS
from tests.sim.seeds import shape_of, with_inputs
from tests.sim.world import World, run_world

WORLDS = 300
AT_ONCE = 25
AROUND_MIDNIGHT = 10
MIDNIGHT_MS = 30_000  # after such a world began


def play(seed: int) -> World:
    CRASHES.clear()
    world = run_world(shape_of(seed), meddle=with_inputs)
    world.crashes += CRASHES
    return world


@pytest.mark.parametrize("first", range(0, WORLDS, AT_ONCE))
def test_no_promise_breaks(first: int) -> None:
    chosen = os.environ.get("SIM_SEED")
    seeds = [int(chosen)] if chosen else range(first, first + AT_ONCE)
    broken = {seed: found for seed in seeds if (found := violations(play(seed)))}
    told = [f"seed {seed}: {name}: {about[:3]}" for seed, found in broken.items() for name, about in found.items()]
    assert not broken, "\n".join(told)


def test_no_promise_breaks_at_midnight(monkeypatch: pytest.MonkeyPatch) -> None:
    """Holds that were worked out before it come after others of the day that has begun."""
    monkeypatch.setattr(limits, "DAY_MS", EPOCH_MS + MIDNIGHT_MS)
    worlds = {seed: play(seed) for seed in range(AROUND_MIDNIGHT)}
    assert {seed: found for seed, world in worlds.items() if (found := violations(world))} == {}
    assert sum(map(late_holds, worlds.values())) > 0


def late_holds(world: World) -> int:
    """How many counted in no day's budget, because another of that key had begun the next one."""
    tables, begun_ms, late = world.store._tables, dict[str, int](), 0
    for transfer in tables.transfers.values():
        task = tables.tasks.get(transfer.task_id or "")
        if transfer.kind == "hold" and task is not None:
            day_ms = limits.window_of("day", task.created_ms)
            late += day_ms < begun_ms.get(task.key_id, 0)
            begun_ms[task.key_id] = max(day_ms, begun_ms.get(task.key_id, 0))
    return late


def states_of_holds(world: World) -> set[str]:
    return {hold.state for hold in world.store._tables.holds.values()}


def test_the_worlds_are_as_bad_as_they_claim_to_be() -> None:
    """Every fate is met, visitors hang up, processes die with work in their hands, money is held, spent and refunded:
    a world in which nothing happens proves nothing."""
    worlds = [play(seed) for seed in range(2015, 2125)]
    fates = {submit.fate for world in worlds for submit in world.providers.submits}
    states = {task.state for world in worlds for task in world.store._tables.tasks.values()}
    deliveries = {row.delivery for world in worlds for row in world.store._tables.usage.values()}
    ends = {visit.end for world in worlds for visit in world.visits}
    codes = {getattr(visit.error, "code", None) for world in worlds for visit in world.visits}
    assert len(fates) == 27
    assert states == {"succeeded", "failed", "cancelled", "unknown"}
    assert deliveries == {"none", "delivered", "stored", "refunded"}
    assert ends == {"answered", "hung_up", "cut"}
    assert {"insufficient_balance", "budget_exceeded", "overloaded", "content_policy_violation"} <= codes
    assert any(len(tables.holds) < len(tables.tasks) for tables in (world.store._tables for world in worlds))
    assert any(world.shape.rules and "captured" in states_of_holds(world) for world in worlds)
    assert any(visit.order.called_off_after_s and visit.delivered for world in worlds for visit in world.visits)
    assert {"idempotency_key_in_use", "idempotency_key_reused"} <= codes
    replays = [visit for world in worlds for visit in world.visits if visit.replayed]
    assert any(visit.answer and visit.order.request.stream for visit in replays)
    assert {getattr(visit.error, "code", None) for visit in replays} >= {None, "request_timeout", "overloaded"}
    assert {visit.view.status for visit in replays if visit.view} >= {"running", "succeeded", "unknown"}
    told = {type(event) for world in worlds for visit in world.visits for event in visit.told}
    assert told == {Preview, Arrived}
    assert any(visit.told and visit.error for world in worlds for visit in world.visits)
    assert any(submit.begun and submit.said for world in worlds for submit in world.providers.submits)
    assert {"queued", "running", "cancelled"} <= {
        visit.view.status for world in worlds for visit in world.visits if visit.view
    }
    heard = [message for world in worlds for message in world.receivers.heard]
    assert {message.fate for message in heard} == HEARS
    assert {message.json["type"] for message in heard} == set(TASK_EVENTS)
    assert len({message.owner for message in heard}) > 3
    assert any(task.fence > 2 for world in worlds for task in world.store._tables.tasks.values())


def test_a_world_is_the_same_each_time() -> None:
    def trace(seed: int) -> list[object]:
        world = play(seed)
        told = [(v.order.number, v.end, v.task_id, v.owner, str(v.error)) for v in world.visits]
        submits = [(s.part, s.upstream, s.fate, s.at_s) for s in world.providers.submits]
        return [told, submits, list(world.store._tables.transfers.values()), world.ended_s]

    for seed in (3, 17, 61):
        assert trace(seed) == trace(seed)
