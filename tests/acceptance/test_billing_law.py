"""The billing law, line by line: what the caller's wallet, the usage row, every transfer and the provider's cost say
afterwards. The docstring of a case is its row of the law: what happened, what the caller pays, what the books say; the
page docs/billing.md has the same rows."""

from __future__ import annotations

import http.client
import json
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from imageway.core.ops import Store
from imageway.ledger.queries import ListHolds, ListTransfers, ListUsage, UsageRow, Wallet
from imageway.tasks.queries import ShowTask, UnknownTasks
from tests.acceptance.test_real_upstreams import Odd, OddServer, answer_with, image_bytes
from tests.integration.processes import Answer, House, Process, call, clean_environment, connect, wait_for

GPT = "gpt-image-1-mini"  # by the token, from the scripted provider; everybody else's upstream is the sandbox's
GEMINI, GEMINI_PRICE = "gemini-2.5-flash-image", 39_000
SEEDREAM, SEEDREAM_PRICE = "doubao-seedream-4-0-250828", 30_000
QWEN, QWEN_PRICE = "qwen-image-2.0", 35_000
TOKENS = {
    "input_tokens": 40,
    "input_tokens_details": {"text_tokens": 40, "image_tokens": 0},
    "output_tokens": 272,
    "output_tokens_details": {"text_tokens": 0, "image_tokens": 272},
    "total_tokens": 312,
}


@dataclass(frozen=True)
class Books:
    """What is written down of one request. `moved`: kind of transfer → amount; `resolved_ms`: when its hold was."""

    row: UsageRow
    moved: dict[str, int]
    hold: str
    unknown: bool
    finished_ms: int | None
    resolved_ms: int


class Case:
    """One workspace's wallet from here on."""

    def __init__(self, house: House, gateway: Process) -> None:
        self.house, self.gateway, self.before = house, gateway, house.money()

    def ask(self, body: object, **headers: str) -> Answer:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return call(f"{self.gateway.url}/v1/images/generations", body, key=self.house.key, headers=named)

    def call(self, path: str, body: object = None) -> Answer:
        return call(self.gateway.url + path, body, key=self.house.key)

    def leave(self, body: object, *, held_s: float, **headers: str) -> None:
        """Hangs up so long after the hold was made."""
        content = json.dumps(body).encode()
        fields = {"authorization": f"Bearer {self.house.key}", "content-type": "application/json", **headers}
        lines = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in fields.items())
        head = f"POST /v1/images/generations HTTP/1.1\r\nhost: x\r\n{lines}content-length: {len(content)}\r\n\r\n"
        with connect(self.gateway.url) as connection:
            connection.sendall(head.encode() + content)
            wait_for(lambda: self.house.money().held > 0)
            time.sleep(held_s)

    def books(self, *, wait_s: float = 20) -> Books:
        """Of the newest request, once its hold is resolved."""
        wait_for(lambda: self.house.money().held == 0, seconds=wait_s)
        return books_of(self.house)

    def spent(self) -> int:
        """And that nothing else has happened to the wallet."""
        now, then = self.house.money(), self.before
        assert now.held == 0
        assert wallet_sum(now) == wallet_sum(then)
        return now.spent - then.spent

    def assert_captured(self, books: Books, usd_micros: int, *, delivered: int, cost: str = "cost") -> None:
        """The images at their price, the rest of the hold given back, the provider's cost beside it."""
        held, owed = books.moved["hold"], books.row.cost_usd_micros
        rest = {"void": held - usd_micros} if held > usd_micros else {}
        assert books.moved == {"hold": held, "capture": usd_micros, **rest, cost: owed}
        assert (books.hold, books.row.outcome, books.row.delivered) == ("captured", "succeeded", delivered)
        assert books.row.price_usd_micros == self.spent() == usd_micros
        assert 0 < usd_micros <= held

    def assert_voided(self, books: Books, outcome: str, cost: str = "") -> None:
        """Nothing is paid, and the provider's cost is booked as `cost`: known, unknown or none."""
        held, owed = books.moved["hold"], books.row.cost_usd_micros
        assert books.moved == {"hold": held, "void": held, **({cost: owed} if cost else {})}
        assert (books.hold, books.row.outcome, books.row.delivery) == ("voided", outcome, "none")
        assert (books.row.price_usd_micros, books.row.delivered, self.spent()) == (0, 0, 0)
        assert bool(owed) == bool(cost)


