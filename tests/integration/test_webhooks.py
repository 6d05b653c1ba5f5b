"""Real gateways, a real receiver, real sockets: whoever wants to know of a task's end hears of it, whatever dies, and
can prove who told him. The receiver listens on loopback, and is called because the operator named it."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import json
import socket
import threading
import time
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from imageway.tasks.webhooks import Delivery, ListDeliveries
from tests.docs.pages import DOCS, fences
from tests.integration.processes import (
    Answer,
    House,
    Process,
    assert_told,
    call,
    clean_environment,
    command,
    wait_for,
)
from tests.store.server import postgres_server

BODY = {"model": "gpt-image-1", "prompt": "a boat", "size": "1024x1024", "quality": "low"}
POLLED = {"model": "qwen-image-plus", "prompt": "a boat"}


@dataclass
class Message:
    path: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def id(self) -> str:
        return self.headers["webhook-id"]

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def task(self) -> str:
        return str(self.json["data"]["id"])


@dataclass
class Receiver:
    """Listens on a free port of loopback. `answers`: by path, in order, the last one for ever; else 200."""

    server: ThreadingHTTPServer
    answers: dict[str, list[int]] = field(default_factory=dict)
    messages: list[Message] = field(default_factory=list)

    @property
    def authority(self) -> str:
        return f"127.0.0.1:{self.server.server_port}"

    def url(self, path: str = "/hook") -> str:
        return f"http://{self.authority}{path}"

    def take(self, message: Message) -> int:
        self.messages.append(message)
        known = self.answers.get(message.path, [200])
        return known.pop(0) if len(known) > 1 else known[0]

    def of(self, task_id: str) -> list[Message]:
        return [message for message in self.messages if message.task == task_id]


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            headers = {name.lower(): value for name, value in self.headers.items()}
            status = made.take(Message(self.path, headers, body))
            self.send_response(status)
            if status == 302:
                self.send_header("location", made.url("/elsewhere"))
            self.send_header("content-length", "9")
            self.end_headers()
            self.wfile.write(b"say it no")

        def log_message(self, *_: Any) -> None:
            """A test's output is its own."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    made = Receiver(server)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    yield made
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def house(tmp_path: Path, receiver: Receiver) -> Iterator[House]:
    yield from house_in(tmp_path, receiver)


@pytest.fixture(params=["sqlite", "postgres"])
def any_house(request: pytest.FixtureRequest, tmp_path: Path, receiver: Receiver) -> Iterator[House]:
    """On either database."""
    yield from house_in(tmp_path, receiver, **(postgres_database() if request.param == "postgres" else {}))


def house_in(folder: Path, receiver: Receiver, **environment: str) -> Iterator[House]:
    settings = folder / "imageway.toml"
    settings.write_text(
        f'webhook_allow = ["{receiver.authority}"]\n'
        "[limits]\nwebhook_deadline_s = 1\nwebhook_claim_s = 3\nwebhook_poll_s = 0.1\nalerts_every_s = 0.2\n"
    )
    own = clean_environment(IMAGEWAY_CONFIG=str(settings), **environment)
    made = House(folder / "data", own, ("--sandbox",))
    made.fund()
    yield made
    made.close()


def postgres_database() -> dict[str, str]:
    """A database of its own, as the environment names it."""
    url, name = postgres_server(), f"webhooks_{uuid.uuid4().hex}"

    async def create() -> None:
        connection = await asyncpg.connect(url("postgres"))
        await connection.execute(f"CREATE DATABASE {name}")
        await connection.close()

    asyncio.run(create())
    return {"IMAGEWAY_DATABASE": url(name)}


def ask(gateway: Process, house: House, **more: Any) -> Answer:
    return call(f"{gateway.url}/v1/images/generations", {**BODY, **more}, key=house.key)


def webhooks(house: House, *arguments: str) -> Any:
    return command("webhooks", *arguments, data=house.data, environment=house.environment)


def deliveries(house: House) -> tuple[Delivery, ...]:
    return house._with_books(lambda store: store.read(ListDeliveries()))


def secret_of_workspace(house: House) -> str:
    (row,) = webhooks(house, "secret", "w")
    return str(row["secret"])


# Told, and proved


