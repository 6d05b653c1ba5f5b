"""What a decoded request wants from us, what it gets, and the bytes that go back. Dialects stand between the three."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, Literal

from msgspec import Struct

from imageway.core.blobs import Blob, Tree
from imageway.core.errors import GatewayError
from imageway.core.money import PriceLine
from imageway.core.requests import ImageRequest, RequestWarning
from imageway.core.steps import NO_VALUES, FormBody, Settled, Usage
from imageway.core.streams import StreamEvent


class Inbound(Struct, frozen=True, kw_only=True):
    """One request as a dialect sees it. `route` is the name of the dialect's own route; `params` come from its path.
    Header names are lower case; `query` values are the last of each name. `body`: None without one, a FormBody of
    multipart/form-data. `family_of` finds the catalog's family of the model that a name means, None of a stranger."""

    route: str
    method: str = "POST"
    path: str = "/"
    params: Mapping[str, str] = NO_VALUES
    query: Mapping[str, str] = NO_VALUES
    headers: Mapping[str, str] = NO_VALUES
    body: Tree | FormBody = None
    family_of: Callable[[str], str | None] = lambda name: None


Form = Literal["b64_json", "url"]

TASK_EVENTS: Final = ("task.cancelled", "task.failed", "task.succeeded", "task.unknown")
"""What a task's end is announced as, one for each final state."""


class Webhook(Struct, frozen=True):
    """Who wants to be told of which ends of the task (`events`; empty: all). `param`: where the caller wrote it."""

    url: str
    events: tuple[str, ...] = ()
    param: str = "webhook.url"


class Generate(Struct, frozen=True, kw_only=True):
    """`form` None: the model's default. `shape` is the dialect's own word for how to answer. `warnings` are what decode
    itself could not honour. `background`: the answer is the task, the images are fetched later, unless they come within
    `wait_s`. `deadline_s`: what comes later than so long after now is not wanted; None: our own limits. The engine
    writes the `fingerprint` of a request with a key; `reject_running`: not to wait for an earlier one under it."""

    request: ImageRequest
    form: Form | None = None
    strict: bool = False
    idempotency_key: str | None = None
    fingerprint: bytes = b""
    reject_running: bool = False
    webhook: Webhook | None = None
    shape: str = "flat"
    background: bool = False
    deadline_s: float | None = None
    wait_s: float = 0
    warnings: tuple[RequestWarning, ...] = ()
    dialect: str = ""  # its name; the server writes it


class Estimate(Struct, frozen=True, kw_only=True):
    """What would this cost; nothing is held, sent or stored."""

    generate: Generate


class ShowModels(Struct, frozen=True, kw_only=True):
    """All of them are found; the dialect shows `limit` (None: all) after the first `skip`, in its own `shape`."""

    limit: int | None = None
    skip: int = 0
    shape: str = "flat"


class ShowModel(Struct, frozen=True):
    id: str
    shape: str = "flat"


class ShowTask(Struct, frozen=True):
    """Answered when it has ended, or after `wait_s`. `known`: the tags of what the caller has of it already."""

    id: str
    wait_s: float = 0
    known: tuple[str, ...] = ()
    shape: str = "flat"


class ListTasks(Struct, frozen=True, kw_only=True):
    """The workspace's tasks, newest first: those created from `since_ms` until before `until_ms`, in one of `states`
    (empty: any), of `model` (None: any); `limit` of them, after the first `skip`, or from the one `before` (created ms,
    id) on. `counted`: somebody wants to know how many there are in all."""

    since_ms: int | None = None
    until_ms: int | None = None
    states: tuple[str, ...] = ()
    model: str | None = None
    limit: int = 20
    skip: int = 0
    before: tuple[int, str] | None = None
    counted: bool = True


class CancelTask(Struct, frozen=True):
    id: str


class FollowTask(Struct, frozen=True):
    """What becomes of a task, as it happens; `after`: the number of the last news that the caller has."""

    id: str
    after: int = 0


class ShowImage(Struct, frozen=True):
    """The bytes of a stored image, or a small picture of it. `id`: its name in the store, with or without suffix."""

    id: str
    thumbnail: bool = False


