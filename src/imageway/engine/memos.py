"""What a restart needs, as JSON: the request a task belongs to, and the read it would have sent next.

Input images are only counted: whatever is resumed was submitted already, and reads carry none."""

from __future__ import annotations

from collections.abc import Mapping
from operator import attrgetter
from typing import Literal

import msgspec

from imageway.core.intents import Form
from imageway.core.requests import Geometry, Group, ImageLink, ImageRequest, Operation, RequestWarning
from imageway.core.steps import HttpRequest, Send

Plain = str | int | float | bool | None


class KeptSend(msgspec.Struct, frozen=True):
    """A read without a body. It names no secrets: transport puts the credential on again."""

    method: Literal["GET", "POST", "PUT", "DELETE"]
    path: str
    after_s: float
    headers: dict[str, str]
    query: dict[str, str]
    memo: dict[str, str]


class KeptTask(msgspec.Struct, frozen=True, omit_defaults=True):
    """What fitting, decoding, proving and settling still ask of a request. `counts`: images per part."""

    request: dict[str, Plain]
    counts: tuple[int, ...]
    form: Form
    hold_usd_micros: int
    inputs: int = 0
    geometry: Geometry | None = None
    group: Group | None = None
    spelled: dict[str, str] = {}
    warnings: tuple[RequestWarning, ...] = ()


_encoder = msgspec.json.Encoder()
_send_decoder = msgspec.json.Decoder(KeptSend)
_task_decoder = msgspec.json.Decoder(KeptTask)
# What a request holds besides plain values: kept in fields of its own, counted, or not asked for any more.
_NOT_PLAIN = frozenset({"turns", "images", "mask", "group", "geometry", "extras", "spelled", "written"})
_PLAIN = tuple(name for name in ImageRequest.__struct_fields__ if name not in _NOT_PLAIN)
_plain_values = attrgetter(*_PLAIN)


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
    values = zip(_PLAIN, _plain_values(request), strict=True)
    return {name: value for name, value in values if value is not None}


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
