"""What operators do about webhooks: plain values in and out, refusals that HTTP and the command line can both tell."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from imageway.core.errors import GatewayError
from imageway.core.ops import Committed, Op
from imageway.engine.settings import EngineSettings
from imageway.ledger.ops import CreateKey, CreateWorkspace
from imageway.server.administration.office import Office
from imageway.server.configuration import Settings
from imageway.server.keyfiles import WEBHOOK_KEY
from imageway.server.machine import SystemClock, SystemRandom
from imageway.server.webhook_endpoints import EndpointShown, WebhookDesk
from imageway.storage.memory import MemoryStore
from imageway.tasks.ops import CreateTask, FinishTask
from imageway.tasks.webhooks import AddDelivery, ClaimDelivery, DisableEndpoint, EndDelivery, NotifyEndpoints

HOOK = "https://caller.example/hook"


async def done(store: MemoryStore, *ops: Op) -> None:
    assert isinstance(await store.commit(*ops), Committed)


@pytest.fixture
async def store() -> MemoryStore:
    made = MemoryStore()
    await done(made, CreateWorkspace("ws_1", "studio", 1), CreateKey("key_1", "ws_1", "", bytes(32), "", (), 1))
    return made


@pytest.fixture
def desk(store: MemoryStore, tmp_path: Path) -> WebhookDesk:
    settings = Settings(data=tmp_path, engine=EngineSettings(webhook_endpoints=2))
    return WebhookDesk(Office(store, SystemClock(), SystemRandom(), "key_admin"), settings)


async def refused(work: Any) -> tuple[int, str, str]:
    with pytest.raises(GatewayError) as told:
        await work
    return told.value.kind.status, told.value.code, told.value.message


async def test_an_endpoint_is_made_shown_and_removed(desk: WebhookDesk) -> None:
    made = await desk.add("studio", HOOK, ("task.failed", "task.failed"))
    (shown,) = await desk.endpoints("ws_1")
    assert shown == EndpointShown(
        id=made.id,
        workspace="studio",
        url=HOOK,
        events=("task.failed",),
        hint=f"whsec_…{made.secret[-5:-1]}",
        created_ms=shown.created_ms,
        disabled_ms=None,
    )
    await desk.remove(made.id)
    assert await desk.endpoints() == []


async def test_what_cannot_be_is_refused_with_its_status(desk: WebhookDesk) -> None:
    status, code, message = await refused(desk.add("studio", "http://169.254.169.254/latest"))
    assert (status, code) == (400, "invalid_webhook_url")
    assert "webhook_allow" in message
    assert (await refused(desk.add("studio", HOOK, ("task.begun",))))[:2] == (400, "invalid_value")
    assert (await refused(desk.add("nobody", HOOK)))[0] == 404
    await desk.add("studio", HOOK)
    assert (await refused(desk.add("studio", HOOK)))[0] == 409
    await desk.add("studio", f"{HOOK}/2")
    status, _, message = await refused(desk.add("studio", f"{HOOK}/3"))
    assert status == 400
    assert "has 2 endpoints already" in message
    for work in (desk.remove("end_9"), desk.enable("end_9"), desk.rotate("end_9"), desk.replay("msg_9")):
        assert (await refused(work))[0] == 404


async def test_a_secret_is_rotated_and_the_old_one_signs_for_a_while(desk: WebhookDesk) -> None:
    (first,) = await desk.secrets("studio")
    made = await desk.rotate("studio")
    assert not made.endpoint
    assert [(one.secret, one.until_ms) for one in await desk.secrets("studio")] == [
        (made.secret, None),
        (first.secret, made.old_until_ms),
    ]
    last = await desk.rotate("studio", at_once=True)
    assert [one.secret for one in await desk.secrets("studio")] == [last.secret]
    endpoint = await desk.add("studio", HOOK)
    assert (await desk.rotate(endpoint.id)).endpoint


async def test_another_signing_key_is_said_to_be_one(desk: WebhookDesk, tmp_path: Path) -> None:
    await desk.secrets("studio")
    (tmp_path / WEBHOOK_KEY).unlink()
    status, _, message = await refused(desk.secrets("studio"))
    assert status == 500
    assert "restore that file" in message
    (tmp_path / WEBHOOK_KEY).write_text("nonsense")
    assert "does not hold a key" in (await refused(desk.add("studio", HOOK)))[2]


async def test_every_change_of_an_endpoint_is_on_record_without_its_secret(
    desk: WebhookDesk, store: MemoryStore
) -> None:
    made = await desk.add("studio", HOOK)
    await desk.rotate(made.id)
    await desk.remove(made.id)
    rows = list(store._tables.changes.values())
    assert [(row.actor, row.action, row.target) for row in rows] == [
        ("key_admin", f"webhook.{act}", made.id) for act in ("add", "rotate", "remove")
    ]
    assert json.loads(rows[0].after) == {"workspace": "ws_1", "url": HOOK, "events": []}


async def test_dead_letters_are_replayed_unless_nobody_would_be_told(desk: WebhookDesk, store: MemoryStore) -> None:
    made = await desk.add("studio", HOOK)
    task = CreateTask(
        id="req_1",
        workspace_id="ws_1",
        key_id="key_1",
        model="m",
        owner="p",
        request=b"{}",
        created_ms=1,
        deadline_ms=9,
    )
    own = AddDelivery("msg_1", "ws_1", "req_1", HOOK, "task.succeeded", 1)
    ended = FinishTask("req_1", "succeeded", b"{}", 2), NotifyEndpoints("req_1", "ws_1", "task.succeeded", 2)
    await done(store, task, *ended, own)
    for row in await desk.deliveries("studio"):
        await done(store, ClaimDelivery(row.id, row.fence, 10, 20))
        await done(store, EndDelivery(row.id, row.fence + 1, "dead", 500, "it answered 500", 11))
    assert len(await desk.deliveries(dead=True)) == 2
    await desk.replay("msg_1")
    assert len(await desk.replay_dead("studio")) == 1
    assert await desk.deliveries(dead=True) == ()
    (of_endpoint,) = (row.id for row in await desk.deliveries() if row.endpoint_id)
    await done(store, DisableEndpoint(made.id, 30))
    status, _, message = await refused(desk.replay(of_endpoint))
    assert status == 409
    assert "disabled" in message
    await desk.enable(made.id)
    assert "is being delivered already" in (await refused(desk.replay(of_endpoint)))[2]