class DeleteImage(Struct, frozen=True):
    """Removes a stored image now; what is gone already counts as done."""

    id: str


class GrantUpload(Struct, frozen=True):
    """Where and how the caller may put a file that a later request will name."""

    model: str


class Upload(Struct, frozen=True):
    """A file that comes under such a grant; the form's own `fields` prove it. `name` is `folder`/file name."""

    name: str
    fields: Mapping[str, str]
    content: Blob


Intent = (
    Generate
    | Estimate
    | ShowModels
    | ShowModel
    | ShowTask
    | ListTasks
    | CancelTask
    | FollowTask
    | ShowImage
    | DeleteImage
    | GrantUpload
    | Upload
)


class Picture(Struct, frozen=True, kw_only=True):
    """One proved image on its way out: `blob` for b64_json, or `url` for url. `signature`: see core's Turn."""

    media_type: str
    width: int
    height: int
    blob: Blob | None = None
    url: str | None = None
    revised_prompt: str | None = None
    signature: Blob | str | None = None


class Missing(Struct, frozen=True):
    """One image that did not come, in words for the caller: `code` is core's, `place` counts from 0 (None: unknown)."""

    code: str
    message: str
    place: int | None = None


class Generated(Struct, frozen=True, kw_only=True):
    """A finished generation with k ≥ 1 pictures. `family` is the model's family in the catalog. `missing`: the images
    asked for that did not come; of a group left to choose, only those begun. `settled`: the provider's choices."""

    request_id: str
    model: str
    family: str
    created_s: int
    pictures: tuple[Picture, ...]
    prompt: str | None = None
    price_usd_micros: int = 0
    size: str | None = None
    usage: Usage | None = None
    text: str | None = None
    seeds: tuple[int, ...] = ()
    missing: tuple[Missing, ...] = ()
    settled: Settled | None = None
    warnings: tuple[RequestWarning, ...] = ()
    sandbox: bool = False


class Estimated(Struct, frozen=True, kw_only=True):
    hold_usd_micros: int
    worst_usd_micros: int
    expected_usd_micros: int
    prices: tuple[PriceLine, ...] = ()
    warnings: tuple[RequestWarning, ...] = ()


class ModelCard(Struct, frozen=True, kw_only=True):
    """A model for its caller. `prices` and `capabilities` are JSON-ready, `minimum_hold_usd` is decimal text."""

    id: str
    created_s: int
    owned_by: str
    title: str
    capabilities: Mapping[str, Tree]
    prices: tuple[Mapping[str, Tree], ...]
    minimum_hold_usd: str = ""


class ModelList(Struct, frozen=True):
    cards: tuple[ModelCard, ...]


class TaskView(Struct, frozen=True, kw_only=True):
    """One task as its owner may see it: `pictures` carry signed URLs while they are stored, until `expires_ms`. `error`
    is (code, message). `started_ms`: of its first attempt; `requested`: images asked for; `missing`: those of a success
    that did not come; `text`, `seeds`: as in Generated; `sandbox`: a pretend upstream may have part in it."""

    id: str
    status: str
    model: str
    operation: str = "generate"
    created_s: int
    finished_s: int | None = None
    created_ms: int = 0
    started_ms: int | None = None
    finished_ms: int | None = None
    requested: int = 1
    pictures: tuple[Picture, ...] = ()
    error: tuple[str, str] | None = None
    price_usd_micros: int = 0
    warnings: tuple[RequestWarning, ...] = ()
    missing: tuple[Missing, ...] = ()
    attempts: int = 0
    expires_ms: int = 0
    text: str | None = None
    seeds: tuple[int, ...] = ()
    sandbox: bool = False


class TaskList(Struct, frozen=True, kw_only=True):
    """One page of a workspace's tasks; `total`: all that match, where asked for; `next`: `before` of the next page."""

    tasks: tuple[TaskView, ...]
    total: int
    skip: int = 0
    limit: int = 20
    next: tuple[int, str] | None = None


