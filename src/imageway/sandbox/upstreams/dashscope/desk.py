"""The desk where tasks are handed in, looked up, listed and cancelled."""

from __future__ import annotations

import math

from imageway.sandbox.answers import Json
from imageway.sandbox.orders import Incoming, Twist
from imageway.sandbox.studio import is_forbidden_output
from imageway.sandbox.upstreams.dashscope.painting import Painter, Ticket
from imageway.sandbox.upstreams.dashscope.results import output_of, usage_of
from imageway.sandbox.upstreams.dashscope.tasks import PENDING_S, RUNNING_S, Task, TaskList
from imageway.sandbox.upstreams.dashscope.words import OUTPUT_BLOCKED, Speaker
from imageway.sandbox.wire import SandboxAnswer


class TaskDesk:
    def __init__(self, speaker: Speaker) -> None:
        self._speaker = speaker
        self._tasks = TaskList()

    def take(self, ticket: Ticket, key: str, twist: Twist, painter: Painter) -> SandboxAnswer:
        """Files a task and gives its receipt."""

        async def draw() -> list[str]:
            return [] if twist.empty else await painter.draw(ticket)

        now_s = self._tasks.now_s()
        task = Task(
            id=self._speaker.new_id(),
            key=key,
            ticket=ticket,
            submitted=self._tasks.now(),
            submitted_s=now_s,
            due_s=now_s + PENDING_S + RUNNING_S + twist.late_s,
            draw=draw,
            failure=("DataInspectionFailed", OUTPUT_BLOCKED) if is_forbidden_output(ticket.draft.prompt) else None,
        )
        self._tasks.add(task)
        return self._speaker.success({"output": {"task_status": "PENDING", "task_id": task.id}})

    async def answer(self, incoming: Incoming, key: str) -> SandboxAnswer:
        """Everything below /tasks; 404 for the rest."""
        match incoming.method, incoming.path.strip("/").split("/"):
            case "GET", ["tasks"]:
                return self._list(incoming, key)
            case "GET", ["tasks", task_id]:
                return await self._show(task_id, key)
            case "POST", ["tasks", task_id, "cancel"]:
                return self._cancel(task_id, key)
        return self._speaker.error(404, "InvalidURL", "The requested URL does not exist.")

    async def _show(self, task_id: str, key: str) -> SandboxAnswer:
        task = self._tasks.find(task_id, key)
        if task is None:
            return self._speaker.success({"output": {"task_id": task_id, "task_status": "UNKNOWN"}})
        status = task.status(self._tasks.now_s())
        output: dict[str, Json] = {"task_id": task_id, "task_status": status, "submit_time": task.time_text(0)}
        count = task.ticket.draft.count
        if status != "PENDING":
            output["scheduled_time"] = task.time_text(PENDING_S)
        if status not in ("SUCCEEDED", "FAILED"):
            done = {"TOTAL": count, "SUCCEEDED": 0, "FAILED": 0}
            return self._speaker.success({"output": {**output, "task_metrics": done}})
        output["end_time"] = task.time_text(task.took_s)
        if task.failure is not None:
            code, message = task.failure
            failed = {"TOTAL": count, "SUCCEEDED": 0, "FAILED": count}
            return self._speaker.success(
                {"output": {**output, "code": code, "message": message, "task_metrics": failed}}
            )
        return await self._finished(task, output)

    async def _finished(self, task: Task, output: dict[str, Json]) -> SandboxAnswer:
        """The legacy way lists results, the newer one choices as the synchronous answer does."""
        urls = await task.finish()
        draft = task.ticket.draft
        metrics: Json = {"TOTAL": draft.count, "SUCCEEDED": len(urls), "FAILED": 0}
        if "legacy" not in draft.model.family.ways:
            merged: Json = {**output, **output_of(task.ticket, urls), "task_metrics": metrics}
            return self._speaker.success({"output": merged, "usage": usage_of(task.ticket, len(urls))})
        prompts: dict[str, Json] = {"orig_prompt": draft.prompt}
        if draft.extend:
            prompts["actual_prompt"] = draft.prompt
        results: Json = [{**prompts, "url": url} for url in urls]
        listed: Json = {**output, "results": results, "task_metrics": metrics}
        return self._speaker.success({"output": listed, "usage": {"image_count": len(urls)}})

    def _list(self, incoming: Incoming, key: str) -> SandboxAnswer:
        number, size = (
            _natural(incoming.query.get("page_no"), 1),
            min(_natural(incoming.query.get("page_size"), 10), 100),
        )
        found = self._tasks.of(key, incoming.query.get("status"))
        rows: Json = [self._row(task) for task in found[(number - 1) * size : number * size]]
        pages = math.ceil(len(found) / size)
        return self._speaker.success(
            {"data": rows, "total": len(found), "total_page": pages, "page_no": number, "page_size": size}
        )

    def _row(self, task: Task) -> Json:
        status = task.status(self._tasks.now_s())
        submitted_ms = int(task.submitted.timestamp() * 1000)
        return {
            "task_id": task.id,
            "status": status,
            "model_name": task.ticket.draft.model.id,
            "region": "cn-beijing",
            "gmt_create": submitted_ms,
            "start_time": submitted_ms + int(PENDING_S * 1000),
        }

    def _cancel(self, task_id: str, key: str) -> SandboxAnswer:
        task = self._tasks.find(task_id, key)
        if task is None or task.status(self._tasks.now_s()) != "PENDING":
            message = "Failed to cancel the task, please confirm if the task is in PENDING status."
            return self._speaker.error(400, "UnsupportedOperation", message)
        task.cancelled = True
        return self._speaker.success({})


def _natural(text: str | None, default: int) -> int:
    return int(text) if text and text.isdigit() and int(text) > 0 else default