def test_the_address_that_came_along_is_told_once_with_a_signature_that_holds(house: House, receiver: Receiver) -> None:
    gateway = house.serve()
    answer = ask(gateway, house, webhook={"url": receiver.url()})
    assert answer.status == 200
    wait_for(lambda: receiver.messages)
    (message,) = receiver.messages
    assert message.task == answer.headers["x-request-id"]
    assert message.id == message.task.replace("req_", "msg_")
    secret = secret_of_workspace(house)
    assert Webhook(secret).verify(message.body, dict(message.headers)) == message.json
    with pytest.raises(WebhookVerificationError):
        Webhook(secret).verify(message.body.replace(b"succeeded", b"failed"), dict(message.headers))
    time.sleep(0.5)
    assert len(receiver.messages) == 1
    wait_for(lambda: [row.state for row in deliveries(house)] == ["delivered"])


def test_what_is_told_is_the_task_as_its_owner_sees_it_with_links_that_work(house: House, receiver: Receiver) -> None:
    """Also where the caller asked for base64 and had it: never the bytes, always the links."""
    gateway = house.serve()
    answer = ask(gateway, house, webhook={"url": receiver.url()}, response_format="b64_json")
    assert answer.json["data"][0]["b64_json"]
    wait_for(lambda: receiver.messages)
    (message,) = receiver.messages
    shown = call(f"{gateway.url}/v1/tasks/{message.task}", key=house.key).json
    assert message.json["type"] == "task.succeeded"
    assert message.json["data"] == shown
    assert len(message.body) < 4096
    assert b"b64_json" not in message.body
    assert call(shown["data"][0]["url"]).content.startswith(b"\x89PNG")


def test_the_sample_of_the_page_verifies_a_real_message(house: House, receiver: Receiver) -> None:
    sample = next(fence for fence in fences(DOCS / "webhooks.md") if "def verified" in fence.text)
    names: dict[str, Any] = {}
    exec(sample.text, names)  # noqa: S102  # our own document
    gateway = house.serve()
    ask(gateway, house, webhook={"url": receiver.url()})
    wait_for(lambda: receiver.messages)
    (message,) = receiver.messages
    secret = secret_of_workspace(house)
    assert names["verified"](secret, message.headers, message.body) == message.json
    with pytest.raises(ValueError, match="not signed with this secret"):
        names["verified"](secret, message.headers, message.body + b" ")
    with pytest.raises(ValueError, match="too old"):
        names["verified"](secret, {**message.headers, "webhook-timestamp": "1614265330"}, message.body)


def test_every_way_in_tells(house: House, receiver: Receiver) -> None:
    """At once, in the background, as a stream, and where the caller hangs up."""
    gateway = house.serve()
    hook = {"url": receiver.url()}
    asked = {
        "sync": ask(gateway, house, webhook=hook),
        "async": ask(gateway, house, webhook=hook, **{"async": True}),
        "stream": ask(gateway, house, webhook=hook, stream=True),
    }
    assert {name: answer.status for name, answer in asked.items()} == {"sync": 200, "async": 202, "stream": 200}
    wait_for(lambda: len(receiver.messages) == 3)
    assert {message.json["type"] for message in receiver.messages} == {"task.succeeded"}
    assert len({message.id for message in receiver.messages}) == 3


def test_a_task_that_fails_is_told_as_failed_to_who_wants_that_alone(house: House, receiver: Receiver) -> None:
    gateway = house.serve()
    refused = ask(
        gateway, house, prompt="a forbidden cat", webhook={"url": receiver.url("/bad"), "events": ["task.failed"]}
    )
    fine = ask(gateway, house, webhook={"url": receiver.url("/bad"), "events": ["task.failed"]})
    assert (refused.status, fine.status) == (400, 200)
    wait_for(lambda: receiver.messages)
    time.sleep(0.5)
    (message,) = receiver.messages
    assert message.json["type"] == "task.failed"
    assert message.json["data"]["error"]["code"] == "content_policy_violation"


# Endpoints of a workspace


def test_endpoints_are_told_what_they_asked_for_each_with_its_own_secret(house: House, receiver: Receiver) -> None:
    gateway = house.serve()
    every = webhooks(house, "add", "w", receiver.url("/every"))
    bad = webhooks(house, "add", "w", receiver.url("/bad"), "--event", "task.failed")
    ask(gateway, house)
    ask(gateway, house, prompt="a forbidden cat")
    wait_for(lambda: len(receiver.messages) == 3)
    time.sleep(0.3)
    by_path = {path: [m for m in receiver.messages if m.path == path] for path in ("/every", "/bad")}
    assert sorted(m.json["type"] for m in by_path["/every"]) == ["task.failed", "task.succeeded"]
    assert [m.json["type"] for m in by_path["/bad"]] == ["task.failed"]
    for endpoint, other, messages in ((every, bad, by_path["/every"]), (bad, every, by_path["/bad"])):
        for message in messages:
            Webhook(endpoint["secret"]).verify(message.body, dict(message.headers))
            with pytest.raises(WebhookVerificationError):
                Webhook(other["secret"]).verify(message.body, dict(message.headers))


