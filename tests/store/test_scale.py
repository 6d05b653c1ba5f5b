"""What is asked and done all the time costs the same beside 100,000 finished requests as beside none. Counted in steps
of SQLite's machine and in pages that PostgreSQL touches, never in seconds."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import AsyncIterator, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from imageway.core.ops import Op, Query
from imageway.ledger import access, sealed
from imageway.ledger import ops as ledger
from imageway.ledger import queries as asked
from imageway.ledger import usage as summed
from imageway.storage.postgres.store import _numbered, one_by_one_text, side_by_side_text
from imageway.storage.selects import select
from imageway.storage.sqlite.connection import connect, prepare
from imageway.storage.sqlite.groups import _apply
from imageway.tasks import ops as tasks
from imageway.tasks import queries as tasks_asked
from imageway.tasks import sweeping, webhooks
from tests.store.places import (
    COMMITTED,
    ENDPOINT,
    HOLD,
    KEY,
    ROTATION,
    SECRET,
    TOPUP,
    WORKSPACE,
    Place,
    attempt,
    finish,
    task,
    usage,
)

MANY = 100_000
PAGES_OF_AN_OP = 18
FINISHED = (
    "INSERT INTO tasks (id, workspace_id, key_id, model, state, owner, fence, request, result, created_ms, deadline_ms)"
    " SELECT 'old_' || n, 'ws_1', 'key_1', 'm', 'running', 'process_a', 1, {empty}, {empty}, n, n FROM {numbers}",
    "INSERT INTO attempts (id, task_id, part, upstream_id, offering, state, memo, detail, at_ms, deadline_ms,"
    " changed_ms) SELECT 'past_' || n, 'old_' || n, 0, 'up', 'm', 'proved', {empty}, '', n, n, n FROM {numbers}",
    "INSERT INTO usage (request_id, workspace_id, key_id, model, outcome, n, delivered, price_usd_micros,"
    " cost_usd_micros, lines, delivery, owner, upstream_id, at_ms, delivery_ms) SELECT 'old_' || n, 'ws_1', 'key_1',"
    " 'm', 'succeeded', 1, 1, 1, 1, {empty}, 'undelivered', 'process_a', 'up', n, n FROM {numbers}",
    "INSERT INTO holds (task_id, workspace_id, usd_micros, captured, state)"
    " SELECT 'old_' || n, 'ws_1', 1, 1, 'captured' FROM {numbers}",
    "INSERT INTO transfers (kind, workspace_id, task_id, account, usd_micros, at_ms)"
    " SELECT 'hold', 'ws_1', 'old_' || n, 'wallet', 1, n FROM {numbers}",
    "INSERT INTO claims (workspace_id, key, task_id, at_ms) SELECT 'ws_1', 'k' || n, 'old_' || n, n FROM {numbers}",
    "INSERT INTO webhook_deliveries (id, workspace_id, task_id, endpoint_id, url, event, state, fence, tries, due_ms,"
    " status, detail, created_ms, changed_ms) SELECT 'msg_' || n, 'ws_1', 'old_' || n, '', 'u', 'e', 'pending', 0, 0,"
    " n, 0, '', n, n FROM {numbers}",
    "INSERT INTO changes (actor, action, target, before, after, at_ms)"
    " SELECT 'a', 'b', 'key_' || n, {empty}, {empty}, n FROM {numbers}",
    "INSERT INTO secrets (kind, holder_id, key_id, sealed, changed_ms)"
    " SELECT 'signing', 'key_' || n, 'k1', {empty}, n FROM {numbers}",
    "UPDATE webhook_deliveries SET state = 'delivered'",
    "UPDATE tasks SET state = 'succeeded', finished_ms = created_ms",
    "UPDATE usage SET delivery = 'delivered'",
)
THOUSANDS_RUN = "UPDATE tasks SET state = 'running', finished_ms = NULL WHERE id LIKE 'old_9%'"
DUE = webhooks.DueDeliveries(MANY, 32, ("ws_2",))
UNKNOWN = tasks_asked.UnknownTasks(since_ms=MANY // 4, before=(MANY // 2, ""))
RARE_KEY = summed.FindUsage(workspace_id="ws_1", key_id="rare")
QUESTIONS: tuple[Query[Any], ...] = (
    asked.FindKey(KEY.digest),
    asked.ListKeys("ws_1", limit=5),
    asked.ShowKey("key_1"),
    access.ListMembers("ws_1"),
    access.FindAdminKey(KEY.digest),
    access.ShowAdminKey("adm_1"),
    access.ListChanges("key_1", limit=5),
    access.LowWallets(),
    asked.ShowWallet("ws_1"),
    asked.ListUsage("ws_1", limit=5),
    asked.ListUsage("ws_2"),
    summed.FindUsage(workspace_id="ws_1", before=(MANY - 9, MANY), limit=5),
    summed.FindUsage(before=(MANY - 9, MANY), limit=5),
    RARE_KEY,
    summed.FindUsage(key_id="rare"),
    summed.FindUsage(workspace_id="ws_1", model="rare"),
    summed.FindUsage(workspace_id="ws_1", outcome="failed"),
    summed.FindUsage(outcome="unknown"),
    sweeping.OldTasks(MANY // 2, 3),
    sweeping.OldestClaim(),
    summed.SumUsage(workspace_id="ws_1", by=("day", "model")),
    asked.ListTransfers("ws_2"),
    asked.ListTransfers(after_seq=MANY - 3, limit=5),
    asked.ListHolds(after_task="old_5", limit=5),
    asked.Undelivered(("process_a", "process_b")),
    tasks_asked.ShowTask("old_77", "ws_1"),
    tasks_asked.FindTasks(workspace_id="ws_1", since_ms=MANY - 3, limit=2),
    tasks_asked.FindTasks(workspace_id="ws_2", states=("succeeded",), model="none"),
    tasks_asked.FindClaim("ws_1", "k77"),
    tasks_asked.RunningTasks(("process_b",)),
    tasks_asked.CountUnderWay("up_1"),
    tasks_asked.UnknownTasks(),
    UNKNOWN,
    tasks_asked.Owners(),
    webhooks.ListEndpoints("ws_1"),
    webhooks.ListSecrets("ws_1"),
    webhooks.FindDelivery("msg_77"),
    DUE,
    sealed.FindSecret("signing", "key_77"),
    sealed.ListSecrets("upstream"),
    sealed.ListSecrets(after=("signing", "key_5"), limit=5),
    webhooks.ListDeliveries("ws_1", limit=5),
    webhooks.ListDeliveries(limit=5),
    webhooks.ListDeliveries(state="dead"),
)
GUESSED: tuple[Query[Any], ...] = (tasks_asked.UnknownTasks(), UNKNOWN, RARE_KEY)
"""What PostgreSQL answers the long way as long as it has no statistics; they come within a minute."""
LIFE: tuple[Op, ...] = (
    task(),
    tasks.ClaimKey("ws_1", "once", "req_1", 5),
    HOLD,
    attempt(),
    tasks.KeepMemo("att_1", b"{}", 7),
    tasks.AdoptTask("req_1", "process_a", 1, "process_b"),
    tasks.EndAttempt("att_1", "proved", "", 9),
    ledger.Capture("req_1", 20_000, 9),
    ledger.BookCost("req_1", "up_1", 15_000, 9),
    finish(),
    usage(),
    ENDPOINT,
    SECRET,
    ROTATION,
    webhooks.NotifyEndpoints("req_1", "ws_1", "task.succeeded", 9),
    webhooks.ClaimDelivery("msg_1_1", 0, 9, 50),
    webhooks.PostponeDelivery("msg_1_1", 1, 503, "", 20, 10),
    webhooks.ClaimDelivery("msg_1_1", 1, 20, 50),
    webhooks.EndDelivery("msg_1_1", 2, "dead", 410, "", 21),
    webhooks.ReplayDelivery("msg_1_1", 22),
    webhooks.DisableEndpoint("end_1", 23),
    webhooks.EnableEndpoint("end_1"),
    webhooks.ForgetDeliveries(5, 3),
    sweeping.ForgetTasks(("old_3",)),
    sweeping.ForgetClaims(5, 3),
    tasks.ReplaceResult("req_1", b"{}"),
    ledger.MarkDelivery("req_1", "refunded", 10),
    ledger.Refund("req_1", 10),
    tasks.RenewLease("process_b", 10),
    tasks.DropLease("process_b"),
    access.SetBudget("key_1", "day", 9),
    access.ChangeKey("key_1", "", (), b"{}"),
    access.SetWorkspace("ws_1", b"{}", 10**9),
    access.MarkAlerted("ws_1", 11),
    access.SetWorkspace("ws_1", b"{}", None),
    access.RearmAlerts(12),
    access.UseSignature(bytes(32), 300, 200),
)


@pytest.fixture
def lite(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    prepare(tmp_path / "a.db", create=True)
    numbers = f"(WITH RECURSIVE c (n) AS (VALUES (1) UNION ALL SELECT n + 1 FROM c WHERE n < {MANY}) SELECT n FROM c)"  # noqa: S608
    with closing(connect(tmp_path / "a.db")) as opened:
        opened.execute("PRAGMA synchronous = OFF")
        assert _apply(opened.cursor(), (WORKSPACE, TOPUP, KEY)) == COMMITTED
        for statement in FINISHED:
            opened.execute(statement.format(empty="x''", numbers=numbers))
        yield opened


def test_sqlite_takes_few_steps(lite: sqlite3.Connection) -> None:
    steps = 0

    def count() -> None:
        nonlocal steps
        steps += 10

    def taken(statement: str, values: tuple[object, ...] = ()) -> int:
        nonlocal steps
        steps = 0
        lite.execute(statement, values).fetchall()
        return steps

    lite.set_progress_handler(count, 10)
    assert taken("SELECT 1 FROM tasks WHERE model = 'none'") > MANY  # what walking through a table looks like
    wanted = [select(query) for query in QUESTIONS]
    assert {one.sql: found for one in wanted if (found := taken(one.sql, one.values)) > 300} == {}
    lite.execute("BEGIN")
    steps = 0
    assert _apply(lite.cursor(), LIFE) == COMMITTED
    assert steps < 100 * len(LIFE)
    lite.execute(THOUSANDS_RUN)
    assert taken(select(tasks_asked.Owners()).sql) < 300


@pytest.fixture
async def big(postgres_place: Place) -> AsyncIterator[asyncpg.Connection[asyncpg.Record]]:
    """Nobody has vacuumed yet: the indexes of what runs and of what is undelivered still hold every dead entry."""
    await (await postgres_place.open()).close()
    connection = await asyncpg.connect(postgres_place.url)
    for table in ("tasks", "attempts", "usage", "holds", "transfers", "claims", "webhook_deliveries"):
        await connection.execute(f"ALTER TABLE {table} SET (autovacuum_enabled = false)")
    await connection.execute("SELECT imageway_commit($1)", one_by_one_text([(WORKSPACE, TOPUP, KEY)]))
    for statement in FINISHED:
        await connection.execute(statement.format(empty="''", numbers=f"generate_series(1, {MANY}) AS numbers (n)"))
    yield connection
    await connection.close()


async def test_postgresql_touches_few_pages(big: asyncpg.Connection[asyncpg.Record]) -> None:
    assert await pages_of(big, "SELECT 1 FROM tasks WHERE model = 'none'") > 1000
    assert await pages_of_a_life(big) < PAGES_OF_AN_OP * len(LIFE)
    assert await pages_of(big, select(tasks_asked.Owners()).sql) > 1000  # meets the dead, and notes them
    assert list(await costly(big, (DUE,))) == [select(DUE).sql]  # so does this
    for plans in ("force_custom_plan", "force_generic_plan"):
        await big.execute(f"SET plan_cache_mode = {plans}")
        assert await costly(big, tuple(query for query in QUESTIONS if query not in GUESSED)) == {}
        assert await pages_of_a_life(big) < PAGES_OF_AN_OP * len(LIFE)
    await big.execute("ANALYZE")
    for plans in ("force_custom_plan", "force_generic_plan"):
        await big.execute(f"SET plan_cache_mode = {plans}")
        assert await costly(big, QUESTIONS) == {}
        assert await pages_of_a_life(big) < PAGES_OF_AN_OP * len(LIFE)


async def pages_of(big: asyncpg.Connection[asyncpg.Record], statement: str, *values: object) -> int:
    (plan,) = json.loads(await big.fetchval(f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {statement}", *values))
    return int(plan["Plan"]["Shared Hit Blocks"]) + int(plan["Plan"]["Shared Read Blocks"])


async def costly(big: asyncpg.Connection[asyncpg.Record], queries: tuple[Query[Any], ...]) -> dict[str, int]:
    wanted = [select(query) for query in queries]
    pages = {one.sql: await pages_of(big, _numbered(one.sql), *one.values) for one in wanted}
    return {sql: found for sql, found in pages.items() if found > 300}


async def pages_of_a_life(big: asyncpg.Connection[asyncpg.Record]) -> int:
    """Of the dearer of both ways to take it, the second time: the first call of a session reads the database's own
    catalog as well."""
    pages = 0
    for statement, values in (
        ("SELECT imageway_commit($1)", (one_by_one_text([LIFE]),)),
        ("SELECT imageway_commit_alike($1, $2)", (side_by_side_text([LIFE]), ["ws_1"])),
    ):
        for again in (False, True):
            await big.execute("BEGIN")
            taken = await pages_of(big, statement, *values)
            assert await big.fetchval("SELECT state FROM holds WHERE task_id = 'req_1'") == "refunded"
            await big.execute("ROLLBACK")
            pages = max(pages, taken) if again else pages
    return pages
