"""The image gate: one request in, one answer out, no framework. Finds the dialect, the caller and the body, hands the
intent to the engine, and renders whatever happens in the caller's own dialect.

Cancelling `handle` means the client hung up."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

from msgspec.structs import replace

from imageway.bodies import (
    LiftError,
    Scope,
    Spool,
    SpoolFull,
    boundary_of,
    json_payload,
    lift_json,
    read_form,
)
from imageway.core.access import NO_SCOPE
from imageway.core.blobs import Tree
from imageway.core.errors import GatewayError, InvalidRequest, Problem
from imageway.core.failures import StoreFailed
from imageway.core.ids import new_id
from imageway.core.intents import (
    Answer,
    CancelTask,
    DeleteImage,
    Dialect,
    Estimate,
    FollowTask,
    Generate,
    GrantUpload,
    Inbound,
    Intent,
    ListTasks,
    Outcome,
    ShowImage,
    ShowModel,
    ShowModels,
    ShowTask,
    TaskList,
    TaskView,
    Upload,
    Where,
)
from imageway.core.ports import Random
from imageway.core.requests import Caller
from imageway.core.steps import FormBody
from imageway.engine.acceptance import KeyTaken
from imageway.engine.defaults import meant
from imageway.engine.following import follow
from imageway.engine.models import ModelShelf
from imageway.engine.preparation import with_the_rest
from imageway.engine.replay import Replay, find_earlier, marked
from imageway.engine.service import Engine
from imageway.engine.stored_images import StoredImages
from imageway.server.auth import KeyRing, without_keys
from imageway.server.contents import Contents, bodiless
from imageway.server.contents import Outgoing as Outgoing
from imageway.server.following import NewsStream, unread
from imageway.server.routes import Head as Head
from imageway.server.routes import Match, MethodNotAllowed, RouteTable, served_as
from imageway.server.signing import Seal
from imageway.server.streaming import EventStream
from imageway.server.uploads import Uploads
from imageway.telemetry import events, logger

SANDBOX_LABEL = ("x-imageway-sandbox", "true")
REPLAYED: Final = ("idempotency-replayed", "true")
Chunks = AsyncIterator[bytes]
LookUp = Estimate | ShowModels | ShowModel | ShowTask | ListTasks | CancelTask | DeleteImage | GrantUpload
_BODILESS: Final = (204, 304)
_FORM: Final = "multipart/form-data"
_NOWHERE: Final = Head("GET", "/", {}, {})


@dataclass(slots=True)
class Gate:
    """Everything a request passes on its way to the engine and back. `documents` are JSON that anybody may read."""

    engine: Engine
    shelf: ModelShelf
    uploads: Uploads
    images: StoredImages
    contents: Contents
    keys: KeyRing
    spool: Spool
    random: Random
    dialects: tuple[Dialect, ...]
    request_bytes: int
    heartbeat_s: float = 10.0
    documents: Mapping[str, Callable[[], Tree]] = field(default_factory=dict)
    routes: RouteTable = field(init=False)

    def __post_init__(self) -> None:
        self.routes = RouteTable(self.dialects)

    async def handle(self, head: Head, chunks: Chunks) -> Outgoing:
        """Never raises but CancelledError (the client hung up)."""
        match: Match | None = None
        scope = self.spool.scope()
        try:
            if head.path in self.documents:
                if served_as(head.method) != "GET":
                    raise MethodNotAllowed(head.method, head.path, ("GET",))
                return self._outgoing(Answer(200, self.documents[head.path]()), scope)
            match = self.routes.find(head)
            return await self._serve(head, match, chunks, scope)
        except asyncio.CancelledError:
            scope.release()
            raise
        except GatewayError as error:
            return self._refused(head, match, error, scope)
        except StoreFailed as error:
            logger().error(events.STORE_FAILED, path=head.path, detail=str(error))
            busy = GatewayError("overloaded", "the database does not answer just now", retry_after_s=1)
            return self._refused(head, match, busy, scope)
        except Exception as error:  # noqa: BLE001  # the last wall: a hole of ours is a clean 500, logged whole
            logger().exception(events.REQUEST_CRASHED, path=head.path, exc_info=error)
            return self._refused(
                head, match, GatewayError("internal_error", "the gateway failed on this request"), scope
            )

    async def _serve(self, head: Head, match: Match, chunks: Chunks, scope: Scope) -> Outgoing:
        dialect = match.dialect
        if match.route.public:
            with self.uploads.reading():
                intent = await self._read(head, match, chunks, scope)
                return self._outgoing(dialect.encode(intent, await self._take(intent)), scope)
        caller = await self.keys.caller(dialect.credential(head.headers, head.query))
        if caller.scope is not NO_SCOPE:
            self.keys.admit(caller, dialect.name, head)
        if caller.signed:
            chunks = await self.keys.seal(caller, head, self._counted(chunks))
        try:
            intent = await self._read(head, match, chunks, scope, caller)
        except InvalidRequest as refused:
            raise with_the_rest(self.engine.tools, refused, caller) from None
        if isinstance(intent, Generate):
            serve = self._generate if intent.idempotency_key is None else self._once
            return await serve(dialect, replace(intent, dialect=dialect.name), caller, scope)
        if isinstance(intent, FollowTask):
            if head.method == "HEAD":
                await self.engine.show_task(intent.id, caller)
                return Outgoing(200, self._unkept(), unread(), _finisher(scope, None))
            return await self._follow(dialect, intent, caller, scope)
        if isinstance(intent, ShowImage):
            stored = await self.images.find(intent, caller)
            shown = self.contents.answer(head, stored, stored.expires_ms)
            return replace(shown, headers=(*shown.headers, self._request_id()), finish=_finisher(scope, None))
        outcome = await (self._take(intent) if isinstance(intent, Upload) else self._look_up(intent, caller))
        return self._outgoing(_labelled(dialect.encode(intent, outcome), _pretended(outcome)), scope)

    async def _take(self, intent: Intent) -> Outcome:
        """What proves itself, whoever brings it."""
        if not isinstance(intent, Upload):
            raise TypeError(f"{type(intent).__name__} needs a caller")
        return await self.uploads.take(intent)

    async def _read(
        self, head: Head, match: Match, chunks: Chunks, scope: Scope, caller: Caller | None = None
    ) -> Intent:
        body = await self._body(head, match, chunks, scope) if match.route.method == "POST" else None
        if isinstance(chunks, Seal):
            await chunks.check()
        inbound = Inbound(
            route=match.route.name,
            method=head.method,
            path=head.path,
            params=match.params,
            query=head.query,
            headers=head.headers,
            body=body,
            family_of=self._families(caller),
        )
        return match.dialect.decode(inbound)

    def _families(self, caller: Caller | None) -> Callable[[str], str | None]:
        """Of the models that this caller's names mean."""
        if caller is None or not caller.settings.aliases:
            return self.shelf.family_of
        return lambda name: self.shelf.family_of(meant(caller, name))

    async def _look_up(self, intent: LookUp, caller: Caller) -> Outcome:
        if isinstance(intent, Estimate):
            return self.engine.estimate(intent, caller)
        if isinstance(intent, GrantUpload):
            return self.uploads.grant(intent, caller)
        if isinstance(intent, ShowModels):
            return self.shelf.all(caller)
        if isinstance(intent, ShowModel):
            return self.shelf.one(intent.id, caller)
        if isinstance(intent, ListTasks):
            return await self.engine.list_tasks(intent, caller)
        if isinstance(intent, DeleteImage):
            return await self.images.delete(intent, caller)
        if isinstance(intent, CancelTask):
            return await self.engine.cancel_task(intent.id, caller)
        return await self.engine.show_task(intent.id, caller, intent.wait_s)

    async def _once(self, dialect: Dialect, intent: Generate, caller: Caller, scope: Scope) -> Outgoing:
        """Of those who bring the same key one is served, and the others get what becomes of that."""
        intent = await marked(self.engine, intent, caller)
        while True:
            earlier = await find_earlier(self.engine, intent, caller, scope)
            if earlier is not None:
                return await self._repeat(dialect, earlier, caller)
            try:
                return await self._generate(dialect, intent, caller, scope)
            except KeyTaken:
                continue  # by somebody who was faster

    async def _repeat(self, dialect: Dialect, earlier: Replay, caller: Caller) -> Outgoing:
        intent, scope = earlier.intent, earlier.scope
        if intent.request.stream and dialect.encode_event and not intent.background:
            stream = EventStream(dialect, intent, earlier, self.heartbeat_s)
            payload = await stream.opened()
            return Outgoing(200, (*stream.headers(), REPLAYED), payload, _finisher(scope, None))
        outcome = await (earlier.shown(caller) if intent.background else earlier.outcome())
        answer = _labelled(dialect.encode(intent, outcome), outcome.sandbox)
        return self._outgoing(replace(answer, headers=(*answer.headers, REPLAYED)), scope)

    async def _generate(self, dialect: Dialect, intent: Generate, caller: Caller, scope: Scope) -> Outgoing:
        if intent.background:
            return await self._queue(dialect, intent, caller, scope)
        handle = self.engine.start(intent, caller, scope)

        def finish(complete: bool) -> None:
            if complete:
                self.engine.delivered(handle)
            else:
                self.engine.leave(handle)

        try:
            if intent.request.stream and dialect.encode_event:
                await handle.accepted()
                stream = EventStream(dialect, intent, handle, self.heartbeat_s)
                payload = await stream.opened()
                return Outgoing(200, stream.headers(), payload, _finisher(scope, finish))
            return self._outgoing(dialect.encode(intent, await handle.outcome()), scope, finish)
        except BaseException:  # hung up, refused, or a hole of ours: nobody will receive it
            self.engine.leave(handle)
            raise

    async def _queue(self, dialect: Dialect, intent: Generate, caller: Caller, scope: Scope) -> Outgoing:
        """Whoever hangs up meanwhile is accepted all the same: such a task needs nobody who listens."""
        queueing = asyncio.ensure_future(self.engine.enqueue(intent, caller))
        try:
            view = await asyncio.shield(queueing)
        except asyncio.CancelledError:
            scope.hold()
            queueing.add_done_callback(_unheard)
            queueing.add_done_callback(lambda _: scope.release())
            raise
        outcome = await self.engine.within(intent, view, caller, scope) if intent.wait_s else view
        return self._outgoing(_labelled(dialect.encode(intent, outcome), outcome.sandbox), scope)

    async def _follow(self, dialect: Dialect, intent: FollowTask, caller: Caller, scope: Scope) -> Outgoing:
        """204 tells a browser that has everything not to come again (WHATWG HTML, section 9.2.3)."""
        payload = await NewsStream(dialect, self.heartbeat_s).opened(follow(self.engine, intent, caller))
        if payload is None:
            return self._outgoing(Answer(204, None), scope)
        return Outgoing(200, self._unkept(), payload, _finisher(scope, None))

    def _unkept(self) -> tuple[tuple[str, str], ...]:
        """Headers of events, which nobody on the way may hold back."""
        return (self._request_id(), ("cache-control", "no-cache"), ("x-accel-buffering", "no"))

    async def _body(self, head: Head, match: Match, chunks: Chunks, scope: Scope) -> Tree | FormBody:
        headers = head.headers
        written = headers.get("content-type", "")
        content_type = written.partition(";")[0].strip().lower()
        form = match.route.form and content_type == _FORM
        if not form and content_type not in ("application/json", ""):
            accepted = f"application/json or {_FORM}" if match.route.form else "application/json"
            message = f'the content type "{content_type[:80]}" is not taken here; send {accepted}'
            raise GatewayError("unsupported_content_type", message)
        encoding = headers.get("content-encoding", "").strip().lower()
        if encoding not in ("", "identity"):
            message = f'the content encoding "{encoding[:80]}" is not taken here; send the body as it is'
            raise GatewayError("unsupported_content_type", message)
        length = headers.get("content-length", "")
        if length.isascii() and length.isdigit() and int(length) > self.request_bytes:
            raise self._too_large()
        try:
            if form:
                return await read_form(self._counted(chunks), _boundary(written), scope)
            return await lift_json(self._counted(chunks), scope)
        except LiftError as error:
            if error.code == "body_empty" and match.dialect.schema(match.route.name) is None:
                return None
            raise InvalidRequest(Problem(error.path or None, error.code, error.message)) from None
        except (SpoolFull, OSError) as error:
            logger().error(events.REQUEST_FAILED, path=head.path, detail=f"the body was not kept: {error}")
            raise GatewayError("overloaded", "there is no room for this body just now", retry_after_s=1) from None

    async def _counted(self, chunks: Chunks) -> Chunks:
        size = 0
        async for chunk in chunks:
            size += len(chunk)
            if size > self.request_bytes:
                raise self._too_large()
            yield chunk

    def _too_large(self) -> GatewayError:
        return GatewayError("body_too_large", f"the body is larger than the {self.request_bytes:,} bytes taken here")

    def refuse(self, error: GatewayError) -> Outgoing:
        """An error of a path that is the server's own."""
        return self._refused(_NOWHERE, None, error, self.spool.scope())

    def _refused(self, head: Head, match: Match | None, error: GatewayError, scope: Scope) -> Outgoing:
        dialect = match.dialect if match else self.routes.speaker(head)
        request_id = error.request_id or new_id("req", self.random)
        where = Where(match.route.name, request_id, match.params) if match else Where(None, request_id)
        answer = _labelled(dialect.encode_error(where, without_keys(error)), error.sandbox)
        if error.replayed:
            answer = replace(answer, headers=(*answer.headers, REPLAYED))
        if isinstance(error, MethodNotAllowed):
            answer = replace(answer, headers=(*answer.headers, ("allow", ", ".join(error.methods))))
        return self._outgoing(answer, scope)

    def _outgoing(self, answer: Answer, scope: Scope, finish: Callable[[bool], None] | None = None) -> Outgoing:
        headers, body = answer.headers, answer.body
        if "x-request-id" not in dict(headers):
            name, request_id = self._request_id()
            headers = (*headers, (name, request_id))
            if answer.id_key and isinstance(body, dict):
                body = {**body, answer.id_key: request_id}
        if answer.status in _BODILESS:
            return replace(bodiless(answer.status, headers), finish=_finisher(scope, finish))
        return Outgoing(answer.status, headers, json_payload(body), _finisher(scope, finish))

    def _request_id(self) -> tuple[str, str]:
        return "x-request-id", new_id("req", self.random)


