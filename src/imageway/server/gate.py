"""The image gate: one request in, one answer out, no framework. Finds the dialect, the caller and the body, hands the
intent to the engine, and renders whatever happens in the caller's own dialect.

Cancelling `handle` means the client hung up."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from imageway.bodies import LiftError, LiftLimits, Payload, Scope, Spool, SpoolFull, json_payload, lift_json
from imageway.core.blobs import Tree
from imageway.core.errors import GatewayError, InvalidRequest, Problem
from imageway.core.failures import StoreFailed
from imageway.core.ids import new_id
from imageway.core.intents import (
    Answer,
    Dialect,
    Estimate,
    Generate,
    Inbound,
    Outcome,
    Route,
    ShowModel,
    ShowModels,
    ShowTask,
    Where,
)
from imageway.core.ports import Random
from imageway.core.requests import Caller
from imageway.engine.models import ModelShelf
from imageway.engine.preparation import with_the_rest
from imageway.engine.runs import TaskHandle
from imageway.engine.service import Engine
from imageway.server.auth import KeyRing
from imageway.telemetry import events, logger

SANDBOX_LABEL = ("x-imageway-sandbox", "true")
Chunks = AsyncIterator[bytes]
LookUp = Estimate | ShowModels | ShowModel | ShowTask
_NAMED: Final = re.compile(r"\{[^}]*\}")
_TOLD_PATH_CHARS: Final = 200


@dataclass(frozen=True, slots=True)
class Head:
    """Header names are lower case; query values are the last of each name."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A rendered answer. Call `finish(True)` when the last byte has left, `finish(False)` when it could not."""

    status: int
    headers: tuple[tuple[str, str], ...]
    payload: Payload
    finish: Callable[[bool], None]


@dataclass(frozen=True, slots=True)
class Match:
    dialect: Dialect
    route: Route
    params: Mapping[str, str]


class RouteTable:
    """Paths to dialects. Two dialects that claim one (method, path) are a mistake that shows at start."""

    def __init__(self, dialects: tuple[Dialect, ...]) -> None:
        self._exact: dict[str, dict[str, Match]] = {}
        self._patterns: list[tuple[tuple[str, ...], Match]] = []
        self._claims: set[tuple[str, str]] = set()
        for dialect in dialects:
            for route in dialect.routes:
                self._add(dialect, route)

    def _add(self, dialect: Dialect, route: Route) -> None:
        claim = (route.method, _NAMED.sub("{}", route.path))  # whatever a segment is called, it matches the same
        if claim in self._claims:
            raise ValueError(f'"{dialect.name}" and another dialect both claim {route.method} {route.path}')
        self._claims.add(claim)
        match = Match(dialect, route, {})
        if "{" in route.path:
            self._patterns.append((tuple(route.path.split("/")), match))
        else:
            self._exact.setdefault(route.path, {})[route.method] = match

    def owns(self, path: str) -> bool:
        return path in self._exact or any(True for _ in self._matching(path))

    def find(self, method: str, path: str) -> Match:
        """Raises GatewayError 404 or 405."""
        methods = self._exact.get(path)
        if methods is None:
            methods = {match.route.method: match for match in self._matching(path)}
        if not methods:
            raise GatewayError("not_found", f'there is nothing at "{path[:_TOLD_PATH_CHARS]}"')
        if method not in methods:
            told = path[:_TOLD_PATH_CHARS]
            raise GatewayError("method_not_allowed", f'"{method}" is not for {told}; use {", ".join(methods)}')
        return methods[method]

    def _matching(self, path: str) -> list[Match]:
        segments = path.split("/")
        found = []
        for pattern, match in self._patterns:
            params = _params(pattern, segments)
            if params is not None:
                found.append(Match(match.dialect, match.route, params))
        return found


def _params(pattern: tuple[str, ...], segments: list[str]) -> dict[str, str] | None:
    if len(pattern) != len(segments):
        return None
    params = {}
    for expected, segment in zip(pattern, segments, strict=True):
        if expected.startswith("{"):
            if not segment:
                return None
            params[expected[1:-1]] = segment
        elif expected != segment:
            return None
    return params


