"""JSON comes off the wire in chunks cut anywhere; long base64 becomes blobs, the rest a tree; what is wrong is refused
by code and path, and nothing else ever happens."""

from __future__ import annotations

import base64
import json
import random

import pytest

from imageway.bodies import JsonLifter, LiftError, LiftLimits, Scope, Spool, StoredBlob, lift_json, read_decoded
from imageway.core.blobs import Encoding, Tree
from tests.unit.bodies.conftest import cut, until

NOISE = random.Random(3).randbytes(400_000)
DEFAULT = LiftLimits()
SMALL = LiftLimits(blob_bytes=16, text_bytes=64, tree_bytes=300, depth=5)


async def plain(tree: Tree) -> object:
    """The tree with blobs as their content."""
    if isinstance(tree, dict):
        return {key: await plain(value) for key, value in tree.items()}
    if isinstance(tree, list):
        return [await plain(value) for value in tree]
    return await read_decoded(tree, limit_bytes=1 << 24) if isinstance(tree, StoredBlob) else tree


async def lift(body: bytes, scope: Scope, size: int = 1 << 16, limits: LiftLimits = DEFAULT) -> Tree:
    return await lift_json(cut(body, size), scope, limits)


async def refusal(body: bytes, scope: Scope, size: int = 1 << 16, limits: LiftLimits = DEFAULT) -> tuple[str, str]:
    with pytest.raises(LiftError) as caught:
        await lift(body, scope, size, limits)
    return caught.value.code, caught.value.path


async def test_a_small_body_is_a_tree(scope: Scope) -> None:
    body = (
        '{"prompt": "雨天 \\ud83d\\ude00", "n": 2, "seed": 18446744073709551615, "cfg": -2.5e1, "x": [null, true, {}]}'
    )
    tree = await lift(body.encode(), scope)
    assert tree == {"prompt": "雨天 😀", "n": 2, "seed": 2**64 - 1, "cfg": -25.0, "x": [None, True, {}]}


@pytest.mark.parametrize("size", [1, 3, 4, 5, 1000, 4099, 65536, 1 << 20])
async def test_long_base64_becomes_a_blob_at_any_cut(scope: Scope, size: int) -> None:
    content = NOISE[:9_000] if size < 1000 else NOISE
    text = base64.b64encode(content).decode()
    body = json.dumps({"data": [{"b64_json": text}, {"b64_json": "short"}], "after": "é"}).encode()
    tree = await lift(body, scope, size)
    assert await plain(tree) == {"data": [{"b64_json": content}, {"b64_json": "short"}], "after": "é"}
    assert tree["data"][0]["b64_json"].encoding is Encoding.BASE64


async def test_a_string_of_8_kib_is_text_and_one_more_group_is_a_blob(scope: Scope) -> None:
    kept = await lift(json.dumps(["A" * 8192]).encode(), scope)
    assert kept == ["A" * 8192]
    assert await plain(await lift(json.dumps(["A" * 8196]).encode(), scope)) == [b"\0" * 6147]


async def test_every_split_of_a_body_gives_the_same(scope: Scope) -> None:
    """Two chunks, cut at each byte: escapes, surrogates, multi-byte text, data URLs and borders of strings included."""
    content = bytes(range(60))
    text = base64.b64encode(content).decode()
    body = (
        '{ "a\\"b":"\\u96e8\\n\\ud83d\\ude00", "url":"data:image/PNG;base64,' + text.replace("=", "\\u003d") + '",'
        '"é雨":["'
        + base64.urlsafe_b64encode(b"\xfb\xff" * 12).decode().rstrip("=")
        + '","'
        + "long text, no base64 " * 2
        + '"],'
        '"slash":"' + base64.b64encode(b"\xff" * 30).decode().replace("/", "\\/") + '", "n":-1.5e3 }\n'
    ).encode()
    expected = {
        'a"b': "雨\n😀",
        "url": content,
        "é雨": [b"\xfb\xff" * 12, "long text, no base64 " * 2],
        "slash": b"\xff" * 30,
        "n": -1500.0,
    }
    for at in range(len(body) + 1):
        lifter = JsonLifter(scope, SMALL)
        lifter.feed(body[:at])
        await lifter.drain()
        lifter.feed(body[at:])
        tree = await lifter.finish()
        assert await plain(tree) == expected, at
        assert tree["url"].declared_type == "image/png"


