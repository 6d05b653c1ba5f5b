"""Uploads: who was granted a form may put one image where only his workspace finds it, for a while; nothing about the
form can be changed."""

from __future__ import annotations

import hashlib
import io
import json
from base64 import b64decode, b64encode
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any, cast

import pytest
from PIL import Image

from imageway.bodies import blob_of
from imageway.catalog import load
from imageway.core.errors import GatewayError
from imageway.core.intents import GrantUpload, Upload, Uploaded, UploadGrant
from imageway.core.objects import StoredObject, check_name
from imageway.core.requests import Caller
from imageway.engine.ports import Tools
from imageway.engine.settings import EngineSettings
from imageway.media.links import LinkSigner
from imageway.media.uploads import MOST_POLICY_CHARS, stored_name
from imageway.server.uploads import FOLDER, Uploads
from tests.values import replace

CALLER = Caller("key_1", "ws_1")
MODEL = "qwen-image-edit-plus"
NOW_MS = 1_760_000_000_000


@dataclass
class Clock:
    at_ms: int = NOW_MS

    def now_ms(self) -> int:
        return self.at_ms


class Counter:
    """Chance that never says the same twice."""

    count = 0

    def token_bytes(self, count: int) -> bytes:
        self.count += 1
        return self.count.to_bytes(count, "big")


@dataclass
class Shelf:
    kept: dict[str, tuple[StoredObject, bytes]] = field(default_factory=dict)
    broken: bool = False

    async def put(self, name: str, content: AsyncIterator[bytes], *, media_type: str, expires_ms: int) -> StoredObject:
        if self.broken:
            raise OSError("the disk is full")
        whole = b"".join([chunk async for chunk in content])
        stored = StoredObject(
            name=check_name(name),
            size_bytes=len(whole),
            media_type=media_type,
            etag=hashlib.sha256(whole).hexdigest(),
            created_ms=NOW_MS,
            expires_ms=expires_ms,
        )
        self.kept[name] = (stored, whole)
        return stored

    async def find(self, name: str) -> StoredObject | None:
        return self.kept[name][0] if name in self.kept else None


@dataclass
class Desk:
    uploads: Uploads
    shelf: Shelf
    clock: Clock

    def granted(self, caller: Caller = CALLER) -> UploadGrant:
        return self.uploads.grant(GrantUpload(MODEL), caller)

    async def put(self, grant: UploadGrant, content: bytes, file: str = "cat.png", **changed: str) -> Uploaded:
        name = changed.pop("name", f"{grant.folder}/{file}")
        return await self.uploads.take(Upload(name, {**grant.fields, **changed}, blob_of(content)))

    async def refusal(self, grant: UploadGrant, content: bytes, file: str = "cat.png", **changed: str) -> GatewayError:
        before = dict(self.shelf.kept)
        with pytest.raises(GatewayError) as told:
            await self.put(grant, content, file, **changed)
        assert self.shelf.kept == before
        return told.value


def made(file_format: str = "PNG", colour: str = "red") -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (40, 30), colour).save(out, file_format)
    return out.getvalue()


def desk_with(settings: EngineSettings) -> Desk:
    shelf, clock = Shelf(), Clock()
    tools = Tools(
        **{name: cast("Any", None) for name in ("store", "transport", "spool", "workers", "faults", "liveness")},
        owner="proc_test",
        catalog=load(),
        adapters={},
        upstreams=(),
        health=cast("Any", None),
        objects=cast("Any", shelf),
        signer=LinkSigner("http://gateway.test", "k2", {"k1": b"an old secret", "k2": b"a secret of the tests"}),
        clock=cast("Any", clock),
        random=cast("Any", Counter()),
        settings=settings,
    )
    return Desk(Uploads(tools), shelf, clock)


@pytest.fixture
def desk() -> Desk:
    return desk_with(EngineSettings())


def test_a_grant_names_a_folder_of_its_own_and_its_limits(desk: Desk) -> None:
    first, second = desk.granted(), desk.granted()
    assert first.url == "http://gateway.test"
    assert first.folder.startswith(f"{FOLDER}/up_")
    assert first.folder != second.folder
    assert (first.max_bytes, first.expires_s, first.capacity_bytes) == (20 << 20, 300, 1 << 30)
    assert first.fields.keys() == {"policy", "key", "signature"}


@pytest.mark.parametrize(
    ("model", "caller", "code"),
    [
        ("no-such-model", CALLER, "model_not_found"),
        (MODEL, replace(CALLER, models=("gpt-*",)), "model_not_allowed"),
    ],
)
def test_nothing_is_granted_for_a_model_that_could_not_be_used(
    desk: Desk, model: str, caller: Caller, code: str
) -> None:
    with pytest.raises(GatewayError) as told:
        desk.uploads.grant(GrantUpload(model), caller)
    assert told.value.code == code


@pytest.mark.parametrize("file_format", ["PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF"])
async def test_an_image_is_kept_for_its_workspace_and_for_48_hours(desk: Desk, file_format: str) -> None:
    grant = desk.granted()
    uploaded = await desk.put(grant, made(file_format), "a cat 猫.png")
    name = f"{grant.folder}/a cat 猫.png"
    assert uploaded == Uploaded(f"oss://{name}")
    stored, content = desk.shelf.kept[stored_name("ws_1", name)]
    assert content == made(file_format)
    assert stored.media_type == f"image/{file_format.lower()}"
    assert stored.expires_ms == NOW_MS + 48 * 3_600_000
    assert stored_name("ws_2", name) not in desk.shelf.kept


