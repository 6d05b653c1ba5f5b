"""What a dashboard asks over ten million usage records: `python -m benchmarks.usage [ROWS] [postgresql://…]`.

The rows of a year are made by the database itself, with the sums that recording them one by one would have left; then
the questions go through the store that a gateway opens. Fails when an answer takes longer than LIMIT_MS, the fastest of
TIMES: on a shared machine the others tell of what else it does."""

from __future__ import annotations

import asyncio
import sqlite3
import statistics
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from itertools import product
from pathlib import Path
from typing import Any, Final

import asyncpg

from benchmarks.processes import BenchmarkFailed, work_folder
from imageway.core.ops import Query, Store
from imageway.ledger.usage import DAY_MS, HOUR_MS, By, FindUsage, SumUsage
from imageway.storage import open_store

ROWS: Final = 10_000_000
CHUNK: Final = 1_000_000
LIMIT_MS: Final = 100
TIMES: Final = 7
BEGIN_MS: Final = 1_767_225_600_000  # 2026-01-01T00:00:00Z
YEAR_MS: Final = 365 * DAY_MS
RARE: Final = 200_000
END_MS: Final = BEGIN_MS + YEAR_MS
# Fifty workspaces, some of which ask much more than others, of three keys each; eight models of four upstreams. The
# largest has a key and a model of which there is hardly anything.
ROW: Final = f"""
INSERT INTO usage (request_id, workspace_id, key_id, model, outcome, n, delivered, price_usd_micros, cost_usd_micros,
  lines, delivery, owner, upstream_id, at_ms, delivery_ms, dialect, operation, offering, size, input_text_tokens,
  input_image_tokens, output_text_tokens, output_image_tokens, queue_ms, upstream_ms, total_ms, warnings, error)
SELECT 'req_' || n || '_0123456789abcdef', 'ws_' || who,
  CASE WHEN n % {RARE} = 7 THEN 'key_rare' ELSE 'key_' || who || '_' || (n * 31 / 7 % 3) END,
  CASE WHEN n % {RARE} = 9 THEN 'draw-rare' ELSE 'draw-' || what END,
  CASE WHEN n % 1000 = 0 THEN 'unknown' WHEN n % 40 = 0 THEN 'failed' ELSE 'succeeded' END, 1, 1, 40000, 30000,
  {{lines}}, 'stored', 'proc_0', 'up_' || (what / 2), at_ms, at_ms, 'unified', 'generate', 'draw-1@maker', '1024x1024',
  12, 0, 0, 272, 3, 5000, 5010, '', ''
FROM (
  SELECT n, CASE WHEN n % {RARE} IN (7, 9) THEN 0 ELSE (n * 7919 % 50) * (n * 104729 / 3 % 50) / 50 END AS who,
    n * 15485863 / 11 % 8 AS what,
    {BEGIN_MS} + n * {YEAR_MS} / {{rows}} AS at_ms
  FROM {{numbers}}
) AS made
"""  # noqa: S608  (names of ours)
SUMS: Final = """
INSERT INTO usage_sums
SELECT {span_ms}, at_ms / {span_ms} * {span_ms} AS begin_ms, workspace_id, key_id, model, upstream_id, outcome,
  COUNT(*), SUM(n), SUM(delivered), SUM(price_usd_micros), 0, SUM(cost_usd_micros),
  SUM(input_text_tokens + input_image_tokens + output_text_tokens + output_image_tokens), SUM(total_ms),
  SUM(upstream_ms)
FROM usage GROUP BY 1, 2, 3, 4, 5, 6, 7 ORDER BY 1, 2, 3, 4, 5, 6, 7
"""
"""In order, as time would have written them: sums of one hour lie together then, not each on a page of its own."""
LINES: Final = '{"price":[{"what":"image","quantity":"1","unit":"image","unit_usd":"0.04"}]}'
NUMBERS: Final = (
    "(WITH RECURSIVE c (n) AS (VALUES ({first}) UNION ALL SELECT n + 1 FROM c WHERE n < {last}) SELECT n FROM c)"
)


def questions() -> Iterator[tuple[str, Query[Any]]]:
    """The last thirty days, and pages of single rows."""
    since_ms, half_ms = END_MS - 30 * DAY_MS, BEGIN_MS + YEAR_MS // 2
    groups: tuple[tuple[By, ...], ...] = ((), ("day",), ("model",), ("key",), ("upstream", "outcome"), ("day", "model"))
    for whose, by in product(("", "ws_7"), groups):
        name = f"30 days by {' and '.join(by) or 'nothing'}, {whose or 'all'}"
        yield name, SumUsage(workspace_id=whose, since_ms=since_ms, until_ms=END_MS, by=by)
    yield "30 days by workspace", SumUsage(since_ms=since_ms, until_ms=END_MS, by=("workspace",))
    yield "24 hours by hour, all", SumUsage(since_ms=END_MS - 24 * HOUR_MS, until_ms=END_MS, by=("hour",))
    yield "30 days and a part, all", SumUsage(since_ms=since_ms - 5 * HOUR_MS, until_ms=END_MS - HOUR_MS, by=("model",))
    yield "the year by month, ws_7", SumUsage(workspace_id="ws_7", by=("month",))
    for whose in ("", "ws_7"):
        yield f"the newest 100 rows, {whose or 'all'}", FindUsage(workspace_id=whose)
        yield f"100 rows from the middle, {whose or 'all'}", FindUsage(workspace_id=whose, before=(half_ms, 10**12))
    middle = (half_ms, 10**12)
    yield "100 failed rows from the middle, ws_7", FindUsage(workspace_id="ws_7", outcome="failed", before=middle)
    yield "100 unknown rows from the middle, all", FindUsage(outcome="unknown", before=middle)
    yield "rows of a rare key of ws_0", FindUsage(workspace_id="ws_0", key_id="key_rare")
    yield "rows of a rare key", FindUsage(key_id="key_rare")
    yield "rows of a rare model, ws_0", FindUsage(workspace_id="ws_0", model="draw-rare")
    yield "100 rows of a busy key and model, ws_0", FindUsage(workspace_id="ws_0", key_id="key_0_0", model="draw-1")