@pytest.mark.parametrize("length", [9_000, 300_000])
@pytest.mark.parametrize("size", [1021, 65536])
async def test_escapes_in_base64_and_its_padding_do_not_matter(scope: Scope, length: int, size: int) -> None:
    content = NOISE[:length] + b"!"
    text = base64.b64encode(content).decode()
    for spelled in (
        text.replace("/", "\\/"),
        text.replace("+", "\\u002b").replace("=", "\\u003D").replace("/", "\\u002f"),
        text.rstrip("="),
        text + "===",
        "\\r\\n".join(text[at : at + 76] for at in range(0, len(text), 76)) + "\\n",
        "data:image\\/webp;base64," + text,
        text.replace("+", "-").replace("/", "_"),
    ):
        tree = await lift(b'["' + spelled.encode() + b'"]', scope, size)
        assert await plain(tree) == [content]


@pytest.mark.parametrize("escape", ["\\/", "\\u002f", "\\n", "\\u000a"])
async def test_one_escape_anywhere_at_the_end_of_base64_does_not_matter(scope: Scope, escape: str) -> None:
    """Among the last characters, before the padding and behind it, and wherever a chunk ends."""
    text = (base64.b64encode(NOISE[:9000]) + b"AAA//w==").decode()
    for at in range(len(text) - 8, len(text) + 1):
        is_break = escape in ("\\n", "\\u000a")
        if not is_break and text[at - 1] != "/":
            continue
        spelled = text[:at] + escape + text[at:] if is_break else text[: at - 1] + escape + text[at:]
        for size in (1021, len(spelled) - 3, len(spelled) - 2, len(spelled), 1 << 16):
            tree = await lift(b'["' + spelled.encode() + b'"]', scope, size, LiftLimits(text_bytes=8200))
            assert await plain(tree) == [base64.b64decode(text)], (at, size)


async def test_long_text_stays_text(scope: Scope) -> None:
    for text in ("a sentence. " * 10_000, "雨" * 60_000, "AAAA" * 3000 + "!", "AAAAA" * 2001, '\\ " \n \u0001' * 9000):
        assert await lift(json.dumps([text, 1]).encode(), scope) == [text, 1]
        assert await lift(json.dumps([text, 1], ensure_ascii=False).encode(), scope, 4099) == [text, 1]


@pytest.mark.parametrize("size", [1, 1021, 65536])
async def test_what_people_write_stays_text_though_it_could_be_base64(scope: Scope, size: int) -> None:
    """By the member it stands in, wherever that is; every other such string is an image."""
    words = "abcd" * 8000
    tree: Tree = {
        "prompt": words,
        "negative_prompt": words + "ab",
        "contents": [{"parts": [{"text": words}, {"image": words}]}],
        'no "text': words,
        "texts": [words],
    }
    for indent in (None, 4):
        body = json.dumps(tree, indent=indent).replace('"prompt":', '"prompt" \n :').encode()
        found = await plain(await lift(body, scope, size))
        image = base64.b64decode(words)
        parts = [{"text": words}, {"image": image}]
        assert found == tree | {"contents": [{"parts": parts}], 'no "text': image, "texts": [image]}


async def test_text_that_could_be_base64_has_the_limit_of_text(scope: Scope) -> None:
    exactly = "abcd" * (64 << 10)
    assert await lift(json.dumps({"prompt": exactly}).encode(), scope) == {"prompt": exactly}
    for size in (1021, 1 << 22):
        assert await refusal(json.dumps({"prompt": exactly + "a"}).encode(), scope, size) == (
            "text_too_large",
            "prompt",
        )


