"""Real gateways and what their keys may do: on SQLite and PostgreSQL, with two processes where it matters that the
other one knows."""

from __future__ import annotations

import asyncio
import http.client
import json
import time
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

import pytest

from imageway.catalog import load
from imageway.ledger.access import ListChanges
from imageway.server.administration import keys, workspaces
from imageway.server.administration.keys import KeyAsked, KeyChange, KeyMade
from imageway.server.administration.office import Office
from imageway.server.administration.workspaces import WorkspaceChange
from imageway.server.books import open_books
from imageway.server.configuration import read_settings
from imageway.server.machine import SystemClock, SystemRandom
from imageway.server.vault import RingVault
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
from tests.integration.test_webhooks import postgres_database

T = TypeVar("T")
BODY = {"model": "gemini-2.5-flash-image", "prompt": "a boat"}
DRAWN = {"model": "gpt-image-1", "prompt": "a boat", "size": "1024x1024", "quality": "low"}
PRICE_USD_MICROS = 39_000  # what is held for the first of them, and what it costs
EFFECTIVE_S = 1.0


@pytest.fixture(params=["sqlite", "postgres"])
def house(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[House]:
    yield from house_in(tmp_path, postgres_database() if request.param == "postgres" else {})


@pytest.fixture
def small_house(tmp_path: Path) -> Iterator[House]:
    """On SQLite alone."""
    yield from house_in(tmp_path, {})


def house_in(folder: Path, database: dict[str, str]) -> Iterator[House]:
    settings = folder / "imageway.toml"
    settings.write_text('trusted_proxies = ["127.0.0.0/8"]\n')
    own = clean_environment(IMAGEWAY_CONFIG=str(settings), **database)
    made = House(folder / "data", own, ("--sandbox",))
    made.fund("10")
    yield made
    made.close()


def operate(house: House, work: Callable[[Office], Awaitable[T]]) -> T:
    """What an operator does, in this process: a hundred times as fast as a command."""

    async def opened() -> T:
        async with open_books(read_settings({"data": house.data}, house.environment)) as store:
            return await work(Office(store, SystemClock(), SystemRandom(), "cli"))

    return asyncio.run(opened())


def make_key(house: House, **limits: Any) -> KeyMade:
    asked = KeyAsked(workspace="w", **limits)
    return operate(house, lambda office: keys.create_key(office, vault(house, office), asked))


def vault(house: House, office: Office) -> RingVault:
    return RingVault(office.store, house.data, house.environment, office.random)


def ask(gateway: Process, key: str, headers: dict[str, str] | None = None, **more: Any) -> Answer:
    return call(f"{gateway.url}/v1/images/generations", {**BODY, **more}, key=key, headers=headers)


def test_a_revoked_key_is_worth_nothing_anywhere_within_a_second(house: House) -> None:
    """By the command, while both gateways have just used the key."""
    gateways = [house.serve(), house.serve()]
    made = make_key(house)
    for gateway in gateways:
        assert call(f"{gateway.url}/v1/models", key=made.key).status == 200
    operate(house, lambda office: keys.revoke_key(office, made.id))
    revoked_s = time.monotonic()
    left = set(range(len(gateways)))
    while left:
        for number in tuple(left):
            if call(f"{gateways[number].url}/v1/models", key=made.key).status == 401:
                left.remove(number)
        assert time.monotonic() - revoked_s < EFFECTIVE_S, f"{left} still let it in"
    assert_told(ask(gateways[0], made.key), 401, "invalid_api_key")


def test_every_change_of_a_key_or_its_workspace_counts_everywhere_within_a_second(house: House) -> None:
    gateways = [house.serve(), house.serve()]
    made, catalog = make_key(house), load()

    def listed(gateway: Process) -> set[str]:
        return {row["id"] for row in call(f"{gateway.url}/v1/models", key=made.key).json["data"]}

    for gateway in gateways:
        assert "gpt-image-1" in listed(gateway)
    operate(house, lambda office: keys.update_key(office, made.id, KeyChange(models=("qwen-*",))))
    began_s = time.monotonic()
    for gateway in gateways:
        wait_for(lambda gateway=gateway: "gpt-image-1" not in listed(gateway), seconds=EFFECTIVE_S)
    aliases = WorkspaceChange(aliases={"dall-e-3": "qwen-image"})
    operate(house, lambda office: workspaces.set_workspace(office, catalog, "w", aliases))
    for gateway in gateways:
        wait_for(lambda gateway=gateway: "dall-e-3" in listed(gateway), seconds=EFFECTIVE_S)
    assert time.monotonic() - began_s < 10


def test_a_key_is_changed_over_while_both_are_good(house: House) -> None:
    """Rotation: the new one has the limits and the budgets of the old one, which ends after the overlap."""
    gateway = house.serve()
    old = make_key(house, models=("gemini-*",), budgets={"total": "0.1"})
    assert ask(gateway, old.key).status == 200
    new = operate(house, lambda office: keys.rotate_key(office, vault(house, office), old.id, "2s"))
    assert ask(gateway, new.key).status == 200  # 0.078 of 0.1 are spent, by both
    assert_told(ask(gateway, old.key), 402, "budget_exceeded")
    assert_told(ask(gateway, new.key, model="qwen-image"), 403, "model_not_allowed")
    wait_for(lambda: call(f"{gateway.url}/v1/models", key=old.key).status == 401, seconds=4)
    told = assert_told(call(f"{gateway.url}/v1/models", key=old.key), 401, "invalid_api_key")
    assert "expired" in told["message"]
    assert call(f"{gateway.url}/v1/models", key=new.key).status == 200


def test_a_budget_that_fits_so_many_images_buys_so_many(house: House) -> None:
    """64 at once, through two gateways; the wallet has plenty."""
    gateways, fits = [house.serve(), house.serve()], 20
    made = make_key(house, budgets={"day": "9", "total": "0.78"})
    with ThreadPoolExecutor(32) as pool:
        answers = list(pool.map(lambda number: ask(gateways[number % 2], made.key), range(64)))
    assert sorted({answer.status for answer in answers}) == [200, 402]
    assert [answer.status for answer in answers].count(200) == fits
    told = assert_told(next(one for one in answers if one.status == 402), 402, "budget_exceeded")
    assert "total budget is $0.780000" in told["message"]
    assert house.money().spent == fits * PRICE_USD_MICROS
    shown = operate(house, lambda office: keys.show_key(office, made.id))
    assert {period: budget.used_usd for period, budget in shown.budgets.items()} == {
        "day": "0.780000",
        "total": "0.780000",
    }
    operate(house, lambda office: keys.change_budgets(office, made.id, {}, ("total",)))
    assert ask(gateways[0], made.key).status == 200


def test_what_a_request_did_not_cost_goes_back_to_the_budget(small_house: House) -> None:
    """Its hold is the most that it may cost; a refused prompt costs nothing."""
    gateway, made = small_house.serve(), make_key(small_house, budgets={"day": "1"})
    answer = call(f"{gateway.url}/v1/images/generations", DRAWN, key=made.key)
    assert answer.status == 200
    assert_told(ask(gateway, made.key, prompt="a forbidden boat"), 400, "content_policy_violation")
    (refused, paid) = small_house.usage()
    assert (refused["price_usd"], paid["outcome"]) == ("0.000000", "succeeded")
    shown = operate(small_house, lambda office: keys.show_key(office, made.id))
    assert shown.budgets["day"].used_usd == paid["price_usd"]


def test_what_a_killed_gateway_held_of_a_budget_comes_back(house: House) -> None:
    doomed = house.serve(IMAGEWAY_FAULT="after_submit:1")
    made = make_key(house, budgets={"total": "5"})
    with pytest.raises((OSError, http.client.HTTPException)):
        ask(doomed, made.key)
    assert doomed.wait_killed() == -9
    assert operate(house, lambda office: keys.show_key(office, made.id)).budgets["total"].used_usd == "0.039000"
    house.serve()
    wait_for(lambda: house.money().held == 0)
    assert operate(house, lambda office: keys.show_key(office, made.id)).budgets["total"].used_usd == "0.000000"


@pytest.mark.parametrize(
    ("limits", "said"),
    [
        ({"operations": ("edit",)}, "only for edit"),
        ({"dialects": ("gemini", "ark")}, "only in gemini, ark"),
        ({"networks": ("203.0.113.0/24",)}, "only be used from 203.0.113.0/24"),
        ({"max_price_usd": "0.038999"}, "at most $0.038999"),
    ],
)
def test_what_a_key_is_not_for_is_refused_before_anything_is_held(
    small_house: House, limits: dict[str, Any], said: str
) -> None:
    gateway, made = small_house.serve(), make_key(small_house, **limits)
    told = assert_told(ask(gateway, made.key), 403, "key_not_allowed")
    assert said in told["message"]
    assert told["type"] == "permission_error"
    assert small_house.money().available == 10_000_000
    assert small_house.usage() == []


def test_where_a_request_comes_from_is_what_the_last_proxy_of_ours_says(small_house: House) -> None:
    gateway, made = small_house.serve(), make_key(small_house, networks=("203.0.113.0/24", "2001:db8::/32"))
    for forwarded, status in (
        ("203.0.113.9", 200),
        ("198.51.100.1, 203.0.113.9", 200),
        ("203.0.113.9, 198.51.100.1", 403),
        ("2001:db8::7, 127.0.0.9", 200),
        ("2001:db9::7", 403),
    ):
        answer = call(f"{gateway.url}/v1/models", key=made.key, headers={"x-forwarded-for": forwarded})
        assert answer.status == status, forwarded


def test_refusals_are_told_in_the_callers_own_format(small_house: House) -> None:
    gateway, made = small_house.serve(), make_key(small_house, operations=("edit",), budgets={"total": "0.001"})
    body = {"contents": [{"parts": [{"text": "a boat"}]}]}
    path = "/v1beta/models/gemini-2.5-flash-image:generateContent"
    google = call(f"{gateway.url}{path}", body, headers={"x-goog-api-key": made.key})
    assert (google.status, google.json["error"]["status"]) == (403, "PERMISSION_DENIED")
    resale = {"model": "gemini-2.5-flash-image", "prompt": "a boat"}
    refused = call(f"{gateway.url}/api/v1/images/generations", resale, key=made.key)
    assert (refused.status, refused.json["error"]["type"]) == (403, "permission_error")
    operate(small_house, lambda office: keys.update_key(office, made.id, KeyChange(operations=())))
    broke = call(f"{gateway.url}/api/v1/images/generations", resale, key=made.key)
    assert (broke.status, broke.json["error"]["type"], broke.json["error"]["code"]) == (
        402,
        "billing_error",
        "budget_exceeded",
    )


def documented() -> Callable[..., dict[str, str]]:
    """The client of the page on keys."""
    found: dict[str, Any] = {}
    (page,) = [fence for fence in fences(DOCS / "keys.md") if fence.language == "python"]
    exec(compile(page.text, page.place, "exec"), found)  # noqa: S102  # our own document
    signed: Callable[..., dict[str, str]] = found["signed_headers"]
    return signed


def test_a_signed_key_takes_what_its_page_says(house: House) -> None:
    """With the client as the page has it; what is sent again, or changed on the way, is not taken by either gateway."""
    gateways, made, sign = [house.serve(), house.serve()], make_key(house, signed=True), documented()
    path, body = "/v1/images/generations", json.dumps(BODY).encode()
    assert made.signing_secret is not None
    headers = sign(made.signing_secret, "POST", path, body)
    assert call(f"{gateways[0].url}{path}", body, key=made.key, headers=headers).status == 200
    for gateway in gateways:
        again = call(f"{gateway.url}{path}", body, key=made.key, headers=headers)
        assert_told(again, 401, "signature_replayed")
    headers = sign(made.signing_secret, "POST", path, body)
    assert_told(call(f"{gateways[1].url}{path}", body + b" ", key=made.key, headers=headers), 401, "signature_mismatch")
    assert_told(call(f"{gateways[0].url}{path}", body, key=made.key), 401, "signature_required")
    renamed = {name.replace("Imageway", "Omixa"): value for name, value in headers.items()}
    assert call(f"{gateways[1].url}{path}", body, key=made.key, headers=renamed).status == 200
    listing = "/v1/tasks?limit=1"
    headers = sign(made.signing_secret, "GET", listing)
    for gateway in gateways:
        assert call(f"{gateway.url}{listing}", key=made.key, headers=headers).status == 200
    other = call(f"{gateways[0].url}/v1/tasks?limit=2", key=made.key, headers=headers)
    assert_told(other, 401, "signature_mismatch")
    assert house.money().spent == 2 * PRICE_USD_MICROS


def test_a_large_signed_body_is_read_once_and_whole(small_house: House) -> None:
    """An image of a megabyte, which does not stay in memory."""
    gateway, made, sign = small_house.serve(), make_key(small_house, signed=True), documented()
    picture = call(f"{gateway.url}/v1/images/generations", {**DRAWN, "size": "1536x1024"}, key=small_house.key).json
    body = json.dumps({**DRAWN, "image": picture["data"][0]["b64_json"]}).encode()
    path = "/v1/images/edits"
    assert made.signing_secret is not None
    headers = sign(made.signing_secret, "POST", path, body)
    answer = call(f"{gateway.url}{path}", body, key=made.key, headers=headers)
    assert answer.status == 200, answer.content[:300]
    headers = sign(made.signing_secret, "POST", path, body)
    changed = body.replace(b"a boat", b"a goat")
    assert_told(call(f"{gateway.url}{path}", changed, key=made.key, headers=headers), 401, "signature_mismatch")


def test_a_workspaces_own_names_and_values_hold_in_every_format(small_house: House) -> None:
    gateway, catalog = small_house.serve(), load()
    names = {"dall-e-3": "gpt-image-1", "pro": "gemini-2.5-flash-image"}
    change = WorkspaceChange(aliases=names, form="url", keep_images_s=2)
    operate(small_house, lambda office: workspaces.set_workspace(office, catalog, "w", change))
    made = call(f"{gateway.url}/v1/images/generations", {**DRAWN, "model": "dall-e-3"}, key=small_house.key)
    assert made.status == 200, made.content[:300]
    (item,) = made.json["data"]
    assert set(item) == {"url", "revised_prompt"} or set(item) == {"url"}
    assert call(item["url"]).status == 200
    wait_for(lambda: call(item["url"]).status == 410, seconds=5)
    body = {"contents": [{"parts": [{"text": "a boat"}]}]}
    path = "/v1beta/models/pro:generateContent"
    assert call(f"{gateway.url}{path}", body, headers={"x-goog-api-key": small_house.key}).status == 200
    resale = {"model": "pro", "prompt": "a boat", "aspect_ratio": "16:9"}
    assert call(f"{gateway.url}/api/v1/images/generations", resale, key=small_house.key).status == 200
    ark = call(f"{gateway.url}/api/v3/images/generations", {"model": "pro", "prompt": "a boat"}, key=small_house.key)
    assert (ark.status, ark.json["model"]) == (200, "gemini-2.5-flash-image")
    nested = {"model": "pro", "input": {"messages": [{"role": "user", "content": [{"text": "a boat"}]}]}}
    path = "/api/v1/services/aigc/multimodal-generation/generation"
    assert call(f"{gateway.url}{path}", nested, key=small_house.key).status == 200
    hub = {"model": "pro", "input": {"prompt": "a boat"}}
    assert call(f"{gateway.url}/hub/v1/image", hub, key=small_house.key).status == 200
    wait_for(lambda: len(small_house.usage()) == 6)
    listed = {row["id"]: row for row in call(f"{gateway.url}/v1/models", key=small_house.key).json["data"]}
    assert listed["dall-e-3"]["capabilities"]["alias_of"] == "gpt-image-1"
    assert [row["model"] for row in small_house.usage()] == ["gemini-2.5-flash-image"] * 5 + ["gpt-image-1"]


def test_every_change_is_in_the_log_of_changes(house: House) -> None:
    """Who, what, before and after, without secrets, in the commit of the change."""
    made = make_key(house, name="till", budgets={"day": "1"}, signed=True)
    operate(house, lambda office: keys.update_key(office, made.id, KeyChange(name="shop", expires="90d")))
    operate(house, lambda office: keys.change_budgets(office, made.id, {"day": None, "total": "5"}))
    operate(house, lambda office: workspaces.add_member(office, "w", "ada@shop.example", "owner"))
    operate(house, lambda office: keys.revoke_key(office, made.id))
    changes = operate(house, lambda office: office.store.read(ListChanges()))
    assert [change.action for change in changes] == [
        "key.revoke",
        "member.add",
        "key.budget",
        "key.update",
        "key.create",
    ]
    assert {change.actor for change in changes} == {"cli"}
    update = next(change for change in changes if change.action == "key.update")
    assert (json.loads(update.before)["name"], json.loads(update.after)["name"]) == ("till", "shop")
    logged = b"".join(change.before + change.after for change in changes)
    assert made.key.encode() not in logged
    assert made.signing_secret is not None
    assert made.signing_secret.encode() not in logged


def test_a_change_that_is_refused_leaves_no_trace(house: House) -> None:
    made = make_key(house)
    operate(house, lambda office: keys.revoke_key(office, made.id))
    seen = operate(house, lambda office: office.store.read(ListChanges()))
    for work in (
        lambda office: keys.revoke_key(office, made.id),
        lambda office: keys.rotate_key(office, made.id, "1h", b"k" * 32),
        lambda office: workspaces.remove_member(office, "w", "nobody"),
        lambda office: workspaces.create_workspace(office, "w"),
    ):
        with pytest.raises(Exception, match=r"."):
            operate(house, work)
    assert operate(house, lambda office: office.store.read(ListChanges())) == seen


def test_the_commands_do_the_same(small_house: House) -> None:
    """From the shell, once each."""
    data, environment = small_house.data, small_house.environment

    def run(*words: str) -> Any:
        return command(*words, data=data, environment=environment)

    made = run("keys", "create", "--workspace", "w", "--budget", "day=1", "total=2", "--network", "127.0.0.0/8")
    assert run("keys", "show", made["id"])["networks"] == ["127.0.0.0/8"]
    run("keys", "update", made["id"], "--network", "all", "--max-price", "0.5", "--models", "gpt-*")
    shown = run("keys", "budget", made["id"], "day=none", "--reset", "total")
    assert (shown["networks"], shown["max_price_usd"], shown["models"]) == ([], "0.500000", ["gpt-*"])
    assert list(shown["budgets"]) == ["total"]
    new = run("keys", "rotate", made["id"], "--overlap", "0s")
    assert run("keys", "show", new["id"])["root"] == made["id"]
    gateway = small_house.serve()
    assert call(f"{gateway.url}/v1/models", key=made["key"]).status == 401
    assert call(f"{gateway.url}/v1/models", key=new["key"]).status == 200
    run("keys", "revoke", new["id"])
    assert call(f"{gateway.url}/v1/models", key=new["key"]).status == 401
