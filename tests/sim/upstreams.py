"""Pretend providers behind the engine's Transport: each submit meets a fate that the world's plan chose for it, and the
answer is written in that provider's own shapes. What really happened is written down beside what was told."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

from imageway.bodies import Scope
from imageway.core.blobs import Tree
from imageway.core.failures import FetchRefused, TransportFailed
from imageway.core.steps import (
    Adapter,
    BlobReply,
    Call,
    FailureKind,
    HttpRequest,
    JsonBody,
    JsonReply,
    Page,
    Reply,
    Send,
)
from imageway.core.streams import StreamEnd, StreamEvent
from imageway.core.upstreams import Upstream
from imageway.providers import ADAPTERS
from tests.sim.machine import Machine
from tests.sim.pictures import broken, fetched, inline, picture
from tests.sim.receivers import Receivers, check_told
from tests.sim.streams import DEATHS, Piece, pieces
from tests.values import replace

WORDS: Final = "ZXQ-the-providers-own-words"
PART_HEADER: Final = "x-sim-part"
COUNT_HEADER: Final = "x-sim-count"
POLLED: Final = "text2image/image-synthesis"
WHOLE: Final = (b"\x89PNG", b"\xff\xd8", b"RIFF")
HTML: Final = Reply(200, {"content-type": "text/html"}, Page(b"<html>welcome</html>"))
PROXY: Final = Reply(502, {"content-type": "text/html"}, Page(b"<html>Bad Gateway</html>"))

TRUTH: Final[dict[str, FailureKind]] = {
    "busy": FailureKind.BUSY,
    "busy_soon": FailureKind.BUSY,
    "busy_long": FailureKind.BUSY,
    "denied": FailureKind.DENIED,
    "refused": FailureKind.REFUSED,
    "invalid": FailureKind.INVALID,
    "failed": FailureKind.FAILED,
    "html": FailureKind.SPOILED,
    "empty": FailureKind.SPOILED,
    "truncated": FailureKind.SPOILED,
    "not_an_image": FailureKind.SPOILED,
    "never_sent": FailureKind.NEVER_SENT,
    "reset_before": FailureKind.UNKNOWN,
    "reset_after": FailureKind.UNKNOWN,
    "silent": FailureKind.UNKNOWN,
    "proxy": FailureKind.UNKNOWN,
    "error_first": FailureKind.FAILED,
}
"""Fate → what the engine must understand by it. A fate that is not here brings images."""

ONE_PIECE: Final = frozenset({"html", "proxy", "empty"})
"""What upstreams that stream answer as if they did not."""

MAKES: Final = frozenset({"truncated", "not_an_image", "reset_after", "proxy"})
"""Fates that are failures to us and images on the provider's bill."""


@dataclass(slots=True)
class Submit:
    """One submit as the provider saw it. `made`: images on its bill; `good`: images that can be had and proved.
    `heard`: the answer, or the end of the connection, reached a living process. `begun`: an event of its stream did,
    that was no failure; `said`: the images its events spoke of, where it died before the last."""

    part: str
    asked: int
    upstream: str
    family: str
    fate: str
    at_s: float
    kind: FailureKind | None = None
    made: int = 0
    good: int = 0
    heard: bool = False
    heard_s: float = 0.0
    usage: tuple[int, int] | None = None
    ready_s: float = 0.0
    story: str = ""
    streams: bool = False
    begun: bool = False
    said: int | None = None

    @property
    def task(self) -> str:
        return self.part.rpartition("-")[0]


@dataclass(slots=True)
class Link:
    """A result link: `troubles` tries fail first; then the content comes, or `ending` says why not."""

    content: bytes
    troubles: int = 0
    ending: str = "ok"  # ok, late, gone, never


class Plan(Protocol):
    """Who chooses. `number` counts the submits of one part from 0."""

    def fate(self, submit: Submit, number: int) -> str: ...

    def story(self, submit: Submit) -> str:
        """How a polled task ends: ok, refused, failed, lost, endless, empty."""

    def link(self, submit: Submit, index: int) -> Link: ...

    def delay_s(self, submit: Submit) -> float: ...

    def number(self, submit: Submit, name: str, below: int) -> int:
        """A number from 0 for some choice of detail."""


