"""Trees back into JSON. Blobs are not looked at: their length is known, their bytes follow when the body is sent."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any, Final

import msgspec

from imageway.bodies.base64_text import encoded_length
from imageway.bodies.blobs import StoredBlob
from imageway.bodies.payload import Payload, chain, whole
from imageway.bodies.streams import encoded, encoded_runs, lies_encoded
from imageway.core.blobs import Blob, Embed, Tree

SMALL_BYTES: Final = 64 << 10  # written at once where all of it lies in memory; copying more costs more than it saves
_CONTENT_TYPE: Final = "application/json"
_SCALARS: Final = frozenset({str, int, bool, type(None)})
_GAP: Final = b"\0"  # stands for a blob; JSON text cannot hold it otherwise, control characters are written as escapes
_encode: Final = msgspec.json.Encoder().encode
_BLOB: Final = msgspec.Raw(b'"' + _GAP + b'"')


def json_payload(tree: Tree) -> Payload:
    """JSON with text as raw UTF-8; a blob becomes a string of its standard base64. Raises TypeError for what is not a
    tree, ValueError for numbers that are not finite and text that is not Unicode (lone surrogates)."""
    blobs: list[Blob] = []
    text = _encode(_plain(tree, blobs))
    if not blobs:
        return whole(text, _CONTENT_TYPE)
    content = _at_once(text, blobs)
    if content is not None:
        return whole(content, _CONTENT_TYPE)
    pieces = text.split(_GAP)
    length = len(text) - len(blobs) + sum([encoded_length(blob.decoded_bytes) for blob in blobs])
    parts: list[bytes | Blob] = [pieces[0]]
    for blob, piece in zip(blobs, pieces[1:], strict=True):
        parts += (blob, piece)
    return Payload(length, _CONTENT_TYPE, partial(chain, parts, encoded), runs=partial(chain, parts, encoded_runs))


def _at_once(text: bytes, blobs: list[Blob]) -> bytes | None:
    """All of it, where that is small and every blob lies in memory as it is written."""
    for blob in blobs:
        if not isinstance(blob, StoredBlob) or not isinstance(blob.source, bytes) or not lies_encoded(blob):
            return None
        if len(text) + len(blob.source) > SMALL_BYTES:
            return None
        text = text.replace(_GAP, blob.source, 1)
    return text


def _plain(node: object, blobs: list[Blob]) -> object:
    """The node as msgspec takes it: blobs are collected in the order written and leave a gap. What holds none is not
    copied. Asks for what is common first: every answer passes here."""
    members: Iterable[tuple[Any, object]]
    if type(node) is dict:
        members = node.items()
    elif type(node) is list:
        members = enumerate(node)
    elif type(node) is StoredBlob:
        blobs.append(node)
        return _BLOB
    else:
        return node if type(node) in _SCALARS else _rare(node, blobs)
    written = node
    for place, value in members:
        if type(value) not in _SCALARS and (plain := _plain(value, blobs)) is not value:
            if written is node:
                written = node.copy()
            written[place] = plain
    return written


def _rare(node: object, blobs: list[Blob]) -> object:
    if isinstance(node, Embed):
        blobs.append(node.blob)
        return msgspec.Raw(_encode(node.prefix)[:-1] + _GAP + b'"')
    if isinstance(node, float):
        if not math.isfinite(node):
            raise ValueError(f"{node} cannot be written as JSON")
        return node
    if isinstance(node, str | int):  # enumerations
        return node
    if isinstance(node, Mapping):
        return _plain(dict(node), blobs)
    if isinstance(node, tuple | list):
        return _plain([*node], blobs)
    if isinstance(node, Blob):
        blobs.append(node)
        return _BLOB
    raise TypeError(f"a {type(node).__name__} has no place in a JSON body")
