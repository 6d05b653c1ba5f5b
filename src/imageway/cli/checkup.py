"""`imageway doctor`: looks at everything that must be right before a request can be served, and says what to do."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from imageway.catalog import Catalog, CatalogError, load
from imageway.catalog.terms import DAY_MS
from imageway.cli.books import CLOCK, RANDOM
from imageway.cli.printing import print_json, print_table
from imageway.core.upstreams import Upstream
from imageway.ledger.queries import ShowWallet
from imageway.ledger.sealed import SIGNING, UPSTREAM, WEBHOOK, SealingError
from imageway.ledger.verifying import verify
from imageway.server.administration.keys import list_keys
from imageway.server.administration.office import Office
from imageway.server.administration.secrets import UNSEALED, count_secrets, find_closed
from imageway.server.administration.workspaces import list_workspaces
from imageway.server.books import open_books
from imageway.server.configuration import ConfigurationError, Settings, read_settings, upstreams_of
from imageway.server.machine import made_private
from imageway.server.sealing import ring_there
from imageway.server.upstreams import Installation, kept_upstreams, opened_upstreams
from imageway.storage import StorageError, open_objects
from imageway.storage.snapshots import open_snapshot
from imageway.tasks.queries import UnknownTasks
from imageway.tasks.webhooks import ListDeliveries
from imageway.transport import Transport
from imageway.transport.origins import locate

REACH_S = 5.0
MENDED: Final = {
    UPSTREAM: "imageway upstreams add, with each credential again",
    WEBHOOK: "imageway webhooks rotate, for each endpoint and workspace",
    SIGNING: "imageway keys rotate, for each signed key",
}
VERIFY_S = 5.0
OLDEST_CLOCK_S = 1_767_225_600  # 2026-01-01: no machine with a working clock is older than this program
LARGEST_SKEW_S = 5.0


@dataclass(frozen=True, slots=True)
class Finding:
    """`state`: ok, warning, error. `advice` is empty when there is nothing to do."""

    about: str
    state: str
    says: str
    advice: str = ""


def examine(data: Path | None, config: Path | None, *, as_json: bool) -> int:
    """Prints the findings; returns 1 when one of them is an error."""
    findings = asyncio.run(_collect(data, config))
    if as_json:
        print_json([{"about": f.about, "state": f.state, "says": f.says, "advice": f.advice} for f in findings])
    else:
        print_table(("", "", "", ""), [(f.about, f.state, f.says, f.advice) for f in findings])
    return 1 if any(finding.state == "error" for finding in findings) else 0


async def _collect(data: Path | None, config: Path | None) -> list[Finding]:
    try:
        settings = read_settings({"data": data, "config": config})
        catalog = load(settings.catalog, day=CLOCK.now_ms() // DAY_MS)
        upstreams = upstreams_of(settings, catalog, os.environ)
    except (ConfigurationError, CatalogError) as error:
        return [Finding("configuration", "error", str(error), "correct it and run this again")]
    models = len(catalog.models)
    findings = [Finding("configuration", "ok", f"{models} models, {len(upstreams)} upstream(s) with a credential")]
    findings += [finding async for finding in _storage(settings)]
    findings += await _books(settings)
    findings.append(await _media(settings))
    findings.append(_clock(settings))
    installation = Installation(settings, catalog, os.environ, RANDOM)
    stored, faulty = await _stored(installation)
    findings += await _upstreams((*upstreams, *stored)) if not faulty or upstreams or stored else []
    findings += faulty
    findings += [*_ring(installation), *await _secrets(installation)]
    findings += _drain(settings, catalog, (*upstreams, *stored))
    return findings


async def _stored(installation: Installation) -> tuple[tuple[Upstream, ...], list[Finding]]:
    """Upstreams of the database, and what keeps others of them from being used."""
    try:
        async with open_books(installation.settings) as store:
            found = await kept_upstreams(store)
    except (OSError, StorageError):
        return (), []  # told already
    opened, faulty = opened_upstreams(installation, Transport(), found)
    advice = "see: imageway upstreams list"
    return opened, [Finding(f"upstream {upstream_id}", "error", why, advice) for upstream_id, why in faulty]


def _ring(installation: Installation) -> list[Finding]:
    """Whether what seals secrets can be read, even while there are none."""
    try:
        ring_there(installation.settings.data, installation.environment)
    except SealingError as error:
        advice = "correct it, or restore it from a backup: no gateway starts with it"
        return [Finding("keys of secrets", "error", str(error), advice)]
    return []


async def _secrets(installation: Installation) -> list[Finding]:
    """Those that do not open, by kind, and those that are not sealed yet."""
    try:
        async with open_books(installation.settings) as store:
            closed = await find_closed(store, installation)
            counted = await count_secrets(store, installation)
    except (OSError, StorageError):
        return []  # told already
    findings = [
        Finding(f"secrets of {one.kind}", "error", f"{one.count} do not open: {one.why}", _mended(one.kind))
        for one in closed
    ]
    unsealed = sum(row.secrets for row in counted if row.state == UNSEALED)
    if unsealed:
        says = f"{unsealed} are made of the key file of an earlier Imageway still"
        findings.append(Finding("secrets", "warning", says, "imageway secrets rotate"))
    elif not closed and counted:
        findings.append(Finding("secrets", "ok", f"{sum(row.secrets for row in counted)} are sealed, and open"))
    return findings


def _mended(kind: str) -> str:
    return f"restore the ring from a backup; or: {MENDED[kind]}" if kind in MENDED else "restore the ring from a backup"


async def _storage(settings: Settings) -> AsyncIterator[Finding]:
    try:
        probe = settings.data / ".doctor"
        made_private(settings.data)
        probe.write_bytes(b"x")
        probe.unlink()
        free_bytes = os.statvfs(settings.data).f_bavail * os.statvfs(settings.data).f_frsize
        low = free_bytes < settings.spool_bytes
        says = f"{settings.data} is writable, {free_bytes // 2**30} GiB free"
        advice = (
            f"the spool may take {settings.spool_bytes // 2**30} GiB: free some, or lower spool_bytes" if low else ""
        )
        yield Finding("data directory", "warning" if low else "ok", says, advice)
        async with open_books(settings) as store:
            office = Office(store, CLOCK, RANDOM, "cli")
            workspaces = await list_workspaces(office)
            keys = [key for key in await list_keys(office, None) if key.revoked is None]
            wallets = [await store.read(ShowWallet(workspace.id)) for workspace in workspaces]
            unknown = await store.read(UnknownTasks())
            dead = await store.read(ListDeliveries(state="dead"))
    except (OSError, StorageError) as error:
        yield Finding("storage", "error", str(error), "check the path, its owner, and the database setting")
        return
    yield Finding("database", "ok", f"{len(workspaces)} workspace(s), {len(keys)} valid key(s)")
    if not keys:
        yield Finding("keys", "warning", "nobody can call yet", "imageway keys create")
    elif not any(wallet and wallet.available > 0 for wallet in wallets):
        yield Finding("wallets", "warning", "every wallet is empty", "imageway wallet topup WORKSPACE USD")
    if unknown:
        least = "at least " if len(unknown) == UnknownTasks().limit else ""
        says = (
            f"{least}{len(unknown)} task(s) ended unknown, whole or in part: compare them with the providers' own bills"
        )
        month = time.strftime("%Y-%m", time.gmtime((unknown[0].finished_ms or 0) / 1000))
        yield Finding("reconciliation", "warning", says, f"imageway report reconcile {month}")
    if dead:
        least = "at least " if len(dead) == ListDeliveries().limit else ""
        says = f"{least}{len(dead)} message(s) were not taken and are not tried any more"
        yield Finding("webhooks", "warning", says, "imageway webhooks deliveries --dead")


async def _books(settings: Settings) -> list[Finding]:
    """What `ledger verify` tells, as far as that can be known while somebody waits."""
    whole = "imageway ledger verify"
    try:
        async with open_snapshot(settings.database_url) as moment, asyncio.timeout(VERIFY_S):
            differing = await verify(moment)
    except TimeoutError:
        return [Finding("books", "ok", f"not all of them could be looked at within {VERIFY_S:g} s", whole)]
    except (OSError, StorageError):
        return []  # told already
    if differing:
        return [Finding("books", "error", f"{len(differing)} figure(s) differ from the rows they are made of", whole)]
    return [Finding("books", "ok", "every balance, hold, price and sum is what its rows come to")]


async def _media(settings: Settings) -> Finding:
    try:
        await open_objects(settings.media_url, options=settings.media_options, scratch=settings.data)
    except StorageError as error:
        return Finding("media store", "error", str(error), "check media, media_options and the credential")
    own = settings.database_url.startswith(("memory://", f"sqlite://{settings.data}/"))
    if not settings.media and not own:
        says = f"{settings.media_url} takes images, and no other process finds them that has the database alone"
        advice = "where several have it, name one media store for all (media), and give all the same media-signing.key"
        return Finding("media store", "warning", says, advice)
    return Finding("media store", "ok", f"{settings.media_url} takes images")


def _clock(settings: Settings) -> Finding:
    """Links and leases live by the wall clock; the file system's own clock is the second witness."""
    probe = settings.data / ".doctor"
    try:
        probe.write_bytes(b"x")
        skew_s = abs(probe.stat().st_mtime - time.time())
        probe.unlink()
    except OSError:
        skew_s = 0.0
    if time.time() < OLDEST_CLOCK_S or skew_s > LARGEST_SKEW_S:
        return Finding("clock", "error", "the clock is wrong", "set it; signed links and leases depend on it")
    return Finding("clock", "ok", time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()))


