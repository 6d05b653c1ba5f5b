"""One request on its whole way without an engine: checked, fitted, encoded, sent to the pretend provider in process,
decoded, downloaded and proved, by the real functions. Only the drawing is left out, because it takes seconds and is
tested elsewhere: a picture is a tiny one whose header claims the pixels that would have been drawn."""

from __future__ import annotations

import base64
import io
import struct
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from PIL import Image

from imageway.bodies import Budget, Spool
from imageway.catalog import Bill, Catalog, charge, check, fit, quote
from imageway.catalog.fitting import Fitted
from imageway.catalog.schema import Model, Offering
from imageway.core.blobs import Blob, ImageFacts
from imageway.core.requests import ImageRequest
from imageway.core.steps import Adapter, Call, Done, Failed, More, Produced, Reply, Send, Usage
from imageway.core.upstreams import Upstream
from imageway.media.proofs import prove
from imageway.providers import ADAPTERS
from imageway.sandbox import open_sandbox
from imageway.sandbox.drawing import Sketch
from imageway.transport import Transport

POLLS = 5
MOST_BYTES = 64 * 2**20


@lru_cache(maxsize=3)
def tiny(format_name: str) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (16, 16)).save(out, format_name.upper())
    return out.getvalue()


def claiming(width: int, height: int, format_name: str) -> bytes:
    """A picture whose header is right and whose content is not."""
    content = tiny(format_name)
    match format_name:
        case "png":
            place, fields = 16, struct.pack(">II", width, height)
        case "jpeg":
            place, fields = content.index(b"\xff\xc0") + 5, struct.pack(">HH", height, width)
        case _:
            place, fields = content.index(b"\x9d\x01\x2a") + 3, struct.pack("<HH", width, height)
    return content[:place] + fields + content[place + len(fields) :]


@dataclass(frozen=True)
class Came:
    """What came of a request that both sides took."""

    facts: tuple[ImageFacts, ...]
    usage: Usage | None


@dataclass(frozen=True)
class Street:
    """From the catalog to the pretend providers and back."""

    catalog: Catalog
    transport: Transport
    spool: Spool

    async def drive(self, model: Model, offering: Offering, request: ImageRequest) -> str | None:
        """None when everything agreed, and "refused" when the catalog itself took exception; else what did not."""
        checked = check(model, request)
        fitted = fit(model, offering, checked.request)
        if checked.problems or fitted.problems:
            return "refused"
        group = fitted.request.group
        count = (group.max_images if group else min(request.n or 1, offering.max_n)) or 1
        came = await self._send(offering, fitted, count)
        if isinstance(came, str):
            return came
        if len(came.facts) != count:
            return f"{len(came.facts)} pictures came instead of {count}"
        complaints = [misfit(model, fitted, facts) for facts in came.facts]
        return next(filter(None, [*complaints, self._overcharge(model, fitted, came, count)]), None)

    async def _send(self, offering: Offering, fitted: Fitted, count: int) -> Came | str:
        provider = self.catalog.providers[offering.provider]
        upstream = Upstream(
            id="pretend",
            provider=provider.id,
            base_url=f"sandbox:{provider.sandbox}",
            auth=provider.auth,
            secrets={"key": "sk-test-1"},
        )
        call = Call(
            model=offering.upstream_name,
            request=fitted.request,
            size=fitted.size,
            count=count,
            options=offering.options,
        )
        adapter, scope = ADAPTERS[offering.adapter], self.spool.scope()
        try:
            step: object = adapter.encode(call)
            heard: list[More] = []
            for _ in range(POLLS):
                if not isinstance(step, Send):
                    break
                replies = self.transport.stream(
                    upstream, step.request, scope, deadline_s=20, max_bytes=offering.max_answer_bytes * count
                )
                step = await _hear(adapter, call, step.memo, replies, heard)
            if not isinstance(step, Done):
                return f"{step}"
            if call.request.stream and len(_partials(heard)) != (call.request.partial_images or 0) * count:
                return f"{len(_partials(heard))} previews came"
            facts = []
            for produced in (*(image for more in heard for image in more.images), *step.images):
                picture: Blob | str = produced.image
                if isinstance(picture, str):
                    link = await self.transport.download(
                        upstream, picture, scope, deadline_s=20, max_bytes=offering.max_answer_bytes
                    )
                    picture = link.blob
                proved = prove(picture)
                if isinstance(proved, str):
                    return proved
                facts.append(proved)
            counted = [said.usage for said in (*heard, step) if said.usage]
            return Came(tuple(facts), sum(counted[1:], counted[0]) if counted else None)
        finally:
            scope.release()

    def _overcharge(self, model: Model, fitted: Fitted, came: Came, count: int) -> str | None:
        """Nobody is charged more than was held for him, in all and for each kind of token."""
        book = self.catalog.on(0)
        quoted = quote(book, model, fitted.request, fitted.size, images=count)
        charged = charge(book, model, Bill(fitted.request, fitted.size, count, came.usage))
        if charged.usd_micros > quoted.worst_usd_micros:
            return f"charged {charged.usd_micros} where at most {quoted.worst_usd_micros} was held"
        held = {line.what: int(line.quantity) for line in quoted.lines if line.unit == "token"}
        for line in charged.lines:
            if line.unit == "token" and int(line.quantity) > held.get(line.what, 0):
                return f"{line.quantity} {line.what} were reported, {held.get(line.what, 0)} held"
        return None


