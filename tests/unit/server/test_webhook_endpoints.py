"""What operators do about webhooks: plain values in and out, refusals that HTTP and the command line can both tell."""

from __future__ import annotations

import json
from base64 import b64decode
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from imageway.core.errors import GatewayError
from imageway.core.ops import Committed, Op
from imageway.engine.settings import EngineSettings
from imageway.ledger.ops import CreateKey, CreateWorkspace
from imageway.ledger.sealed import ListSecrets
from imageway.server.administration.office import Office
from imageway.server.configuration import Settings
from imageway.server.machine import SystemClock, SystemRandom
from imageway.server.sealing import RING_VARIABLE
from imageway.server.webhook_endpoints import EndpointShown, WebhookDesk
from imageway.storage.memory import MemoryStore
from imageway.tasks.ops import CreateTask, FinishTask
from imageway.tasks.webhooks import AddDelivery, ClaimDelivery, DisableEndpoint, EndDelivery, NotifyEndpoints
from tests.vaults import OTHER_RING, RING, vault_on

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
    return desk_on(store, settings)


def desk_on(store: MemoryStore, settings: Settings, ring: Mapping[str, str] = RING) -> WebhookDesk:
    office = Office(store, SystemClock(), SystemRandom(), "key_admin")
    return WebhookDesk(office, settings, vault_on(store, settings.data, ring=ring))


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


async def test_who_has_no_secret_to_rotate_is_told_what_was_looked_for(desk: WebhookDesk) -> None:
    assert (await refused(desk.rotate("end_nope")))[2] == 'there is no endpoint "end_nope"'
    assert (await refused(desk.rotate("nope")))[2] == 'there is no endpoint and no workspace "nope"'
    assert (await refused(desk.rotate("studio")))[2] == '"studio" has no secret yet'


async def test_no_events_at_all_are_a_mistake_and_absent_ones_are_all(desk: WebhookDesk) -> None:
    status, code, message = await refused(desk.add("studio", HOOK, ()))
    assert (status, code) == (400, "invalid_value")
    assert message == "no events are named, so nothing would be told: leave events out for all of them"
    await desk.add("studio", HOOK)
    assert [one.events for one in await desk.endpoints()] == [()]


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


async def test_what_does_not_open_is_for_the_operator_and_a_rotation_mends_it(
    desk: WebhookDesk, store: MemoryStore
) -> None:
    await desk.secrets("studio")
    other = desk_on(store, desk.settings, OTHER_RING)
    status, _, message = await refused(other.secrets("studio"))
    assert status == 500
    assert 'sealed with the key "test", which IMAGEWAY_SECRETS_KEYS does not hold' in message
    made = await other.rotate("studio")
    assert [one.secret for one in await other.secrets("studio")] == [made.secret]
    status, _, message = await refused(desk_on(store, desk.settings, {RING_VARIABLE: "nonsense"}).rotate("studio"))
    assert (status, "write ID:KEY" in message) == (500, True)


async def test_a_secret_lies_in_its_row_sealed_and_goes_with_it(desk: WebhookDesk, store: MemoryStore) -> None:
    """Two while both sign; nothing of either in clear."""
    made = await desk.add("studio", HOOK)
    new = await desk.rotate(made.id)
    rows = await store.read(ListSecrets("webhook"))
    assert {row.holder_id for row in rows} == {row.id for row in store._tables.secrets.values()}
    assert len(rows) == 2
    for plain in (made.secret, new.secret):
        for form in (plain.encode(), b64decode(plain.removeprefix("whsec_"))):
            assert form not in b"".join(row.sealed for row in rows)
    assert {await desk.vault.open("webhook", row.holder_id) for row in rows} == {made.secret, new.secret}
    await desk.remove(made.id)
    assert await store.read(ListSecrets()) == ()


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
