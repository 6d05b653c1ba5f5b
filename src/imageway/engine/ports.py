"""What the engine is handed by bootstrap: the outside world as Protocols, and the tools that go with them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import Final, Protocol

from imageway.bodies import Scope, Spool
from imageway.catalog import Catalog
from imageway.core.intents import Webhook
from imageway.core.objects import ObjectStore
from imageway.core.ops import Store
from imageway.core.ports import Clock, FaultPoints, Liveness, Random, Workers
from imageway.core.steps import Adapter, BlobReply, HttpRequest, Reply
from imageway.core.upstreams import PRETEND, Upstream
from imageway.engine.bulletin import Bulletin, Silence
from imageway.engine.pacing import Pacer
from imageway.engine.settings import EngineSettings
from imageway.engine.terms import PriceTerms
from imageway.engine.watching import Watch
from imageway.media.links import LinkSigner
from imageway.routing import Health

CONVERSIONS_AT_ONCE: Final = 2  # each takes an image twice into memory, and its pixels


class Transport(Protocol):
    """Outbound HTTP. Raises TransportFailed; for URLs out of a reply or a request FetchRefused too."""

    async def send(
        self, upstream: Upstream, request: HttpRequest, scope: Scope, *, deadline_s: float, max_bytes: int
    ) -> Reply: ...

    def stream(
        self, upstream: Upstream, request: HttpRequest, scope: Scope, *, deadline_s: float, max_bytes: int
    ) -> AsyncGenerator[Reply, None]:
        """A Reply for each event of a stream, then one for its end; an answer that is no stream comes as one Reply."""

    async def download(
        self, upstream: Upstream, url: str, scope: Scope, *, deadline_s: float, max_bytes: int
    ) -> BlobReply: ...

    async def fetch(self, url: str, scope: Scope, *, deadline_s: float, max_bytes: int) -> BlobReply: ...

    async def notify(self, url: str, headers: Mapping[str, str], content: bytes, *, deadline_s: float) -> Reply:
        """Posts JSON to a URL that a caller wrote; of the answer only status and headers are read."""

    def check_told(self, url: str) -> None:
        """Raises FetchRefused for a URL that `notify` would never ask."""


@dataclass(slots=True, kw_only=True)
class Tools:
    """Everything the engine works with. `upstreams` are those of this moment: operators change them while requests run,
    and then another tuple stands there; the rest stays. `owner` names this process in leases; `converting` lets few at
    once convert; `watch` hears of every change of a task in this process; `polls` paces its reads of providers' tasks;
    `outbox` is set when somebody is to be told of one; `bulletin` tells the other processes."""

    owner: str
    catalog: Catalog
    adapters: Mapping[str, Adapter]
    upstreams: tuple[Upstream, ...]
    health: Health
    store: Store
    objects: ObjectStore
    transport: Transport
    signer: LinkSigner
    spool: Spool
    clock: Clock
    random: Random
    workers: Workers
    faults: FaultPoints
    liveness: Liveness
    settings: EngineSettings
    converting: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(CONVERSIONS_AT_ONCE))
    watch: Watch = field(default_factory=Watch)
    polls: Pacer = field(default_factory=Pacer)
    outbox: asyncio.Event = field(default_factory=asyncio.Event)
    terms: PriceTerms = field(default_factory=PriceTerms)
    bulletin: Bulletin = field(default_factory=Silence)

    @property
    def pretend(self) -> frozenset[str]:
        """The ids of the sandbox's upstreams, used or not: what one of them made stays so when a real one comes."""
        real = {upstream.id for upstream in self.upstreams if not upstream.sandbox}
        known = {upstream.id for upstream in self.upstreams if upstream.sandbox}
        return frozenset(known.union(PRETEND + provider for provider in self.catalog.providers) - real)

    def tell_change(self, task_id: str) -> None:
        """Of a task, once it is durable, to whoever follows it in any process."""
        self.watch.tell(task_id)
        self.bulletin.post("changed", task_id)

    def tell_end(self, task_id: str, webhook: Webhook | None, *, awaited: bool) -> None:
        """Of a task, once it is durable. Others need not hear of what is `awaited` here: at every request that would
        cost each of them something."""
        if awaited:
            self.watch.tell(task_id)
        else:
            self.tell_change(task_id)
        if webhook is not None:
            self.outbox.set()

    def keep_until_ms(self, keep_images_s: float | None) -> int:
        """When an image that is stored now may go: a workspace may have set how long it keeps its own."""
        kept_s = self.settings.keep_images_s if keep_images_s is None else keep_images_s
        return self.clock.now_ms() + int(kept_s * 1000)


async def one_chunk(content: bytes) -> AsyncIterator[bytes]:
    """What lies in memory, for those who take it as it comes."""
    yield content