def test_a_low_balance_is_told_once_and_again_after_it_was_above(any_house: House, receiver: Receiver) -> None:
    """Two gateways look, one of them tells; only those who want to know, and only what was set for."""
    house, told = any_house, "wallet.low_balance"
    house.fund("0.05")  # of a workspace that has ten dollars already
    endpoint = webhooks(house, "add", "w", receiver.url("/money"), "--event", told)
    webhooks(house, "add", "w", receiver.url("/tasks"), "--event", "task.succeeded")
    gateway, _ = house.serve(), house.serve()
    for change in ("alert_below=10.045",), ("form=url",):
        command("workspaces", "set", "w", *change, data=house.data, environment=house.environment)
    time.sleep(0.6)
    assert receiver.messages == [], "it is above"
    assert ask(gateway, house).status == 200
    wait_for(lambda: any(message.path == "/money" for message in receiver.messages))
    assert ask(gateway, house).status == 200
    time.sleep(0.8)
    (message,) = [message for message in receiver.messages if message.path == "/money"]
    Webhook(endpoint["secret"]).verify(message.body, dict(message.headers))
    data = message.json.pop("data")
    assert message.json["type"] == told
    assert (data["workspace"], data["threshold_usd"]) == ("w", "10.045000")
    assert Decimal("10.02") < Decimal(data["available_usd"]) < Decimal("10.045")
    house.fund("1")
    time.sleep(0.6)  # somebody has seen that it was above
    command("workspaces", "set", "w", "alert_below=11.03", data=house.data, environment=house.environment)
    wait_for(lambda: sum(message.path == "/money" for message in receiver.messages) == 2)
    assert len({message.id for message in receiver.messages if message.path == "/money"}) == 2


def test_a_secret_is_rotated_without_a_message_that_cannot_be_verified(house: House, receiver: Receiver) -> None:
    gateway = house.serve()
    endpoint = webhooks(house, "add", "w", receiver.url())
    ask(gateway, house)
    wait_for(lambda: len(receiver.messages) == 1)
    new = webhooks(house, "rotate", endpoint["id"])["secret"]
    ask(gateway, house)
    wait_for(lambda: len(receiver.messages) == 2)
    last = webhooks(house, "rotate", endpoint["id"], "--now")["secret"]
    ask(gateway, house)
    wait_for(lambda: len(receiver.messages) == 3)
    taken = {endpoint["secret"]: (0, 1), new: (1,), last: (2,)}
    for secret, places in taken.items():
        for place in places:
            message = receiver.messages[place]
            Webhook(secret).verify(message.body, dict(message.headers))
    assert [m.headers["webhook-signature"].count("v1,") for m in receiver.messages] == [1, 2, 1]


# Not taken


def test_what_was_not_taken_comes_again_under_the_same_id(house: House, receiver: Receiver) -> None:
    """Five seconds later, as the schedule says, and up to a fifth more."""
    receiver.answers["/hook"] = [500, 200]
    gateway = house.serve()
    ask(gateway, house, webhook={"url": receiver.url()})
    wait_for(lambda: len(receiver.messages) == 2, seconds=15)
    first, second = receiver.messages
    assert first.id == second.id
    assert first.body == second.body
    assert 4 <= int(second.headers["webhook-timestamp"]) - int(first.headers["webhook-timestamp"]) <= 9
    wait_for(lambda: [(row.state, row.tries) for row in deliveries(house)] == [("delivered", 2)])


def test_a_redirect_is_not_followed(house: House, receiver: Receiver) -> None:
    receiver.answers["/hook"] = [302]
    gateway = house.serve()
    ask(gateway, house, webhook={"url": receiver.url()})
    wait_for(lambda: [(row.state, row.status) for row in deliveries(house)] == [("pending", 302)])
    assert [message.path for message in receiver.messages] == ["/hook"]