async def test_what_is_refused_names_its_place(scope: Scope) -> None:
    base64_text = b'"' + b"QUJD" * 70_000
    for body, code, path in (
        (b"", "body_empty", ""),
        (b" \r\n\t ", "body_empty", ""),
        (b"{", "malformed_json", ""),
        (b'{"a":[1,{"b":', "malformed_json", "a[1].b"),
        (b'{"a":"text', "malformed_json", "a"),
        (b'{"a":1} x', "malformed_json", ""),
        (b'{"a":1}{"a":1}', "malformed_json", ""),
        (b'{"a":NaN}', "malformed_json", "a"),
        (b"[-Infinity]", "malformed_json", "[0]"),
        (b"[1,]", "malformed_json", "[1]"),
        (b"{'a':1}", "malformed_json", ""),
        (b'{"a":"\\x"}', "malformed_json", "a"),
        (b'{"a":"\t"}', "malformed_json", "a"),
        (b'{"a":01}', "malformed_json", "a"),
        (b"\xef\xbb\xbf{}", "malformed_json", ""),
        (b'{"a":["\\ud800"]}', "malformed_json", "a[0]"),
        (b'{"a":{"\\udc00x":1}}', "malformed_json", "a"),
        (b'{"a":"\xff"}', "invalid_utf8", "a"),
        (b'{"a":1,"b":[{"c":1,"d":2,"\\u0063":3}]}', "duplicate_key", "b[0].c"),
        (b'{"a":1e999}', "number_too_large", "a"),
        (b'{"a":[1,' + b"9" * 5000 + b"]}", "number_too_large", "a[1]"),
        (b'{"a":18446744073709551616}', "number_too_large", "a"),
        (b'{"a":-9223372036854775809}', "number_too_large", "a"),
        (b"[" * 65 + b"]" * 65, "too_deep", "[0]" * 64),
        (b"[" * 200_000, "too_deep", ""),
        (b'{"a":' * 200_000, "too_deep", ""),
        (b'{"contents":[{"parts":[1,{"text":"' + b"two words " * 30_000, "text_too_large", "contents[0].parts[1].text"),
        (b'{"image":' + base64_text + b'!"}', "invalid_base64", "image"),
        (b'{"image":' + base64_text + b'Q"}', "invalid_base64", "image"),
        (b'{"image":["data:image/png;base64,' + b"<html>" * 60_000 + b'"]}', "invalid_base64", "image[0]"),
        (b'{"image":"' + b"QUJD" * 3000 + b"\\", "malformed_json", "image"),
        (b'{"image":"' + b"QUJD" * 3000 + b'\\u00g0"}', "malformed_json", "image"),
        (b'{"image":' + base64_text, "malformed_json", "image"),
        (b'{"a":' + base64_text + b'","b":NaN}', "malformed_json", ""),
        (b"{" + base64_text + b'":1}', "text_too_large", ""),
        (b'{"a":{"b":1, ' + base64_text + b'" :1}}', "text_too_large", "a"),
        (b'{"a":"' + b"two words\\n" * 40_000 + b'"}', "text_too_large", "a"),
        (b'{"a":"' + b"QUJD" * 3000 + b'\n"}', "malformed_json", "a"),
        (b'{"a":' + base64_text + b'\r\n"}', "invalid_base64", "a"),
        (b'{"a":' + base64_text + b'\\\\nu0041"}', "invalid_base64", "a"),
        (b'{"a":' + base64_text + b'\\u005c/"}', "invalid_base64", "a"),
        (b'{"a":' + base64_text + b'\\\\/"}', "invalid_base64", "a"),
        (b"[-" + base64_text + b'"]', "malformed_json", "[0]"),
        (b"[" + base64_text + b'"1]', "malformed_json", "[0]"),
        (b" " * 2_000_000, "tree_too_large", ""),
        (b"[" + b'"some words",' * 100_000, "tree_too_large", "[100000]"),
    ):
        for size in (1 << 22, 4099):
            found = await refusal(body, scope, size)
            assert found[0] == code, (body[:60], found)
            assert path in (found[1], "[100000]"), (body[:60], found)


async def test_messages_say_where_in_the_body_as_it_came(scope: Scope) -> None:
    body = b'{"image":"' + b"QUJD" * 70_000 + b'","n":}'
    with pytest.raises(LiftError, match=f"at byte {body.index(b'}')}\\."):
        await lift(body, scope)


async def test_a_callers_nan_never_takes_the_place_of_a_blob(scope: Scope) -> None:
    text = b'"' + b"QUJD" * 3000 + b'"'
    for body in (b"[NaN," + text + b"]", b"[" + text + b",NaN]", b"[Infinity," + text + b"]"):
        assert (await refusal(body, scope))[0] == "malformed_json"


async def test_64_levels_are_not_too_deep(scope: Scope) -> None:
    await lift(b"[" * 64 + b"]" * 64, scope)
    await lift(b"[" + b"[],{}," * 100 + b"1]", scope)


async def test_a_refused_body_leaves_nothing_behind_once_its_scope_closes(spool: Spool) -> None:
    scope = spool.scope()
    text = base64.b64encode(NOISE * 3)
    body = b'["' + text + b'","' + text + b'!"]'
    assert await refusal(body, scope) == ("invalid_base64", "[1]")
    scope.release()
    assert spool.budget.used_bytes == 0
    await until(lambda: not list(spool.folder.iterdir()))


async def test_padding_inside_of_base64_is_refused_at_every_cut(scope: Scope) -> None:
    """What lies in a blob can always be decoded: nobody looks at it again before it leaves."""
    text = base64.b64encode(bytes(range(90))).decode()
    limits = LiftLimits(blob_bytes=24, text_bytes=40)
    for at in range(44, 60):
        body = f'{{"image": "{text[:at]}={text[at + 1 :]}"}}'.encode()
        for size in range(1, 24):
            with pytest.raises(LiftError) as refused:
                await lift(body, scope, size, limits)
            assert refused.value.code in ("invalid_base64", "text_too_large")
