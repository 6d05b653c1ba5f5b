"""The query of a list of tasks (Model Studio: manage asynchronous tasks)."""

from __future__ import annotations

import re
from contextlib import suppress
from datetime import datetime, timedelta, timezone
from typing import Final

from imageway.core.errors import InvalidRequest
from imageway.core.intents import Inbound, ListTasks
from imageway.dialects.shared.findings import Findings

BEIJING: Final = timezone(timedelta(hours=8))  # the provider's clock, in what it reads and in what it writes
STATUSES: Final = {
    "queued": "PENDING",
    "running": "RUNNING",
    "succeeded": "SUCCEEDED",
    "failed": "FAILED",
    "cancelled": "CANCELED",
    "unknown": "UNKNOWN",
}
STATES: Final = {status: state for state, status in STATUSES.items()}
MOST_ROWS: Final = 100
LAST_PAGE: Final = 1_000_000
USUAL_ROWS: Final = 10
DAY_MS: Final = 86_400_000
NUMBER: Final = re.compile(r"[0-9]{1,17}")


def read_list(inbound: Inbound) -> ListTasks:
    """Raises InvalidRequest with every problem."""
    findings = Findings()
    size = _natural(inbound, "page_size", findings, most=MOST_ROWS) or USUAL_ROWS
    page = _natural(inbound, "page_no", findings, most=LAST_PAGE) or 1
    since_ms, until_ms = _moment(inbound, "start_time", findings), _moment(inbound, "end_time", findings)
    status = inbound.query.get("status", "")
    if status and status not in STATES:
        findings.wrong("status", status, tuple(STATES))
    for name, instead in (("api_key_id", "a key sees its whole workspace"), ("task_id", "ask for the task itself")):
        if inbound.query.get(name):
            findings.problem("parameter_not_supported", name, f"{name} is not a filter here: {instead}")
    if findings.problems:
        raise InvalidRequest(*findings.problems)
    if until_ms is not None:
        until_ms += 1000  # the second that was named belongs to it
    return ListTasks(
        since_ms=until_ms - DAY_MS if since_ms is None and until_ms is not None else since_ms,
        until_ms=since_ms + DAY_MS if until_ms is None and since_ms is not None else until_ms,
        states=(STATES[status],) if status else (),
        model=inbound.query.get("model_name") or None,
        limit=size,
        skip=(page - 1) * size,
    )


def _natural(inbound: Inbound, name: str, findings: Findings, *, most: int) -> int | None:
    text = inbound.query.get(name, "")
    if NUMBER.fullmatch(text) and 1 <= int(text) <= most:
        return int(text)
    if text:
        findings.wrong(name, text, (f"an integer from 1 to {most}",))
    return None


def _moment(inbound: Inbound, name: str, findings: Findings) -> int | None:
    text = inbound.query.get(name, "")
    with suppress(ValueError, OverflowError):  # no such day
        if len(text) == 14 and NUMBER.fullmatch(text):
            return int(datetime.strptime(text, "%Y%m%d%H%M%S").replace(tzinfo=BEIJING).timestamp() * 1000)
    if text:
        findings.wrong(name, text, ("YYYYMMDDhhmmss, Beijing time",))
    return None
