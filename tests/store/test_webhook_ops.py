"""Ops on endpoints, secrets and deliveries: what each does, seen through the queries."""

from __future__ import annotations

import asyncio

import pytest
from msgspec.structs import replace

from imageway.core.ops import Committed, Store
from imageway.ledger.ops import CreateWorkspace
from imageway.tasks import webhooks
from imageway.tasks.webhooks import Delivery, Endpoint, Secret, message_id
from tests.store.places import CLAIM, DELIVERY, ENDPOINT, KEY, ROTATION, SECRET, WORKSPACE, Place, commit, finish, task


@pytest.fixture
async def store(store: Store) -> Store:
    """With a workspace, without which nobody is told anything."""
    await commit(store, WORKSPACE)
    return store


async def shown(store: Store, delivery_id: str = "msg_1") -> Delivery:
    found = await store.read(webhooks.FindDelivery(delivery_id))
    assert found is not None
    return found


async def ids(store: Store, now_ms: int = 10**12, limit: int = 100, busy: tuple[str, ...] = ()) -> list[str]:
    return [row.id for row in await store.read(webhooks.DueDeliveries(now_ms, limit, busy))]


# Endpoints


async def test_an_endpoint_is_found_as_it_was_added(store: Store) -> None:
    await commit(store, ENDPOINT)
    found = Endpoint(
        id="end_1",
        workspace_id="ws_1",
        workspace="studio",
        url="https://a.example/hook",
        events=(),
        created_ms=4,
        disabled_ms=None,
    )
    assert await store.read(webhooks.FindEndpoint("end_1")) == found
    assert await store.read(webhooks.FindEndpoint("end_2")) is None
    assert await store.read(webhooks.ListEndpoints("ws_1")) == (found,)
    assert await store.read(webhooks.ListEndpoints("ws_2")) == ()


async def test_endpoints_are_listed_page_by_page(store: Store) -> None:
    for number, at_ms in ((1, 5), (2, 5), (3, 4)):
        await commit(store, replace(ENDPOINT, id=f"end_{number}", url=f"https://{number}.example/", at_ms=at_ms))
    first = await store.read(webhooks.ListEndpoints(limit=2))
    assert [row.id for row in first] == ["end_3", "end_1"]
    rest = await store.read(webhooks.ListEndpoints(after=(first[-1].created_ms, first[-1].id)))
    assert [row.id for row in rest] == ["end_2"]


async def test_two_workspaces_may_name_the_same_address(store: Store) -> None:
    other = replace(ENDPOINT, id="end_2", workspace_id="ws_2")
    await commit(store, CreateWorkspace("ws_2", "agency", 1), ENDPOINT, other)


async def test_of_two_who_add_the_last_one_at_once_only_one_does(durable_place: Place) -> None:
    """Two replicas, the limit counted where the row is written."""
    stores = [await durable_place.open() for _ in range(2)]
    await commit(stores[0], WORKSPACE)
    added = [
        store.commit(replace(ENDPOINT, id=f"end_{turn}_{number}", url=f"https://{turn}.{number}.example/", limit=3))
        for turn, store in enumerate(stores)
        for number in range(5)
    ]
    done = await asyncio.gather(*added)
    assert sum(isinstance(outcome, Committed) for outcome in done) == 3
    assert len(await stores[0].read(webhooks.ListEndpoints())) == 3
    await asyncio.gather(*(store.close() for store in stores))


async def test_a_disabled_endpoint_may_be_enabled_again(store: Store) -> None:
    await commit(store, ENDPOINT, webhooks.DisableEndpoint("end_1", 7), webhooks.DisableEndpoint("end_1", 8))
    (found,) = await store.read(webhooks.ListEndpoints())
    assert found.disabled_ms == 7
    await commit(store, webhooks.EnableEndpoint("end_1"))
    (found,) = await store.read(webhooks.ListEndpoints())
    assert found.disabled_ms is None


async def test_to_disable_what_is_not_there_is_no_reason_to_refuse(store: Store) -> None:
    """It stands in one unit with the end of a delivery, and the endpoint may have been removed meanwhile."""
    await commit(store, webhooks.DisableEndpoint("end_9", 7))


async def test_an_endpoint_goes_with_its_secrets_alone(store: Store) -> None:
    await commit(store, ENDPOINT, SECRET, replace(SECRET, id="whs_9", holder_id="ws_1"))
    await commit(store, webhooks.RemoveEndpoint("end_1"))
    assert await store.read(webhooks.ListEndpoints()) == ()
    assert await store.read(webhooks.ListSecrets("end_1")) == ()
    assert len(await store.read(webhooks.ListSecrets("ws_1"))) == 1


# Secrets