async def test_a_name_that_no_encoding_knows_does_no_harm(desk: Desk) -> None:
    await desk.put(desk.granted(), made(), "\ud800.png")
    assert len(desk.shelf.kept) == 1


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "not an image"),
        (b"<html></html>", "not an image"),
        (b"%PDF-1.7 ...", "not an image"),
        (made()[:-4], "was cut"),
        (made("JPEG")[:-2], "was cut"),
    ],
)
async def test_what_is_no_whole_image_is_not_kept(desk: Desk, content: bytes, words: str) -> None:
    told = await desk.refusal(desk.granted(), content)
    assert (told.code, told.kind.status) == ("invalid_image", 400)
    assert words in told.message


def changed_policy(grant: UploadGrant, **values: Any) -> str:
    policy = json.loads(b64decode(grant.fields["policy"]))
    return b64encode(json.dumps(policy | values).encode()).decode()


async def test_a_form_that_was_changed_anywhere_is_refused(desk: Desk) -> None:
    grant = desk.granted()
    signature = grant.fields["signature"]
    for changed in (
        {"policy": changed_policy(grant, workspace_id="ws_2")},
        {"policy": changed_policy(grant, max_bytes=1 << 40)},
        {"policy": changed_policy(grant, until_ms=NOW_MS * 2)},
        {"policy": grant.fields["policy"] + "\n"},
        {"policy": ""},
        {"policy": "A" * (MOST_POLICY_CHARS + 1)},
        {"signature": ""},
        {"signature": signature.upper()},
        {"signature": signature[:-1]},
        {"signature": "²" * 64},
        {"key": "k1"},
        {"key": "k3"},
        {"key": ""},
    ):
        told = await desk.refusal(grant, made(), **cast("dict[str, str]", changed))
        assert (told.code, told.kind.status) == ("signature_invalid", 403), changed


async def test_a_missing_field_is_refused(desk: Desk) -> None:
    grant = desk.granted()
    for name in grant.fields:
        fields = {other: value for other, value in grant.fields.items() if other != name}
        with pytest.raises(GatewayError) as told:
            await desk.uploads.take(Upload(f"{grant.folder}/a.png", fields, blob_of(made())))
        assert told.value.code == "signature_invalid"


async def test_a_form_expires(desk: Desk) -> None:
    grant = desk.granted()
    desk.clock.at_ms += 299_999
    await desk.put(grant, made())
    desk.clock.at_ms += 1
    told = await desk.refusal(grant, made(), "late.png")
    assert (told.code, "expired" in told.message) == ("signature_invalid", True)


async def test_a_form_is_for_its_own_folder(desk: Desk) -> None:
    grant, other = desk.granted(), desk.granted()
    folder = grant.folder
    for name in (f"{other.folder}/a.png", "a.png", folder, f"{folder}/", f"{folder}x/a.png", f"{folder}/{'a' * 1024}"):
        told = await desk.refusal(grant, made(), name=name)
        assert (told.code, told.param) == ("invalid_value", "key"), name


async def test_a_file_of_more_than_was_granted_is_refused() -> None:
    size = len(made())
    exact, small = desk_with(EngineSettings(upload_bytes=size)), desk_with(EngineSettings(upload_bytes=size - 1))
    await exact.put(exact.granted(), made())
    told = await small.refusal(small.granted(), made())
    assert (told.code, told.kind.status) == ("body_too_large", 413)


async def test_the_same_file_may_come_again_another_one_may_not_take_its_name(desk: Desk) -> None:
    grant = desk.granted()
    assert await desk.put(grant, made()) == await desk.put(grant, made())
    told = await desk.refusal(grant, made(colour="blue"))
    assert (told.code, told.param) == ("upload_exists", "key")


async def test_a_name_is_free_again_when_its_file_has_expired() -> None:
    """Which is not yet swept perhaps."""
    desk = desk_with(EngineSettings(keep_uploads_s=10, upload_form_s=60))
    grant = desk.granted()
    await desk.put(grant, made())
    desk.clock.at_ms += 10_000
    await desk.put(grant, made(colour="blue"))


async def test_what_a_workspace_may_have_here_at_once_is_limited() -> None:
    desk = desk_with(EngineSettings(upload_capacity_bytes=2 * 4096, keep_uploads_s=10))
    first, other = desk.granted(), desk.granted(Caller("key_2", "ws_2"))
    await desk.put(first, made(), "1.png")
    await desk.put(first, made(), "2.png")
    told = await desk.refusal(first, made(), "3.png")
    assert (told.code, told.kind.status, told.retry_after_s) == ("rate_limit_exceeded", 429, 60)
    await desk.put(other, made())
    desk.clock.at_ms += 10_000
    await desk.put(first, made(), "3.png")


async def test_a_store_that_takes_nothing_is_told_as_overload(desk: Desk) -> None:
    desk.shelf.broken = True
    told = await desk.refusal(desk.granted(), made())
    assert (told.code, told.retry_after_s) == ("overloaded", 1)


async def test_only_so_many_forms_are_read_at_once() -> None:
    desk = desk_with(EngineSettings(uploads_at_once=1))
    with desk.uploads.reading():
        with pytest.raises(GatewayError) as told, desk.uploads.reading():
            raise AssertionError("there was no place left")
        assert (told.value.code, told.value.retry_after_s) == ("overloaded", 1)
    with pytest.raises(ValueError, match="torn"), desk.uploads.reading():
        raise ValueError("torn")
    with desk.uploads.reading():
        await desk.put(desk.granted(), made())
