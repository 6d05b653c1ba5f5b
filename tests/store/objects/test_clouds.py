"""Media stores at Google and Azure, against servers that speak as much of their protocols as is needed: what is put is
found again whole and described, options and credentials reach the store, and a store without them says so."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from imageway.core.objects import ObjectStore
from imageway.storage import StorageError, open_objects
from tests.store.objects.clouds import Azure, Cloud, Google, cloud
from tests.store.objects.contents import NEVER_MS, put, read


@dataclass
class Place:
    cloud: Cloud
    url: str
    options: Mapping[str, str]

    async def open(self, scratch: Path) -> ObjectStore:
        return await open_objects(self.url, options=self.options, scratch=scratch)


@pytest.fixture(params=["gs", "az"])
def place(request: pytest.FixtureRequest) -> Iterator[Place]:
    if request.param == "gs":
        with cloud(Google) as google:
            options = {"base_url": google.url, "bearer_token": "test-token"}
            yield Place(google, "gs://pictures/imageway", options)
    else:
        with cloud(Azure) as azure:
            key = base64.b64encode(b"test-key").decode()
            options = {"endpoint": azure.url, "account_name": "testaccount", "account_key": key}
            yield Place(azure, "az://pictures/imageway", options)


async def test_an_object_comes_back_whole_and_described(place: Place, tmp_path: Path) -> None:
    objects = await place.open(tmp_path)
    stored = await put(objects, "req_1-0.png", b"the content")
    found = await objects.find("req_1-0.png")
    assert found == stored
    assert await read(objects, "req_1-0.png") == b"the content"
    assert b"".join([piece async for piece in objects.open("req_1-0.png", 4, 8)]) == b"cont"
    assert "pictures/imageway/objects/req_1-0.png" in place.cloud.objects
    assert await objects.delete("req_1-0.png")
    assert not await objects.delete("req_1-0.png")
    assert await objects.find("req_1-0.png") is None
    assert place.cloud.objects == {}


async def test_what_is_over_is_swept_and_nothing_else(place: Place, tmp_path: Path) -> None:
    objects = await place.open(tmp_path)
    await put(objects, "old", b"x", expires_ms=3_600_000)
    await put(objects, "young", b"y", expires_ms=NEVER_MS)
    assert await objects.sweep(7_200_000) == 1
    assert await objects.find("old") is None
    assert await read(objects, "young") == b"y"


async def test_the_credential_of_the_options_goes_along(place: Place, tmp_path: Path) -> None:
    await place.open(tmp_path)
    sent = place.cloud.credentials
    assert sent
    assert all(one and one.startswith(("Bearer test-token", "SharedKey testaccount:")) for one in sent)


@pytest.mark.parametrize(
    ("url", "options", "said"),
    [
        ("az://pictures/imageway", {}, "Account must be specified"),
        ("gs://pictures", {"service_account_key": "{}"}, "missing field"),
        ("gs://pictures", {"service_account": "/nowhere/key.json"}, "/nowhere/key.json"),
        ("gs://pictures", {"acount": "x"}, "acount"),
        ("az://pictures", {"account_name": "testaccount", "account_key": "not base64!"}, "Invalid Access Key"),
    ],
)
async def test_a_credential_that_is_missing_or_cannot_be_one_is_said_to_be(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, url: str, options: dict[str, str], said: str
) -> None:
    for name in ("GOOGLE_APPLICATION_CREDENTIALS", "GOOGLE_SERVICE_ACCOUNT", "AZURE_STORAGE_ACCOUNT_NAME"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(StorageError) as told:
        await open_objects(url, options=options, scratch=tmp_path)
    assert str(told.value).startswith(f'the media store "{url}" cannot be ')
    assert said in str(told.value)
    assert "\n" not in str(told.value)