@dataclass(slots=True)
class Providers:
    """All providers of a world, and their books. They outlive every process."""

    plan: Plan
    submits: list[Submit] = field(default_factory=list)
    links: dict[str, Link] = field(default_factory=dict)
    polled: dict[str, Submit] = field(default_factory=dict)
    inputs: dict[str, Link] = field(default_factory=dict)  # what callers link to
    polls: int = 0

    def of_part(self, part: str) -> list[Submit]:
        return [submit for submit in self.submits if submit.part == part]


def telling_adapters() -> Mapping[str, Adapter]:
    """The real adapters; only each submit says which part it is for, so that the books can be checked."""
    return {name: _telling(adapter) for name, adapter in ADAPTERS.items()}


def _telling(adapter: Adapter) -> Adapter:
    def encode(call: Call) -> Send:
        send = adapter.encode(call)
        headers = {**send.request.headers, PART_HEADER: call.idempotency_key, COUNT_HEADER: str(call.count)}
        return replace(send, request=replace(send.request, headers=headers))

    return replace(adapter, encode=encode)


@dataclass(slots=True)
class SimTransport:
    """Transport of one process."""

    machine: Machine
    providers: Providers
    receivers: Receivers

    async def notify(self, url: str, headers: Mapping[str, str], content: bytes, *, deadline_s: float) -> Reply:
        self.machine.check()
        return await self.receivers.take(self.machine, url, headers, content, deadline_s)

    def check_told(self, url: str) -> None:
        check_told(url)

    async def send(
        self, upstream: Upstream, request: HttpRequest, scope: Scope, *, deadline_s: float, max_bytes: int
    ) -> Reply:
        self.machine.check()
        if request.method == "GET":
            return await self._poll(request, deadline_s)
        if request.path.endswith("/cancel"):
            return await self._cancelled(request, deadline_s)
        submit = self._booked(upstream, request)
        await self._heard(submit, deadline_s)
        return self._reply(submit, request)

    async def stream(
        self, upstream: Upstream, request: HttpRequest, scope: Scope, *, deadline_s: float, max_bytes: int
    ) -> AsyncGenerator[Reply, None]:
        self.machine.check()
        until_s = asyncio.get_running_loop().time() + deadline_s
        submit = self._booked(upstream, request, streams=True)
        await self._heard(submit, deadline_s)
        if submit.fate in ONE_PIECE or submit.fate in ERRORS[submit.family]:
            yield self._reply(submit, request)
            return
        failed = StreamEvent(ERRORS[submit.family]["failed"][1], "error")
        if submit.fate == "error_first":
            yield Reply(200, {}, failed)
            return
        script = _script(self.providers, submit, request)
        for number, piece in enumerate(script.told):
            if number:
                pause_s = self.providers.plan.number(submit, f"pause {number}", 80) / 10
                try:
                    await self._wait(pause_s, until_s - asyncio.get_running_loop().time())
                except TransportFailed:
                    script.cut(submit, number, FailureKind.UNKNOWN)
                    raise
            submit.begun, submit.heard_s = True, asyncio.get_running_loop().time()
            yield Reply(200, {}, piece.event)
        if submit.fate == "died":
            raise TransportFailed(FailureKind.UNKNOWN, f"connection reset {WORDS}")
        yield Reply(200, {}, failed if submit.fate == "error_event" else StreamEnd())

    async def _heard(self, submit: Submit, deadline_s: float) -> None:
        """Up to the first byte of the answer, where there is one."""
        await self._wait(self.providers.plan.delay_s(submit), deadline_s, submit)
        submit.heard, submit.heard_s = True, asyncio.get_running_loop().time()
        if submit.fate == "never_sent":
            raise TransportFailed(FailureKind.NEVER_SENT, f"connect refused {WORDS}")
        if submit.fate in ("reset_before", "reset_after"):
            raise TransportFailed(FailureKind.UNKNOWN, f"connection reset {WORDS}")

    async def download(
        self, upstream: Upstream, url: str, scope: Scope, *, deadline_s: float, max_bytes: int
    ) -> BlobReply:
        return await self._pull(self.providers.links[url], deadline_s)

    async def fetch(self, url: str, scope: Scope, *, deadline_s: float, max_bytes: int) -> BlobReply:
        link = self.providers.inputs.get(url)
        if link is None:
            raise FetchRefused("image_url_unreachable", "its host could not be reached")
        return await self._pull(link, deadline_s)

    async def _wait(self, delay_s: float, deadline_s: float, submit: Submit | None = None) -> None:
        late = delay_s >= deadline_s or (submit is not None and submit.fate == "silent")
        await self.machine.pause(deadline_s if late else delay_s)
        if late:
            if submit is not None:
                submit.heard, submit.kind = True, FailureKind.UNKNOWN
            raise TransportFailed(FailureKind.UNKNOWN, f"no complete reply in time {WORDS}")

    async def _pull(self, link: Link, deadline_s: float) -> BlobReply:
        await self._wait(10 if link.ending == "late" else 0.2, deadline_s)
        if link.troubles > 0 or link.ending == "never":
            link.troubles -= 1
            raise TransportFailed(FailureKind.UNKNOWN, f"the host answered 503 {WORDS}")
        if link.ending == "gone":
            raise FetchRefused("image_url_status", "its host answered 404")
        return BlobReply(fetched(link.content), "image/png")

    def _booked(self, upstream: Upstream, request: HttpRequest, *, streams: bool = False) -> Submit:
        """The provider takes the order, whatever becomes of us."""
        part, count = str(request.headers[PART_HEADER]), int(str(request.headers[COUNT_HEADER]))
        family = "polled" if POLLED in request.path else upstream.provider
        now_s = asyncio.get_running_loop().time()
        submit = Submit(part, count, upstream.id, family, "", now_s, streams=streams)
        submit.fate = self.providers.plan.fate(submit, len(self.providers.of_part(part)))
        submit.kind = TRUTH.get(submit.fate)
        brings = submit.kind is None
        if submit.fate in MAKES or brings:
            submit.made = submit.asked
        if submit.fate == "partial" and submit.asked > 1:
            submit.made = submit.asked - 1
        submit.good = submit.made if brings else 0
        if submit.fate == "one_spoiled":
            submit.good = submit.made - 1
        self.providers.submits.append(submit)
        return submit

    def _reply(self, submit: Submit, request: HttpRequest) -> Reply:
        if submit.fate == "proxy":
            return PROXY
        if submit.fate == "html":
            return HTML
        if submit.fate in ERRORS[submit.family]:
            status, tree = ERRORS[submit.family][submit.fate]
            headers = {"busy_soon": {"retry-after": "1"}, "busy_long": {"retry-after": "30"}}.get(submit.fate, {})
            return Reply(status, headers, JsonReply(tree))
        return WRITERS[submit.family](self.providers, submit)

    async def _poll(self, request: HttpRequest, deadline_s: float) -> Reply:
        self.providers.polls += 1
        await self._wait(0.05, deadline_s)
        trouble = self.machine.chance.random()
        if trouble < 0.04:
            raise TransportFailed(FailureKind.UNKNOWN, f"cut {WORDS}")
        if trouble < 0.08:
            return Reply(500, {}, Page(b"<html>oops</html>"))
        if trouble < 0.1:
            raise TransportFailed(FailureKind.NEVER_SENT, f"refused {WORDS}")
        name = request.path.rpartition("/")[2]
        return _task_reply(self.providers, name, self.providers.polled[name])

    async def _cancelled(self, request: HttpRequest, deadline_s: float) -> Reply:
        """Only in the first seconds: later it has begun."""
        await self._wait(0.05, deadline_s)
        submit = self.providers.polled[request.path.split("/")[-2]]
        if asyncio.get_running_loop().time() > submit.ready_s - 5 or submit.story == "endless":
            return Reply(400, {}, JsonReply(_dashscope("UnsupportedOperation")))
        submit.story, submit.kind, submit.made, submit.good = "cancelled", FailureKind.FAILED, 0, 0
        return Reply(200, {}, JsonReply({"request_id": "1"}))


