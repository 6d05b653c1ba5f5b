"""Tasks in this format: how a request asks for one, how it is shown, listed, cancelled and followed."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from typing import Final

from msgspec import Struct

from imageway.core.blobs import Tree
from imageway.core.errors import InvalidRequest
from imageway.core.intents import (
    Answer,
    CancelTask,
    FollowTask,
    Generate,
    Inbound,
    Intent,
    ListTasks,
    ShowTask,
    TaskList,
    TaskNews,
    TaskView,
)
from imageway.core.money import format_usd
from imageway.core.streams import StreamEvent
from imageway.dialects.openai_images.items import item_of, metadata_of
from imageway.dialects.shared.answers import warnings_header, warnings_list
from imageway.dialects.shared.findings import Findings

STATES: Final = ("queued", "running", "succeeded", "failed", "cancelled", "unknown")
MOST_ROWS: Final = 100
USUAL_ROWS: Final = 20
ASK_AGAIN_S: Final = "2"
_SECONDS: Final = re.compile(r"[0-9]{1,6}(\.[0-9]{1,3})?")
_MOMENT: Final = re.compile(r"[0-9]{1,11}")
_CURSOR: Final = re.compile(r"([0-9]{1,15})\.(req_[0-9a-z]{1,64})")
_NUMBER: Final = re.compile(r"[0-9]{1,9}")


class Pace(Struct, frozen=True):
    """How soon the caller wants an answer: a task at once, unless the images come within `wait_s`."""

    background: bool = False
    wait_s: float = 0


def read_pace(inbound: Inbound, asked: bool | None, findings: Findings) -> Pace:
    """`Prefer: respond-async, wait=20` (RFC 7240); a field `async` says it outright and wins."""
    written = inbound.headers.get("prefer")
    if written is None:
        return Pace(bool(asked))
    preferences = _preferences(written)
    background = asked if asked is not None else "respond-async" in preferences
    if "wait" not in preferences:
        return Pace(background)
    text = preferences["wait"]
    if not _SECONDS.fullmatch(text):
        findings.wrong("Prefer", f"wait={text}", ("wait= and seconds",))
        return Pace(background)
    if not background:
        findings.ignored("Prefer", "wait counts only beside respond-async; this answer comes when it is ready")
        return Pace()
    return Pace(background, float(text))


def _preferences(text: str) -> Mapping[str, str]:
    """By name, in lower case; of two of a name the first counts, what follows a semicolon is about it alone."""
    found: dict[str, str] = {}
    for entry in text.split(","):
        name, _, value = entry.partition(";")[0].partition("=")
        found.setdefault(name.strip().lower(), value.strip().strip('"'))
    return found


def read_task(inbound: Inbound) -> Intent:
    """Raises InvalidRequest with every problem."""
    findings, task_id = Findings(), inbound.params.get("id", "")
    intent: Intent
    match inbound.route:
        case "cancel":
            return CancelTask(task_id)
        case "events":
            last = inbound.headers.get("last-event-id", "").strip()
            return FollowTask(task_id, int(last) if _NUMBER.fullmatch(last) else 0)
        case "tasks":
            intent = _list(inbound, findings)
        case _:
            wait = inbound.query.get("wait", "0")
            if not _SECONDS.fullmatch(wait):
                findings.wrong("wait", wait, ("seconds",))
                wait = "0"
            tags = (tag.strip().removeprefix("W/") for tag in inbound.headers.get("if-none-match", "").split(","))
            intent = ShowTask(task_id, float(wait), tuple(tag for tag in tags if tag))
    if findings.problems:
        raise InvalidRequest(*findings.problems)
    return intent


def _list(inbound: Inbound, findings: Findings) -> ListTasks:
    query = inbound.query
    limit, after = query.get("limit", str(USUAL_ROWS)), query.get("after", "")
    if not (_NUMBER.fullmatch(limit) and 1 <= int(limit) <= MOST_ROWS):
        findings.wrong("limit", limit, (f"an integer from 1 to {MOST_ROWS}",))
        limit = str(USUAL_ROWS)
    cursor = _CURSOR.fullmatch(after)
    if after and cursor is None:
        findings.wrong("after", after, ("next_cursor of the page before",))
    states = tuple(state.strip() for state in query.get("status", "").split(",") if state.strip())
    for state in states:
        if state not in STATES:
            findings.wrong("status", state, STATES)
    return ListTasks(
        since_ms=_moment(inbound, "created_after", findings),
        until_ms=_moment(inbound, "created_before", findings),
        states=states,
        model=query.get("model") or None,
        limit=int(limit),
        before=(int(cursor[1]), cursor[2]) if cursor else None,
        counted=False,
    )


def _moment(inbound: Inbound, name: str, findings: Findings) -> int | None:
    text = inbound.query.get(name, "")
    if text and not _MOMENT.fullmatch(text):
        findings.wrong(name, text, ("seconds since 1970",))
        return None
    return int(text) * 1000 if text else None


def encode_task(intent: Intent, task: TaskView) -> Answer:
    """202 for what was accepted and for what was asked to end, 304 for what its caller has already, else 200."""
    body = task_of(task)
    if isinstance(intent, Generate):
        place = (("location", f"/v1/tasks/{task.id}"), ("retry-after", ASK_AGAIN_S))
        applied = (("preference-applied", "respond-async"), ("x-request-id", task.id))
        return Answer(202, body, (*place, *applied, *warnings_header(task.warnings)))
    if isinstance(intent, CancelTask):
        return Answer(202 if task.finished_s is None else 200, body)
    tag = f'"{hashlib.sha256(json.dumps(body, sort_keys=True, default=str).encode()).hexdigest()[:32]}"'
    headers = [("etag", tag), ("cache-control", "private, no-cache")]
    if task.finished_s is None:
        headers.append(("retry-after", ASK_AGAIN_S))
    if isinstance(intent, ShowTask) and {tag, "*"} & {*intent.known}:
        return Answer(304, None, tuple(headers))
    return Answer(200, body, tuple(headers))


def task_of(task: TaskView) -> dict[str, Tree]:
    """`finished` and `error` are null until there is such a thing; `data` is empty once the images are gone, which
    happens at `expires`."""
    error: Tree = None
    if task.error:
        code, message = task.error
        error = {"code": code, "message": message}
    body: dict[str, Tree] = {
        "id": task.id,
        "object": "task",
        "status": task.status,
        "model": task.model,
        "created": task.created_s,
        "started": task.started_ms // 1000 if task.started_ms is not None else None,
        "finished": task.finished_s,
        "expires": task.expires_ms // 1000 or None,
        "data": [item_of(picture) for picture in task.pictures],
        "error": error,
        "price_usd": format_usd(task.price_usd_micros),
    }
    told: dict[str, Tree] = {"metadata": metadata_of(task), "warnings": warnings_list(task.warnings)}
    return body | {name: value for name, value in told.items() if value}


def encode_tasks(page: TaskList) -> Answer:
    """Newest first; `next_cursor` is the `after` of the next page."""
    cursor = f"{page.next[0]}.{page.next[1]}" if page.next else None
    tasks: list[Tree] = [task_of(task) for task in page.tasks]
    return Answer(200, {"object": "list", "data": tasks, "has_more": page.next is not None, "next_cursor": cursor})


def encode_news(news: TaskNews) -> StreamEvent:
    """Numbered but for previews, which are seen once."""
    about: dict[str, Tree] = {"type": news.kind, "id": news.task.id}
    if news.preview is not None:
        about |= {"image": news.preview.image, "partial_image_index": news.preview.index}
        return StreamEvent(about | item_of(news.preview.picture), news.kind)
    if news.kind == "attempt":
        about["attempt"] = news.attempt
    elif news.kind == "completed":
        about |= task_of(news.task)
    return StreamEvent(about | {"status": news.task.status}, news.kind, str(news.number))