async def test_a_rotated_secret_stays_for_a_while_beside_the_new_one(store: Store) -> None:
    await commit(store, SECRET, ROTATION)
    assert await store.read(webhooks.ListSecrets("end_1")) == (
        Secret("whs_2", "end_1", "xyz=", 5, None),
        Secret("whs_1", "end_1", "abc=", 4, 50),
    )


async def test_there_are_never_more_than_two(store: Store) -> None:
    await commit(store, SECRET, ROTATION, replace(ROTATION, id="whs_3", until_ms=90))
    found = await store.read(webhooks.ListSecrets("end_1"))
    assert [(row.id, row.until_ms) for row in found] == [("whs_3", None), ("whs_2", 90)]


# Deliveries


async def test_a_delivery_is_due_at_once(store: Store) -> None:
    await commit(store, DELIVERY)
    assert await shown(store) == Delivery(
        id="msg_1",
        workspace_id="ws_1",
        task_id="req_1",
        endpoint_id="",
        url="https://caller.example/",
        event="task.succeeded",
        state="pending",
        fence=0,
        tries=0,
        due_ms=5,
        status=0,
        detail="",
        created_ms=5,
        changed_ms=5,
    )
    assert await ids(store, 4) == []
    assert await ids(store, 5) == ["msg_1"]


async def test_every_endpoint_that_wants_an_event_gets_a_delivery_of_its_own(store: Store) -> None:
    wants = {
        "end_all": (),
        "end_good": ("task.succeeded",),
        "end_both": ("task.failed", "task.succeeded"),
        "end_bad": ("task.failed", "task.unknown"),
        "end_off": (),
    }
    for endpoint_id, events in wants.items():
        url = f"https://{endpoint_id.replace('_', '-')}.example/"
        await commit(store, replace(ENDPOINT, id=endpoint_id, url=url, events=events))
    other = replace(ENDPOINT, id="end_other", workspace_id="ws_2")
    await commit(store, CreateWorkspace("ws_2", "agency", 1), other, webhooks.DisableEndpoint("end_off", 5))
    await commit(store, webhooks.NotifyEndpoints("req_1", "ws_1", "task.succeeded", 6))
    expected = {message_id("req_1", endpoint_id) for endpoint_id in ("end_all", "end_good", "end_both")}
    assert set(await ids(store)) == expected == {"msg_1_all", "msg_1_good", "msg_1_both"}
    made = await shown(store, "msg_1_good")
    assert (made.endpoint_id, made.url, made.event) == ("end_good", "https://end-good.example/", "task.succeeded")
    assert (made.workspace_id, made.task_id, made.due_ms, made.fence) == ("ws_1", "req_1", 6, 0)


async def test_where_nobody_wants_to_know_nobody_is_told(store: Store) -> None:
    await commit(store, webhooks.NotifyEndpoints("req_1", "ws_1", "task.succeeded", 6))
    assert await ids(store) == []


async def test_an_end_that_did_not_happen_is_told_to_nobody(store: Store) -> None:
    """The outbox is part of the unit that ends the task."""
    await commit(store, KEY, ENDPOINT, task(), finish())
    again = (
        DELIVERY,
        webhooks.NotifyEndpoints("req_1", "ws_1", "task.failed", 9),
        finish(state="failed"),
    )
    assert not isinstance(await store.commit(*again), Committed)
    assert await ids(store) == []


async def test_many_ends_in_one_group_tell_every_endpoint_of_each(store: Store) -> None:
    """SQLite runs them side by side: of each workspace its own, of one that has none nobody."""
    await commit(store, ENDPOINT, replace(ENDPOINT, id="end_2", url="https://b.example/"))
    await commit(store, CreateWorkspace("ws_2", "agency", 1), replace(ENDPOINT, id="end_3", workspace_id="ws_2"))
    await commit(store, CreateWorkspace("ws_3", "silent", 1))
    ends = [(f"req_{n}{place}", f"ws_{place}") for n in range(5) for place in (1, 2, 3)]
    told = [webhooks.NotifyEndpoints(task_id, workspace_id, "task.failed", 6) for task_id, workspace_id in ends]
    assert await asyncio.gather(*map(store.commit, told)) == [Committed()] * 15
    expected = {f"msg_{n}1_{endpoint}" for n in range(5) for endpoint in (1, 2)} | {f"msg_{n}2_3" for n in range(5)}
    assert set(await ids(store)) == expected


async def test_a_claim_keeps_others_away_until_it_ends(store: Store) -> None:
    await commit(store, DELIVERY, CLAIM)
    claimed = await shown(store)
    assert (claimed.fence, claimed.tries, claimed.due_ms, claimed.changed_ms) == (1, 1, 50, 6)
    assert await ids(store, 49) == []
    assert await ids(store, 50) == ["msg_1"]
    await commit(store, webhooks.ClaimDelivery("msg_1", 1, 50, 99))
    assert (await shown(store)).tries == 2


