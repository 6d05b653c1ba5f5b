"""Outcomes at MountSea's paths: the receipt of a task, and the task as it is polled, in an older shape and in a newer.
Where there is nothing yet, a member is null."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

from imageway.core.blobs import Tree
from imageway.core.intents import Answer, Generate, Intent, Outcome, ShowTask, TaskView
from imageway.core.requests import Operation
from imageway.core.wording import moment
from imageway.dialects.mountsea.decode import NEWER
from imageway.dialects.mountsea.errors import number_of
from imageway.dialects.mountsea.models import EDITS, MODELS, NAMES, vendor_of
from imageway.dialects.shared.answers import told_beside

ENDED: Final = {"succeeded": "completed", "failed": "failed", "cancelled": "cancelled", "unknown": "timeout"}
LATE: Final = "request_timeout"  # what ended too late, in whatever state of ours
GONE: Final = "link_expired"


def encode(intent: Intent, outcome: Outcome) -> Answer:
    """201 for what was accepted at the older path, else 200."""
    if not isinstance(outcome, TaskView):
        raise TypeError(f"{type(outcome).__name__} is no outcome of this dialect's intents")
    told = told_beside(outcome)
    if isinstance(intent, Generate):
        newer = intent.shape == NEWER
        place = f"/hub/v1/tasks/{outcome.id}" if newer else f"/gemini/task/result?taskId={outcome.id}"
        headers = (("x-request-id", outcome.id), ("location", place), *told)
        if newer:
            receipt = {"task_id": outcome.id, "status": "pending", **_about(outcome)}  # however far it is already
            return Answer(200, receipt, headers)
        return Answer(201, {"taskId": outcome.id}, headers)
    newer = isinstance(intent, ShowTask) and intent.shape == NEWER
    return Answer(200, _newer(outcome) if newer else _older(outcome), told)


def _about(task: TaskView) -> dict[str, Tree]:
    """What the newer path says of a task all along."""
    name, edit = NAMES.get(task.model, task.model), task.operation != Operation.GENERATE
    return {
        "capability": "image",
        "model": name + EDITS if edit and name in MODELS else name,
        "vendor": vendor_of(task.model),
        "mode": "image-to-image" if edit else "text-to-image",
        "created_at": _clock(task.created_ms),
    }


def _older(task: TaskView) -> dict[str, Tree]:
    links: list[Tree] = [picture.url for picture in task.pictures]
    code, message = _problem(task)
    return {
        "taskId": task.id,
        "status": _status(task),
        "result": {"imageUrls": links} if task.status == "succeeded" else None,
        "errorMessage": message,
        "errorCode": number_of(code) if code else None,
        "error": code,
        "createdAt": _clock(task.created_ms),
        "finishedAt": _clock(task.finished_ms),
        "traceId": task.id,
    }


def _newer(task: TaskView) -> dict[str, Tree]:
    images: list[Tree] = [
        {"url": each.url, "content_type": each.media_type, "width": each.width, "height": each.height}
        for each in task.pictures
    ]
    code, message = _problem(task)
    return {
        "task_id": task.id,
        "status": {"ready": "pending", "assigned": "processing"}.get(_status(task), _status(task)),
        "ready": task.finished_ms is not None,
        **_about(task),
        "data": {"images": images} if task.status == "succeeded" else None,
        "elapsed_ms": None if task.finished_ms is None else task.finished_ms - task.created_ms,
        "error_code": number_of(code) if code else None,
        "error_message": message,
        "error": code,
    }


def _status(task: TaskView) -> str:
    """What waits is pending, or ready again after it had been begun; what runs is assigned until something is tried."""
    if task.status in ENDED:
        late = task.status == "failed" and task.error is not None and task.error[0] == LATE
        return "timeout" if late else ENDED[task.status]
    waits, begun = task.status == "queued", task.attempts > 0
    return ("ready" if begun else "pending") if waits else ("processing" if begun else "assigned")


def _problem(task: TaskView) -> tuple[str | None, str | None]:
    """(code, message) of what ended without images, or has none any more. Who cancelled has made no mistake."""
    if task.status == "cancelled":
        return None, task.error[1] if task.error else None
    if task.status == "succeeded" and not task.pictures:
        return GONE, f"the images were kept until {moment(task.expires_ms)}, or were deleted before"
    return task.error or (None, None)


def _clock(at_ms: int | None) -> str | None:
    """`2026-11-20T08:44:13.512Z`"""
    if at_ms is None:
        return None
    return datetime.fromtimestamp(at_ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
