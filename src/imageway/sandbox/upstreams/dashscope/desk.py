"""The desk where tasks are handed in, looked up, listed and cancelled."""

from __future__ import annotations

import math
import uuid
from collections.abc import Mapping
from dataclasses import replace
from datetime import MAXYEAR, MINYEAR, datetime, timedelta

from imageway.sandbox.answers import Json
from imageway.sandbox.cabinets import Cabinet
from imageway.sandbox.orders import Incoming, Refusal
from imageway.sandbox.reading import natural
from imageway.sandbox.studio import is_forbidden_output
from imageway.sandbox.upstreams.dashscope.checks import Checker, Draft
from imageway.sandbox.upstreams.dashscope.painting import NOT_DOWNLOADED, Painter, Ticket
from imageway.sandbox.upstreams.dashscope.records import Record
from imageway.sandbox.upstreams.dashscope.results import output_of, usage_of
from imageway.sandbox.upstreams.dashscope.tasks import (
    BEIJING,
    PENDING_S,
    Finished,
    Task,
    TaskList,
    loop_time,
    moment,
    now_s,
)
from imageway.sandbox.upstreams.dashscope.words import ITEM_BROKEN, OUTPUT_BLOCKED, Speaker
from imageway.sandbox.wire import SandboxAnswer


class TaskDesk:
    """`cabinet`: where tasks outlive this process; None: they end with it."""

    def __init__(self, speaker: Speaker, painter: Painter, cabinet: Cabinet | None = None) -> None:
        self._speaker = speaker
        self._painter = painter
        self._lasting = cabinet is not None
        self._tasks = TaskList(cabinet, self._restore)

    async def take(self, record: Record, draft: Draft) -> SandboxAnswer:
        """Files a task and gives its receipt. Raises NotKept."""
        # The ids of one seed are the same in every process; a lasting task needs one of its own.
        task_id = str(uuid.uuid4()) if self._lasting else self._speaker.new_id()
        await self._tasks.add(self._task(task_id, record, draft), record)
        return self._speaker.success({"output": {"task_status": "PENDING", "task_id": task_id}})

    def _restore(self, task_id: str, record: Record) -> Task | None:
        """A task that another process took; None when its body does not hold any more."""
        try:
            draft = Checker(record.body, self._speaker, record.way).check()
        except Refusal:
            return None
        return self._task(task_id, record, draft)

    def _task(self, task_id: str, record: Record, draft: Draft) -> Task:
        """Its inputs are read when the picture is drawn: pixels would take ten times their room until then."""
        failure, urls = _failure(draft, record), draft.image_urls
        draft = replace(draft, seed=record.seed, image_urls=())
        twist, owner, origin = record.twist, record.owner, record.origin

        async def draw() -> Finished:
            ticket, lost = Ticket(draft, await self._painter.read(urls, owner), origin), int(twist.item_failed)
            drawn = [] if twist.empty else await self._painter.draw(ticket, lost)
            return Finished(ticket.without_pixels(), drawn, 0 if twist.empty else lost)

        return Task(
            id=task_id,
            owner=owner,
            draft=draft,
            submitted=moment(record.submitted_s),
            submitted_s=loop_time(record.submitted_s),
            late_s=twist.late_s,
            draw=None if failure else draw,
            input_bytes=0 if failure else sum(map(len, urls)),
            failure=failure,
            cancelled=record.cancelled,
        )

    async def answer(self, incoming: Incoming, owner: str) -> SandboxAnswer:
        """Everything below /tasks; 404 for the rest. Raises NotKept."""
        match incoming.method, incoming.path.strip("/").split("/"):
            case "GET", ["tasks"]:
                return await self._list(incoming, owner)
            case "GET", ["tasks", task_id]:
                return await self._show(task_id, owner)
            case "POST", ["tasks", task_id, "cancel"]:
                return await self._cancel(task_id, owner)
        return self._speaker.error(404, "InvalidURL", "The requested URL does not exist.")

    async def _show(self, task_id: str, owner: str) -> SandboxAnswer:
        task = await self._tasks.find(task_id, owner)
        if task is None:
            return self._speaker.success({"output": {"task_id": task_id, "task_status": "UNKNOWN"}})
        status = await self._status(task)
        output: dict[str, Json] = {"task_id": task_id, "task_status": status, "submit_time": task.time_text(0)}
        count = task.draft.count
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

    async def _status(self, task: Task) -> str:
        """Of a task that is drawn by now, if it is due. One whose inputs are gone has failed."""
        status = task.status(now_s())
        if status == "SUCCEEDED":
            try:
                await task.finish()
            except Refusal:
                task.failure = "BadRequest.InputDownloadFailed", NOT_DOWNLOADED
                return "FAILED"
        return status

    async def _finished(self, task: Task, output: dict[str, Json]) -> SandboxAnswer:
        """The legacy way and edits list results, the newer one choices as the synchronous answer does."""
        finished = await task.finish()
        draft, urls, lost = task.draft, finished.urls, finished.lost
        metrics: Json = {"TOTAL": draft.count, "SUCCEEDED": len(urls), "FAILED": lost}
        broken: list[Json] = [{**ITEM_BROKEN}] * lost
        if draft.model.family.ways == ["edit"]:
            edited: Json = {**output, "results": [*({"url": url} for url in urls), *broken], "task_metrics": metrics}
            return self._speaker.success({"output": edited, "usage": {"image_count": len(urls)}})
        if "legacy" not in draft.model.family.ways:
            merged: Json = {**output, **output_of(finished.ticket, urls, lost), "task_metrics": metrics}
            return self._speaker.success({"output": merged, "usage": usage_of(finished.ticket, len(urls))})
        prompts: dict[str, Json] = {"orig_prompt": draft.prompt}
        if draft.extend:
            prompts["actual_prompt"] = draft.prompt
        results: Json = [*({**prompts, "url": url} for url in urls), *broken]
        listed: Json = {**output, "results": results, "task_metrics": metrics}
        return self._speaker.success({"output": listed, "usage": {"image_count": len(urls)}})

    async def _list(self, incoming: Incoming, owner: str) -> SandboxAnswer:
        query = incoming.query
        number, size = natural(query.get("page_no")) or 1, min(natural(query.get("page_size")) or 10, 100)
        since, until = _span(query)
        found = [
            task
            for task in await self._tasks.of(owner, query.get("status"))
            if query.get("model_name") in (None, task.draft.model.id)
            and (since is None or since <= task.submitted <= until)
        ]
        rows: Json = [self._row(task) for task in found[(number - 1) * size : number * size]]
        pages = math.ceil(len(found) / size)
        return self._speaker.success(
            {"total": len(found), "data": rows, "total_page": pages, "page_no": number, "page_size": size}
        )

    def _row(self, task: Task) -> Json:
        """Times in milliseconds; one that was not yet is not there."""
        status, model = task.status(now_s()), task.draft.model
        submitted_ms = int(task.submitted.timestamp() * 1000)
        row: dict[str, Json] = {
            "api_key_id": task.owner[:6],
            "caller_parent_id": task.owner[:16],
            "caller_uid": task.owner[:16],
            "gmt_create": submitted_ms,
            "model_name": model.id,
            "region": "cn-beijing",
            "request_id": task.id,
            "status": status,
            "task_id": task.id,
            "user_api_unique_key": f"apikey:v1:aigc:{SERVICES[model.family.ways[-1]]}:{model.id}",
        }
        if status not in ("PENDING", "CANCELED"):
            row["start_time"] = submitted_ms + int(PENDING_S * 1000)
        if status in ("SUCCEEDED", "FAILED"):
            row["end_time"] = submitted_ms + int(task.took_s * 1000)
        return row

    async def _cancel(self, task_id: str, owner: str) -> SandboxAnswer:
        task = await self._tasks.find(task_id, owner)
        if task is None or task.status(now_s()) != "PENDING":
            message = "Failed to cancel the task, please confirm if the task is in PENDING status."
            return self._speaker.error(400, "UnsupportedOperation", message)
        await self._tasks.cancel(task)
        return self._speaker.success({})