def wallet_sum(wallet: Wallet) -> int:
    return wallet.available + wallet.held + wallet.spent


def books_of(house: House) -> Books:
    async def read(store: Store) -> Books:
        row = (await store.read(ListUsage(limit=1)))[0]
        transfers = [one for one in await store.read(ListTransfers()) if one.task_id == row.request_id]
        (hold,) = [one for one in await store.read(ListHolds()) if one.task_id == row.request_id]
        task = await store.read(ShowTask(row.request_id))
        assert task is not None
        assert len({one.kind for one in transfers}) == len(transfers)
        unknown = row.request_id in {one.id for one in await store.read(UnknownTasks())}
        resolved_ms = max(one.at_ms for one in transfers if one.kind in ("capture", "void"))
        moved = {one.kind: one.usd_micros for one in transfers}
        return Books(row, moved, hold.state, unknown, task.finished_ms, resolved_ms)

    return house._with_books(read)


@pytest.fixture(scope="module")
def scripted() -> Iterator[OddServer]:
    """A provider that answers what a case has written down for it."""
    server = OddServer()
    yield server
    server.close()


@pytest.fixture(scope="module")
def hanging() -> Iterator[str]:
    """An address that takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield f"127.0.0.1:{listening.getsockname()[1]}"


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory, scripted: OddServer, hanging: str) -> Iterator[House]:
    folder = tmp_path_factory.mktemp("law")
    (folder / "imageway.toml").write_text(f'fetch_allow = ["{hanging}"]\n')
    environment = clean_environment(OPENAI_API_KEY="sk-test-openai", OPENAI_BASE_URL=scripted.url)
    made = House(folder / "data", environment, ("--sandbox", "--config", str(folder / "imageway.toml")))
    made.fund("50")
    yield made
    made.close()


@pytest.fixture(scope="module")
def gateway(house: House) -> Process:
    return house.serve()


@pytest.fixture
def case(house: House, gateway: Process) -> Case:
    return Case(house, gateway)


# The law


def test_what_came_is_paid(case: Case, scripted: OddServer) -> None:
    """k of n images were made and proved
    | k images, or the tokens reported for them
    | k are captured, the rest of the hold goes back; the provider's cost stands beside the price"""
    assert case.ask({"model": QWEN, "prompt": "a boat sandbox-fault:item_failed", "n": 3}).status == 200
    case.assert_captured(case.books(), 2 * QWEN_PRICE, delivered=2)
    by_token = Case(case.house, case.gateway)
    scripted.odd = Odd(answer_with(image_bytes(), usage=TOKENS), told=None)
    assert by_token.ask({"model": GPT, "prompt": "a boat", "size": "1024x1024", "quality": "low"}).status == 200
    price = 40 * 2 + 272 * 8  # dollars per million are micro-dollars each
    by_token.assert_captured(books := by_token.books(), price, delivered=1)
    assert books.row.cost_usd_micros == price


UNPROVED = {
    "refused": (GEMINI, "a forbidden boat", ""),
    "empty": (GEMINI, "sandbox-fault:empty", ""),
    "a page": (GEMINI, "sandbox-fault:html", "unknown"),
    "cut": (GPT, "a boat", "cost"),
}


@pytest.mark.parametrize("what", UNPROVED)
def test_without_a_proved_image_nothing_is_paid(case: Case, scripted: OddServer, what: str) -> None:
    """the prompt was refused; the answer was empty, HTML, cut or no image
    | nothing
    | the hold goes back; the provider's cost is booked where the provider may bill it"""
    scripted.odd = Odd(answer_with(image_bytes()[:-30]))
    model, prompt, cost = UNPROVED[what]
    assert case.ask({"model": model, "prompt": prompt}).status in (400, 502)
    case.assert_voided(case.books(), "failed", cost)


def test_a_failure_before_output_is_free(case: Case) -> None:
    """the provider failed before it made anything
    | nothing
    | the hold goes back"""
    assert case.ask({"model": GEMINI, "prompt": "sandbox-fault:error_500"}).status == 502
    case.assert_voided(case.books(), "failed")


def test_an_unknown_outcome_is_free(case: Case) -> None:
    """the outcome is unknown
    | nothing
    | the hold goes back in the commit that ends the task; the request is listed for reconciliation"""
    answer = case.ask({"model": GEMINI, "prompt": "sandbox-fault:reset_after"})
    assert (answer.status, answer.headers["x-should-retry"]) == (504, "false")
    books = case.books()
    case.assert_voided(books, "unknown", "unknown")
    assert books.unknown
    assert books.finished_ms == books.resolved_ms