# What each provider says, in its own shapes


def _openai(code: str, kind: str = "invalid_request_error") -> Tree:
    return {"error": {"code": code, "type": kind, "message": f"{WORDS} try {code}", "param": None}}


def _google(status: str, code: int, *details: Tree) -> Tree:
    return {"error": {"code": code, "status": status, "message": WORDS, "details": list(details)}}


def _ark(code: str) -> Tree:
    return {"error": {"code": code, "message": WORDS, "type": "x"}}


def _dashscope(code: str) -> Tree:
    return {"code": code, "message": WORDS, "request_id": "1"}


Errors = dict[str, tuple[int, Tree]]


def _errors(busy: Tree, denied: Tree, refused: tuple[int, Tree], invalid: Tree, failed: Tree) -> Errors:
    return {
        "busy": (429, busy),
        "busy_soon": (429, busy),
        "busy_long": (429, busy),
        "denied": (401, denied),
        "refused": refused,
        "invalid": (400, invalid),
        "failed": (500, failed),
    }


ERRORS: Final[dict[str, Errors]] = {
    "openai": _errors(
        _openai("rate_limit_exceeded"),
        _openai("invalid_api_key"),
        (400, _openai("moderation_blocked")),
        _openai("invalid_value"),
        _openai("", "server_error"),
    ),
    "google": _errors(
        _google("RESOURCE_EXHAUSTED", 429),
        _google("UNAUTHENTICATED", 401),
        (200, {"promptFeedback": {"blockReason": "PROHIBITED_CONTENT", "blockReasonMessage": WORDS}}),
        _google("INVALID_ARGUMENT", 400),
        _google("INTERNAL", 500),
    ),
    "volcengine": _errors(
        _ark("ModelAccountIpmRateLimitExceeded"),
        _ark("AuthenticationError"),
        (400, _ark("OutputImageSensitiveContentDetected")),
        _ark("InvalidParameter"),
        _ark("InternalServiceError"),
    ),
    "dashscope": _errors(
        _dashscope("Throttling.RateQuota"),
        _dashscope("InvalidApiKey"),
        (400, _dashscope("DataInspectionFailed")),
        _dashscope("InvalidParameter"),
        _dashscope("InternalError.Algo"),
    ),
}
ERRORS["polled"] = ERRORS["dashscope"]
FAMILY_WORDS: Final = (WORDS, "moderation_blocked", "DataInspectionFailed", "SensitiveContent", "RESOURCE_EXHAUSTED")