async def test_of_two_processes_that_claim_at_once_one_has_it(durable_place: Place) -> None:
    stores = [await durable_place.open() for _ in range(2)]
    await commit(stores[0], *(replace(DELIVERY, id=f"msg_{number}") for number in range(20)))
    claims = [store.commit(replace(CLAIM, id=f"msg_{number}")) for number in range(20) for store in stores]
    done = await asyncio.gather(*claims)
    assert sum(isinstance(outcome, Committed) for outcome in done) == 20
    await asyncio.gather(*(store.close() for store in stores))


async def test_a_try_that_failed_is_due_later_and_says_why(store: Store) -> None:
    await commit(store, DELIVERY, CLAIM, webhooks.PostponeDelivery("msg_1", 1, 503, "it answered 503", 70, 8))
    later = await shown(store)
    assert (later.state, later.status, later.detail, later.due_ms) == ("pending", 503, "it answered 503", 70)
    assert await ids(store, 69) == []


async def test_a_detail_is_one_line_that_every_database_takes(store: Store) -> None:
    hostile = webhooks.PostponeDelivery("msg_1", 1, 0, "nul \0 half \ud83d\n" + "x" * 5000, 70, 8)
    await commit(store, DELIVERY, CLAIM, hostile)
    detail = (await shown(store)).detail
    assert detail.startswith("nul   half   xxx")
    assert len(detail) == 1000


@pytest.mark.parametrize("state", sorted(webhooks.ENDS))
async def test_what_ended_is_due_no_more_until_it_is_replayed(store: Store, state: str) -> None:
    await commit(store, DELIVERY, CLAIM, webhooks.EndDelivery("msg_1", 1, state, 204, "", 8))
    ended = await shown(store)
    assert (ended.state, ended.status, ended.changed_ms) == (state, 204, 8)
    assert await ids(store) == []
    await commit(store, webhooks.ReplayDelivery("msg_1", 9))
    again = await shown(store)
    assert (again.state, again.tries, again.due_ms, again.id) == ("pending", 0, 9, "msg_1")
    assert again.fence == 1, "who still works on the old try can end nothing"


async def test_the_longest_due_come_first_and_busy_workspaces_not_at_all(store: Store) -> None:
    for number, (workspace, at_ms) in enumerate((("ws_1", 8), ("ws_2", 7), ("ws_1", 6), ("ws_3", 9))):
        await commit(store, replace(DELIVERY, id=f"msg_{number}", workspace_id=workspace, at_ms=at_ms))
    assert await ids(store) == ["msg_2", "msg_1", "msg_0", "msg_3"]
    assert await ids(store, limit=2) == ["msg_2", "msg_1"]
    assert await ids(store, busy=("ws_1",)) == ["msg_1", "msg_3"]
    assert await ids(store, busy=("ws_1", "ws_2", "ws_3")) == []


async def test_deliveries_are_listed_newest_first_page_by_page(store: Store) -> None:
    for number, at_ms in enumerate((5, 9, 9, 7)):
        await commit(store, replace(DELIVERY, id=f"msg_{number}", at_ms=at_ms))
    await commit(store, replace(DELIVERY, id="msg_x", workspace_id="ws_2", at_ms=8))
    await commit(store, replace(CLAIM, id="msg_3", at_ms=7), webhooks.EndDelivery("msg_3", 1, "dead", 0, "", 8))

    async def listed(query: webhooks.ListDeliveries) -> list[str]:
        return [row.id for row in await store.read(query)]

    assert await listed(webhooks.ListDeliveries()) == ["msg_2", "msg_1", "msg_x", "msg_3", "msg_0"]
    assert await listed(webhooks.ListDeliveries("ws_1", limit=2)) == ["msg_2", "msg_1"]
    assert await listed(webhooks.ListDeliveries("ws_1", before=(9, "msg_1"))) == ["msg_3", "msg_0"]
    assert await listed(webhooks.ListDeliveries(state="dead")) == ["msg_3"]
    assert await listed(webhooks.ListDeliveries("ws_1", "pending")) == ["msg_2", "msg_1", "msg_0"]


async def test_what_ended_long_ago_is_forgotten_the_oldest_first(store: Store) -> None:
    for number in range(5):
        await commit(store, replace(DELIVERY, id=f"msg_{number}", at_ms=number))
    for number in (0, 1, 2, 4):
        end = webhooks.EndDelivery(f"msg_{number}", 1, "delivered", 200, "", 9)
        await commit(store, replace(CLAIM, id=f"msg_{number}"), end)
    await commit(store, webhooks.ForgetDeliveries(4, 2))
    left = [row.id for row in await store.read(webhooks.ListDeliveries())]
    assert left == ["msg_4", "msg_3", "msg_2"]
    await commit(store, webhooks.ForgetDeliveries(4, 100))
    left = [row.id for row in await store.read(webhooks.ListDeliveries())]
    assert left == ["msg_4", "msg_3"], "what is pending stays, however old"
