"""Deliveries: who is told what and when, what is written down, and who is not told any more."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, cast

import pytest
from standardwebhooks.webhooks import Webhook
from structlog.testing import capture_logs

from imageway.core.failures import FetchRefused, StoreFailed, TransportFailed
from imageway.core.intents import TaskView
from imageway.core.ops import Committed, Op, Refused
from imageway.core.steps import FailureKind, Page, Reply
from imageway.engine.courier import JITTER, RETRY_AFTER_S, Courier
from imageway.engine.ports import Tools
from imageway.engine.results import KeptPicture, KeptResult, pack_result
from imageway.engine.webhook_secrets import NewSecret, WebhookSecrets
from imageway.ledger.ops import CreateKey, CreateWorkspace
from imageway.ledger.sealed import WEBHOOK, DropSecret
from imageway.server.machine import SystemRandom
from imageway.server.sealing import RING_VARIABLE
from imageway.storage.memory import MemoryStore
from imageway.tasks import webhooks
from imageway.tasks.ops import CreateTask, FinishTask
from imageway.tasks.webhooks import Delivery
from tests.turns import some_turns, until
from tests.vaults import OTHER_RING, RING, vault_on

HOOK = "https://caller.example/hook"
LEASE_S = 45.0


@dataclass
class Clock:
    """Goes when it is told to; starts now, because receivers mind old signatures."""

    at_s: float = field(default_factory=time.time)

    def now_ms(self) -> int:
        return int(self.at_s * 1000)

    def monotonic_s(self) -> float:
        return self.at_s

    async def sleep(self, seconds: float) -> None:
        self.at_s += seconds
        await asyncio.sleep(0)


@dataclass
class Post:
    url: str
    headers: Mapping[str, str]
    content: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.content)


@dataclass
class Receiver:
    """Answers in order, the last answer for ever: a status, headers with it, or what is raised instead."""

    answers: list[Any] = field(default_factory=lambda: [200])
    posts: list[Post] = field(default_factory=list)
    open: asyncio.Event | None = None  # answers nothing until then

    async def notify(self, url: str, headers: Mapping[str, str], content: bytes, *, deadline_s: float) -> Reply:
        assert deadline_s == 15.0
        self.posts.append(Post(url, headers, content))
        if self.open:
            await self.open.wait()
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        status, told = answer if isinstance(answer, tuple) else (answer, {})
        return Reply(status, told, Page(b""))


class Points:
    """Fault points that only count."""

    def __init__(self) -> None:
        self.reached: list[str] = []

    def reach(self, name: str) -> None:
        self.reached.append(name)


class Store(MemoryStore):
    """Fails as often as it is told to, before anything happens."""

    failures = 0

    async def commit(self, *ops: Op) -> Committed | Refused:
        if self.failures:
            self.failures -= 1
            raise StoreFailed("nothing was committed")
        return await super().commit(*ops)


def show(view: TaskView) -> dict[str, Any]:
    return {"id": view.id, "status": view.status, "data": [{"url": picture.url} for picture in view.pictures]}


@pytest.fixture
def receiver() -> Receiver:
    return Receiver()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def store(clock: Clock) -> Store:
    """With a task that has succeeded and a picture that is stored."""
    made = Store()
    now_ms = clock.now_ms()
    await done(
        made,
        CreateWorkspace("ws_1", "studio", now_ms),
        CreateKey("key_1", "ws_1", "", bytes(32), "", (), now_ms),
        task("req_1", now_ms),
        FinishTask("req_1", "succeeded", result(now_ms + 600_000), now_ms),
    )
    return made


def task(task_id: str, now_ms: int) -> CreateTask:
    return CreateTask(
        id=task_id,
        workspace_id="ws_1",
        key_id="key_1",
        model="draw-1",
        owner="proc_1",
        request=b"",
        created_ms=now_ms,
        deadline_ms=now_ms + 1000,
    )


def result(expires_ms: int) -> bytes:
    picture = KeptPicture("image/png", 8, 8, "req_1-0.png")
    return pack_result(KeptResult((picture,), expires_ms=expires_ms))


@pytest.fixture
def courier(tools: Tools, store: Store, receiver: Receiver, clock: Clock) -> Courier:
    own = replace(tools, store=store, transport=cast("Any", receiver), clock=clock, faults=Points())
    return Courier(own, secrets_of(store), show)


def secrets_of(store: MemoryStore, ring: Mapping[str, str] = RING) -> WebhookSecrets:
    return WebhookSecrets(store, vault_on(store, ring=ring), SystemRandom())


async def done(store: MemoryStore, *ops: Op) -> None:
    outcome = await store.commit(*ops)
    assert isinstance(outcome, Committed), outcome


async def called(store: MemoryStore, clock: Clock, delivery_id: str = "msg_1", **changes: Any) -> None:
    """A delivery to the address that came with the request."""
    about = {"workspace_id": "ws_1", "task_id": "req_1", "url": HOOK, "event": "task.succeeded"} | changes
    await done(store, webhooks.AddDelivery(id=delivery_id, at_ms=clock.now_ms(), **about))


async def listed(store: MemoryStore, clock: Clock, **changes: Any) -> str:
    """A delivery to an endpoint; the secret that signs it."""
    secret = secrets_of(store).make(clock.now_ms())
    endpoint = {"id": "end_1", "workspace_id": "ws_1", "url": HOOK, "events": (), "limit": 9} | changes
    await done(
        store,
        webhooks.AddEndpoint(at_ms=clock.now_ms(), **endpoint),
        webhooks.AddSecret(secret.id, "end_1", secret.hint, clock.now_ms()),
        secret.put,
        webhooks.NotifyEndpoints("req_1", "ws_1", "task.succeeded", clock.now_ms()),
    )
    return secret.plain


async def rotated(store: MemoryStore, clock: Clock, secrets: WebhookSecrets) -> NewSecret:
    """The old one of the endpoint signs for another minute."""
    new, now_ms = secrets.make(clock.now_ms()), clock.now_ms()
    await done(store, webhooks.RotateSecret(new.id, "end_1", new.hint, now_ms, now_ms + 60_000), new.put)
    return new


async def turn(courier: Courier) -> None:
    """One look, and everything that comes of it."""
    await courier._round()
    while courier._under_way:
        await asyncio.wait(courier._under_way)


async def row_of(store: MemoryStore, delivery_id: str = "msg_1") -> Delivery:
    found = await store.read(webhooks.FindDelivery(delivery_id))
    assert found is not None
    return found


# What is sent


async def test_the_owner_of_a_task_is_told_what_it_became(
    courier: Courier, store: Store, receiver: Receiver, clock: Clock
) -> None:
    await called(store, clock)
    await turn(courier)
    (post,) = receiver.posts
    assert post.url == HOOK
    assert post.json["type"] == "task.succeeded"
    assert post.json["timestamp"] == time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(clock.at_s))
    assert post.json["data"]["id"] == "req_1"
    assert post.json["data"]["data"][0]["url"].startswith("http://gateway.test/media/req_1-0.png?expires=")
    assert post.headers["webhook-id"] == "msg_1"
    row = await row_of(store)
    assert (row.state, row.status, row.detail, row.tries) == ("delivered", 200, "", 1)


async def test_an_endpoint_verifies_with_the_secret_it_was_given(
    courier: Courier, store: Store, receiver: Receiver, clock: Clock
) -> None:
    secret = await listed(store, clock)
    await turn(courier)
    (post,) = receiver.posts
    assert Webhook(secret).verify(post.content, dict(post.headers))["data"]["status"] == "succeeded"


async def test_an_address_that_came_along_is_signed_with_a_secret_of_its_workspace(
    courier: Courier, store: Store, receiver: Receiver, clock: Clock
) -> None:
    """Made when it is first needed, and never again."""
    await called(store, clock, "msg_1")
    await called(store, clock, "msg_2")
    await turn(courier)
    (secret,) = await store.read(webhooks.ListSecrets("ws_1"))
    for post in receiver.posts:
        Webhook(await courier.secrets.vault.open(WEBHOOK, secret.id)).verify(post.content, dict(post.headers))
    assert len(receiver.posts) == 2


async def test_while_a_secret_is_on_its_way_out_both_sign(
    courier: Courier, store: Store, receiver: Receiver, clock: Clock
) -> None:
    old = await listed(store, clock)
    new = await rotated(store, clock, courier.secrets)
    receiver.answers = [500]
    await turn(courier)
    clock.at_s += 61
    await turn(courier)
    beside, alone = receiver.posts
    for secret in (old, new.plain):
        Webhook(secret).verify(beside.content, dict(beside.headers))
    assert alone.headers["webhook-signature"].count("v1,") == 1
    Webhook(new.plain).verify(alone.content, dict(alone.headers))


async def test_what_does_not_open_signs_nothing_and_is_told(
    courier: Courier, store: Store, receiver: Receiver, clock: Clock
) -> None:
    """The ring is another one; or the secret is not the one that its owner was shown. It is tried again."""
    await listed(store, clock)
    courier.secrets = secrets_of(store, OTHER_RING)
    with capture_logs() as logs:
        await turn(courier)
    assert receiver.posts == []
    row = await row_of(store, "msg_1_1")
    assert (row.state, row.detail) == ("pending", "its secret does not open in this process: see imageway doctor")
    (log,) = (line for line in logs if line["event"] == "seal.closed")
    assert 'is sealed with the key "test", which IMAGEWAY_SECRETS_KEYS does not hold' in log["detail"]
    (known,) = await store.read(webhooks.ListSecrets("end_1"))
    courier.secrets = secrets_of(store)
    clock.at_s += 60
    await done(store, courier.secrets.vault.seal(WEBHOOK, known.id, plain="whsec_" + "A" * 43 + "=", at_ms=1))
    await turn(courier)
    assert receiver.posts == []


async def test_a_rotation_mends_a_lost_key_at_once(
    courier: Courier, store: Store, receiver: Receiver, clock: Clock
) -> None:
    """The old secret cannot be opened any more, and would sign for another day."""
    await listed(store, clock)
    courier.secrets = secrets_of(store, OTHER_RING)
    new = await rotated(store, clock, courier.secrets)
    await turn(courier)
    (post,) = receiver.posts
    assert post.headers["webhook-signature"].count("v1,") == 1
    Webhook(new.plain).verify(post.content, dict(post.headers))


async def test_every_try_has_the_same_id_and_its_own_moment(
    courier: Courier, store: Store, receiver: Receiver, clock: Clock
) -> None:
    await called(store, clock)
    receiver.answers = [500, 500, 200]
    for _ in range(3):
        await turn(courier)
        clock.at_s += 60
    assert [post.headers["webhook-id"] for post in receiver.posts] == ["msg_1"] * 3
    assert len({post.headers["webhook-timestamp"] for post in receiver.posts}) == 3
    assert len({post.content for post in receiver.posts}) == 1


async def test_links_of_images_that_are_gone_are_not_sent(
    courier: Courier, store: Store, receiver: Receiver, clock: Clock
) -> None:
    await called(store, clock)
    clock.at_s += 601
    await turn(courier)
    assert receiver.posts[0].json["data"]["data"] == []


# What is tried again


@pytest.mark.parametrize(
    ("answer", "status", "detail"),
    [
        (500, 500, "it answered 500"),
        (404, 404, "it answered 404"),
        (301, 301, "it answered 301"),
        (TransportFailed(FailureKind.UNKNOWN, "no complete reply within 15 s"), 0, "no complete reply within 15 s"),
        (FetchRefused("image_url_unreachable", "not public"), 0, "not public"),
    ],
    ids=str,
)
async def test_what_is_not_a_2xx_comes_again(
    courier: Courier, store: Store, receiver: Receiver, clock: Clock, answer: Any, status: int, detail: str
) -> None:
    await called(store, clock)
    receiver.answers = [answer, 204]
    await turn(courier)
    row = await row_of(store)
    assert (row.state, row.status, row.detail, row.tries) == ("pending", status, detail, 1)
    await turn(courier)
    assert len(receiver.posts) == 1
    clock.at_s += RETRY_AFTER_S[0] * (1 + JITTER)
    await turn(courier)
    row = await row_of(store)
    assert (row.state, row.status, row.tries) == ("delivered", 204, 2)


async def test_tries_spread_over_days_and_then_end(
    courier: Courier, store: Store, receiver: Receiver, clock: Clock
) -> None:
    await called(store, clock)
    receiver.answers = [503]
    for delay_s in RETRY_AFTER_S:
        await turn(courier)
        row = await row_of(store)
        pause_s = (row.due_ms - clock.now_ms()) / 1000
        assert delay_s - 1 <= pause_s <= delay_s * (1 + JITTER)
        clock.at_s = row.due_ms / 1000 + 0.001
    assert sum(RETRY_AFTER_S) > 3 * 24 * 3600
    await turn(courier)
    row = await row_of(store)
    assert (row.state, row.status, row.detail, row.tries) == ("dead", 503, "it answered 503", 10)
    clock.at_s += 10**6
    await turn(courier)
    assert len(receiver.posts) == 10


async def test_pauses_are_not_all_alike(courier: Courier, store: Store, receiver: Receiver, clock: Clock) -> None:
    for number in range(8):
        await called(store, clock, f"msg_{number}")
    receiver.answers = [503]
    await turn(courier)
    rows = [await row_of(store, f"msg_{number}") for number in range(8)]
    assert len({row.due_ms for row in rows}) > 6


@pytest.mark.parametrize(
    ("hint", "least_s", "most_s"),
    [("600", 600, 600), ("1", 5, 6), ("99999999", 172_800, 172_800), ("soon", 5, 6), ("-5", 5, 6)],
)
async def test_a_receiver_may_ask_for_more_time_within_bounds(
    courier: Courier, store: Store, receiver: Receiver, clock: Clock, hint: str, least_s: float, most_s: float
) -> None:
    """`Retry-After` never makes it sooner."""
    await called(store, clock)
    receiver.answers = [(429, {"retry-after": hint})]
    await turn(courier)
    pause_s = ((await row_of(store)).due_ms - clock.now_ms()) / 1000
    assert least_s - 1 <= pause_s <= most_s


async def test_a_replayed_delivery_has_all_its_tries_before_it(
    courier: Courier, store: Store, receiver: Receiver, clock: Clock
) -> None:
    await called(store, clock)
    receiver.answers = [410, 500, 200]
    await turn(courier)
    assert (await row_of(store)).state == "dead"
    await done(store, webhooks.ReplayDelivery("msg_1", clock.now_ms()))
    await turn(courier)
    assert (await row_of(store)).tries == 1
    clock.at_s += 6
    await turn(courier)
    assert (await row_of(store)).state == "delivered"
    assert {post.headers["webhook-id"] for post in receiver.posts} == {"msg_1"}


# Who is not told any more


async def test_an_endpoint_that_is_gone_gets_nothing_any_more(
    courier: Courier, store: Store, receiver: Receiver, clock: Clock
) -> None:
    await listed(store, clock)
    receiver.answers = [410]
    await turn(courier)
    row = await row_of(store, "msg_1_1")
    assert (row.state, row.status) == ("dead", 410)
    (endpoint,) = await store.read(webhooks.ListEndpoints())
    assert endpoint.disabled_ms == clock.now_ms()
    await done(store, webhooks.NotifyEndpoints("req_2", "ws_1", "task.succeeded", clock.now_ms()))
    await turn(courier)
    assert len(receiver.posts) == 1


async def test_an_address_that_is_gone_is_not_tried_again(
    courier: Courier, store: Store, receiver: Receiver, clock: Clock
) -> None:
    await called(store, clock)
    receiver.answers = [410]
    await turn(courier)
    assert (await row_of(store)).state == "dead"


@pytest.mark.parametrize(
    ("ending", "detail"),
    [
        (webhooks.RemoveEndpoint("end_1"), "the endpoint was removed"),
        (webhooks.DisableEndpoint("end_1", 5), "the endpoint is disabled"),
    ],
)
async def test_what_waits_for_an_endpoint_that_is_not_there_any_more_ends(
    courier: Courier, store: Store, receiver: Receiver, clock: Clock, ending: Op, detail: str
) -> None:
    await listed(store, clock)
    await done(store, ending)
    await turn(courier)
    row = await row_of(store, "msg_1_1")
    assert (row.state, row.status, row.detail) == ("dead", 0, detail)
    assert receiver.posts == []


async def test_of_a_task_that_nobody_knows_nothing_is_told(
    courier: Courier, store: Store, receiver: Receiver, clock: Clock
) -> None:
    await called(store, clock, task_id="req_none")
    await turn(courier)
    assert ((await row_of(store)).state, receiver.posts) == ("dead", [])


# Who tells


async def test_while_one_process_tells_no_other_does_and_when_it_died_another_tells_the_same(
    courier: Courier, store: Store, receiver: Receiver, clock: Clock
) -> None:
    await called(store, clock)
    receiver.open = asyncio.Event()
    other = Courier(courier.tools, secrets_of(store), show)
    await courier._round()
    await asyncio.sleep(0)
    await turn(other)
    assert len(receiver.posts) == 1
    for task_of_first in courier._under_way:  # it dies in the middle
        task_of_first.cancel()
    await asyncio.sleep(0)
    clock.at_s += LEASE_S - 0.1
    await turn(other)
    assert len(receiver.posts) == 1
    clock.at_s += 0.2
    receiver.open.set()
    await turn(other)
    assert [post.headers["webhook-id"] for post in receiver.posts] == ["msg_1"] * 2
    assert (await row_of(store)).state == "delivered"


async def test_who_comes_too_late_ends_nothing(
    courier: Courier, store: Store, receiver: Receiver, clock: Clock
) -> None:
    """Its claim has run out, and somebody else has failed meanwhile: that stands."""
    await called(store, clock)
    receiver.open = asyncio.Event()
    await courier._round()
    await asyncio.sleep(0)
    clock.at_s += LEASE_S + 1
    row = await row_of(store)
    await done(store, webhooks.ClaimDelivery("msg_1", row.fence, clock.now_ms(), clock.now_ms() + 9000))
    await done(store, webhooks.PostponeDelivery("msg_1", row.fence + 1, 503, "", clock.now_ms() + 9000, 0))
    receiver.open.set()
    while courier._under_way:
        await asyncio.wait(courier._under_way)
    assert ((await row_of(store)).state, (await row_of(store)).status) == ("pending", 503)


async def test_of_many_that_are_due_no_more_go_out_at_once_than_the_limit(
    courier: Courier, store: Store, receiver: Receiver, clock: Clock
) -> None:
    courier.tools = with_settings(courier.tools, webhooks_at_once=3)
    for number in range(7):
        await called(store, clock, f"msg_{number}", workspace_id=f"ws_{number}")
    receiver.open = asyncio.Event()
    assert await courier._round()
    await some_turns()
    assert len(receiver.posts) == 3
    receiver.open.set()
    for _ in range(6):
        await turn(courier)
    assert len(receiver.posts) == 7


async def test_a_slow_receiver_holds_up_its_own_workspace_alone(
    courier: Courier, store: Store, receiver: Receiver, clock: Clock
) -> None:
    courier.tools = with_settings(courier.tools, webhooks_at_once=8, webhooks_per_workspace_at_once=2)
    for number in range(20):
        await called(store, clock, f"msg_slow_{number:02}", workspace_id="ws_slow")
    clock.at_s += 1
    await called(store, clock, "msg_other", workspace_id="ws_2")
    receiver.open = asyncio.Event()
    await courier._round()
    again = asyncio.ensure_future(courier._round())
    await until(again.done)
    await some_turns()
    told = [post.headers["webhook-id"] for post in receiver.posts]
    assert told == ["msg_slow_00", "msg_slow_01", "msg_other"]
    receiver.open.set()
    while courier._under_way:
        await asyncio.wait(courier._under_way)


def with_settings(tools: Tools, **changes: Any) -> Tools:
    return replace(tools, settings=replace(tools.settings, **changes))


async def test_a_store_that_fails_for_a_moment_costs_neither_a_delivery_nor_a_second_one(
    courier: Courier, store: Store, receiver: Receiver, clock: Clock
) -> None:
    await called(store, clock)
    courier._forgets_at_s = clock.at_s + 1000
    store.failures = 1
    await turn(courier)
    assert receiver.posts == []
    receiver.open = asyncio.Event()
    await courier._round()
    await asyncio.sleep(0)
    store.failures = 3
    receiver.open.set()
    while courier._under_way:
        await asyncio.wait(courier._under_way)
    assert ((await row_of(store)).state, len(receiver.posts)) == ("delivered", 1)


async def test_a_hole_of_ours_is_a_try_like_any_other(
    courier: Courier, store: Store, receiver: Receiver, clock: Clock
) -> None:
    await called(store, clock)

    def broken(view: TaskView) -> Any:
        raise KeyError(view.id)

    courier.show = cast("Callable[[TaskView], Any]", broken)
    with capture_logs() as logs:
        await turn(courier)
    assert [line["event"] for line in logs] == ["webhook.crashed", "webhook.failed"]
    row = await row_of(store)
    assert (row.state, row.detail, row.tries) == ("pending", "the gateway failed on it", 1)


async def test_closing_lets_what_is_being_told_be_told(
    courier: Courier, store: Store, receiver: Receiver, clock: Clock
) -> None:
    await called(store, clock)
    receiver.open = asyncio.Event()
    going = asyncio.ensure_future(courier.keep_going())
    await until(lambda: receiver.posts)
    closing = asyncio.ensure_future(courier.close())
    await some_turns()
    assert not closing.done()
    receiver.open.set()
    await until(closing.done)
    courier.tools.outbox.set()
    await until(going.done)
    assert (await row_of(store)).state == "delivered"


async def test_closing_tells_what_has_ended_just_now(
    courier: Courier, store: Store, receiver: Receiver, clock: Clock
) -> None:
    """The drain has settled it since the last look; and once closed, nothing more is begun."""
    going = asyncio.ensure_future(courier.keep_going())
    await asyncio.sleep(0)
    await called(store, clock)
    closing = asyncio.ensure_future(courier.close())
    await until(closing.done)
    courier.tools.outbox.set()
    await until(going.done)
    assert (await row_of(store)).state == "delivered"
    await called(store, clock, "msg_2")
    await some_turns()
    assert len(receiver.posts) == 1


async def test_closing_does_not_wait_for_ever(
    courier: Courier, store: Store, receiver: Receiver, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("imageway.engine.courier.LAST_WORDS_S", 0.05)
    await called(store, clock)
    receiver.open = asyncio.Event()
    await courier._round()
    await until(lambda: receiver.posts)
    await courier.close()
    row = await row_of(store)
    assert (row.state, row.tries, len(receiver.posts)) == ("pending", 1, 1), "whoever comes next sends it again"
    assert not courier._under_way


async def test_what_has_just_ended_here_is_told_at_once(
    courier: Courier, store: Store, receiver: Receiver, clock: Clock
) -> None:
    """The next look would be in an hour."""
    courier.tools = with_settings(courier.tools, webhook_poll_s=3600.0)
    going = asyncio.ensure_future(courier.keep_going())
    await some_turns()
    await called(store, clock)
    courier.tools.outbox.set()
    await some_turns()
    assert len(receiver.posts) == 1
    going.cancel()
    await asyncio.gather(going, return_exceptions=True)


async def test_a_long_line_moves_on_as_soon_as_there_is_room(
    courier: Courier, store: Store, receiver: Receiver, clock: Clock
) -> None:
    """Not a few at each look: forty of one workspace, two at once, and the next look would be in an hour."""
    courier.tools = with_settings(courier.tools, webhook_poll_s=3600.0, webhooks_per_workspace_at_once=2)
    for number in range(40):
        await called(store, clock, f"msg_{number}")
    going = asyncio.ensure_future(courier.keep_going())
    await until(lambda: len(receiver.posts) == 40)
    going.cancel()
    await asyncio.gather(going, return_exceptions=True)


async def test_a_store_that_takes_no_claims_is_not_asked_without_a_pause(
    courier: Courier, store: Store, receiver: Receiver, clock: Clock
) -> None:
    courier.tools = with_settings(courier.tools, webhooks_at_once=1)
    await called(store, clock)
    await courier._forget()
    store.failures = 1
    assert not await courier._round()


async def test_it_goes_on_whatever_a_round_fell_into(
    courier: Courier, store: Store, receiver: Receiver, clock: Clock
) -> None:
    courier.tools = with_settings(courier.tools, webhook_poll_s=0.001)
    await called(store, clock)
    store.failures = 2
    going = asyncio.ensure_future(courier.keep_going())
    await until(lambda: receiver.posts)
    while courier._under_way:
        await asyncio.wait(courier._under_way)
    going.cancel()
    await asyncio.gather(going, return_exceptions=True)
    assert (await row_of(store)).state == "delivered"


async def test_what_ended_long_ago_is_forgotten(
    courier: Courier, store: Store, receiver: Receiver, clock: Clock
) -> None:
    await called(store, clock)
    await turn(courier)
    clock.at_s += 30 * 24 * 3600 + 1
    await turn(courier)
    assert await store.read(webhooks.FindDelivery("msg_1")) is None


async def test_more_than_is_forgotten_at_once_is_forgotten_soon(
    courier: Courier, store: Store, receiver: Receiver, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else a busy installation would write more of them than it ever forgets."""
    monkeypatch.setattr("imageway.engine.courier.FORGOTTEN_AT_ONCE", 1)
    for name in ("msg_1", "msg_2"):
        await called(store, clock, name)
        await turn(courier)
    clock.at_s += 30 * 24 * 3600 + 1
    await turn(courier)
    left = [await store.read(webhooks.FindDelivery(name)) for name in ("msg_1", "msg_2")]
    assert [row is None for row in left] == [True, False]
    clock.at_s += 10
    await turn(courier)
    assert await store.read(webhooks.FindDelivery("msg_2")) is None


async def test_a_courier_keeps_its_secrets_to_itself(courier: Courier, store: Store, clock: Clock) -> None:
    secret = await listed(store, clock)
    await turn(courier)
    assert secret not in repr(courier)
    assert RING[RING_VARIABLE] not in repr(courier)
    made = courier.secrets.make(1)
    assert made.plain not in repr(made)


async def test_a_secret_is_opened_once_however_often_it_signs(
    courier: Courier, store: Store, receiver: Receiver, clock: Clock
) -> None:
    secret = await listed(store, clock)
    await turn(courier)
    await done(store, DropSecret(WEBHOOK, (await store.read(webhooks.ListSecrets("end_1")))[0].id))
    await done(store, webhooks.ReplayDelivery("msg_1_1", clock.now_ms()))
    await turn(courier)
    assert [Webhook(secret).verify(post.content, dict(post.headers))["type"] for post in receiver.posts] == [
        "task.succeeded"
    ] * 2
