"""The only place where everything is put together: settings in, a gateway out."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
from collections.abc import AsyncIterator, Coroutine, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from imageway.bodies import Budget, Spool
from imageway.catalog import load
from imageway.catalog.terms import DAY_MS
from imageway.core.blobs import Tree
from imageway.core.ids import new_id
from imageway.core.intents import ShowTask, TaskView
from imageway.core.objects import Presigner
from imageway.core.upstreams import Upstream
from imageway.dialects import DIALECTS, UNIFIED
from imageway.engine.alerts import Alerts
from imageway.engine.bulletin import Silence
from imageway.engine.courier import Courier
from imageway.engine.crew import Crew
from imageway.engine.hearing import Ear
from imageway.engine.models import ModelShelf
from imageway.engine.ports import Tools
from imageway.engine.recovery import Recovery
from imageway.engine.service import Engine
from imageway.engine.stored_images import StoredImages
from imageway.engine.webhook_secrets import WebhookSecrets
from imageway.ledger.sealed import SealingError
from imageway.media.links import LinkSigner
from imageway.providers import ADAPTERS
from imageway.routing import Health
from imageway.sandbox.wire import Sandbox
from imageway.server.admin.site import AdminSite
from imageway.server.app import App
from imageway.server.auth import KeyRing
from imageway.server.configuration import ConfigurationError, Settings, upstreams_of
from imageway.server.contents import Contents
from imageway.server.gate import Gate
from imageway.server.keyfiles import MEDIA_KEY, key_in
from imageway.server.links import MediaLinks
from imageway.server.machine import KillSwitch, ProcessLocks, SystemClock, SystemRandom, Threads, made_private
from imageway.server.openapi import openapi
from imageway.server.sealing import ring_there
from imageway.server.signing import Signatures
from imageway.server.uploads import Uploads
from imageway.server.upstreams import Installation, LiveUpstreams
from imageway.server.vault import RingVault
from imageway.storage import open_bulletin, open_objects, open_store
from imageway.telemetry import events, logger
from imageway.transport import Transport


@dataclass(slots=True)
class Gateway:
    """A running gateway. `close` drains it."""

    settings: Settings
    app: App
    engine: Engine
    tools: Tools
    courier: Courier

    async def drain(self) -> None:
        """What ends now is told about, as long as that takes a moment; the rest is for whoever comes next."""
        self.app.ready = False
        await self.engine.close(self.settings.drain_s)
        await self.courier.close()


@contextlib.asynccontextmanager
async def open_gateway(
    settings: Settings, *, public_url: str, environment: Mapping[str, str] = os.environ
) -> AsyncIterator[Gateway]:
    """Opens storage, takes over what dead processes left, and serves until the context ends."""
    _prepare(settings, environment)
    faults = KillSwitch.from_text(environment.get("IMAGEWAY_FAULT", ""))
    clock, random, threads = SystemClock(), SystemRandom(), Threads()
    catalog = load(settings.catalog, day=clock.now_ms() // DAY_MS)
    upstreams = upstreams_of(settings, catalog, environment)
    owner = new_id("proc", random)
    locks = ProcessLocks(settings.data / "processes")
    locks.hold(owner)
    scratch = _made(settings.data / "spool")
    objects = await open_objects(settings.media_url, options=settings.media_options, scratch=scratch)
    store = await open_store(settings.database_url)
    transport = _transport(settings, upstreams)
    tools = Tools(
        owner=owner,
        catalog=catalog,
        adapters=ADAPTERS,
        upstreams=upstreams,
        health=Health(),
        store=store,
        objects=objects,
        transport=transport,
        signer=_signer(settings, settings.public_url or public_url),
        spool=Spool(settings.data / "spool" / owner, Budget(settings.spool_bytes)),
        clock=clock,
        random=random,
        workers=threads,
        faults=faults,
        liveness=locks,
        settings=settings.engine,
        bulletin=open_bulletin(settings.database_url) or Silence(),
    )
    live = LiveUpstreams(Installation(settings, catalog, environment, random), tools, transport)
    await live.look()
    engine = Engine(tools)
    vault = RingVault(store, settings.data, environment, random)
    courier = Courier(tools, WebhookSecrets(store, vault, random), _as_shown)
    gateway = Gateway(settings, _app(live.installation, engine, vault, faults), engine, tools, courier)
    recovery, crew = Recovery(engine), Crew(engine, settings.workers)
    engine.queued = crew.offer
    await _begin(recovery, vault)
    _forget_dead(settings.data, locks)
    rounds = _rounds(recovery, crew, courier, live)
    _say_started(owner, tools.upstreams)
    try:
        yield gateway
    finally:
        await gateway.drain()
        await _ended(rounds)
        await recovery.resign()
        await transport.close()
        await store.close()
        _sweep(tools.spool, scratch / owner)
        threads.close()
        locks.release()
        logger().info(events.STOPPED, owner=owner)


def _prepare(settings: Settings, environment: Mapping[str, str]) -> None:
    """The data directory; and keys of secrets that cannot be read are told now, not when the first secret is kept.
    Raises ConfigurationError, OSError."""
    made_private(settings.data)
    try:
        ring_there(settings.data, environment)
    except SealingError as error:
        raise ConfigurationError(str(error)) from None


async def _begin(recovery: Recovery, vault: RingVault) -> None:
    """What must be known and done before anybody is served. Raises StoreFailed."""
    tools, now_ms = recovery.tools, recovery.tools.clock.now_ms()
    await asyncio.gather(tools.terms.read_rules(tools.store, now_ms), recovery.renew(), _seal_earlier(vault, now_ms))
    await recovery.begin()


def _rounds(recovery: Recovery, crew: Crew, courier: Courier, live: LiveUpstreams) -> asyncio.Future[list[None]]:
    """All that is done from time to time, or when somebody says so, until it is cancelled."""
    tools = crew.tools
    rounds: list[Coroutine[None, None, None]] = [
        recovery.keep_going(),
        crew.keep_going(),
        courier.keep_going(),
        live.keep_going(),
        Alerts(tools).keep_going(),
        tools.terms.keep_going(tools.store, tools.clock),
        tools.bulletin.keep_going(Ear(crew).hear),
    ]
    return asyncio.gather(*rounds)


async def _ended(rounds: asyncio.Future[list[None]]) -> None:
    rounds.cancel()
    await asyncio.gather(rounds, return_exceptions=True)


def _made(folder: Path) -> Path:
    folder.mkdir(exist_ok=True)
    return folder


def _sweep(spool: Spool, folder: Path) -> None:
    spool.close()
    shutil.rmtree(folder, ignore_errors=True)


def _say_started(owner: str, upstreams: tuple[Upstream, ...]) -> None:
    for upstream in upstreams:
        logger().info(events.STARTED, owner=owner, upstream=upstream.id, sandbox=upstream.sandbox)


async def _seal_earlier(vault: RingVault, now_ms: int) -> None:
    """What cannot be sealed now is opened as before; what does not open is told by whoever needs it, and by doctor."""
    try:
        sealed = await vault.seal_earlier(now_ms)
    except SealingError as error:
        logger().error(events.SEAL_CLOSED, detail=str(error))
        return
    if sealed:
        logger().info(events.SECRETS_SEALED, count=sealed)


def _app(installation: Installation, engine: Engine, vault: RingVault, faults: KillSwitch) -> App:
    settings, tools = installation.settings, engine.tools
    gate = Gate(
        engine=engine,
        shelf=ModelShelf(tools),
        uploads=Uploads(tools),
        images=StoredImages(tools),
        contents=Contents(tools.objects, tools.clock),
        keys=_keys(settings, tools, vault),
        spool=tools.spool,
        random=tools.random,
        dialects=DIALECTS,
        request_bytes=settings.request_bytes,
        heartbeat_s=settings.connections.heartbeat_s,
        documents={"/openapi.json": partial(openapi, DIALECTS, tuple(tools.catalog.models))},
    )
    presigner = tools.objects if settings.media_redirect and isinstance(tools.objects, Presigner) else None
    media = MediaLinks(tools.objects, tools.signer, tools.clock, presigner)
    return App(gate, media, AdminSite(gate, installation, vault), faults)


def _keys(settings: Settings, tools: Tools, vault: RingVault) -> KeyRing:
    signatures = Signatures(tools.store, tools.clock, vault, settings.engine.signature_tolerance_s)
    return KeyRing(tools.store, tools.clock, signatures, settings.trusted_proxies)


def _transport(settings: Settings, upstreams: tuple[Upstream, ...]) -> Transport:
    """Raises ValueError for an upstream that no request could reach."""
    transport = Transport(
        sandbox=_sandbox(settings),
        allowed_hosts=settings.fetch_allow,
        told_hosts=settings.webhook_allow,
    )
    for upstream in upstreams:
        transport.check(upstream)
    return transport


def _sandbox(settings: Settings) -> Sandbox | None:
    """Pretend upstreams in this process, only where they are asked for: drawing needs libraries nothing else does."""
    if not settings.sandbox:
        return None
    from imageway.sandbox import open_sandbox

    return open_sandbox(folder=settings.data / "sandbox")


def _signer(settings: Settings, public_url: str) -> LinkSigner:
    return LinkSigner(public_url, "k1", {"k1": key_in(settings.data / MEDIA_KEY)})


def _as_shown(view: TaskView) -> Tree:
    """As the unified endpoint shows it to its owner."""
    return UNIFIED.encode(ShowTask(view.id), view).body


def _forget_dead(data: Path, locks: ProcessLocks) -> None:
    """What dead processes left on disk: their locks and their spool folders."""
    for owner in locks.forget_dead():
        shutil.rmtree(data / "spool" / owner, ignore_errors=True)
