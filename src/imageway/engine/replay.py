"""A request that comes again under its Idempotency-Key gets what became of the first one: the images from the media
store, the error of an unknown outcome, or a place beside those who wait. All it knows is durable, so that any process
can tell it. Nothing is held, sent or charged here."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from itertools import count
from typing import Final

from msgspec.structs import replace

from imageway.bodies import Scope, digest
from imageway.catalog.checking import images_of
from imageway.core.errors import GatewayError, Problem
from imageway.core.intents import Arrived, Event, Finished, Generate, Generated, TaskView
from imageway.core.requests import Caller, ImageRequest, RequestWarning
from imageway.engine.acceptance import expired_claims_ms
from imageway.engine.fingerprints import blobs_of, differences, fingerprint
from imageway.engine.memos import unpack_task
from imageway.engine.outcomes import answer_of, ended_badly
from imageway.engine.preparation import find_model
from imageway.engine.results import view_of
from imageway.engine.service import Engine
from imageway.routing import candidates
from imageway.tasks.queries import FindClaim, ShowTask, Task

FREED: Final = ("failed", "cancelled")  # ends that bind nobody: sending such a request again is an honest retry
LOOK_AGAIN_S: Final = 5.0  # whatever was or was not told
LATE_S: Final = 60.0  # after its deadline a task is ended by whoever notices
HEADER: Final = "Idempotency-Key"


@dataclass(frozen=True, slots=True)
class Replay:
    """One who asks again; `task` is the first one's as it was found. The scope takes the bytes of the images."""

    engine: Engine
    task: Task
    intent: Generate
    scope: Scope

    @property
    def id(self) -> str:
        return self.task.id

    @property
    def warnings(self) -> tuple[RequestWarning, ...]:
        """What is certain by now not to be honoured."""
        return self._view(self.task).warnings or unpack_task(self.task.request).warnings

    @property
    def seeds(self) -> tuple[int, ...]:
        """Of the images that came by now."""
        return self._view(self.task).seeds

    @property
    def sandbox(self) -> bool:
        """Whether a pretend upstream may have part in it."""
        tools = self.engine.tools
        if self.task.attempts or self.task.model not in tools.catalog.models:
            return self._view(self.task).sandbox
        sellers = candidates(tools.catalog.models[self.task.model], tools.upstreams)
        return any(seller.upstream.sandbox for seller in sellers)

    async def outcome(self) -> Generated:
        """The answer, in the form that is asked for now, as soon as there is one. Raises the GatewayError that the task
        ended with; 410 when its images are gone; 503 and 504 for a wait that comes to nothing."""
        return await self._answer(await self._ended())

    async def events(self) -> AsyncGenerator[Event, None]:
        """Every image of the answer, then Finished. Raises as `outcome` does."""
        answer = await self.outcome()
        lost = {missing.place for missing in answer.missing}
        places = (place for place in count() if place not in lost)
        model, created_s = answer.model, answer.created_s
        for image, (picture, place) in enumerate(zip(answer.pictures, places, strict=False)):
            yield Arrived(image=image, picture=picture, model=model, created_s=created_s, place=place)
        yield Finished(answer)

    async def shown(self, caller: Caller) -> Generated | TaskView:
        """The task as it stands, for who does not wait; its answer, if it comes within the time he gives it."""
        now = await self.engine.show_task(self.id, caller, self.intent.wait_s)
        if now.finished_ms is None or not self.intent.wait_s:
            return replace(now, warnings=now.warnings or self.warnings, sandbox=now.sandbox or self.sandbox)
        return await self._answer(await self._read())

    async def _ended(self) -> Task:
        """The task once it is final, whoever runs it."""
        tools, task = self.engine.tools, self.task
        clock = tools.clock
        left_s = (task.deadline_ms - clock.now_ms()) / 1000 + LATE_S
        until_s = clock.monotonic_s() + min(left_s, self.intent.deadline_s or left_s)
        with tools.watch.following(self.id) as watcher:
            while task.finished_ms is None:
                if self.engine.closing:
                    raise _come_again("this gateway is being stopped")
                if (left_s := until_s - clock.monotonic_s()) <= 0:
                    raise _come_again(f"request {self.id} is still {task.state}")
                await watcher.news(min(left_s, LOOK_AGAIN_S))
                task = await self._read()
        return task

    async def _answer(self, task: Task) -> Generated:
        view = self._view(task)
        try:
            if task.state != "succeeded" or view.error:
                raise ended_badly(view, sandbox=view.sandbox)
            form = self.intent.form
            return await answer_of(self.engine.tools, task, self.scope, sandbox=view.sandbox, form=form)
        except GatewayError as error:
            error.request_id, error.sandbox, error.replayed = self.id, view.sandbox, True
            raise

    async def _read(self) -> Task:
        return await self.engine.tools.store.read(ShowTask(self.id)) or self.task

    def _view(self, task: Task) -> TaskView:
        tools = self.engine.tools
        return view_of(task, tools.signer, tools.clock.now_ms(), tools.pretend)


