"""Outcomes in this format: a conversation's answer, a task as it is polled, a page of tasks."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Final

from imageway.core.blobs import Tree
from imageway.core.intents import (
    Answer,
    CancelTask,
    Generate,
    Generated,
    Intent,
    Outcome,
    Picture,
    TaskList,
    TaskView,
    Uploaded,
    UploadGrant,
)
from imageway.dialects.dashscope.errors import NOT_CANCELLED, code_of
from imageway.dialects.dashscope.listing import BEIJING, STATUSES
from imageway.dialects.dashscope.uploads import granted
from imageway.dialects.shared.answers import told, told_beside

RUNNING: Final = ("PENDING", "RUNNING")
ID_KEY: Final = "request_id"
REGION: Final = "cn-beijing"  # the provider's word for where; there is but one place here


def encode(intent: Intent, outcome: Outcome) -> Answer:
    """The answer for an outcome: 200, but for a task that was not cancelled. Only a generation, and a task that was
    just accepted, know their request id."""
    match outcome:
        case Generated():
            return Answer(200, _generated(outcome), told(outcome))
        case TaskView() if isinstance(intent, Generate):
            headers = (("x-request-id", outcome.id), ("location", f"/api/v1/tasks/{outcome.id}"), *told_beside(outcome))
            receipt: Tree = {"task_status": "PENDING", "task_id": outcome.id}  # however far it is already
            return Answer(200, {"output": receipt, "request_id": outcome.id}, headers)
        case TaskView() if isinstance(intent, CancelTask):
            return _cancelled(outcome)
        case TaskView():
            return Answer(200, _task(outcome), told_beside(outcome), ID_KEY)
        case TaskList():
            return Answer(200, _page(outcome), id_key=ID_KEY)
        case UploadGrant():
            return granted(outcome)
        case Uploaded():
            return Answer(200, {"name": outcome.name}, id_key=ID_KEY)
    raise TypeError(f"{type(outcome).__name__} is no outcome of this dialect's intents")


def _generated(outcome: Generated) -> dict[str, Tree]:
    count, missing = len(outcome.pictures), len(outcome.missing)
    output: dict[str, Tree] = {
        "choices": _choices(outcome.pictures, outcome.text),
        "task_metric": {"TOTAL": count + missing, "SUCCEEDED": count, "FAILED": missing},
    }
    first = outcome.pictures[0]
    usage: dict[str, Tree] = {"width": first.width, "height": first.height, "image_count": count}
    if outcome.usage is not None:
        usage |= {"input_tokens": outcome.usage.input, "output_tokens": outcome.usage.output}
    return {"output": output, "usage": usage, "request_id": outcome.request_id}


def _choices(pictures: Iterable[Picture], text: str | None = None) -> list[Tree]:
    content: list[Tree] = [{"image": picture.url} for picture in pictures]
    if text:
        content.append({"text": text})
    return [{"finish_reason": "stop", "message": {"role": "assistant", "content": content}}]


def _task(task: TaskView) -> dict[str, Tree]:
    """With `results` as older models' tasks have them, and `choices` as newer ones'. What is no longer kept is unknown,
    as the provider has it after a day."""
    status = STATUSES[task.status]
    if status == "SUCCEEDED" and not task.pictures:
        return {"output": {"task_id": task.id, "task_status": "UNKNOWN"}}
    count = len(task.pictures)
    failed = len(task.missing) if count else 0 if status in RUNNING else task.requested
    output = _state(task)
    if status == "SUCCEEDED":
        output |= {"results": _results(task), "choices": _choices(task.pictures), "finished": True}
    elif task.error is not None and status != "CANCELED":
        code, message = task.error
        output |= {"code": code_of(code), "message": message}
    output["task_metrics"] = {"TOTAL": count + failed or task.requested, "SUCCEEDED": count, "FAILED": failed}
    return {"output": output, "usage": {"image_count": count}} if count else {"output": output}


def _state(task: TaskView) -> dict[str, Tree]:
    moments = {"submit_time": task.created_ms, "scheduled_time": task.started_ms, "end_time": task.finished_ms}
    times: dict[str, Tree] = {name: _clock(at_ms) for name, at_ms in moments.items() if at_ms is not None}
    return {"task_id": task.id, "task_status": STATUSES[task.status], **times}


def _clock(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms / 1000, BEIJING).isoformat(" ", "milliseconds").partition("+")[0]


def _results(task: TaskView) -> list[Tree]:
    made = [(("actual_prompt", picture.revised_prompt), ("url", picture.url)) for picture in task.pictures]
    lost = [(("code", code_of(each.code)), ("message", each.message)) for each in task.missing]
    return [{name: text for name, text in fields if text} for fields in (*made, *lost)]


def _cancelled(task: TaskView) -> Answer:
    """Only what had not begun can be cancelled."""
    if task.status == "cancelled":
        return Answer(200, {}, id_key=ID_KEY)
    return Answer(400, {"code": code_of("task_not_found"), "message": NOT_CANCELLED}, id_key=ID_KEY)


def _page(tasks: TaskList) -> dict[str, Tree]:
    """In `data` as the documents have it; in `tasks`, like polls, as the newer of the official clients reads it."""
    return {
        "total": tasks.total,
        "data": [_row(task) for task in tasks.tasks],
        "tasks": [_state(task) for task in tasks.tasks],
        "total_page": -(-tasks.total // tasks.limit),
        "page_no": tasks.skip // tasks.limit + 1,
        "page_size": tasks.limit,
    }


def _row(task: TaskView) -> Tree:
    times = {"gmt_create": task.created_ms, "start_time": task.started_ms, "end_time": task.finished_ms}
    known: dict[str, Tree] = {name: at_ms for name, at_ms in times.items() if at_ms is not None}
    named: dict[str, Tree] = {"task_id": task.id, "request_id": task.id, "status": STATUSES[task.status]}
    return named | {"model_name": task.model, "region": REGION} | known
