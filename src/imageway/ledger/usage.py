"""Questions about usage beyond the single row: pages of rows, and sums that were added up hour by hour while the rows
were written, so that years of them are answered from thousands of rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from imageway.core.ops import Query

HOUR_MS: Final = 3_600_000

By = Literal["hour", "day", "month", "workspace", "key", "model", "upstream", "outcome"]


@dataclass(frozen=True, slots=True, kw_only=True)
class UsageDetail:
    """One row as it stands (ledger.ops.RecordUsage says what each means)."""

    seq: int
    request_id: str
    workspace_id: str
    workspace: str
    key_id: str
    model: str
    outcome: str
    n: int
    delivered: int
    price_usd_micros: int
    cost_usd_micros: int
    lines: bytes
    delivery: str
    upstream_id: str
    at_ms: int
    dialect: str
    operation: str
    offering: str
    size: str
    input_text_tokens: int
    input_image_tokens: int
    output_text_tokens: int
    output_image_tokens: int
    queue_ms: int
    upstream_ms: int
    total_ms: int
    warnings: str
    error: str


@dataclass(frozen=True, slots=True, kw_only=True)
class FindUsage(Query[tuple[UsageDetail, ...]]):
    """Newest first, by keyset: `before` is the (at ms, seq) of the last row of the page before. Empty: any."""

    workspace_id: str = ""
    key_id: str = ""
    model: str = ""
    outcome: str = ""
    since_ms: int = 0
    until_ms: int | None = None
    before: tuple[int, int] | None = None
    limit: int = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class UsageSum:
    """`group`: a value for each of the query's `by`, in its order; times as epoch ms in decimal. `price` is what was
    captured, `refunded` what of it was given back; `total_ms` and `upstream_ms` are sums over the requests."""

    group: tuple[str, ...]
    requests: int
    asked: int
    delivered: int
    price_usd_micros: int
    refunded_usd_micros: int
    cost_usd_micros: int
    tokens: int
    total_ms: int
    upstream_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SumUsage(Query[tuple[UsageSum, ...]]):
    """Sums of the hours that begin in [since_ms, until_ms), grouped; dearest first, times in order."""

    workspace_id: str = ""
    key_id: str = ""
    model: str = ""
    since_ms: int = 0
    until_ms: int | None = None
    by: tuple[By, ...] = ()
    limit: int = 1000