SERVICES = {
    "legacy": "text2image:image-synthesis",
    "task": "image-generation:generation",
    "edit": "image2image:image-synthesis",
}
DAY = timedelta(days=1)


def _failure(draft: Draft, record: Record) -> tuple[str, str] | None:
    """Why a task fails as a whole: (code, message)."""
    if is_forbidden_output(draft.prompt):
        return "DataInspectionFailed", OUTPUT_BLOCKED
    alone = record.twist.item_failed and draft.count == 1
    return (ITEM_BROKEN["code"], ITEM_BROKEN["message"]) if alone else None


def _span(query: Mapping[str, str]) -> tuple[datetime | None, datetime]:
    """From when to when, by the provider's clock; where one end is missing, a day from the other. None: no limit."""
    since, until = (_moment(query.get(name)) for name in ("start_time", "end_time"))
    if since is None:
        return (until - DAY, until) if until else (None, datetime.max.replace(tzinfo=BEIJING))
    return since, until or since + DAY


def _moment(text: str | None) -> datetime | None:
    """Of a year that has a day before and one after it."""
    try:
        found = datetime.strptime(text or "", "%Y%m%d%H%M%S").replace(tzinfo=BEIJING)
    except ValueError:
        return None
    return found if MINYEAR < found.year < MAXYEAR else None