def _contents(submit: Submit) -> list[bytes]:
    """The bytes of every image that this submit made."""
    shade = sum(map(ord, submit.part)) % 200
    if submit.fate == "truncated":
        return [broken("png")] * submit.made
    if submit.fate == "not_an_image":
        return [b"\x00\x01" * 40] * submit.made
    kind = {"as_jpeg": "jpeg", "as_webp": "webp"}.get(submit.fate, "png")
    contents = [picture(kind, shade + index, alpha=kind == "png" and index == 0) for index in range(submit.made)]
    if submit.fate == "one_spoiled":
        contents[-1] = broken("png")
    return contents


def _can_be_had(link: Link) -> bool:
    return link.ending == "ok" and _whole(link.content)


def _links(providers: Providers, submit: Submit) -> list[str]:
    urls = []
    for index, content in enumerate(_contents(submit)):
        url = f"https://results.example/{submit.part}/{len(providers.links)}.png"
        link = providers.plan.link(submit, index)
        link.content = content
        providers.links[url] = link
        urls.append(url)
    if submit.kind is None:
        submit.good = sum(_can_be_had(providers.links[url]) for url in urls)
    return urls


@dataclass(slots=True)
class StreamScript:
    """`whole`: for each image whether it can be had and proved. `each`: the tokens that each reports."""

    told: list[Piece]
    whole: list[bool]
    each: tuple[int, int] | None

    def cut(self, submit: Submit, events: int, kind: FailureKind) -> None:
        """Only so many events come; without a good image among them, that is a failure of this kind."""
        self.told = self.told[:events]
        said = [piece.image for piece in self.told if piece.image is not None]
        submit.said, submit.good = len(said), sum(self.whole[index] for index in said)
        submit.kind = None if submit.good else kind
        self.report(submit, len(said))

    def report(self, submit: Submit, images: int) -> None:
        submit.usage = (self.each[0] * images, self.each[1] * images) if self.each else None


