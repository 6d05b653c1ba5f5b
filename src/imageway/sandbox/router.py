"""One sandbox: finds the pretend provider by prefix, writes the log, waits the latency, applies the faults."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import replace
from random import Random

from imageway.sandbox.answers import Headers, json_answer
from imageway.sandbox.cabinets import NotKept
from imageway.sandbox.faults import UnknownFault, bend, check_rates, fault_by_chance, fault_in, twist_of, wait_out
from imageway.sandbox.journal import Entry, Journal, Received
from imageway.sandbox.orders import Incoming, Order, Upstream
from imageway.sandbox.shelf import PREFIX as FILES_PREFIX
from imageway.sandbox.shelf import Shelf
from imageway.sandbox.streams import Stream
from imageway.sandbox.studio import Studio
from imageway.sandbox.wire import SandboxAnswer, SandboxRequest

LOG_PATH = "/sandbox/log"
MAX_BODY_BYTES = 256 * 2**20
JSON: Headers = (("content-type", "application/json"),)


class Room:
    """The sandbox that `open_sandbox` opens; a `Sandbox` with a log and a studio to look into."""

    def __init__(
        self, studio: Studio, upstreams: tuple[Upstream, ...], *, latency_s: float, faults: Mapping[str, float]
    ) -> None:
        self.studio = studio
        self._chance = Random(studio.chance.random())  # noqa: S311 – faults apart from ids: neither shifts the other
        self.journal = Journal()
        self._upstreams = upstreams
        self._latency_s = latency_s
        self._rates = check_rates(faults)

    async def handle(self, request: SandboxRequest) -> SandboxAnswer:
        """Raises ConnectionResetError when the host is to cut the connection before any header."""
        if request.path == LOG_PATH:
            return json_answer(200, self.journal.as_json(), JSON)
        try:
            if request.path.startswith(FILES_PREFIX):
                fault = fault_in(request.headers)
                _reset_if(fault)
                shelf = self.studio.shelf
                answer = _own_error(shelf, fault) or await shelf.answer(request.method, request.path)
                return await bend(answer, fault)
            for upstream in self._upstreams:
                if request.path.startswith(upstream.prefix + "/"):
                    return await self._serve(upstream, request)
        except UnknownFault as error:
            return json_answer(400, {"error": {"code": "unknown_fault", "message": str(error)}}, JSON)
        places = [upstream.prefix for upstream in self._upstreams] + [FILES_PREFIX, LOG_PATH]
        message = f'nothing is served at "{request.path}"; there are {", ".join(places)}'
        return json_answer(404, {"error": {"code": "not_found", "message": message}}, JSON)

    async def _serve(self, upstream: Upstream, request: SandboxRequest) -> SandboxAnswer:
        fault = fault_in(request.headers)
        body = await _read_body(request)
        if body is None:
            return json_answer(413, {"error": {"code": "too_large", "message": "more than 256 MiB"}}, JSON)
        incoming = Incoming(
            method=request.method,
            path=request.path.removeprefix(upstream.prefix),
            origin=request.origin,
            query=request.query,
            headers=request.headers,
            body=body,
        )
        try:
            read = await upstream.read(incoming)
            if isinstance(read, Order):
                return await self._fill(upstream, read, request, body)
        except NotKept:
            return upstream.broken()
        _reset_if(fault)
        return await bend(_own_error(upstream, fault) or read, fault)

    async def _fill(self, upstream: Upstream, order: Order, request: SandboxRequest, body: bytes) -> SandboxAnswer:
        fault = None
        if order.accepted:
            fault = fault_in(request.headers, order.prompt) or fault_by_chance(self._rates, self._chance)
        received = Received(request.headers, request.query, body)
        place = (request.method, request.path)
        entry = self.journal.open(received, place=place, model=order.model, prompt=order.prompt)
        try:
            answer = await self._answer(upstream, order, fault)
            bent = await bend(answer, fault, _closing(entry, fault))
            if not isinstance(answer, Stream) or fault == "html":
                entry.outcome = _outcome(bent.status, fault)
            return bent
        except (ConnectionResetError, asyncio.CancelledError):
            entry.outcome = fault or "gone"
            raise
        except NotKept:
            entry.outcome = "500"
            raise

    async def _answer(self, upstream: Upstream, order: Order, fault: str | None) -> SandboxAnswer | Stream:
        """A synchronous answer waits the latency and the lateness out; a task's receipt leaves at once and both are
        the task's; a stream spreads the latency over its pictures."""
        twist = twist_of(fault)
        if order.streams:
            twist = replace(twist, pause_s=self._latency_s)
        elif order.is_task:
            twist = replace(twist, late_s=twist.late_s + self._latency_s)
        elif order.accepted:
            await asyncio.sleep(self._latency_s)
        _reset_if(fault)
        if error := _own_error(upstream, fault, streams=order.streams):
            return error
        if not order.is_task:
            await wait_out(twist)
        return await order.produce(twist)


def _reset_if(fault: str | None) -> None:
    if fault == "reset_before":
        raise ConnectionResetError("reset on demand")


def _own_error(upstream: Upstream | Shelf, fault: str | None, *, streams: bool = False) -> SandboxAnswer | None:
    if fault in ("rate_limit", "rate_limit_bare"):
        return upstream.rate_limited(hint=fault == "rate_limit")
    return upstream.broken() if fault == "error_500" or (fault == "error_event" and not streams) else None


def _closing(entry: Entry, fault: str | None) -> Callable[[bool], None]:
    """What a stream calls when it is over."""

    def close(came_to_end: bool) -> None:
        entry.outcome = _outcome(200, fault) if came_to_end else "gone"

    return close


def _outcome(status: int, fault: str | None) -> str:
    return f"{status} {fault}" if fault else str(status)


async def _read_body(request: SandboxRequest) -> bytes | None:
    """The whole body; None when it is more than a sandbox takes."""
    chunks: list[bytes] = []
    size = 0
    async for chunk in request.body:
        size += len(chunk)
        if size > MAX_BODY_BYTES:
            return None
        chunks.append(chunk)
    return b"".join(chunks)
