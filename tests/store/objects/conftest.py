"""One media store for each test: a directory, a bucket in memory, and a bucket on a real S3 server out of a wheel."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest

from imageway.core.objects import ObjectStore
from imageway.storage.buckets import BucketStore, open_bucket
from imageway.storage.files import FileStore
from tests.store.objects.server import BUCKET, S3Server, s3_server

NUMBERS = itertools.count(1)


@pytest.fixture
def server() -> S3Server:
    return s3_server()


@pytest.fixture
def s3_url() -> str:
    """A place of its own in the server's bucket."""
    return f"s3://{BUCKET}/some/test-{next(NUMBERS)}"


@pytest.fixture
def s3(server: S3Server, s3_url: str, tmp_path: Path) -> BucketStore:
    return open_bucket(s3_url, server.options, tmp_path)


@pytest.fixture(params=["directory", "memory", "s3"])
def objects(request: pytest.FixtureRequest, tmp_path: Path) -> ObjectStore:
    if request.param == "directory":
        return FileStore(tmp_path / "images")
    if request.param == "memory":
        from obstore.store import MemoryStore

        return BucketStore(MemoryStore(), tmp_path)
    store: BucketStore = request.getfixturevalue("s3")
    return store
