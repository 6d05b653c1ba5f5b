"""Commands on webhooks: how they are printed. What they do stands in `server/webhook_endpoints.py`."""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable
from typing import TypeVar

from imageway.cli.books import MOST_ROWS, Books, day, show_rows
from imageway.cli.operating import operate, vault_of
from imageway.cli.printing import Stop, print_json
from imageway.server.webhook_endpoints import WebhookDesk
from imageway.tasks.webhooks import Delivery

T = TypeVar("T")


def _do(books: Books, work: Callable[[WebhookDesk], Awaitable[T]]) -> T:
    settings = books.settings()
    return operate(books, lambda office: work(WebhookDesk(office, settings, vault_of(settings, office.store))))


def add_endpoint(books: Books, workspace: str, url: str, *, events: tuple[str, ...] | None, as_json: bool) -> None:
    made = _do(books, lambda desk: desk.add(workspace, url, events))
    if as_json:
        named = {"id": made.id, "workspace": workspace, "url": url, "events": list(events or ()), "secret": made.secret}
        print_json(named)
    else:
        print(f"{made.secret}\n\nThis is the only time the secret is shown. The endpoint's id is {made.id}.")


def list_endpoints(books: Books, workspace: str | None, *, as_json: bool) -> None:
    found: list[dict[str, object]] = [
        {
            "id": one.id,
            "workspace": one.workspace,
            "url": one.url,
            "events": list(one.events),
            "secret": one.hint,
            "created": day(one.created_ms),
            "disabled": day(one.disabled_ms),
        }
        for one in _do(books, lambda desk: desk.endpoints(workspace))
    ]
    columns = ("id", "workspace", "url", "events", "secret", "created", "disabled")
    show_rows(found, columns, as_json=as_json)


def remove_endpoint(books: Books, endpoint_id: str, *, as_json: bool) -> None:
    _do(books, lambda desk: desk.remove(endpoint_id))
    if as_json:
        print_json({"id": endpoint_id, "removed": True})
    else:
        print(f"{endpoint_id} is removed.")


def enable_endpoint(books: Books, endpoint_id: str, *, as_json: bool) -> None:
    _do(books, lambda desk: desk.enable(endpoint_id))
    if as_json:
        print_json({"id": endpoint_id, "enabled": True})
    else:
        print(f"{endpoint_id} is told again; what it missed: imageway webhooks replay --all-dead")


def rotate_secret(books: Books, holder: str, *, at_once: bool, as_json: bool) -> None:
    made = _do(books, lambda desk: desk.rotate(holder, at_once=at_once))
    if as_json:
        print_json({"id": holder, "secret": made.secret, "old_until": day(made.old_until_ms)})
    else:
        shown = "This is the only time the secret is shown. " if made.endpoint else ""
        print(f"{made.secret}\n\n{shown}The old one signs until {day(made.old_until_ms)}.")


def show_secret(books: Books, workspace: str, *, as_json: bool) -> None:
    found = _do(books, lambda desk: desk.secrets(workspace))
    rows: list[dict[str, object]] = [{"secret": one.secret, "until": day(one.until_ms)} for one in found]
    show_rows(rows, ("secret", "until"), as_json=as_json)


def list_deliveries(books: Books, workspace: str | None, *, dead: bool, limit: int, as_json: bool) -> None:
    if not 1 <= limit <= MOST_ROWS:
        raise Stop(f'--limit "{limit}": a number from 1 to {MOST_ROWS} is needed')
    found = _do(books, lambda desk: desk.deliveries(workspace, dead=dead, limit=limit + 1))
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

    async def again(desk: WebhookDesk) -> list[str]:
        if delivery_id is None:
            return await desk.replay_dead(workspace)
        await desk.replay(delivery_id)
        return [delivery_id]

    replayed = _do(books, again)
    if as_json:
        print_json({"replayed": replayed})
    else:
        print("\n".join(replayed) or "There is nothing to replay.")