def _labelled(answer: Answer, sandbox: bool) -> Answer:
    """Once, whoever else has thought of it."""
    if not sandbox or SANDBOX_LABEL in answer.headers:
        return answer
    return replace(answer, headers=(*answer.headers, SANDBOX_LABEL))


def _pretended(outcome: Outcome) -> bool:
    """Whether a task that is shown, or one of several, was a pretend upstream's."""
    if isinstance(outcome, TaskList):
        return any(task.sandbox for task in outcome.tasks)
    return isinstance(outcome, TaskView) and outcome.sandbox


def _unheard(queued: asyncio.Task[TaskView]) -> None:
    """Who would have been told of a refusal is gone; a hole of ours is logged all the same."""
    error = None if queued.cancelled() else queued.exception()
    if isinstance(error, StoreFailed):
        logger().error(events.STORE_FAILED, detail=str(error))
    elif error is not None and not isinstance(error, GatewayError):
        logger().exception(events.REQUEST_CRASHED, exc_info=error)


def _finisher(scope: Scope, finish: Callable[[bool], None] | None) -> Callable[[bool], None]:
    def finished(complete: bool) -> None:
        if finish is not None:
            finish(complete)
        scope.release()

    return finished


def _boundary(content_type: str) -> str:
    """Raises InvalidRequest where there is none, or none that could be one."""
    boundary = boundary_of(content_type)
    if boundary is None:
        message = f"the content type of a form names its boundary (RFC 2046): {_FORM}; boundary=…"
        raise InvalidRequest(Problem("Content-Type", "malformed_form", message))
    return boundary