class UploadGrant(Struct, frozen=True, kw_only=True):
    """How to put one file: a form posted to the dialect's own path at `url`, with `fields` and the file, of at most
    `max_bytes`, within `expires_s`; requests name it `folder`/file name. `capacity_bytes`: of a whole workspace."""

    url: str
    fields: Mapping[str, str]
    folder: str
    max_bytes: int
    expires_s: int
    capacity_bytes: int = 0


class Uploaded(Struct, frozen=True):
    name: str


class ImageDeleted(Struct, frozen=True):
    id: str


Outcome = Generated | Estimated | ModelList | ModelCard | TaskView | TaskList | ImageDeleted | UploadGrant | Uploaded


class Preview(Struct, frozen=True, kw_only=True):
    """A partial image on its way: `index` counts those of one image from 0, `picture` carries a blob."""

    image: int
    index: int
    picture: Picture
    created_s: int = 0


class Arrived(Struct, frozen=True, kw_only=True):
    """One finished, proved image, in the form asked for, before the whole is settled: the `image`-th to come, from 0.
    It is charged for when the task is. `model`, `created_s`: as in Generated. `place` counts those that failed too."""

    image: int
    picture: Picture
    model: str = ""
    created_s: int = 0
    place: int | None = None


class Finished(Struct, frozen=True):
    """The last event of a stream that brought something: paid for, durably."""

    generated: Generated


class TaskNews(Struct, frozen=True, kw_only=True):
    """Something that became of a task. `number` orders such news, 0 for what is told once; `attempt` is from 1 on."""

    kind: Literal["queued", "started", "attempt", "partial", "completed"]
    number: int
    task: TaskView
    attempt: int = 0
    preview: Preview | None = None


class Broken(Struct, frozen=True):
    """The last event of a stream that could not be finished after it had begun."""

    request_id: str
    error: GatewayError


Event = Preview | Arrived | Finished | Broken


class Answer(Struct, frozen=True):
    """What goes back. A dict/list body is JSON; blobs in it are spliced, never re-encoded. Header names lower case.
    `id_key`: the key at the top of the body that takes the request id, where only the server knows one."""

    status: int
    body: Tree
    headers: tuple[tuple[str, str], ...] = ()
    id_key: str = ""


class Where(Struct, frozen=True):
    """Where an error happened: the dialect's route name (None: before one was found), and what stood in the path."""

    route: str | None
    request_id: str
    params: Mapping[str, str] = NO_VALUES


@dataclass(frozen=True, slots=True)
class Route:
    """One path a dialect owns. `path` may hold {names} of one segment, or of its beginning: "{model}:predict". Dialects
    may share it, each with its `carriers`: one of these headers or query parameters ("x-goog-api-key", "?key") must be
    there. `form`: its body may be multipart/form-data. `public`: no caller is asked for. `summary`: for documents."""

    name: str
    method: str
    path: str
    summary: str = ""
    carriers: tuple[str, ...] = ()
    form: bool = False
    public: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Dialect:
    """The code for one inbound wire format: pure functions. `credential` finds the caller's key in headers and query.
    `decode` raises InvalidRequest with every problem at once. `encode_event` turns each event of a stream into what is
    written, the closing words included; None: it has no streams. `heartbeat` is written while nothing else comes,
    `line_end` closes events. `prefixes`: paths below these that nobody owns are refused in this dialect's envelope.
    `schema`: the JSON Schema (2020-12) of a route's body, by the route's name; None: it has none. `encode_news` writes
    what becomes of a task that is followed; None: tasks cannot be followed in this format."""

    name: str
    routes: tuple[Route, ...]
    credential: Callable[[Mapping[str, str], Mapping[str, str]], str | None]
    decode: Callable[[Inbound], Intent]
    encode: Callable[[Intent, Outcome], Answer]
    encode_error: Callable[[Where, GatewayError], Answer]
    encode_event: Callable[[Generate, Event], tuple[StreamEvent, ...]] | None = None
    heartbeat: bytes = b": waiting\n\n"
    line_end: bytes = b"\n"
    prefixes: tuple[str, ...] = ()
    schema: Callable[[str], Mapping[str, Tree] | None] = lambda route: None
    encode_news: Callable[[TaskNews], StreamEvent] | None = None