async def _upstreams(upstreams: tuple[Upstream, ...]) -> list[Finding]:
    if not upstreams:
        advice = "set a provider's key (see README, With a real key), or: imageway serve --sandbox"
        return [Finding("upstreams", "warning", "no provider has a credential", advice)]
    return list(await asyncio.gather(*(_reach(upstream) for upstream in upstreams)))


async def _reach(upstream: Upstream) -> Finding:
    try:
        Transport().check(upstream)
    except ValueError as error:
        return Finding(f"upstream {upstream.id}", "error", str(error), "correct its credential, base URL or values")
    origin, _ = locate(upstream.base_url)
    about, where = f"upstream {upstream.id}", f"{origin.host}:{origin.port}"
    try:
        async with asyncio.timeout(REACH_S):
            _, writer = await asyncio.open_connection(origin.host, origin.port, ssl=origin.secure or None)
        writer.close()
    except (OSError, TimeoutError) as error:
        says = f"{where} cannot be reached: {str(error) or 'no answer'}"
        return Finding(about, "error", says, "check the base URL, DNS and firewall")
    return Finding(about, "ok", f"{where} answers; its key is tried with the first request")


def _drain(settings: Settings, catalog: Catalog, upstreams: tuple[Upstream, ...]) -> list[Finding]:
    """A process that stops earlier than its slowest offering answers turns that answer into `unknown`."""
    sold = {upstream.provider for upstream in upstreams}
    slowest_s = max(
        (
            float(offering.attempt_deadline_s or settings.engine.attempt_deadline_s)
            for model in catalog.models.values()
            for offering in model.offerings
            if offering.provider in sold
        ),
        default=0.0,
    )
    if slowest_s <= settings.drain_s:
        return []
    says = f"the drain is {settings.drain_s:.0f} s, the slowest offering may take {slowest_s:.0f} s"
    return [Finding("drain", "warning", says, f"serve with --drain {slowest_s:.0f} where stopping may take that long")]
