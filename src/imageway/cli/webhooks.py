"""Commands on webhooks: endpoints, what signs for them, and deliveries. They work while a gateway runs; of what they
change it takes notice with the next delivery."""

from __future__ import annotations

import asyncio
import sys

from imageway.cli.books import CLOCK, MOST_ROWS, RANDOM, Books, day, show_rows, workspace_named
from imageway.cli.printing import Stop, print_json
from imageway.core.ids import new_id
from imageway.core.ops import Committed, Refused, Store
from imageway.engine.notices import why_not
from imageway.server.configuration import Settings
from imageway.server.keyfiles import WEBHOOK_KEY, key_in
from imageway.tasks.signatures import PREFIX, WrongKey, new_secret, signing, spelled
from imageway.tasks.webhooks import (
    EVENTS,
    AddEndpoint,
    AddSecret,
    Delivery,
    EnableEndpoint,
    Endpoint,
    FindDelivery,
    FindEndpoint,
    ListDeliveries,
    ListEndpoints,
    ListSecrets,
    RemoveEndpoint,
    ReplayDelivery,
    RotateSecret,
)
from imageway.transport import Transport

PAGE = 200


def add_endpoint(books: Books, workspace: str, url: str, *, events: tuple[str, ...], as_json: bool) -> None:
    settings = books.settings()
    _check(settings, url, events)
    endpoint_id, limit = new_id("end", RANDOM), settings.engine.webhook_endpoints

    async def add(store: Store) -> str:
        owner, now_ms, key = await workspace_named(store, workspace), CLOCK.now_ms(), _key(settings)
        secret = new_secret(key, endpoint_id, RANDOM, now_ms)
        endpoint = AddEndpoint(
            id=endpoint_id,
            workspace_id=owner.id,
            url=url,
            events=tuple(dict.fromkeys(events)),
            limit=limit,
            at_ms=now_ms,
        )
        added = await store.commit(endpoint, AddSecret(secret.id, endpoint_id, secret.hint, now_ms))
        if isinstance(added, Refused):
            if added.why == "too_many":
                raise Stop(f'the workspace "{workspace}" has {limit} endpoints already: [limits] webhook_endpoints')
            raise Stop(f'the workspace "{workspace}" tells "{url}" already: see imageway webhooks list')
        return spelled(key, secret)

    made = books.do(add)
    if as_json:
        print_json({"id": endpoint_id, "workspace": workspace, "url": url, "events": list(events), "secret": made})
    else:
        print(f"{made}\n\nThis is the only time the secret is shown. The endpoint's id is {endpoint_id}.")


def _check(settings: Settings, url: str, events: tuple[str, ...]) -> None:
    unknown = [name for name in events if name not in EVENTS]
    if unknown:
        raise Stop(f'--event "{unknown[0]}" is none of {", ".join(EVENTS)}')
    try:
        transport = Transport(told_hosts=settings.webhook_allow)
    except ValueError as error:
        raise Stop(f"webhook_allow: {error}") from None
    if why := why_not(transport, url):
        raise Stop(f"the URL cannot be called: {why}; hosts of your own are named in webhook_allow")


def _key(settings: Settings) -> bytes:
    path = settings.data / WEBHOOK_KEY
    try:
        return key_in(path)
    except ValueError:
        raise Stop(f'"{path}" does not hold a key') from None


def list_endpoints(books: Books, workspace: str | None, *, as_json: bool) -> None:
    async def read(store: Store) -> list[dict[str, object]]:
        owner = (await workspace_named(store, workspace)).id if workspace else None
        return [await _endpoint(store, one) for one in await _every_endpoint(store, owner)]

    columns = ("id", "workspace", "url", "events", "secret", "created", "disabled")
    show_rows(books.do(read), columns, as_json=as_json)


async def _every_endpoint(store: Store, workspace_id: str | None) -> list[Endpoint]:
    """Page by page: however many there are."""
    found: list[Endpoint] = []
    while page := await store.read(ListEndpoints(workspace_id, after=_last(found))):
        found += page
    return found


def _last(found: list[Endpoint]) -> tuple[int, str]:
    return (found[-1].created_ms, found[-1].id) if found else (-1, "")


async def _endpoint(store: Store, one: Endpoint) -> dict[str, object]:
    secrets = await store.read(ListSecrets(one.id))
    return {
        "id": one.id,
        "workspace": one.workspace,
        "url": one.url,
        "events": list(one.events),
        "secret": f"{PREFIX}…{secrets[0].hint}" if secrets else None,
        "created": day(one.created_ms),
        "disabled": day(one.disabled_ms),
    }


def remove_endpoint(books: Books, endpoint_id: str, *, as_json: bool) -> None:
    async def remove(store: Store) -> None:
        if isinstance(await store.commit(RemoveEndpoint(endpoint_id)), Refused):
            raise Stop(f'there is no endpoint "{endpoint_id}"')

    books.do(remove)
    if as_json:
        print_json({"id": endpoint_id, "removed": True})
    else:
        print(f"{endpoint_id} is removed.")


def enable_endpoint(books: Books, endpoint_id: str, *, as_json: bool) -> None:
    async def enable(store: Store) -> None:
        if isinstance(await store.commit(EnableEndpoint(endpoint_id)), Refused):
            raise Stop(f'there is no disabled endpoint "{endpoint_id}"')

    books.do(enable)
    if as_json:
        print_json({"id": endpoint_id, "enabled": True})
    else:
        print(f"{endpoint_id} is told again; what it missed: imageway webhooks replay --all-dead")


