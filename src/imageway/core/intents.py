"""What a decoded request wants from us, what it gets, and the bytes that go back. Dialects stand between the three."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from imageway.core.blobs import Blob, Tree
from imageway.core.errors import GatewayError
from imageway.core.requests import ImageRequest, RequestWarning
from imageway.core.steps import NO_VALUES, Usage


@dataclass(frozen=True, slots=True, kw_only=True)
class Inbound:
    """One request as a dialect sees it. `route` is the name of the dialect's own route; `params` come from its path.
    Header names are lower case; `query` values are the last of each name. `body` is None when there was none."""

    route: str
    method: str = "POST"
    path: str = "/"
    params: Mapping[str, str] = field(default_factory=lambda: NO_VALUES)
    query: Mapping[str, str] = field(default_factory=lambda: NO_VALUES)
    headers: Mapping[str, str] = field(default_factory=lambda: NO_VALUES)
    body: Tree = None


Form = Literal["b64_json", "url"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Generate:
    """`form` None: the model's default. `shape` is the dialect's own word for how to answer. `warnings` are what decode
    itself could not honour."""

    request: ImageRequest
    form: Form | None = None
    strict: bool = False
    idempotency_key: str | None = None
    shape: str = "flat"
    warnings: tuple[RequestWarning, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """What would this cost; nothing is held, sent or stored."""

    generate: Generate


@dataclass(frozen=True, slots=True)
class ShowModels:
    pass


@dataclass(frozen=True, slots=True)
class ShowModel:
    id: str


@dataclass(frozen=True, slots=True)
class ShowTask:
    id: str


Intent = Generate | Estimate | ShowModels | ShowModel | ShowTask


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """One proved image on its way out: `blob` for b64_json, `url` for url (exactly one is set)."""

    media_type: str
    width: int
    height: int
    blob: Blob | None = None
    url: str | None = None
    revised_prompt: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Generated:
    """A finished generation with k ≥ 1 pictures. `family` is the model's family in the catalog."""

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
    warnings: tuple[RequestWarning, ...] = ()
    sandbox: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class PriceLine:
    """One line of a bill, exact before rounding: `quantity` × `unit_usd` per `unit`, as decimal text."""

    what: str
    quantity: str
    unit: str
    unit_usd: str
    assumed: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimated:
    hold_usd_micros: int
    worst_usd_micros: int
    expected_usd_micros: int
    prices: tuple[PriceLine, ...] = ()
    warnings: tuple[RequestWarning, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelCard:
    """A model as the caller may use it. `prices` and `capabilities` are JSON-ready."""

    id: str
    created_s: int
    owned_by: str
    title: str
    capabilities: Mapping[str, Tree]
    prices: tuple[Mapping[str, Tree], ...]


@dataclass(frozen=True, slots=True)
class ModelList:
    cards: tuple[ModelCard, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskView:
    """One task as its owner may see it: `pictures` carry signed URLs while the images are stored. `error` is
    (code, message)."""

    id: str
    status: str
    model: str
    created_s: int
    finished_s: int | None = None
    pictures: tuple[Picture, ...] = ()
    error: tuple[str, str] | None = None
    price_usd_micros: int = 0
    warnings: tuple[RequestWarning, ...] = ()


Outcome = Generated | Estimated | ModelList | ModelCard | TaskView


@dataclass(frozen=True, slots=True)
class Answer:
    """What goes back. A dict/list body is JSON; blobs in it are spliced, never re-encoded. Header names lower case."""

    status: int
    body: Tree
    headers: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Where:
    """Where an error happened: the dialect's route name (None: before one was found) and the request id."""

    route: str | None
    request_id: str
    stream_started: bool = False


@dataclass(frozen=True, slots=True)
class Route:
    """One path a dialect owns. `path` may hold {names} that match one segment each."""

    name: str
    method: str
    path: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Dialect:
    """The code for one inbound wire format: pure functions. `credential` finds the caller's key in headers and query.
    `decode` raises InvalidRequest with every problem at once."""

    name: str
    routes: tuple[Route, ...]
    credential: Callable[[Mapping[str, str], Mapping[str, str]], str | None]
    decode: Callable[[Inbound], Intent]
    encode: Callable[[Intent, Outcome], Answer]
    encode_error: Callable[[Where, GatewayError], Answer]
