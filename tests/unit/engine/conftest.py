"""The engine's tools without a world around them: what preparation and memos ask for is there, everything else is a
stand-in that nobody may touch."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, cast

import pytest

from imageway.bodies import Budget, Scope, Spool
from imageway.catalog import Catalog, load
from imageway.core.failures import FetchRefused, TransportFailed
from imageway.core.objects import StoredObject
from imageway.core.steps import BlobReply
from imageway.core.upstreams import Upstream
from imageway.engine.ports import Tools
from imageway.engine.settings import EngineSettings
from imageway.media.links import LinkSigner
from imageway.providers import ADAPTERS
from imageway.routing import Health
from tests.values import replace

NOW_MS = 1_760_000_000_000


class StillClock:
    """It is always the same moment."""

    def now_ms(self) -> int:
        return NOW_MS

    def monotonic_s(self) -> float:
        return 1000.0

    async def sleep(self, seconds: float) -> None: ...


class Chance:
    def __init__(self) -> None:
        self.random = random.Random(1)

    def token_bytes(self, count: int) -> bytes:
        return self.random.randbytes(count)

    def uniform(self) -> float:
        return self.random.random()


@dataclass
class Web:
    """What lies behind URLs: a reply, or what is raised instead."""

    replies: dict[str, BlobReply | FetchRefused | TransportFailed] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)

    async def fetch(self, url: str, scope: Scope, *, deadline_s: float, max_bytes: int) -> BlobReply:
        self.asked.append(url)
        reply = self.replies[url]
        if isinstance(reply, Exception):
            raise reply
        return reply


@dataclass
class Shelf:
    """Stored objects by name."""

    contents: dict[str, bytes] = field(default_factory=dict)

    async def find(self, name: str) -> StoredObject | None:
        if name not in self.contents:
            return None
        size = len(self.contents[name])
        return StoredObject(
            name=name, size_bytes=size, media_type="image/png", etag="", created_ms=NOW_MS, expires_ms=NOW_MS + 1
        )

    async def open(self, name: str, start: int, end: int) -> AsyncIterator[bytes]:
        yield self.contents[name][start:end]


def upstream(provider: str, number: int = 1, **values: Any) -> Upstream:
    address = f"https://{provider}-{number}.test"
    return Upstream(
        **{"id": f"{provider}-{number}", "provider": provider, "base_url": address, "auth": "bearer", **values}
    )


EVERYBODY = tuple(upstream(provider) for provider in ("openai", "google", "volcengine", "dashscope"))


@pytest.fixture(scope="session")
def catalog() -> Catalog:
    return load()


@pytest.fixture
def tools(catalog: Catalog, tmp_path: Path) -> Iterator[Tools]:
    spool = Spool(tmp_path, Budget(1 << 30))
    nobody = cast("Any", None)
    yield Tools(
        owner="proc_test",
        catalog=catalog,
        adapters=ADAPTERS,
        upstreams=EVERYBODY,
        health=Health(),
        store=nobody,
        objects=cast("Any", Shelf()),
        transport=cast("Any", Web()),
        signer=LinkSigner("http://gateway.test", "k1", MappingProxyType({"k1": b"a secret of the tests"})),
        spool=spool,
        clock=StillClock(),
        random=Chance(),
        workers=nobody,
        faults=nobody,
        liveness=nobody,
        settings=EngineSettings(),
    )
    spool.close()


def with_upstreams(tools: Tools, *upstreams: Upstream) -> Tools:
    return replace(tools, upstreams=upstreams)