def test_an_endpoint_that_is_gone_is_disabled_and_what_it_missed_can_be_replayed(
    house: House, receiver: Receiver
) -> None:
    receiver.answers["/hook"] = [410, 410, 200]
    gateway = house.serve()
    endpoint = webhooks(house, "add", "w", receiver.url())
    ask(gateway, house)
    wait_for(lambda: [row.state for row in deliveries(house)] == ["dead"])
    assert webhooks(house, "list")[0]["disabled"]
    ask(gateway, house)
    time.sleep(0.5)
    assert len(receiver.messages) == 1, "what ended while it was disabled is not told"
    (dead,) = webhooks(house, "deliveries", "--dead")
    assert (dead["endpoint"], dead["status"], dead["detail"]) == (endpoint["id"], 410, "it answered 410")
    webhooks(house, "enable", endpoint["id"])
    assert webhooks(house, "replay", dead["id"]) == {"replayed": [dead["id"]]}
    wait_for(lambda: len(receiver.messages) == 2)
    wait_for(lambda: webhooks(house, "list")[0]["disabled"])
    webhooks(house, "enable", endpoint["id"])
    assert webhooks(house, "replay", "--all-dead") == {"replayed": [dead["id"]]}
    wait_for(lambda: [row.state for row in deliveries(house)] == ["delivered"])
    assert {message.id for message in receiver.messages} == {dead["id"]}


def test_a_receiver_that_never_answers_holds_up_nobody(house: House, receiver: Receiver) -> None:
    """Its tries end after their deadline; images and other receivers do not wait for it."""
    with socket.create_server(("127.0.0.1", 0), backlog=50) as deaf:
        port = deaf.getsockname()[1]
        settings = Path(house.environment["IMAGEWAY_CONFIG"])
        settings.write_text(settings.read_text().replace("webhook_allow = [", f'webhook_allow = ["127.0.0.1:{port}", '))
        gateway = house.serve()
        for _ in range(3):
            assert ask(gateway, house, webhook={"url": f"http://127.0.0.1:{port}/"}).status == 200
        assert ask(gateway, house, webhook={"url": receiver.url()}).status == 200
        wait_for(lambda: receiver.messages, seconds=3)
        wait_for(lambda: sum(row.detail == "no complete reply within 1 s" for row in deliveries(house)) == 3)
        assert gateway.stop() == 0


def test_nothing_that_a_receiver_says_is_kept_or_logged(house: House, receiver: Receiver) -> None:
    receiver.answers["/hook"] = [500]
    gateway = house.serve()
    ask(gateway, house, webhook={"url": receiver.url()})
    wait_for(lambda: [row.status for row in deliveries(house)] == [500])
    assert gateway.stop() == 0
    assert "say it no" not in gateway.log.read_text()
    assert not [path for path in house.data.rglob("*") if path.is_file() and b"say it no" in path.read_bytes()]


# Whom we do not call


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1/hook",
        "http://127.0.0.1:1/hook",
        "http://169.254.169.254/latest/meta-data",
        "http://10.0.0.1/",
        "http://192.168.0.1/",
        "http://[::1]/",
        "http://[::ffff:169.254.169.254]/",
        "http://localhost/",
        "http://0x7f.1/",
        "http://2130706433/",
        "https://user@caller.example/",
        "https://user:hunter2@caller.example/",
        "https://caller.example:8443/",
        "https://caller.example:0/",
        "https://caller.example:99999/",
        "ftp://caller.example/",
        "file:///etc/passwd",
        "caller.example",
        "",
        " https://caller.example/",
        "https://caller.example/" + "x" * 2048,
    ],
)
def test_an_address_that_must_not_be_called_is_refused_before_anything_is_spent(
    shared_gateway: tuple[House, Process], url: str
) -> None:
    house, gateway = shared_gateway
    before = house.wallet()
    for more in ({}, {"async": True}):
        told = assert_told(ask(gateway, house, webhook={"url": url}, **more), 400, "invalid_webhook_url", "webhook.url")
        assert told["message"].startswith("webhook.url cannot be called: ")
        assert "hunter2" not in json.dumps(told)
    assert house.wallet() == before
    assert deliveries(house) == ()


@pytest.fixture(scope="module")
def shared_gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[House, Process]]:
    made = House(tmp_path_factory.mktemp("refusing") / "data", clean_environment(), ("--sandbox",))
    made.fund()
    yield made, made.serve()
    made.close()


