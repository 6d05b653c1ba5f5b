"""What a restart needs, as JSON: the request a task belongs to, and the read it would have sent next.

Whatever is resumed was submitted already, and reads carry no images: there they are only counted. What waits to be
begun needs all of them, and everything else its caller wrote (`KeptAsk`)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Literal

import msgspec
from msgspec.structs import astuple

from imageway.core.access import Terms
from imageway.core.intents import Form, Webhook
from imageway.core.requests import Geometry, Group, ImageLink, ImageRequest, MaskForm, Operation, RequestWarning
from imageway.core.steps import HttpRequest, Send
from imageway.engine.limits import Spending

Plain = str | int | float | bool | None
Step = str | int


class KeptSend(msgspec.Struct, frozen=True):
    """A read without a body. It names no secrets: transport puts the credential on again."""

    method: Literal["GET", "POST", "PUT", "DELETE"]
    path: str
    after_s: float
    headers: dict[str, str]
    query: dict[str, str]
    memo: dict[str, str]


class KeptBlob(msgspec.Struct, frozen=True, omit_defaults=True):
    """Bytes in the object store. `prefix`: what stood before them in a JSON string."""

    name: str
    prefix: str | None = None


class KeptInput(msgspec.Struct, frozen=True, omit_defaults=True):
    """An input image: linked by its caller, or sent and stored."""

    param: str
    url: str = ""
    stored: KeptBlob | None = None
    marks: MaskForm | None = None
    wanted: MaskForm | None = None
    max_bytes: int | None = None


class KeptTurn(msgspec.Struct, frozen=True, omit_defaults=True):
    """`parts`: texts, and numbers of inputs."""

    role: str
    parts: tuple[Step, ...]
    signatures: dict[int, str | KeptBlob] = {}


class KeptPlace(msgspec.Struct, frozen=True):
    """Where in the extras a blob stood."""

    path: tuple[Step, ...]
    blob: KeptBlob


class KeptAsk(msgspec.Struct, frozen=True, omit_defaults=True):
    """What only the start of a task asks for. Images are told apart by their number in `inputs`: the prompt's and the
    conversation's may be the same ones. `extras` is JSON with null where `places` has blobs."""

    inputs: tuple[KeptInput, ...] = ()
    images: tuple[int, ...] = ()
    mask: int | None = None
    turns: tuple[KeptTurn, ...] = ()
    extras: str = "{}"
    places: tuple[KeptPlace, ...] = ()
    written: dict[str, str] = {}
    strict: bool = False

    @property
    def names(self) -> Iterator[str]:
        """Of everything that is stored for it."""
        yield from (one.stored.name for one in self.inputs if one.stored)
        yield from (place.blob.name for place in self.places)
        for turn in self.turns:
            yield from (signed.name for signed in turn.signatures.values() if isinstance(signed, KeptBlob))


class KeptTask(msgspec.Struct, frozen=True, omit_defaults=True):
    """What fitting, decoding, proving and settling still ask of a request. `counts`: images per part. `ask`: of a task
    that waited, what starting it asks besides."""

    request: dict[str, Plain]
    counts: tuple[int, ...]
    form: Form
    hold_usd_micros: int
    inputs: int = 0
    geometry: Geometry | None = None
    group: Group | None = None
    spelled: dict[str, str] = {}
    warnings: tuple[RequestWarning, ...] = ()
    webhook: Webhook | None = None
    ask: KeptAsk | None = None
    terms: Terms | None = None
    dialect: str = ""
    spending: Spending | None = None
    keep_images_s: float | None = None


_encoder = msgspec.json.Encoder()
_send_decoder = msgspec.json.Decoder(KeptSend)
_task_decoder = msgspec.json.Decoder(KeptTask)
# What a request holds besides plain values: kept in fields of its own, counted, or not asked for any more.
_NOT_PLAIN = frozenset({"turns", "images", "mask", "group", "geometry", "extras", "spelled", "written", "names"})
_PLAIN = tuple((place, name) for place, name in enumerate(ImageRequest.__struct_fields__) if name not in _NOT_PLAIN)


def pack_memo(send: Send) -> bytes:
    request = send.request
    headers, query = _texts(request.headers), _texts(request.query)
    return _encoder.encode(KeptSend(request.method, request.path, send.after_s, headers, query, dict(send.memo)))


def _texts(values: Mapping[str, object]) -> dict[str, str]:
    return {name: value for name, value in values.items() if isinstance(value, str)}


def unpack_memo(memo: bytes) -> Send:
    kept = _send_decoder.decode(memo)
    request = HttpRequest(kept.method, kept.path, headers=kept.headers, query=kept.query)
    return Send(request, kept.after_s, kept.memo, "read")


def plain_fields(request: ImageRequest) -> dict[str, Plain]:
    """Every field that is a plain value and was set."""
    values = astuple(request)
    return {name: values[place] for place, name in _PLAIN if values[place] is not None}


def pack_task(kept: KeptTask) -> bytes:
    return _encoder.encode(kept)


def unpack_task(content: bytes) -> KeptTask:
    return _task_decoder.decode(content)


def request_of(kept: KeptTask) -> ImageRequest:
    """The request as it was, with a stand-in for every input image."""
    values = dict(kept.request)
    model, operation = str(values.pop("model")), Operation(str(values.pop("operation", "generate")))
    images = tuple(ImageLink("", f"image[{i}]") for i in range(kept.inputs))
    return ImageRequest(
        model=model,
        operation=operation,
        images=images,
        geometry=kept.geometry,
        group=kept.group,
        spelled=kept.spelled,
        **values,  # type: ignore[arg-type]  # the names and types are those that plain_fields took out
    )