async def ask(store: Store) -> float:
    """Prints how long each question took: fastest, median, first. The slowest of the fastest, in milliseconds."""
    slowest = 0.0
    for name, query in questions():
        took_ms = []
        for _ in range(TIMES):
            began = time.perf_counter()
            answer = await store.read(query)
            took_ms.append((time.perf_counter() - began) * 1000)
        slowest = max(slowest, min(took_ms))
        median, first = statistics.median(took_ms), took_ms[0]
        print(f"  {min(took_ms):6.1f} {median:6.1f} {first:6.1f} ms  {name}: {len(answer)} rows", flush=True)
        if not answer:
            raise BenchmarkFailed(f"nothing was found: {name}")
    return slowest


def fill_sqlite(path: Path, rows: int) -> None:
    """Indexes are made afterwards: row by row they would be the work of an hour."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA synchronous = OFF")
        connection.execute("PRAGMA journal_mode = OFF")
        connection.execute("PRAGMA cache_size = -500000")
        indexes = connection.execute(
            "SELECT name, sql FROM sqlite_master WHERE type = 'index' AND tbl_name = 'usage' AND sql IS NOT NULL"
        ).fetchall()
        for name, _ in indexes:
            connection.execute(f"DROP INDEX {name}")
        for first in range(0, rows, CHUNK):
            numbers = NUMBERS.format(first=first, last=min(first + CHUNK, rows) - 1)
            connection.execute(ROW.format(lines=f"CAST('{LINES}' AS BLOB)", rows=rows, numbers=numbers))
        for _, sql in indexes:
            connection.execute(sql)
        for span_ms in (HOUR_MS, DAY_MS):
            connection.execute(SUMS.format(span_ms=span_ms))
        _tell(
            *connection.execute(
                "SELECT COUNT(*), CAST(SUM(requests) AS BIGINT) FROM usage_sums WHERE span_ms = 3600000"
            ).fetchone()
        )
        connection.execute("PRAGMA journal_mode = WAL")


async def fill_postgres(url: str, rows: int) -> None:
    connection = await asyncpg.connect(url)
    try:
        indexes = await connection.fetch(
            "SELECT indexname, indexdef FROM pg_indexes WHERE tablename = 'usage' AND indexname NOT LIKE '%_pkey'"
        )
        for name, _ in indexes:
            await connection.execute(f"DROP INDEX {name}")
        for first in range(0, rows, CHUNK):
            numbers = f"generate_series({first}::bigint, {min(first + CHUNK, rows) - 1}) AS numbers (n)"
            await connection.execute(ROW.format(lines=f"'{LINES}'::bytea", rows=rows, numbers=numbers))
        for _, sql in indexes:
            await connection.execute(sql)
        for span_ms in (HOUR_MS, DAY_MS):
            await connection.execute(SUMS.format(span_ms=f"{span_ms}::bigint"))
        await connection.execute("VACUUM ANALYZE usage")
        await connection.execute("VACUUM ANALYZE usage_sums")
        _tell(
            *await connection.fetchrow(
                "SELECT COUNT(*), CAST(SUM(requests) AS BIGINT) FROM usage_sums WHERE span_ms = 3600000"
            )
        )
    finally:
        await connection.close()


def _tell(sums: int, requests: int) -> None:
    print(f"  {requests:,} rows in {sums:,} sums of hours", flush=True)


async def measure(url: str, rows: int) -> float:
    began = time.monotonic()
    await (await open_store(url)).close()
    if url.startswith("sqlite"):
        fill_sqlite(Path(url.removeprefix("sqlite://")), rows)
    else:
        await fill_postgres(url, rows)
    print(f"  made in {time.monotonic() - began:.0f} s", flush=True)
    store = await open_store(url)
    try:
        return await ask(store)
    finally:
        await store.close()


def main(rows: int, place: str | None) -> None:
    from tests.store.server import postgres_server

    slowest = 0.0
    with work_folder(None) as folder:
        if place is None:
            print(f"SQLite, {rows:,} rows", flush=True)
            slowest = asyncio.run(measure(f"sqlite://{folder}/imageway.db", rows))
        print(f"PostgreSQL, {rows:,} rows", flush=True)
        slowest = max(slowest, asyncio.run(measure(place or postgres_server()("postgres"), rows)))
    if slowest > LIMIT_MS:
        raise SystemExit(f"an answer took {slowest:.0f} ms: more than {LIMIT_MS}")


if __name__ == "__main__":
    given = sys.argv[1:]
    counts = [int(word) for word in given if word.isdigit()]
    main(counts[0] if counts else ROWS, next((word for word in given if "://" in word), None))