def test_an_address_that_was_allowed_once_is_looked_at_again_when_it_is_called(
    house: House, receiver: Receiver
) -> None:
    """The operator took it back between the request and the delivery."""
    receiver.answers["/hook"] = [500, 200]
    gateway = house.serve()
    ask(gateway, house, webhook={"url": receiver.url()})
    wait_for(lambda: len(receiver.messages) == 1)
    assert gateway.stop() == 0
    settings = Path(house.environment["IMAGEWAY_CONFIG"])
    settings.write_text(settings.read_text().replace(receiver.authority, "127.0.0.1:1"))
    house.serve()
    wait_for(lambda: [row.tries for row in deliveries(house)] == [2], seconds=15)
    wait_for(lambda: "is not allowed: use 80 or 443" in deliveries(house)[0].detail)
    assert len(receiver.messages) == 1


# Whatever dies


def die_of(house: House, fault: str, **more: Any) -> None:
    gateway = house.serve(IMAGEWAY_FAULT=f"{fault}:1")
    with contextlib.suppress(OSError, http.client.HTTPException):  # it may die before it can answer
        ask(gateway, house, **more)
    assert gateway.wait_killed() == -9


@pytest.mark.parametrize("background", [False, True], ids=["sync", "async"])
def test_killed_between_the_end_and_the_telling_another_process_tells(
    any_house: House, receiver: Receiver, background: bool
) -> None:
    die_of(any_house, "after_capture", webhook={"url": receiver.url()}, **{"async": background})
    assert receiver.messages == []
    assert [row.state for row in deliveries(any_house)] == ["pending"]
    any_house.serve()
    wait_for(lambda: receiver.messages)
    (message,) = receiver.messages
    Webhook(secret_of_workspace(any_house)).verify(message.body, dict(message.headers))
    assert message.json["type"] == "task.succeeded"
    wait_for(lambda: [row.state for row in deliveries(any_house)] == ["delivered"])


def test_killed_between_the_telling_and_its_note_the_same_message_comes_again(
    any_house: House, receiver: Receiver
) -> None:
    die_of(any_house, "after_webhook", webhook={"url": receiver.url()})
    assert len(receiver.messages) == 1
    any_house.serve()
    wait_for(lambda: len(receiver.messages) == 2, seconds=15)
    first, second = receiver.messages
    assert (first.id, first.json["data"]["id"]) == (second.id, second.json["data"]["id"])
    wait_for(lambda: [row.state for row in deliveries(any_house)] == ["delivered"])


def test_killed_before_the_end_whoever_ends_the_task_tells(house: House, receiver: Receiver) -> None:
    """Submitted, no reply: `unknown`, and that is what is told, once."""
    endpoint = receiver.url("/endpoint")
    webhooks(house, "add", "w", endpoint)
    die_of(house, "after_submit", webhook={"url": receiver.url()})
    house.serve()
    wait_for(lambda: len(receiver.messages) == 2, seconds=15)
    assert {message.json["type"] for message in receiver.messages} == {"task.unknown"}
    assert {message.path for message in receiver.messages} == {"/hook", "/endpoint"}


def test_a_polled_task_that_is_resumed_is_told_when_it_has_ended(house: House, receiver: Receiver) -> None:
    die_of(house, "after_memo", **POLLED, webhook={"url": receiver.url()}, size="1024x1024", quality=None)
    assert receiver.messages == []
    house.serve()
    wait_for(lambda: receiver.messages, seconds=20)
    assert [message.json["type"] for message in receiver.messages] == ["task.succeeded"]
    assert receiver.messages[0].json["data"]["data"]


def test_two_replicas_tell_everybody_once(any_house: House, receiver: Receiver) -> None:
    """On one database, both looking all the time."""
    gateways = [any_house.serve(), any_house.serve()]
    webhooks(any_house, "add", "w", receiver.url("/endpoint"))
    answers = [ask(gateways[number % 2], any_house, webhook={"url": receiver.url()}) for number in range(12)]
    assert {answer.status for answer in answers} == {200}
    wait_for(lambda: len(receiver.messages) >= 24)
    time.sleep(0.5)
    assert len({message.id for message in receiver.messages}) == len(receiver.messages) == 24


def test_a_stop_tells_what_has_just_ended(house: House, receiver: Receiver) -> None:
    """SIGTERM right after the answer: told now, or by the next process, and lost by neither."""
    gateway = house.serve()
    ask(gateway, house, webhook={"url": receiver.url()})
    assert gateway.stop() == 0
    house.serve()
    wait_for(lambda: receiver.messages)
    wait_for(lambda: [row.state for row in deliveries(house)] == ["delivered"])
    assert len({message.id for message in receiver.messages}) == 1
