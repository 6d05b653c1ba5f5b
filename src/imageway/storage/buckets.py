"""The object store in a bucket: S3, or what else obstore reaches. An object lies under `objects/`, its description in
its own metadata; an empty marker under `expiry/<hour>/` says when it may go, so that a sweep lists the hours that are
over and nothing else. The marker is written first: no object is ever without one.

What a dead writer had begun in several parts stands in no listing: a lifecycle rule of the bucket ends such uploads."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import re
import time
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from tempfile import SpooledTemporaryFile
from typing import IO, TYPE_CHECKING, Final, cast

import obstore
from obstore.exceptions import BaseError
from obstore.store import from_url

from imageway.core.objects import StoredObject, check_media_type, check_name
from imageway.storage.errors import StorageError
from imageway.storage.threads import batches, in_thread

if TYPE_CHECKING:
    from obstore import GetResult
    from obstore.store import ClientConfig, RetryConfig, S3Config, S3Store
    from obstore.store import ObjectStore as Bucket

PART_BYTES: Final = 5 << 20  # of an upload in several parts, S3 takes no smaller ones; less is sent as it is
PARTS_AT_ONCE: Final = 2
RETRIES: Final = 2
ENDPOINTS: Final = ("endpoint", "base_url")  # as S3 and Azure, and as Google calls them
CONNECT_S: Final = 5.0
SILENCE_S: Final = 20.0  # until a part is taken, and between two pieces that are read
_WHOLE_S: Final = 3600.0  # of one request: whoever reads slowly is somebody else's to end
_READ_BYTES: Final = 256 << 10
_PAGE: Final = 1000
_ASKED_AT_ONCE: Final = 32
_HOUR_MS: Final = 3_600_000
_SETTLED_MS: Final = 3_600_000  # an object whose marker is younger may still be on its way
_ABOUT: Final = "imageway"  # the metadata that describes an object; one without it is none of ours
_DESCRIPTION: Final = re.compile(r"1 (\d+) (\d+) ([0-9a-f]{64})")
_HOUR: Final = re.compile(r"expiry/(\d+)")
_MARKER: Final = re.compile(r"expiry/\d+/(\d+)-(.+)")
_REASON: Final = re.compile(r"<Code>(\w{1,80})</Code>")


def open_bucket(url: str, options: Mapping[str, str], scratch: Path) -> BucketStore:
    """`options` by obstore's names; they win over the environment's. Nothing is asked of the store yet. Raises
    StorageError."""
    client: ClientConfig = {
        "allow_http": any(options.get(name, "").startswith("http://") for name in ENDPOINTS),
        "connect_timeout": timedelta(seconds=CONNECT_S),
        "read_timeout": timedelta(seconds=SILENCE_S),
        "timeout": timedelta(seconds=_WHOLE_S),
    }
    retry: RetryConfig = {"max_retries": RETRIES, "retry_timeout": timedelta(seconds=2 * SILENCE_S)}
    try:
        bucket = from_url(url, config=cast("S3Config", options), client_options=client, retry_config=retry)
    except (BaseError, ValueError) as error:
        raise StorageError(f'the media store "{url}" cannot be opened: {_told(error)}') from None
    return BucketStore(bucket, scratch)


@dataclass(frozen=True, slots=True)
class Marker:
    """That an object may go at a time, as a listing tells it."""

    path: str
    name: str
    expires_ms: int
    written_ms: int


class BucketStore:
    """An ObjectStore and Presigner in `bucket`; replicas may share it. Content on its way lies in `scratch` when it is
    longer than one part. Whatever the bucket says of itself is an OSError."""

    def __init__(self, bucket: Bucket, scratch: Path) -> None:
        self._bucket = bucket
        self._scratch = scratch

    async def put(self, name: str, content: AsyncIterator[bytes], *, media_type: str, expires_ms: int) -> StoredObject:
        check_name(name)
        check_media_type(media_type)
        draft: IO[bytes] = SpooledTemporaryFile(PART_BYTES, dir=str(self._scratch))  # noqa: SIM115  # closed in a thread
        try:
            size_bytes, etag = await _gather(draft, content)
            stored = StoredObject(
                name=name,
                size_bytes=size_bytes,
                media_type=media_type,
                etag=etag,
                created_ms=time.time_ns() // 1_000_000,
                expires_ms=expires_ms,
            )
            await in_thread(partial(draft.seek, 0))
            with _plain_errors():
                await obstore.put_async(self._bucket, _marker_of(stored), b"")
                await self._send(stored, draft)
        finally:
            await in_thread(draft.close)
        return stored

    async def find(self, name: str) -> StoredObject | None:
        try:
            with _plain_errors():
                found = await obstore.get_async(self._bucket, _key(name), options={"head": True})
        except (ValueError, FileNotFoundError):
            return None
        return _described(name, found)

    async def open(self, name: str, start: int, end: int) -> AsyncIterator[bytes]:
        found = await self._get(name, max(start, 0), end)
        if found is None:
            return
        with _plain_errors():
            async for piece in found.stream(_READ_BYTES):
                yield piece

    async def delete(self, name: str) -> bool:
        stored = await self.find(name)
        if stored is None:
            return False
        await self._remove([_key(name), _marker_of(stored)])
        return True

    async def sweep(self, now_ms: int) -> int:
        with _plain_errors():
            listed = await obstore.list_with_delimiter_async(self._bucket, "expiry")
        hours = [found for prefix in listed["common_prefixes"] if (found := _HOUR.fullmatch(prefix))]
        removed = 0
        for hour in hours:
            if int(hour[1]) * _HOUR_MS <= now_ms:
                removed += await self._sweep_hour(hour[0], now_ms)
        return removed

    async def presigned(self, name: str, *, lives_s: int) -> str:
        able = cast("S3Store", self._bucket)  # or Google's or Azure's: whatever `open_bucket` opens can sign
        with _plain_errors():
            return await obstore.sign_async(able, "GET", _key(name), timedelta(seconds=lives_s))

    async def _send(self, stored: StoredObject, draft: IO[bytes]) -> None:
        await obstore.put_async(
            self._bucket,
            _key(stored.name),
            draft,
            attributes={
                "Content-Type": stored.media_type,
                "Content-Disposition": f'inline; filename="{stored.name}"',
                _ABOUT: f"1 {stored.created_ms} {stored.expires_ms} {stored.etag}",
            },
            chunk_size=PART_BYTES,
            max_concurrency=PARTS_AT_ONCE,
        )

    async def _get(self, name: str, start: int, end: int) -> GetResult | None:
        """None when nothing of the object lies between the two, which stores take for an error."""
        try:
            if start < end:
                with _plain_errors():
                    found = await obstore.get_async(self._bucket, _key(name), options={"range": (start, end)})
                if _described(name, found) is not None:
                    return found
        except OSError:
            if start < (await self._require(name)).size_bytes:
                raise
        else:
            await self._require(name)
        return None

    async def _require(self, name: str) -> StoredObject:
        check_name(name)
        stored = await self.find(name)
        if stored is None:
            raise FileNotFoundError(f'"{name}" is not a stored object')
        return stored

    async def _sweep_hour(self, hour: str, now_ms: int) -> int:
        removed = 0
        with _plain_errors():
            async for page in obstore.list(self._bucket, hour, chunk_size=_PAGE):
                markers = (_read_marker(row["path"], row["last_modified"]) for row in page)
                removed += await self._sweep_due([m for m in markers if m and m.expires_ms <= now_ms], now_ms)
        return removed

    async def _sweep_due(self, markers: Sequence[Marker], now_ms: int) -> int:
        """An object that was put again meanwhile has another marker, and decides itself."""
        found: list[StoredObject | None] = []
        for at in range(0, len(markers), _ASKED_AT_ONCE):
            found += await asyncio.gather(*(self.find(marker.name) for marker in markers[at : at + _ASKED_AT_ONCE]))
        expired = {_key(stored.name) for stored in found if stored and stored.expires_ms <= now_ms}
        settled_ms = now_ms - _SETTLED_MS
        over = [m.path for m, stored in zip(markers, found, strict=True) if stored or m.written_ms <= settled_ms]
        await self._remove(sorted(expired))
        await self._remove(over)
        return len(expired)

    async def _remove(self, paths: Sequence[str]) -> None:
        """To some stores it is an error that one of several is gone already."""
        with _plain_errors():
            try:
                if paths:
                    await obstore.delete_async(self._bucket, paths)
            except FileNotFoundError:
                for path in paths:
                    with contextlib.suppress(FileNotFoundError):
                        await obstore.delete_async(self._bucket, path)


async def _gather(draft: IO[bytes], content: AsyncIterator[bytes]) -> tuple[int, str]:
    """Writes all of it into `draft`: how many bytes, and their sha256."""
    digest, size_bytes = hashlib.sha256(), 0

    def write(batch: list[bytes]) -> int:
        for chunk in batch:
            digest.update(chunk)
            draft.write(chunk)
        return sum(map(len, batch))

    async for batch in batches(content):
        size_bytes += await in_thread(partial(write, batch))
    return size_bytes, digest.hexdigest()


@contextlib.contextmanager
def _plain_errors() -> Iterator[None]:
    """Raises FileNotFoundError for what is not there (a missing bucket too), OSError for everything else."""
    try:
        yield
    except FileNotFoundError as error:
        raise FileNotFoundError(_told(error)) from None
    except BaseError as error:
        raise OSError(_told(error)) from None


def _told(error: Exception) -> str:
    """One line of what obstore prints over twenty, and the store's own word for it."""
    text = str(error)
    reason = _REASON.search(text)
    return text.partition("\n")[0].partition("<?xml")[0].rstrip(" :") + (f" ({reason[1]})" if reason else "")


def _key(name: str) -> str:
    return f"objects/{check_name(name)}"


def _marker_of(stored: StoredObject) -> str:
    return f"expiry/{stored.expires_ms // _HOUR_MS}/{stored.expires_ms}-{stored.name}"


def _read_marker(path: str, written: datetime) -> Marker | None:
    found = _MARKER.fullmatch(path)
    return Marker(path, found[2], int(found[1]), int(written.timestamp() * 1000)) if found else None


def _described(name: str, found: GetResult) -> StoredObject | None:
    """None when it was not `put` that wrote it."""
    description = _DESCRIPTION.fullmatch(found.attributes.get(_ABOUT, ""))
    if description is None:
        return None
    return StoredObject(
        name=name,
        size_bytes=found.meta["size"],
        media_type=found.attributes.get("Content-Type", ""),
        etag=description[3],
        created_ms=int(description[1]),
        expires_ms=int(description[2]),
    )
