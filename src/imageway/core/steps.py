"""The conversation with a provider as values: what to send, what came back, what that means.

An adapter is `encode(call) -> Send` and `decode(call, memo, reply) -> Step`; both may run again at any time, on another
machine, and must give the same answer. Of a stream (`call.request.stream`), `decode` sees event after event, then its
end; it answers More until it can say Done or Failed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Literal

from msgspec import Struct

from imageway.core.blobs import Blob, Tree
from imageway.core.requests import ImageRequest, Size
from imageway.core.streams import StreamEnd, StreamEvent

NO_VALUES: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Secret:
    """Stands where a credential goes (header, query or body value); transport puts it in."""

    name: str


class FormFile(Struct, frozen=True):
    """A file in a multipart form; transport sends the blob's decoded bytes."""

    blob: Blob
    filename: str
    media_type: str


class FormBody(Struct, frozen=True):
    """A multipart/form-data body: (name, text or file) in order; names may repeat."""

    parts: tuple[tuple[str, str | FormFile], ...]


class JsonBody(Struct, frozen=True):
    tree: Tree


class HttpRequest(Struct, frozen=True):
    """`path` is relative to the upstream's base URL ("/images/generations"), or an absolute URL out of a reply."""

    method: Literal["GET", "POST", "PUT", "DELETE"]
    path: str
    body: JsonBody | FormBody | None = None
    headers: Mapping[str, str | Secret] = NO_VALUES
    query: Mapping[str, str | Secret] = NO_VALUES


class Page(Struct, frozen=True):
    """A body that is neither JSON nor an image, or JSON that could not be read: its first 4 KiB, for logs alone."""

    head: bytes
    why: str = "not JSON"


class JsonReply(Struct, frozen=True):
    tree: Tree


class BlobReply(Struct, frozen=True):
    """A body that is itself an image (or another binary)."""

    blob: Blob
    media_type: str


class Reply(Struct, frozen=True):
    """One complete HTTP answer, or one event of a stream and then its end, each with the answer's status and headers.
    Header names are lower case. A cut answer never becomes a Reply: transport raises."""

    status: int
    headers: Mapping[str, str]
    body: JsonReply | BlobReply | Page | StreamEvent | StreamEnd


class Call(Struct, frozen=True, kw_only=True):
    """One upstream call for one part. `request` was checked and fitted: every field in it that is not None is one this
    offering takes and must be sent. `count` is how many images this call is to give; `seed` is already the part's own.
    `images` in the request are in the offering's form. `options` are the offering's own switches from the catalog,
    `upstream` non-secret facts of the credential (project, region, deployment, api_version)."""

    model: str
    request: ImageRequest
    size: Size
    count: int = 1
    options: Mapping[str, str] = NO_VALUES
    upstream: Mapping[str, str] = NO_VALUES
    idempotency_key: str = ""


class Send(Struct, frozen=True):
    """Send this, after a while. Only a submit can end `unknown`; a failed read is repeated until the deadline.
    `memo` is stored before anything is sent, when it differs from the last one; a restart resumes from it."""

    request: HttpRequest
    after_s: float = 0
    memo: Mapping[str, str] = NO_VALUES
    effect: Literal["submit", "read"] = "submit"


class Usage(Struct, frozen=True):
    """Tokens as the provider reported them for the whole call. `output_text` includes `thinking`."""

    input_text: int = 0
    input_image: int = 0
    output_text: int = 0
    output_image: int = 0
    thinking: int = 0

    @property
    def input(self) -> int:
        return self.input_text + self.input_image

    @property
    def output(self) -> int:
        return self.output_text + self.output_image

    def __add__(self, other: Usage) -> Usage:
        return Usage(
            self.input_text + other.input_text,
            self.input_image + other.input_image,
            self.output_text + other.output_text,
            self.output_image + other.output_image,
            self.thinking + other.thinking,
        )


class Settled(Struct, frozen=True):
    """What the provider says it chose, in its own words, where the request may have left it open."""

    quality: str | None = None
    background: str | None = None


class Produced(Struct, frozen=True):
    """One image of a reply: the bytes themselves, or the URL to fetch them from. `signature`: see core's Turn."""

    image: Blob | str
    revised_prompt: str | None = None
    signature: Blob | str | None = None


class Done(Struct, frozen=True):
    """The provider has answered with at least one image, of a stream in this event or an earlier one. `missing` are the
    images it said it could not give."""

    images: tuple[Produced, ...]
    usage: Usage | None = None
    text: str | None = None
    missing: tuple[Failed, ...] = ()
    settled: Settled | None = None


class More(Struct, frozen=True):
    """A stream goes on: what this one event brought; the engine adds it up. `partials` are previews, charged for only
    where the catalog says so; `missing` are images that failed for good; `usage` is of this event alone."""

    images: tuple[Produced, ...] = ()
    partials: tuple[Produced, ...] = ()
    text: str | None = None
    missing: tuple[Failed, ...] = ()
    usage: Usage | None = None
    settled: Settled | None = None


class FailureKind(StrEnum):
    """Decides everything downstream; the table is in docs/architecture.md."""

    NEVER_SENT = "never_sent"
    BUSY = "busy"
    DENIED = "denied"
    INVALID = "invalid"
    REFUSED = "refused"
    FAILED = "failed"
    SPOILED = "spoiled"
    UNKNOWN = "unknown"


class Failed(Struct, frozen=True):
    """`code` and `detail` are the provider's own words, for the operator's log; a caller never sees them. `empty`: the
    answer could be read and says that nothing was made. `drawn`: refused was what had been drawn, not what was asked
    for. `place`: of one image among several, which of them it is, from 0; None: the provider did not say."""

    kind: FailureKind
    code: str = ""
    detail: str = ""
    retry_after_s: float | None = None
    empty: bool = False
    drawn: bool = False
    place: int | None = None


Step = Send | More | Done | Failed


@dataclass(frozen=True, slots=True)
class Adapter:
    """The code for one outbound wire format: pure functions. `cancel` None: the provider cannot cancel."""

    name: str
    encode: Callable[[Call], Send]
    decode: Callable[[Call, Mapping[str, str], Reply], Step]
    cancel: Callable[[Call, Mapping[str, str]], Send | None] | None = None
