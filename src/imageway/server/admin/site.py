"""The admin API's own gate: finds the endpoint, the operator and the body, and writes whatever comes of it as JSON."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final
from urllib.parse import unquote

import msgspec

from imageway.bodies.payload import whole
from imageway.core.blobs import Tree
from imageway.core.errors import GatewayError
from imageway.core.failures import StoreFailed
from imageway.core.ids import new_id
from imageway.ledger.access import AdminKey, FindAdminKey
from imageway.ledger.sealed import Vault
from imageway.server.admin.endpoints import PREFIX, Answer, Download, Endpoint, Visit
from imageway.server.admin.reading import read_body, read_query
from imageway.server.administration.office import Office
from imageway.server.auth import digest_of
from imageway.server.gate import Chunks, Gate, Outgoing
from imageway.server.routes import Head, MethodNotAllowed, served_as
from imageway.server.upstreams import Installation
from imageway.telemetry import events, logger

MOST_BODY_BYTES: Final = 1024 * 1024
DOCUMENT: Final = f"{PREFIX}openapi.json"
_LONGEST_KEY: Final = 256
_JSON: Final = "application/json"


@dataclass(slots=True)
class AdminSite:
    """Serves every path below `/admin/v1/`; `gate` renders refusals. What is behind it is loaded when the first
    operator comes: most starts are not for them."""

    gate: Gate
    installation: Installation
    vault: Vault
    _endpoints: tuple[Endpoint, ...] = ()
    _document: dict[str, Tree] | None = None

    async def handle(self, head: Head, chunks: Chunks) -> Outgoing:
        """Never raises but CancelledError (the client hung up)."""
        try:
            if head.path == DOCUMENT:
                if served_as(head.method) != "GET":
                    raise MethodNotAllowed(head.method, head.path, ("GET",))
                return self._out(200, msgspec.json.encode(self.document()))
            return await self._serve(head, chunks)
        except asyncio.CancelledError:
            raise
        except GatewayError as error:
            return self.gate.refuse(error)
        except StoreFailed as error:
            logger().error(events.STORE_FAILED, path=head.path, detail=str(error))
            busy = GatewayError("overloaded", "the database does not answer just now", retry_after_s=1)
            return self.gate.refuse(busy)
        except Exception as error:  # noqa: BLE001  # the last wall: a hole of ours is a clean 500, logged whole
            logger().exception(events.REQUEST_CRASHED, path=head.path, exc_info=error)
            return self.gate.refuse(GatewayError("internal_error", "the gateway failed on this request"))

    def document(self) -> dict[str, Tree]:
        """OpenAPI 3.1 of all of it."""
        if self._document is None:
            from imageway.server.admin.document import document

            self._document = document(self.endpoints)
        return self._document

    @property
    def endpoints(self) -> tuple[Endpoint, ...]:
        if not self._endpoints:
            from imageway.server.admin.all import ENDPOINTS

            self._endpoints = ENDPOINTS
        return self._endpoints

    async def _serve(self, head: Head, chunks: Chunks) -> Outgoing:
        operator = await self._operator(head.headers)
        endpoint, params = self._find(head)
        if endpoint.changes and operator.role != "admin":
            message = f'the admin key "{operator.name or operator.id}" may look, and change nothing'
            raise GatewayError("key_not_allowed", message)
        body = None
        if endpoint.body is not None:
            body = read_body(await _content(head, chunks), endpoint.body)
        tools = self.gate.engine.tools
        visit = Visit(
            office=Office(tools.store, tools.clock, tools.random, operator.id),
            engine=self.gate.engine,
            installation=self.installation,
            vault=self.vault,
            params=params,
            query=read_query(head.query, endpoint.query),
            body=body,
        )
        return self._answer(endpoint, await endpoint.work(visit))

    async def _operator(self, headers: Mapping[str, str]) -> AdminKey:
        """Raises GatewayError 401."""
        scheme, _, key = headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not key.strip():
            message = "an admin key is needed: send it as `Authorization: Bearer sk-iw-admin-…`"
            raise GatewayError("invalid_api_key", message)
        key = key.strip()
        found = (
            await self.gate.engine.tools.store.read(FindAdminKey(digest_of(key))) if len(key) <= _LONGEST_KEY else None
        )
        if found is None or found.revoked_ms is not None:
            raise GatewayError("invalid_api_key", "this admin key is not valid")
        return found

    def _find(self, head: Head) -> tuple[Endpoint, dict[str, str]]:
        """Raises GatewayError 404, or MethodNotAllowed."""
        segments = _segments(head)
        found = [
            (endpoint, params)
            for endpoint in self.endpoints
            if (params := _params(endpoint.path.split("/"), segments)) is not None
        ]
        for endpoint, params in sorted(found, key=lambda one: len(one[1])):  # a word before any name
            if endpoint.method == served_as(head.method):
                return endpoint, params
        if found:
            raise MethodNotAllowed(head.method, head.path[:200], tuple(sorted({one.method for one, _ in found})))
        raise GatewayError("not_found", f'there is nothing at "{head.path[:200]}"')

    def _answer(self, endpoint: Endpoint, answer: Answer) -> Outgoing:
        if isinstance(answer, Download):
            named = ("content-disposition", f'attachment; filename="{answer.filename}"')
            return Outgoing(endpoint.status, (self._request_id(), named), answer.payload, lambda complete: None)
        if answer is None:
            return Outgoing(204, (self._request_id(),), whole(b"", ""), lambda complete: None)
        return self._out(endpoint.status, msgspec.json.encode(answer))

    def _out(self, status: int, content: bytes) -> Outgoing:
        headers = (self._request_id(), ("cache-control", "no-store"))
        return Outgoing(status, headers, whole(content, _JSON), lambda complete: None)

    def _request_id(self) -> tuple[str, str]:
        return "x-request-id", new_id("req", self.gate.random)


def _segments(head: Head) -> list[str]:
    """Of the path, each decoded by itself: a name may hold what divides them."""
    sent = head.target.partition("#")[0].partition("?")[0] or head.path
    return [unquote(segment) for segment in sent.removeprefix(PREFIX).split("/")]


async def _content(head: Head, chunks: Chunks) -> bytes:
    content_type = head.headers.get("content-type", "").partition(";")[0].strip().lower()
    if content_type not in (_JSON, ""):
        raise GatewayError(
            "unsupported_content_type", f'the content type "{content_type[:80]}" is not taken; send {_JSON}'
        )
    encoding = head.headers.get("content-encoding", "").strip().lower()
    if encoding not in ("", "identity"):
        message = f'the content encoding "{encoding[:80]}" is not taken; send the body as it is'
        raise GatewayError("unsupported_content_type", message)
    content = bytearray()
    async for chunk in chunks:
        content += chunk
        if len(content) > MOST_BODY_BYTES:
            raise GatewayError("body_too_large", f"the body is larger than the {MOST_BODY_BYTES:,} bytes taken here")
    return bytes(content)


def _params(pattern: Sequence[str], segments: Sequence[str]) -> dict[str, str] | None:
    if len(pattern) != len(segments):
        return None
    params = {}
    for expected, segment in zip(pattern, segments, strict=True):
        if expected.startswith("{"):
            if not segment or "\0" in segment:
                return None
            params[expected[1:-1]] = segment
        elif expected != segment:
            return None
    return params