def test_another_size_or_format_is_paid(case: Case, scripted: OddServer) -> None:
    """the image has another size or format than was asked for
    | the image, converted where that mends it, with a warning
    | captured"""
    scripted.odd = Odd(answer_with(image_bytes("JPEG", (512, 256)), usage=TOKENS), told=None)
    answer = case.ask({"model": GPT, "prompt": "a boat", "size": "1024x1024", "output_format": "png"})
    assert {"size_differs", "transcoded"} <= {warning["code"] for warning in answer.json["warnings"]}
    assert (answer.json["size"], answer.json["output_format"]) == ("512x256", "png")
    case.assert_captured(case.books(), 40 * 2 + 272 * 8, delivered=1)


def test_who_hangs_up_pays_for_what_is_made(case: Case) -> None:
    """the client hung up and the images were made
    | the images; they stay at `GET /v1/tasks/{request id}`, and under their `Idempotency-Key`, for 24 hours
    | captured"""
    body = {"model": GEMINI, "prompt": "a boat sandbox-fault:late", "response_format": "b64_json"}
    case.leave(body, held_s=1.0, idempotency_key="left")
    books = case.books()
    case.assert_captured(books, GEMINI_PRICE, delivered=1)
    assert books.row.delivery == "stored"
    task = case.call(f"/v1/tasks/{books.row.request_id}").json
    again = case.ask(body, idempotency_key="left")
    assert again.headers["x-request-id"] == books.row.request_id
    assert call(task["data"][0]["url"]).content.startswith(b"\x89PNG")
    plain = Case(case.house, case.gateway)
    plain.leave(body, held_s=1.0)
    plain.assert_captured(books := plain.books(), GEMINI_PRICE, delivered=1)
    task = case.call(f"/v1/tasks/{books.row.request_id}").json
    assert call(task["data"][0]["url"]).content.startswith(b"\x89PNG")


def linked(hanging: str) -> dict[str, Any]:
    """A request that waits for its input image, for ever."""
    return {"model": GEMINI, "prompt": "bluer", "image": f"http://{hanging}/boat.png"}


def test_who_hangs_up_before_anything_was_sent_pays_nothing(case: Case, hanging: str) -> None:
    """the client hung up before anything was submitted
    | nothing
    | the hold goes back"""
    case.leave(linked(hanging), held_s=0.3)
    case.assert_voided(case.books(wait_s=3), "cancelled")


def test_what_is_cancelled_before_it_was_sent_is_free(case: Case, hanging: str) -> None:
    """the task was cancelled before anything was submitted
    | nothing
    | the hold goes back"""
    task = case.ask({**linked(hanging), "async": True}).json
    assert case.call(f"/v1/tasks/{task['id']}/cancel", b"").json["status"] == "cancelled"
    case.assert_voided(case.books(wait_s=3), "cancelled")


def test_what_is_cancelled_afterwards_is_paid_when_it_comes(case: Case) -> None:
    """the task was cancelled after it was submitted
    | the images that still arrive
    | captured"""
    task = case.ask({"model": GEMINI, "prompt": "a boat sandbox-fault:late", "async": True}).json
    place = f"/v1/tasks/{task['id']}"
    wait_for(lambda: case.call(place).json["status"] == "running")
    time.sleep(0.5)
    cancelled = case.call(f"{place}/cancel", b"")
    assert (cancelled.status, cancelled.json["status"]) == (202, "running")
    case.assert_captured(case.books(), GEMINI_PRICE, delivered=1)
    assert len(case.call(place).json["data"]) == 1


def test_what_comes_too_late_is_free(case: Case) -> None:
    """the deadline passed
    | nothing
    | the hold goes back; the provider's cost is booked"""
    answer = case.ask({"model": GEMINI, "prompt": "sandbox-fault:pending"}, imageway_deadline="1.5")
    assert answer.status == 504
    case.assert_voided(case.books(), "unknown", "unknown")


def test_a_dead_stream_is_paid_as_far_as_it_came(case: Case) -> None:
    """a stream died
    | the images completed
    | those are captured"""
    group = {"sequential_image_generation": "auto", "sequential_image_generation_options": {"max_images": 3}}
    body = {"model": SEEDREAM, "prompt": "three boats sandbox-fault:reset_mid", "stream": True, **group}
    events = case.ask(body).content.decode()
    assert events.count("event: image_generation.completed") == 1
    books = case.books()
    assert books.moved["hold"] == 3 * SEEDREAM_PRICE
    case.assert_captured(books, SEEDREAM_PRICE, delivered=1, cost="unknown")


