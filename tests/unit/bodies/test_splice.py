"""Trees become JSON again: exact length beforehand, blobs as standard base64, text as it is."""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator
from enum import StrEnum
from types import MappingProxyType
from typing import NoReturn

import pytest

from imageway.bodies import Payload, Scope, blob_of, json_payload
from imageway.core.blobs import Embed, Encoding, Tree
from tests.unit.bodies.conftest import gather

CONTENT = bytes(range(256)) * 40
STANDARD = base64.b64encode(CONTENT).decode()


async def written(payload: Payload) -> bytes:
    body = await gather(payload.chunks())
    assert len(body) == payload.length
    assert payload.content in (None, body)
    return body


class Colour(StrEnum):
    RED = "red"


async def test_small_trees_are_compact_and_keep_their_order_and_their_text() -> None:
    payload = json_payload(
        {"b": 1, "a": [True, None, 2.5, '雨 😀 "\n\0'], "c": MappingProxyType({"x": Colour.RED}), "d": ()}
    )
    assert await written(payload) == '{"b":1,"a":[true,null,2.5,"雨 😀 \\"\\n\\u0000"],"c":{"x":"red"},"d":[]}'.encode()
    assert payload.content_type == "application/json"


@pytest.mark.parametrize(
    ("stored", "encoding"),
    [
        (CONTENT, Encoding.BINARY),
        (STANDARD.encode(), Encoding.BASE64),
        (base64.urlsafe_b64encode(CONTENT).rstrip(b"="), Encoding.BASE64URL),
    ],
)
async def test_every_blob_is_written_as_standard_base64(stored: bytes, encoding: Encoding) -> None:
    blob = blob_of(stored, encoding=encoding)
    tree: Tree = {"one": blob, "two": [Embed(blob), Embed(blob, 'data:image/"雨";base64,')], "three": "\0"}
    expected = {"one": STANDARD, "two": [STANDARD, f'data:image/"雨";base64,{STANDARD}'], "three": "\0"}
    payload = json_payload(tree)
    assert json.loads(await written(payload)) == expected
    assert json.loads(await written(payload)) == expected, "a payload can be sent twice"


async def test_a_bare_blob_is_a_whole_body() -> None:
    assert await written(json_payload(blob_of(b"hello"))) == b'"aGVsbG8="'
    assert await written(json_payload(blob_of(b""))) == b'""'


async def test_the_length_is_known_without_reading_a_blob_and_large_ones_are_not_joined(scope: Scope) -> None:
    writer = scope.writer(encoding=Encoding.BASE64)
    writer.write(base64.b64encode(bytes(3_000_000)))
    blob = await writer.finish()
    payload = json_payload({"data": [{"b64_json": blob}, {"b64_json": blob}]})
    assert payload.length == len('{"data":[{"b64_json":""},{"b64_json":""}]}') + 8_000_000
    sizes = [len(chunk) async for chunk in payload.chunks()]
    assert max(sizes) <= 1 << 16
    assert sum(sizes) == payload.length


async def test_somebody_elses_blob_will_do() -> None:
    class Foreign:
        encoding = Encoding.BINARY
        stored_bytes = decoded_bytes = 5
        declared_type = facts = None
        head = tail = b"hello"

        async def open(self) -> AsyncIterator[bytes]:
            yield b"hel"
            yield b"lo"

    assert await written(json_payload([Foreign()])) == b'["aGVsbG8="]'


@pytest.mark.parametrize("value", [b"bytes", object(), {1, 2}])
def test_what_is_not_a_tree_is_refused(value: NoReturn) -> None:
    with pytest.raises(TypeError):
        json_payload([value])


@pytest.mark.parametrize("value", [float("nan"), float("-inf"), "\ud800"])
def test_what_json_cannot_say_is_refused_and_never_becomes_null(value: Tree) -> None:
    with pytest.raises(ValueError, match=r"cannot be|surrogates"):
        json_payload({"x": [value]})


async def test_what_is_small_and_lies_in_memory_need_not_be_gathered(scope: Scope) -> None:
    small, large = (blob_of(base64.b64encode(bytes(size)), encoding=Encoding.BASE64) for size in (600, 60_000))
    for tree in ({"text": "a cat"}, {"b64_json": small, "again": [Embed(small, "data:image/png;base64,")]}):
        payload = json_payload(tree)  # type: ignore[arg-type]
        assert payload.content == await written(payload)
    spelled = blob_of(b"-_-_", encoding=Encoding.BASE64URL)
    for blob in (large, blob_of(b"hello"), spelled):
        payload = json_payload({"b64_json": blob})
        assert payload.content is None
        await written(payload)
