"""What a request asks for, as a digest of each of its fields: whether another one asks for the same, and where it does
not. How a format writes it, and how the answer is delivered, are no part of it."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterator, Mapping
from hashlib import sha256
from typing import Any, Final

import msgspec

from imageway.catalog.checking import images_of
from imageway.core.blobs import Blob, Embed, Tree
from imageway.core.intents import Webhook
from imageway.core.requests import Geometry, ImageData, ImageInput, ImageRequest, Turn

_DIGEST_BYTES: Final = 12  # of each field; nobody gains by finding two requests of his own that look the same
# What stands in a request and asks for nothing, and what is written down in a form of its own.
_DELIVERY: Final = frozenset({"stream", "partial_images", "family", "spelled", "written", "names"})
_FORMED: Final = frozenset({"model", "prompt", "turns", "images", "mask", "n", "group", "geometry", "extras"})
_PLAIN: Final = tuple(name for name in ImageRequest.__struct_fields__ if name not in _DELIVERY | _FORMED)
_encoder: Final = msgspec.json.Encoder(order="sorted")

Digests = Mapping[int, bytes]
"""Of the content of blobs, by the identity of the blob."""


def blobs_of(request: ImageRequest) -> Iterator[Blob]:
    """Everything whose content is part of what is asked for."""
    images = (*images_of(request), *((request.mask,) if request.mask else ()))
    yield from (image.blob for image in images if isinstance(image, ImageData))
    for turn in request.turns:
        yield from (signed for signed in turn.signatures.values() if not isinstance(signed, str))
    yield from _blobs_in(dict(request.extras))


def fingerprint(model: str, request: ImageRequest, webhook: Webhook | None, digests: Digests) -> bytes:
    """A small JSON object: field → digest, equal for requests that ask for the same. `model` is the catalog's id of
    what the request names."""
    fields = dict(_fields(request, digests), model=model)
    if webhook is not None:
        fields["webhook"] = webhook.url, sorted(webhook.events)
    return _encoder.encode({name: _short(value) for name, value in fields.items()})


def differences(first: bytes, second: bytes) -> tuple[str, ...]:
    """The fields in which two requests differ, by their names in core's ImageRequest."""
    one, other = msgspec.json.decode(first), msgspec.json.decode(second)
    return tuple(sorted(name for name in one.keys() | other.keys() if one.get(name) != other.get(name)))


def _fields(request: ImageRequest, digests: Digests) -> Iterator[tuple[str, Any]]:
    """What was not said is not there."""
    for name in _PLAIN:
        value = getattr(request, name)
        if value is not None:
            yield name, int(value) if isinstance(value, float) and value.is_integer() else value
    images = images_of(request)
    if request.turns:
        numbers = {id(image): number for number, image in enumerate(images)}
        yield "turns", [_turn(turn, numbers, digests) for turn in request.turns]
    elif request.prompt is not None:
        yield "prompt", request.prompt
    for number, image in enumerate(images):
        yield f"images[{number}]", _image(image, digests)
    if request.mask is not None:
        yield "mask", _image(request.mask, digests)
    if request.group is not None:
        yield "group", request.group.max_images
    elif request.n not in (None, 1):
        yield "n", request.n
    if request.geometry is not None and (size := _geometry(request.geometry)):
        yield "geometry", size
    if request.extras:
        yield "extras", (request.family, _tree(dict(request.extras), digests))


def _geometry(geometry: Geometry) -> dict[str, object]:
    said = ((name, getattr(geometry, name)) for name in Geometry.__struct_fields__)
    return {name: value for name, value in said if value}


def _image(image: ImageInput, digests: Digests) -> tuple[str, str | None]:
    content = digests[id(image.blob)].hex() if isinstance(image, ImageData) else image.url
    return content, image.marks


def _turn(turn: Turn, numbers: Mapping[int, int], digests: Digests) -> tuple[object, ...]:
    parts = [part if isinstance(part, str) else numbers[id(part)] for part in turn.parts]
    signatures = sorted(turn.signatures.items())
    return turn.role, parts, [(at, one if isinstance(one, str) else digests[id(one)].hex()) for at, one in signatures]


def _tree(tree: Tree, digests: Digests) -> Tree:
    """With the digest of a blob where it stood."""
    match tree:
        case dict():
            return {name: _tree(value, digests) for name, value in tree.items()}
        case list():
            return [_tree(value, digests) for value in tree]
        case Embed(blob, prefix):
            return prefix + digests[id(blob)].hex()
        case Blob():
            return digests[id(tree)].hex()
    return tree


def _blobs_in(tree: Tree) -> Iterator[Blob]:
    match tree:
        case dict():
            for value in tree.values():
                yield from _blobs_in(value)
        case list():
            for value in tree:
                yield from _blobs_in(value)
        case Embed(blob):
            yield blob
        case Blob():
            yield tree


def _short(value: object) -> str:
    return b64encode(sha256(_encoder.encode(value)).digest()[:_DIGEST_BYTES]).decode()