@dataclass(slots=True)
class Gate:
    """Everything a request passes on its way to the engine and back."""

    engine: Engine
    shelf: ModelShelf
    keys: KeyRing
    spool: Spool
    random: Random
    dialects: tuple[Dialect, ...]
    request_bytes: int
    routes: RouteTable = field(init=False)

    def __post_init__(self) -> None:
        self.routes = RouteTable(self.dialects)

    async def handle(self, head: Head, chunks: Chunks) -> Outgoing:
        """Never raises but CancelledError (the client hung up)."""
        match: Match | None = None
        scope = self.spool.scope()
        try:
            match = self.routes.find(head.method, head.path)
            return await self._serve(head, match, chunks, scope)
        except asyncio.CancelledError:
            scope.release()
            raise
        except GatewayError as error:
            return self._refused(match, error, scope)
        except StoreFailed as error:
            logger().error(events.STORE_FAILED, path=head.path, detail=str(error))
            busy = GatewayError("overloaded", "the database does not answer just now", retry_after_s=1)
            return self._refused(match, busy, scope)
        except Exception as error:  # noqa: BLE001  # the last wall: a hole of ours is a clean 500, logged whole
            logger().exception(events.REQUEST_CRASHED, path=head.path, exc_info=error)
            return self._refused(match, GatewayError("internal_error", "the gateway failed on this request"), scope)

    async def _serve(self, head: Head, match: Match, chunks: Chunks, scope: Scope) -> Outgoing:
        caller = await self.keys.caller(match.dialect.credential(head.headers, head.query))
        body = await self._body(head, chunks, scope) if match.route.method == "POST" else None
        inbound = Inbound(
            route=match.route.name,
            method=head.method,
            path=head.path,
            params=match.params,
            query=head.query,
            headers=head.headers,
            body=body,
        )
        try:
            intent = match.dialect.decode(inbound)
        except InvalidRequest as refused:
            raise with_the_rest(self.engine.tools, refused, caller) from None
        if isinstance(intent, Generate):
            return await self._generate(match.dialect, intent, caller, scope)
        outcome = await self._look_up(intent, caller)
        return self._outgoing(match.dialect.encode(intent, outcome), scope)

    async def _look_up(self, intent: LookUp, caller: Caller) -> Outcome:
        if isinstance(intent, Estimate):
            return self.engine.estimate(intent, caller)
        if isinstance(intent, ShowModels):
            return self.shelf.all(caller)
        if isinstance(intent, ShowModel):
            return self.shelf.one(intent.id, caller)
        return await self.engine.show_task(intent.id, caller)

    async def _generate(self, dialect: Dialect, intent: Generate, caller: Caller, scope: Scope) -> Outgoing:
        handle = await self._start(intent, caller, scope)
        try:
            answer = dialect.encode(intent, await handle.outcome())
        except BaseException:  # hung up, refused, or a hole of ours: nobody will receive it
            self.engine.leave(handle)
            raise

        def finish(complete: bool) -> None:
            if complete:
                self.engine.delivered(handle)
            else:
                self.engine.leave(handle)

        return self._outgoing(answer, scope, finish)

    async def _start(self, intent: Generate, caller: Caller, scope: Scope) -> TaskHandle:
        """Accepting is never torn in two: who hangs up meanwhile leaves as soon as it is done."""
        starting = asyncio.ensure_future(self.engine.start(intent, caller, scope))
        try:
            return await asyncio.shield(starting)
        except asyncio.CancelledError:
            scope.hold()
            starting.add_done_callback(lambda started: self._left_early(started, scope))
            raise

    def _left_early(self, started: asyncio.Future[TaskHandle], scope: Scope) -> None:
        if not started.cancelled() and started.exception() is None:
            self.engine.leave(started.result())
        scope.release()

    async def _body(self, head: Head, chunks: Chunks, scope: Scope) -> Tree:
        content_type = head.headers.get("content-type", "").partition(";")[0].strip().lower()
        if content_type not in ("application/json", ""):
            message = f'the content type "{content_type[:80]}" is not taken here; send application/json'
            raise GatewayError("unsupported_content_type", message)
        encoding = head.headers.get("content-encoding", "").strip().lower()
        if encoding not in ("", "identity"):
            message = f'the content encoding "{encoding[:80]}" is not taken here; send the body as it is'
            raise GatewayError("unsupported_content_type", message)
        length = head.headers.get("content-length", "")
        if length.isascii() and length.isdigit() and int(length) > self.request_bytes:
            raise self._too_large()
        try:
            return await lift_json(self._counted(chunks), scope, LiftLimits())
        except LiftError as error:
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
        """An error of a path that no dialect owns."""
        return self._refused(None, error, self.spool.scope())

    def _refused(self, match: Match | None, error: GatewayError, scope: Scope) -> Outgoing:
        dialect = match.dialect if match else self.dialects[0]
        request_id = error.request_id or new_id("req", self.random)
        where = Where(match.route.name if match else None, request_id)
        answer = dialect.encode_error(where, error)
        if error.sandbox:
            answer = replace(answer, headers=(*answer.headers, SANDBOX_LABEL))
        return self._outgoing(answer, scope)

    def _outgoing(self, answer: Answer, scope: Scope, finish: Callable[[bool], None] | None = None) -> Outgoing:
        payload = json_payload(answer.body)
        headers = answer.headers
        if not any(name == "x-request-id" for name, _ in headers):
            headers = (*headers, ("x-request-id", new_id("req", self.random)))

        def finished(complete: bool) -> None:
            if finish is not None:
                finish(complete)
            scope.release()

        return Outgoing(answer.status, headers, payload, finished)