async def _hear(
    adapter: Adapter, call: Call, memo: Mapping[str, str], replies: AsyncIterator[Reply], heard: list[More]
) -> object:
    """What the last of the replies meant; what came before it is kept in `heard`. Where no event says that it is the
    last, a stream is whole when everything came."""
    step: object = None
    async for reply in replies:
        step = adapter.decode(call, memo, reply)
        if not isinstance(step, More):
            break
        heard.append(step)
    came = sum(len(more.images) for more in heard)
    return Done(()) if isinstance(step, Failed) and step.code == "stream_cut" and came == call.count else step


def _partials(heard: list[More]) -> list[Produced]:
    return [partial for more in heard for partial in more.partials]


def misfit(model: Model, fitted: Fitted, facts: ImageFacts) -> str | None:
    """How a picture differs from what was fitted: exact pixels; where the provider chooses, one of those the catalog
    prices."""
    size, rules = fitted.size, model.geometry
    made = f"{facts.width}x{facts.height}"
    if size.pixels:
        expected = {f"{size.width}x{size.height}"}
    elif size.tier in rules.pixels:
        expected = set(rules.pixels[size.tier or ""].values())
    elif size.word in rules.size_tiers:
        expected = set(rules.size_tiers[size.word or ""])
    else:
        expected = set(rules.sizes) if rules.kind == "list" else set()
    if expected and made not in expected:
        return f"{made} came, {', '.join(sorted(expected))} was fitted"
    formats = (fitted.request.output_format,) if fitted.request.output_format else model.output_formats
    return None if facts.format in formats else f"{facts.format} came, {', '.join(map(str, formats))} was expected"


@asynccontextmanager
async def open_street(catalog: Catalog, folder: Path) -> AsyncIterator[Street]:
    room = open_sandbox(random_seed=1)

    async def draw(sketch: Sketch) -> bytes:
        return claiming(sketch.width, sketch.height, sketch.format)

    async def draw_base64(sketch: Sketch) -> bytes:
        return base64.b64encode(await draw(sketch))

    async def develop_base64(sketch: Sketch, partials: int) -> AsyncIterator[bytes]:
        for _ in range(partials + 1):
            yield await draw_base64(sketch)

    room.studio.draw = draw  # type: ignore[method-assign]
    room.studio.develop_base64 = develop_base64  # type: ignore[method-assign, assignment]
    room.studio.draw_base64 = draw_base64  # type: ignore[method-assign]
    transport, spool = Transport(sandbox=room), Spool(folder, Budget(2**30))
    try:
        yield Street(catalog, transport, spool)
    finally:
        await transport.close()
        spool.close()
