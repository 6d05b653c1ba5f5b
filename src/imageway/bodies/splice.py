"""Trees back into JSON. Blobs are not looked at: their length is known, their bytes follow when the body is sent."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Final

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


def json_payload(tree: Tree) -> Payload:
    """JSON with text as raw UTF-8; a blob becomes a string of its standard base64. Raises TypeError for what is not a
    tree, ValueError for numbers that are not finite and text that is not Unicode (lone surrogates)."""
    blobs: list[Blob] = []
    text = _encode(_plain(tree, blobs))
    if not blobs:
        return whole(text, _CONTENT_TYPE)
    length = len(text) - len(blobs) + sum([encoded_length(blob.decoded_bytes) for blob in blobs])
    pieces = text.split(_GAP)
    parts: list[bytes | Blob] = [pieces[0]]
    for blob, piece in zip(blobs, pieces[1:], strict=True):
        parts += (blob if length > SMALL_BYTES else _at_hand(blob), piece)
    texts = [part for part in parts if isinstance(part, bytes)]
    if len(texts) == len(parts):
        return whole(b"".join(texts), _CONTENT_TYPE)
    return Payload(length, _CONTENT_TYPE, lambda: chain(parts, encoded), runs=lambda: chain(parts, encoded_runs))


def _at_hand(blob: Blob) -> Blob | bytes:
    """The standard base64 of a blob that lies in memory as such; other blobs as they are."""
    if isinstance(blob, StoredBlob) and isinstance(blob.source, bytes) and lies_encoded(blob):
        return blob.source
    return blob


def _plain(node: object, blobs: list[Blob]) -> object:
    """The node as msgspec takes it: blobs are collected in the order written and leave a gap. Asks for what is common
    first: every answer passes here."""
    if type(node) in _SCALARS:
        return node
    if isinstance(node, dict):
        if _SCALARS.issuperset(map(type, node.values())):
            return node
        members = {}
        for key, value in node.items():
            members[key] = value if type(value) in _SCALARS else _plain(value, blobs)
        return members
    if isinstance(node, list):
        return [_plain(value, blobs) for value in node]
    if isinstance(node, StoredBlob):
        return _gap(node, blobs)
    return _rare(node, blobs)


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
    if isinstance(node, tuple):
        return _plain(list(node), blobs)
    if isinstance(node, Blob):
        return _gap(node, blobs)
    raise TypeError(f"a {type(node).__name__} has no place in a JSON body")


def _gap(blob: Blob, blobs: list[Blob]) -> msgspec.Raw:
    blobs.append(blob)
    return msgspec.Raw(b'"' + _GAP + b'"')