def _script(providers: Providers, submit: Submit, request: HttpRequest) -> StreamScript:
    """The events of a stream, up to its death if it dies before the last."""
    tree = request.body.tree if isinstance(request.body, JsonBody) else {}
    asked = tree.get("partial_images") if isinstance(tree, dict) else None
    linked = submit.family == "volcengine"
    images: Sequence[bytes | str] = _links(providers, submit) if linked else _contents(submit)
    whole = [_can_be_had(providers.links[image]) if isinstance(image, str) else _whole(image) for image in images]
    usage = _usage(providers, submit) if submit.family == "openai" else None
    each = (usage[0], usage[1] // max(1, submit.made)) if usage else None
    told = pieces(submit.family, images, asked if isinstance(asked, int) else 0, each, WORDS)
    script = StreamScript(told, whole, each)
    script.report(submit, len(images))
    events = 1 + providers.plan.number(submit, "death", len(told))
    if submit.fate in DEATHS and events < len(told):
        says_so = submit.fate == "error_event"
        script.cut(submit, events, FailureKind.FAILED if says_so else FailureKind.UNKNOWN)
        submit.made = (submit.said or 0) if says_so else submit.made
    return script


def _whole(content: bytes) -> bool:
    return content.startswith(WHOLE) and content != broken("png")


def _usage(providers: Providers, submit: Submit) -> tuple[int, int] | None:
    """(input, output) tokens; None when this answer reports none."""
    chosen = providers.plan.number(submit, "usage", 10)
    if chosen == 0:
        return None
    each = 90_000 if submit.fate == "huge_usage" else 270
    submit.usage = (12, each * submit.made)
    return submit.usage


def _openai_reply(providers: Providers, submit: Submit) -> Reply:
    tree: dict[str, Tree] = {"created": 1, "data": []}
    if submit.fate != "empty":
        tree["data"] = [{"b64_json": inline(content)} for content in _contents(submit)]
        if usage := _usage(providers, submit):
            tree["usage"] = {"input_tokens": usage[0], "output_tokens": usage[1], "total_tokens": sum(usage)}
    return Reply(200, {}, JsonReply(tree))


def _google_reply(providers: Providers, submit: Submit) -> Reply:
    contents = [] if submit.fate == "empty" else _contents(submit)
    parts: list[Tree] = [{"text": WORDS}]
    parts += [{"inlineData": {"mimeType": "image/png", "data": inline(content)}} for content in contents]
    candidate: Tree = {"content": {"role": "model", "parts": parts}, "finishReason": "STOP"}
    return Reply(200, {}, JsonReply({"candidates": [candidate]}))


def _ark_reply(providers: Providers, submit: Submit) -> Reply:
    urls = [] if submit.fate == "empty" else _links(providers, submit)
    items: list[Tree] = [{"url": url, "size": "24x24"} for url in urls]
    return Reply(200, {}, JsonReply({"data": items, "usage": {"generated_images": len(urls)}}))


def _dashscope_reply(providers: Providers, submit: Submit) -> Reply:
    urls = [] if submit.fate == "empty" else _links(providers, submit)
    content: list[Tree] = [{"image": url} for url in urls]
    return Reply(200, {}, JsonReply({"output": {"choices": [{"message": {"content": content}}]}, "request_id": "1"}))


def _accepted(providers: Providers, submit: Submit) -> Reply:
    """The task is queued; how it ends is its own story."""
    if submit.fate == "empty":
        submit.made = 0
        return Reply(200, {}, JsonReply({"request_id": "1"}))
    name = f"t{len(providers.polled)}"
    submit.story = "ok" if submit.kind else providers.plan.story(submit)
    submit.ready_s = asyncio.get_running_loop().time() + 5 + providers.plan.number(submit, "polls", 60)
    providers.polled[name] = submit
    if submit.story in ("refused", "failed", "endless", "lost"):
        submit.made = submit.asked if submit.story == "lost" else 0
        submit.good = 0
        submit.kind = {"refused": FailureKind.REFUSED, "failed": FailureKind.FAILED}.get(submit.story)
        submit.kind = submit.kind or FailureKind.UNKNOWN
    return Reply(200, {}, JsonReply({"output": {"task_id": name, "task_status": "PENDING"}, "request_id": "1"}))


def _task_reply(providers: Providers, name: str, submit: Submit) -> Reply:
    output: dict[str, Tree] = {"task_id": name, "task_status": "RUNNING"}
    ready = asyncio.get_running_loop().time() >= submit.ready_s or submit.story == "cancelled"
    if ready and submit.story != "endless":
        ends = {"lost": "UNKNOWN", "ok": "SUCCEEDED", "cancelled": "CANCELED"}
        output["task_status"] = ends.get(submit.story, "FAILED")
        if submit.story == "ok":
            known = [url for url in providers.links if f"/{submit.part}/" in url]
            output["results"] = [{"url": url} for url in known or _links(providers, submit)]
        elif submit.story not in ("lost", "cancelled"):
            code = "DataInspectionFailed" if submit.story == "refused" else "InternalError"
            output |= {"code": code, "message": WORDS}
    return Reply(200, {}, JsonReply({"output": output, "request_id": "1"}))


WRITERS: Final[dict[str, Callable[[Providers, Submit], Reply]]] = {
    "openai": _openai_reply,
    "google": _google_reply,
    "volcengine": _ark_reply,
    "dashscope": _dashscope_reply,
    "polled": _accepted,
}