def rotate_secret(books: Books, holder: str, *, at_once: bool, as_json: bool) -> None:
    settings = books.settings()

    async def rotate(store: Store) -> tuple[str, int, bool]:
        endpoint, now_ms, key = await store.read(FindEndpoint(holder)), CLOCK.now_ms(), _key(settings)
        holder_id = endpoint.id if endpoint else (await workspace_named(store, holder)).id
        until_ms = now_ms + (0 if at_once else int(settings.engine.webhook_overlap_s * 1000))
        secret = new_secret(key, holder_id, RANDOM, now_ms)
        done = await store.commit(RotateSecret(secret.id, holder_id, secret.hint, now_ms, until_ms))
        if isinstance(done, Refused):
            raise Stop(f'"{holder}" has no secret yet; make it with: imageway webhooks secret {holder}')
        return spelled(key, secret), until_ms, endpoint is not None

    made, until_ms, once = books.do(rotate)
    if as_json:
        print_json({"id": holder, "secret": made, "old_until": day(until_ms)})
    else:
        shown = "This is the only time the secret is shown. " if once else ""
        print(f"{made}\n\n{shown}The old one signs until {day(until_ms)}.")


def show_secret(books: Books, workspace: str, *, as_json: bool) -> None:
    settings = books.settings()

    async def read(store: Store) -> list[dict[str, object]]:
        holder_id, now_ms, key = (await workspace_named(store, workspace)).id, CLOCK.now_ms(), _key(settings)
        if not await store.read(ListSecrets(holder_id)):
            first = new_secret(key, holder_id, RANDOM, now_ms)
            await store.commit(AddSecret(first.id, holder_id, first.hint, now_ms))  # refused: somebody was faster
        try:
            known = signing(key, await store.read(ListSecrets(holder_id)), now_ms)
            return [{"secret": secret, "until": day(one.until_ms)} for one, secret in known]
        except WrongKey:
            raise Stop(
                f'"{settings.data / WEBHOOK_KEY}" is not the key that the secret was made with: '
                f"restore that file, or make a new secret with: imageway webhooks rotate {workspace}"
            ) from None

    found = books.do(read)
    show_rows(found, ("secret", "until"), as_json=as_json)


def list_deliveries(books: Books, workspace: str | None, *, dead: bool, limit: int, as_json: bool) -> None:
    if not 1 <= limit <= MOST_ROWS:
        raise Stop(f'--limit "{limit}": a number from 1 to {MOST_ROWS} is needed')

    async def read(store: Store) -> tuple[Delivery, ...]:
        owner = (await workspace_named(store, workspace)).id if workspace else None
        return await store.read(ListDeliveries(owner, "dead" if dead else None, limit=limit + 1))

    found = books.do(read)
    columns = ("id", "event", "url", "state", "tries", "status", "detail", "next", "changed")
    show_rows([_delivery(row) for row in found[:limit]], columns, as_json=as_json)
    if len(found) > limit:
        print(f"… there are more; use --limit (this was {limit})", file=sys.stderr if as_json else sys.stdout)


def _delivery(row: Delivery) -> dict[str, object]:
    return {
        "id": row.id,
        "task": row.task_id,
        "endpoint": row.endpoint_id or None,
        "url": row.url,
        "event": row.event,
        "state": row.state,
        "tries": row.tries,
        "status": row.status or None,
        "detail": row.detail,
        "created": day(row.created_ms),
        "changed": day(row.changed_ms),
        "next": day(row.due_ms) if row.state == "pending" else None,
    }


def replay(books: Books, delivery_id: str | None, *, all_dead: bool, workspace: str | None, as_json: bool) -> None:
    if all_dead == (delivery_id is not None):
        raise Stop("say which: the id of one delivery, or --all-dead")
    if workspace and not all_dead:
        raise Stop("--workspace goes with --all-dead")

    async def again(store: Store) -> list[str]:
        if delivery_id is not None:
            return await _replay_one(store, delivery_id)
        return await _replay_dead(store, (await workspace_named(store, workspace)).id if workspace else None)

    replayed = books.do(again)
    if as_json:
        print_json({"replayed": replayed})
    else:
        print("\n".join(replayed) or "There is nothing to replay.")


async def _replay_one(store: Store, delivery_id: str) -> list[str]:
    row = await store.read(FindDelivery(delivery_id))
    if row is None:
        raise Stop(f'there is no delivery "{delivery_id}"')
    endpoint = await store.read(FindEndpoint(row.endpoint_id)) if row.endpoint_id else None
    if row.endpoint_id and endpoint is None:
        raise Stop("its endpoint was removed: nobody would be told")
    if endpoint is not None and endpoint.disabled_ms is not None:
        raise Stop(f"its endpoint is disabled; first: imageway webhooks enable {endpoint.id}")
    if isinstance(await store.commit(ReplayDelivery(delivery_id, CLOCK.now_ms())), Refused):
        raise Stop(f'"{delivery_id}" is being delivered already')
    return [delivery_id]


async def _replay_dead(store: Store, workspace_id: str | None) -> list[str]:
    """Page by page: however many there are."""
    replayed: list[str] = []
    query = ListDeliveries(workspace_id, "dead", limit=PAGE)
    while page := await store.read(query):
        done = await asyncio.gather(*(store.commit(ReplayDelivery(row.id, CLOCK.now_ms())) for row in page))
        replayed += [row.id for row, outcome in zip(page, done, strict=True) if isinstance(outcome, Committed)]
        query = ListDeliveries(workspace_id, "dead", before=(page[-1].created_ms, page[-1].id), limit=PAGE)
    return replayed