def test_what_is_asked_again_is_paid_once(case: Case) -> None:
    """the same request came again with the same `Idempotency-Key`
    | nothing more
    | nothing"""
    body = {"model": GEMINI, "prompt": "a boat"}
    first = case.ask(body, idempotency_key="again")
    case.assert_captured(case.books(), GEMINI_PRICE, delivered=1)
    free, rows = Case(case.house, case.gateway), len(case.house.usage())
    second = free.ask(body, idempotency_key="again")
    assert second.headers["idempotency-replayed"] == "true"
    assert second.headers["x-request-id"] == first.headers["x-request-id"]
    assert (free.spent(), len(case.house.usage())) == (0, rows)
    assert books_of(case.house).row.request_id == first.headers["x-request-id"]


def test_what_nobody_received_is_given_back(tmp_path_factory: pytest.TempPathFactory) -> None:
    """the gateway died between the charge and the last byte
    | nothing
    | the charge is refunded at the next start, or by the next process that looks"""
    own = House(tmp_path_factory.mktemp("died") / "data", clean_environment(), ("--sandbox",))
    own.fund("1")
    try:
        doomed = own.serve(IMAGEWAY_FAULT="before_last_byte:1")
        with pytest.raises((OSError, http.client.HTTPException)):
            Case(own, doomed).ask({"model": GEMINI, "prompt": "a boat", "response_format": "b64_json"})
        assert doomed.wait_killed() == -9
        assert own.money().spent == GEMINI_PRICE
        own.serve()
        wait_for(lambda: own.money().spent == 0)
        books = books_of(own)
        amounts = {kind: books.moved[kind] for kind in ("capture", "refund")}
        assert amounts == {"capture": GEMINI_PRICE, "refund": GEMINI_PRICE}
        assert (books.hold, books.row.delivery) == ("refunded", "refunded")
        assert own.money().available == 1_000_000
    finally:
        own.close()


# What stands under the table


def lines_of(books: Books) -> list[tuple[str, bool]]:
    """How many were paid for by each row of the price, and whether that is assumed."""
    return [(line["quantity"], line["assumed"]) for line in json.loads(books.row.lines)["price"]]


def test_tokens_that_nobody_reported_are_taken_from_the_tables(case: Case, scripted: OddServer) -> None:
    """And marked as assumed, on the bill and in the books."""
    body = {"model": GPT, "prompt": "a boat", "size": "1024x1024", "quality": "low"}
    scripted.odd = Odd(answer_with(image_bytes(), usage=TOKENS), told=None)
    case.ask(body)
    assert lines_of(case.books()) == [("40", False), ("272", False)]
    scripted.odd = Odd(answer_with(image_bytes()), told=None)
    silent = Case(case.house, case.gateway)
    silent.ask(body)
    books = silent.books()
    silent.assert_captured(books, books.row.price_usd_micros, delivered=1)
    assert all(assumed for _, assumed in lines_of(books))
    assert books.row.price_usd_micros > 272 * 4


def test_more_than_was_held_is_the_operators_loss(case: Case, scripted: OddServer) -> None:
    """The caller pays his hold, and the rest is booked as an overrun."""
    flood = {**TOKENS, "output_tokens": 900_000, "output_tokens_details": {"text_tokens": 0, "image_tokens": 900_000}}
    scripted.odd = Odd(answer_with(image_bytes(), usage=flood), told=None)
    case.ask({"model": GPT, "prompt": "a boat", "size": "1024x1024", "quality": "low"})
    books = case.books()
    held, worth = books.moved["hold"], 40 * 2 + 900_000 * 8
    assert books.moved == {"hold": held, "capture": held, "cost": worth, "overrun": worth - held}
    assert books.row.price_usd_micros == case.spent() == held


def test_nothing_is_spent_that_was_not_held(case: Case) -> None:
    """402 names the hold, and nobody is asked."""
    poor = case.house.key_for("poor", "0.05")
    answer = call(f"{case.gateway.url}/v1/images/generations", {"model": GEMINI, "prompt": "a", "n": 2}, key=poor)
    assert answer.status == 402
    assert "0.078" in answer.json["error"]["message"]
    assert (case.house.money("poor").available, case.spent()) == (50_000, 0)
