"""Any sequence of units has the same outcomes and leaves the same rows on all three executors."""

from __future__ import annotations

import asyncio
import itertools
import tempfile

import asyncpg
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from imageway.core.ops import Committed, Op, Refused, Store
from imageway.ledger import access, sealed, terms
from imageway.ledger import ops as ledger
from imageway.ledger import usage as usage_days
from imageway.storage import open_store
from imageway.tasks import ops as tasks
from imageway.tasks import queue, webhooks
from imageway.tasks.states import FINAL_PART, FINAL_TASK
from tests.store.places import ENDPOINT, KEY, SECRET, attempt, everything, task, usage, waiting
from tests.store.server import postgres_server

NUMBERS = itertools.count()
TASK_IDS = ("req_1", "req_2", "req_3")
WORKSPACES = st.sampled_from(["ws_1", "ws_1", "ws_2"])
TASKS = st.sampled_from(TASK_IDS)
ATTEMPTS = st.sampled_from(["att_1", "att_2", "att_3"])
KEYS = st.sampled_from(["key_1", "key_1", "key_2"])
OWNERS = st.sampled_from(["process_a", "process_a", "process_b"])
FENCES = st.sampled_from([1, 1, 2])
AMOUNTS = st.integers(0, 60)
TIMES = st.integers(1, 9)
MOMENTS = st.integers(0, 70 * usage_days.DAY_MS)
WORDS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=8)
BYTES = st.binary(max_size=8)

