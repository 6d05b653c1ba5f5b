"""Which media store a URL names, and the sentences when it cannot be used."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from imageway.core.objects import Presigner
from imageway.storage import StorageError, open_objects
from imageway.storage.buckets import BucketStore
from imageway.storage.files import FileStore
from tests.store.objects.contents import NEVER_MS, put, read
from tests.store.objects.server import SECRET, S3Server


async def refused(url: str, options: dict[str, str], scratch: Path) -> str:
    with pytest.raises(StorageError) as raised:
        await open_objects(url, options=options, scratch=scratch)
    return str(raised.value)


async def test_a_directory_is_made_where_its_url_says(tmp_path: Path) -> None:
    store = await open_objects(f"file://{tmp_path}/some where/100%", options={}, scratch=tmp_path)
    await put(store, "a", b"content")
    assert isinstance(store, FileStore)
    assert not isinstance(store, Presigner)
    assert (tmp_path / "some where" / "100%" / "a").exists()


async def test_a_bucket_is_tried_and_left_as_it_was(server: S3Server, s3_url: str, tmp_path: Path) -> None:
    store = await open_objects(s3_url, options=server.options, scratch=tmp_path)
    assert isinstance(store, BucketStore)
    assert isinstance(store, Presigner)
    assert await store.sweep(NEVER_MS) == 0
    await put(store, "a", b"content")
    again = await open_objects(s3_url + "/", options=server.options, scratch=tmp_path)
    assert await read(again, "a") == b"content"


async def test_a_directory_that_cannot_be_used_is_found_out_too(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x")
    told = await refused(f"file://{tmp_path}/file/images", {}, tmp_path)
    assert told.startswith(f'the media store "file://{tmp_path}/file/images" cannot be made: ')
    (tmp_path / "images").symlink_to("/proc")
    assert "cannot be used: " in await refused(f"file://{tmp_path}/images", {}, tmp_path)


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("", "is no media store"),
        ("/var/images", '"/var/images" is no media store: write file:///path/to/directory or s3://bucket/prefix'),
        ("images", "is no media store"),
        ("file://images", '"file://images" has no absolute path: write file:///path/to/directory'),
        ("file:", "has no absolute path"),
        ("ftp://host/path", "is no media store"),
        ("https://bucket.test/prefix", "is no media store"),
        ("memory:///", "is no media store"),
        ("s3://", "is no media store"),
        ("s3:///prefix", "is no media store"),
        ("s3://bucket?region=x", "write a credential into media_options"),
        ("s3://bucket#x", "is a place alone"),
    ],
)
async def test_other_urls_are_refused_with_what_to_write(tmp_path: Path, url: str, said: str) -> None:
    assert said in await refused(url, {}, tmp_path)


async def test_a_credential_in_the_url_is_refused_and_not_repeated(tmp_path: Path) -> None:
    told = await refused("s3://test-access:test-secret@bucket/prefix", {}, tmp_path)
    assert told == "the URL of the media store is a place alone: write a credential into media_options"


async def test_an_option_that_nobody_knows_is_named(server: S3Server, s3_url: str, tmp_path: Path) -> None:
    assert "'endpont'" in await refused(s3_url, {**server.options, "endpont": "x"}, tmp_path)
    unclear = {**server.options, "virtual_hosted_style_request": "perhaps"}
    assert '"perhaps"' in await refused(s3_url, unclear, tmp_path)


async def test_a_bucket_that_cannot_be_used_is_found_out_before_anything_is_bought(
    server: S3Server, s3_url: str, tmp_path: Path
) -> None:
    wrong = await refused(s3_url, {**server.options, "secret_access_key": "test-wrong"}, tmp_path)
    assert wrong.startswith(f'the media store "{s3_url}" cannot be used: ')
    assert wrong.endswith("403 Forbidden (SignatureDoesNotMatch)")
    assert "test-wrong" not in wrong
    assert SECRET not in wrong
    missing = await refused("s3://nobodys-bucket", server.options, tmp_path)
    assert missing.endswith("404 Not Found (NoSuchBucket)")
    nobody = await refused(s3_url, {**server.options, "endpoint": "http://127.0.0.1:9"}, tmp_path)
    assert "error sending request" in nobody


@pytest.mark.parametrize(("url", "imported"), [("file://{}/images", ""), ("s3://bucket", "obstore")])
def test_only_a_bucket_imports_what_reaches_it(tmp_path: Path, url: str, imported: str) -> None:
    code = (
        "import asyncio, sys\nfrom pathlib import Path\nimport imageway.server.bootstrap\n"
        "from imageway.storage import StorageError, open_objects\n"
        "options = {'endpoint': 'http://127.0.0.1:9', 'skip_signature': 'true'}\n"
        "try:\n    asyncio.run(open_objects(sys.argv[1], options=options, scratch=Path(sys.argv[2])))\n"
        "except StorageError:\n    pass\n"
        "print(*sorted({name.partition('.')[0] for name in sys.modules} & {'obstore'}))\n"
    )
    ran = [sys.executable, "-c", code, url.format(tmp_path), str(tmp_path)]
    done = subprocess.run(ran, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout.strip()) == (0, imported), done.stderr