async def marked(engine: Engine, intent: Generate, caller: Caller) -> Generate:
    """The intent with its fingerprint. Raises GatewayError 404 and 403 for its model."""
    model, _ = find_model(engine.tools, intent.request.model, caller)
    blobs = {id(blob): blob for blob in blobs_of(intent.request)}
    digests = dict(zip(blobs, await asyncio.gather(*map(digest, blobs.values())), strict=True)) if blobs else {}
    return replace(intent, fingerprint=fingerprint(model.id, intent.request, intent.webhook, digests))


async def find_earlier(engine: Engine, intent: Generate, caller: Caller, scope: Scope) -> Replay | None:
    """What became of a request under the key of this one, which is `marked`; None when there is none that binds. Raises
    GatewayError: 422 when it asked for something else, 409 when it runs and this caller does not want to wait."""
    tools, key = engine.tools, intent.idempotency_key
    claim = await tools.store.read(FindClaim(caller.workspace_id, key)) if key else None
    if claim is None or claim.at_ms <= expired_claims_ms(tools, tools.clock.now_ms()):
        return None
    task = await tools.store.read(ShowTask(claim.task_id, caller.workspace_id))
    if task is None or task.state in FREED:
        return None
    if claim.fingerprint != intent.fingerprint:
        raise _another(intent.request, task.id, claim.fingerprint, intent.fingerprint)
    if intent.reject_running and task.finished_ms is None:
        message = f"request {task.id} under this {HEADER} is still {task.state}"
        error = GatewayError("idempotency_key_in_use", message, param=HEADER, retry_after_s=1)
        error.resend_override = True
        raise error
    return Replay(engine, task, intent, scope)


def _another(request: ImageRequest, task_id: str, first: bytes, second: bytes) -> GatewayError:
    """Names what differs, and tells nobody what it was."""
    found = (_param(request, name) for name in differences(first, second)) if first else ()
    names = [*dict.fromkeys(name for name in found if name)] or ["the request"]
    told = f"{', '.join(names)} {'differs' if len(names) == 1 else 'differ'}"
    message = f"this {HEADER} was used by request {task_id} for another request: {told}"
    accepted = "the same request, or a new key"
    details = tuple(Problem(name, "idempotency_key_reused", f"{name} differs", (accepted,)) for name in names)
    return GatewayError("idempotency_key_reused", message, param=HEADER, details=details)


def _param(request: ImageRequest, name: str) -> str | None:
    """As the caller writes it, where he does. What is done may follow from what came, and have no field of its own."""
    if name.startswith("images["):
        images, number = images_of(request), int(name[7:-1])
        return images[number].param if number < len(images) else request.param("images")
    if name == "mask" and request.mask is not None:
        return request.mask.param
    return request.named(name) if name == "operation" else request.param(name)


def _come_again(why: str) -> GatewayError:
    message = f"{why}; send the request again with the same {HEADER}"
    return GatewayError("overloaded", message, retry_after_s=1)