OPS = st.one_of(
    st.builds(ledger.CreateWorkspace, WORKSPACES, WORDS, TIMES),
    st.builds(ledger.TopUp, st.uuids().map(str), WORKSPACES, AMOUNTS, TIMES),
    st.builds(ledger.Hold, TASKS, WORKSPACES, AMOUNTS, TIMES),
    st.builds(ledger.Capture, TASKS, AMOUNTS, TIMES),
    st.builds(ledger.Void, TASKS, TIMES),
    st.builds(ledger.Refund, TASKS, TIMES),
    st.builds(ledger.Grant, st.uuids().map(str), WORKSPACES, AMOUNTS, TIMES),
    st.builds(ledger.Adjust, st.uuids().map(str), WORKSPACES, st.integers(-200, 60), TIMES),
    st.builds(ledger.BookCost, TASKS, WORDS, AMOUNTS, TIMES, st.booleans()),
    st.builds(ledger.BookOverrun, TASKS, AMOUNTS, TIMES),
    st.builds(
        ledger.CreateKey,
        KEYS,
        WORKSPACES,
        WORDS,
        st.binary(min_size=32, max_size=32),
        WORDS,
        st.lists(WORDS, max_size=2).map(tuple),
        TIMES,
        BYTES,
        st.sampled_from([0, 0, 4]),
        KEYS | st.just(""),
        st.booleans(),
    ),
    st.builds(ledger.RevokeKey, KEYS, TIMES),
    st.builds(
        usage,
        TASKS,
        lines=BYTES,
        owner=OWNERS,
        model=WORDS,
        delivery=st.sampled_from(["undelivered", "undelivered", "none", "refunded"]),
        at_ms=MOMENTS,
        dialect=WORDS,
        output_image_tokens=st.integers(-1, 2**70),
        total_ms=TIMES,
        warnings=WORDS,
    ),
    st.builds(ledger.MarkDelivery, TASKS, st.sampled_from(["stored", "refunded"]), TIMES),
    st.builds(task, TASKS, key_id=KEYS, owner=OWNERS, request=BYTES, created_ms=TIMES),
    st.builds(attempt, ATTEMPTS, TASKS, owner=OWNERS, fence=FENCES, part=TIMES),
    st.builds(tasks.KeepMemo, ATTEMPTS, BYTES, TIMES),
    st.builds(tasks.EndAttempt, ATTEMPTS, st.sampled_from(sorted(FINAL_PART)), st.text(max_size=8), TIMES),
    st.builds(tasks.FinishTask, TASKS, st.sampled_from(sorted(FINAL_TASK)), BYTES, TIMES),
    st.builds(tasks.ReplaceResult, TASKS, BYTES, st.none() | BYTES),
    st.builds(tasks.AdoptTask, TASKS, OWNERS, FENCES, OWNERS),
    st.builds(
        waiting,
        TASKS,
        workspace_id=WORKSPACES,
        key_id=KEYS,
        request=BYTES,
        created_ms=TIMES,
        deadline_ms=TIMES,
        limit=st.sampled_from([1, 9]),
    ),
    st.builds(queue.ClaimTask, TASKS, FENCES, OWNERS),
    st.builds(queue.RequeueTask, TASKS, OWNERS, FENCES),
    st.builds(queue.MarkCancel, TASKS, TIMES),
    st.builds(tasks.RenewLease, OWNERS, TIMES),
    st.builds(tasks.DropLease, OWNERS),
    st.builds(
        tasks.ClaimKey,
        WORKSPACES,
        st.sampled_from(["once", "once", "twice"]),
        TASKS,
        TIMES,
        BYTES,
        st.sampled_from([-1, -1, 4]),
    ),
)
ENDPOINTS = st.sampled_from(["end_1", "end_2"])
URLS = st.sampled_from(["https://a.example/", "https://b.example/"])
EVENTS = st.sampled_from(webhooks.EVENTS[:2])
DELIVERIES = st.sampled_from(["msg_1", "msg_1_1", "msg_2_1", "msg_1_2"])
SECRETS = st.sampled_from(["whs_1", "whs_2", "whs_3"])
TRIES = st.sampled_from([0, 0, 1, 1, 2])
WEBHOOK_OPS = st.one_of(
    st.builds(
        webhooks.AddEndpoint,
        id=ENDPOINTS,
        workspace_id=WORKSPACES,
        url=URLS,
        events=st.lists(EVENTS, max_size=2, unique=True).map(tuple),
        limit=st.sampled_from([1, 9]),
        at_ms=TIMES,
    ),
    st.builds(webhooks.RemoveEndpoint, ENDPOINTS),
    st.builds(webhooks.DisableEndpoint, ENDPOINTS, TIMES),
    st.builds(webhooks.EnableEndpoint, ENDPOINTS),
    st.builds(webhooks.AddSecret, SECRETS, ENDPOINTS, WORDS, TIMES),
    st.builds(webhooks.RotateSecret, SECRETS, ENDPOINTS, WORDS, TIMES, TIMES),
    st.builds(webhooks.AddDelivery, DELIVERIES, WORKSPACES, TASKS, URLS, EVENTS, TIMES),
    st.builds(webhooks.NotifyEndpoints, TASKS, WORKSPACES, EVENTS, TIMES),
    st.builds(webhooks.ClaimDelivery, DELIVERIES, TRIES, TIMES, TIMES),
    st.builds(webhooks.PostponeDelivery, DELIVERIES, TRIES, TIMES, st.text(max_size=8), TIMES, TIMES),
    st.builds(webhooks.EndDelivery, DELIVERIES, TRIES, st.sampled_from(sorted(webhooks.ENDS)), TIMES, WORDS, TIMES),
    st.builds(webhooks.ReplayDelivery, DELIVERIES, TIMES),
    st.builds(webhooks.ForgetDeliveries, TIMES, st.sampled_from([1, 9])),
)
PERIODS = st.sampled_from(["day", "total"])
NAMES = st.sampled_from(["ada", "zoe"])
ADMINS = st.sampled_from(["adm_1", "adm_2"])
RULES = st.sampled_from(["rule_1", "rule_2"])
KINDS = st.sampled_from(["upstream", "other"])
HOLDERS = st.one_of(
    st.tuples(KINDS, NAMES), st.tuples(st.just(sealed.WEBHOOK), SECRETS), st.tuples(st.just(sealed.SIGNING), KEYS)
)
SEALS = st.sampled_from([b"", b"one", b"two"])
ACCESS_OPS = st.one_of(
    st.builds(access.ExpireKey, KEYS, st.sampled_from([0, 4])),
    st.builds(access.ChangeKey, KEYS, WORDS, st.lists(WORDS, max_size=2).map(tuple), BYTES),
    st.builds(access.SetBudget, KEYS, PERIODS, AMOUNTS),
    st.builds(access.DropBudget, KEYS, PERIODS),
    st.builds(ledger.SpendBudget, KEYS, PERIODS, TIMES, AMOUNTS),
    st.builds(ledger.ReleaseBudget, KEYS, PERIODS, TIMES, AMOUNTS),
    st.builds(ledger.SpendBudget, KEYS, PERIODS, TIMES, st.just(0)),
    st.builds(access.SetWorkspace, WORKSPACES, BYTES, st.none() | AMOUNTS),
    st.builds(access.MarkAlerted, WORKSPACES, TIMES),
    st.builds(access.RearmAlerts, TIMES),
    st.builds(access.AddMember, WORKSPACES, NAMES, st.sampled_from(sorted(access.ROLES)), TIMES),
    st.builds(access.RemoveMember, WORKSPACES, NAMES),
    st.builds(access.CreateAdminKey, ADMINS, WORDS, SEALS, WORDS, st.sampled_from(["admin", "viewer"]), TIMES),
    st.builds(access.RevokeAdminKey, ADMINS, TIMES),
    st.builds(access.UseSignature, SEALS, TIMES, TIMES),
    st.builds(access.RecordChange, WORDS, WORDS, WORDS, BYTES, BYTES, TIMES),
    st.builds(terms.SetPriceRule, RULES, WORKSPACES | st.just(""), WORDS, AMOUNTS, AMOUNTS, BYTES, TIMES, WORDS, TIMES),
    st.builds(terms.EndPriceRule, RULES, TIMES),
    st.builds(lambda of, *rest: sealed.PutSecret(*of, *rest), HOLDERS, WORDS, SEALS, TIMES),
    st.builds(lambda of, *rest: sealed.ResealSecret(*of, *rest), HOLDERS, WORDS, SEALS, SEALS),
    st.builds(lambda of: sealed.DropSecret(*of), HOLDERS),
    st.builds(sealed.PutUpstream, NAMES, WORDS, BYTES, st.booleans(), TIMES),
    st.builds(sealed.DropUpstream, NAMES),
)
LATE_OR_NOT = st.sampled_from([1, 2, 2, 3])
BUDGET_OPS = st.one_of(
    st.builds(ledger.SpendBudget, st.just("key_1"), PERIODS, LATE_OR_NOT, AMOUNTS),
    st.builds(ledger.SpendBudget, st.just("key_1"), PERIODS, LATE_OR_NOT, AMOUNTS),
    st.builds(ledger.ReleaseBudget, st.just("key_1"), PERIODS, LATE_OR_NOT, AMOUNTS),
    st.builds(ledger.SpendBudget, st.just("key_1"), PERIODS, LATE_OR_NOT, st.just(0)),
)
# What most units need to succeed; nothing is random about it.
BEGIN = [
    (ledger.CreateWorkspace("ws_1", "one", 1), ledger.TopUp("top_1", "ws_1", 200, 1), KEY),
    (task("req_1"), ledger.Hold("req_1", "ws_1", 50, 2), attempt("att_1", "req_1")),
    (ENDPOINT, SECRET, webhooks.NotifyEndpoints("req_1", "ws_1", webhooks.EVENTS[0], 2)),
]
UNITS = st.lists(st.lists(OPS | WEBHOOK_OPS | ACCESS_OPS, min_size=1, max_size=3).map(tuple), min_size=15, max_size=40)


async def played(store: Store, units: list[tuple[Op, ...]]) -> tuple[list[Committed | Refused], dict[str, object]]:
    try:
        return [await store.commit(*unit) for unit in units], await everything(store, TASK_IDS)
    finally:
        await store.close()


async def schema() -> str:
    """A place of its own on the server; a database each would take longer than all that is done with it."""
    name = f"same_{next(NUMBERS)}"
    url = postgres_server()("postgres")
    connection = await asyncpg.connect(url)
    await connection.execute(f"CREATE SCHEMA {name}")
    await connection.close()
    return f"{url}&search_path={name}"


async def compare(units: list[tuple[Op, ...]]) -> list[Committed | Refused]:
    with tempfile.TemporaryDirectory() as directory:
        in_memory = await played(await open_store("memory://"), units)
        assert await played(await open_store(f"sqlite://{directory}/a.db"), units) == in_memory
        assert await played(await open_store(await schema()), units) == in_memory
    return in_memory[0]


@settings(max_examples=15, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(UNITS)
def test_a_random_sequence_ends_the_same_everywhere(units: list[tuple[Op, ...]]) -> None:
    asyncio.run(asyncio.wait_for(compare([*BEGIN, *units]), 30))


@settings(max_examples=8, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(st.lists(st.lists(BUDGET_OPS, min_size=1, max_size=3).map(tuple), min_size=15, max_size=40))
def test_budgets_end_the_same_everywhere_however_late_they_are_spent(units: list[tuple[Op, ...]]) -> None:
    limits = tuple(access.SetBudget("key_1", period, 120) for period in ("day", "total"))
    asyncio.run(asyncio.wait_for(compare([BEGIN[0], limits, *units]), 30))
