"""The admin API against a running gateway: everything an operator does from nothing to a paid picture and back, every
error in one form, and its own document."""

from __future__ import annotations

import asyncio
import csv
import io
import json
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from imageway.server.books import open_books
from imageway.server.configuration import read_settings
from tests.integration.processes import Answer, House, _lower, assert_told, call, clean_environment, command, wait_for
from tests.store.places import commit, finish, task

HOOK = "https://shop.example/hook"
PICTURE = {"model": "gemini-2.5-flash-image", "prompt": "a boat", "response_format": "b64_json"}


class Admin:
    """An operator with a key."""

    def __init__(self, url: str, key: str) -> None:
        self.url, self.key = url, key

    def __call__(self, method: str, path: str, body: object = None, **headers: str) -> Answer:
        content = body if isinstance(body, bytes) else json.dumps(body).encode() if body is not None else None
        sent = {"authorization": f"Bearer {self.key}", "content-type": "application/json", **headers}
        request = urllib.request.Request(f"{self.url}/admin/v1/{path}", content, sent, method=method)
        try:
            with urllib.request.urlopen(request, timeout=30) as reply:
                return Answer(reply.status, _lower(reply.headers), reply.read())
        except urllib.error.HTTPError as error:
            return Answer(error.code, _lower(error.headers), error.read())

    def made(self, method: str, path: str, body: object = None) -> Any:
        answer = self(method, path, body)
        assert answer.status in (200, 201), answer.content
        return answer.json


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    made = House(tmp_path_factory.mktemp("admin") / "data", clean_environment(), ("--sandbox",))
    yield made
    made.close()


@pytest.fixture(scope="module")
def url(house: House) -> str:
    return house.serve().url


def admin_key(house: House, *arguments: str) -> str:
    made = command("admin-keys", "create", *arguments, data=house.data, environment=house.environment)
    key: str = made["key"]
    return key


@pytest.fixture(scope="module")
def admin(house: House, url: str) -> Admin:
    return Admin(url, admin_key(house, "--name", "ops"))


def test_from_nothing_to_a_paid_picture_and_back(admin: Admin) -> None:
    workspace = admin.made("POST", "workspaces", {"name": "studio"})
    assert admin.made("GET", "workspaces/studio")["id"] == workspace["id"]
    filled = admin.made("POST", "workspaces/studio/wallet/topup", {"usd": "1.50", "id": "invoice-7"})
    assert (filled["available_usd"], filled["topped_up_usd"], filled["replayed"]) == ("1.500000", "1.500000", False)
    again = admin.made("POST", "workspaces/studio/wallet/topup", {"usd": "1.5", "id": "invoice-7"})
    assert (again["available_usd"], again["replayed"]) == ("1.500000", True)
    assert admin.made("POST", "workspaces/studio/wallet/grant", {"usd": "0.5"})["granted_usd"] == "0.500000"
    adjusted = admin.made("POST", "workspaces/studio/wallet/adjust", {"usd": "-0.25", "reason": "a slip"})
    assert (adjusted["available_usd"], adjusted["adjusted_usd"]) == ("1.750000", "-0.250000")
    key = admin.made("POST", "keys", {"workspace": "studio", "name": "app", "budgets": {"day": "0.10"}})
    made = call(f"{admin.url}/v1/images/generations", PICTURE, key=key["key"])
    assert made.status == 200
    wait_for(lambda: admin.made("GET", "usage?workspace=studio")["data"])
    (row,) = admin.made("GET", "usage?workspace=studio")["data"]
    assert (row["request_id"], row["price_usd"], row["dialect"]) == (
        made.json["request_id"],
        "0.039000",
        "openai_images",
    )
    assert row["lines"]["price"][0]["effective"]
    assert row["lines"]["cost"]
    assert row["latency"]["total_ms"] >= row["latency"]["upstream_ms"] > 0
    (shown,) = admin.made("GET", "keys?workspace=studio")["data"]
    assert shown["budgets"]["day"]["used_usd"] == "0.039000"
    kinds = [one["kind"] for one in admin.made("GET", "workspaces/studio/wallet/transfers")["data"]]
    assert kinds[:5] == ["topup", "grant", "adjust_down", "hold", "capture"]
    task = admin.made("GET", f"tasks/{made.json['request_id']}")
    assert (task["state"], task["attempts"][0]["state"]) == ("succeeded", "proved")
    (total,) = admin.made("GET", "usage/sums?by=model&workspace=studio")["data"]
    assert (total["group"], total["net_usd"]) == ({"model": "gemini-2.5-flash-image"}, "0.039000")
    assert admin("DELETE", f"keys/{key['id']}").status == 204
    assert_told(call(f"{admin.url}/v1/images/generations", PICTURE, key=key["key"]), 401, "invalid_api_key")


def test_a_price_rule_counts_within_seconds_and_ends(admin: Admin) -> None:
    admin.made("POST", "workspaces", {"name": "priced"})
    admin.made("POST", "workspaces/priced/wallet/topup", {"usd": "5"})
    key = admin.made("POST", "keys", {"workspace": "priced"})["key"]

    def hold() -> str:
        estimate = call(f"{admin.url}/v1/images/estimate", PICTURE, key=key).json
        held: str = estimate["hold_usd"]
        return held

    before = hold()
    asked = {
        "models": "gemini-2.5-*",
        "workspace": "priced",
        "multiplier": "2",
        "per_image_usd": "0.001",
        "source": "test",
    }
    rule = admin.made("POST", "prices/rules", asked)
    wait_for(lambda: hold() == "0.079000")
    shown = admin.made("GET", "prices/models/gemini-2.5-flash-image?workspace=priced")
    assert [row["amount"] for row in shown["prices"] if row["per"] == "image"] == ["0.078"]
    assert shown["rules"] == [rule["id"]]
    made = call(f"{admin.url}/v1/images/generations", PICTURE, key=key)
    wait_for(lambda: admin.made("GET", "usage?workspace=priced")["data"])
    (row,) = admin.made("GET", "usage?workspace=priced")["data"]
    assert (row["request_id"], row["price_usd"], row["lines"]["rules"]) == (
        made.json["request_id"],
        "0.079000",
        [rule["id"]],
    )
    assert admin.made("DELETE", f"prices/rules/{rule['id']}")["until"]
    wait_for(lambda: hold() == before)
    assert_told(admin("DELETE", f"prices/rules/{rule['id']}"), 404, "not_found")


def test_usage_comes_as_a_file(admin: Admin) -> None:
    written = admin("GET", "usage/export?format=csv")
    assert written.headers["content-disposition"] == 'attachment; filename="usage.csv"'
    rows = list(csv.DictReader(io.StringIO(written.content.decode())))
    lines = admin("GET", "usage/export?format=jsonl").content.splitlines()
    assert [row["request_id"] for row in rows] == [json.loads(line)["request_id"] for line in lines] != []


def test_reports_of_a_month(admin: Admin) -> None:
    (row, *_) = admin.made("GET", "usage")["data"]
    month = row["at"][:7]
    shown = admin.made("GET", f"usage/statement?workspace=studio&month={month}")
    assert (shown["topped_up_usd"], shown["captured_usd"]) == ("1.500000", "0.039000")
    books = admin.made("GET", f"usage/reconciliation?month={month}")
    assert sum(route["requests"] for route in books["upstreams"]) >= 2


def test_settings_members_and_rotation(admin: Admin) -> None:
    admin.made("POST", "workspaces", {"name": "team"})
    changed = admin.made("PATCH", "workspaces/team", {"aliases": {"dall-e-3": "gpt-image-2"}, "form": "url"})
    assert (changed["aliases"], changed["form"]) == ({"dall-e-3": "gpt-image-2"}, "url")
    admin.made("PUT", "workspaces/team/members/ann@example.com", {"role": "owner"})
    assert [one["role"] for one in admin.made("GET", "workspaces/team/members")["data"]] == ["owner"]
    assert admin("DELETE", "workspaces/team/members/ann@example.com").status == 204
    key = admin.made("POST", "keys", {"workspace": "team", "signed": True})
    assert key["signing_secret"]
    rotated = admin.made("POST", f"keys/{key['id']}/rotate", {"overlap": "1h"})
    assert rotated["old_until"]
    limited = admin.made("PUT", f"keys/{rotated['id']}/budgets", {"limits": {"month": "3"}})
    assert limited["budgets"]["month"]["limit_usd"] == "3.000000"
    assert admin.made("PATCH", f"keys/{rotated['id']}", {"models": ["gpt-*"]})["models"] == ["gpt-*"]


def test_every_change_is_in_the_audit_log_without_a_secret(admin: Admin) -> None:
    rows = admin.made("GET", "audit?limit=1000")["data"]
    actions = {row["action"] for row in rows}
    assert {"workspace.create", "wallet.topup", "key.create", "key.revoke", "price_rule.set", "member.add"} <= actions
    assert {row["actor"] for row in rows} >= {"cli"}
    assert any(row["actor"].startswith("adm_") for row in rows)
    assert admin.key not in json.dumps(rows)
    (first, *_) = admin.made("GET", "audit?limit=1")["data"]
    following = admin.made("GET", f"audit?limit=1&before={first['seq']}")["data"]
    assert following[0]["seq"] < first["seq"]


def test_the_audit_log_says_what_was_before_and_after(admin: Admin) -> None:
    """Of a task that was given up its states, of a member who was removed the role."""
    admin.made("POST", "workspaces", {"name": "audited"})
    admin.made("POST", "workspaces/audited/wallet/topup", {"usd": "5"})
    admin.made("PUT", "workspaces/audited/members/ada", {"role": "owner"})
    assert admin("DELETE", "workspaces/audited/members/ada").status == 204
    gone = assert_told(admin("DELETE", "workspaces/audited/members/ada"), 404, "not_found", "member")
    assert gone["message"] == 'the workspace "audited" has no member "ada"'
    key = admin.made("POST", "keys", {"workspace": "audited"})["key"]
    asked = {"model": "qwen-image-plus", "prompt": "sandbox-fault:pending", "async": True}
    task = call(f"{admin.url}/v1/images/generations", asked, key=key).json["id"]
    shown = admin.made("POST", f"tasks/{task}/cancel")
    found = admin.made("GET", "audit?limit=50")["data"]
    rows = {row["action"]: row for row in reversed(found)}  # the newest of each
    assert rows["member.remove"]["before"] == {"name": "ada", "role": "owner"}
    assert rows["task.cancel"]["before"]["state"] in ("queued", "running")
    assert rows["task.cancel"]["after"] == {"state": shown["state"]}


def test_what_has_ended_is_not_cancelled_and_no_such_thing_is_written_down(house: House, admin: Admin) -> None:
    """As callers are told of it: 409, unless it was cancelled already, which is repeated as often as somebody likes."""
    workspace = admin.made("POST", "workspaces", {"name": "ended"})["id"]
    admin.made("POST", "workspaces/ended/wallet/topup", {"usd": "5"})
    key = admin.made("POST", "keys", {"workspace": "ended"})
    done = call(f"{admin.url}/v1/images/generations", PICTURE, key=key["key"]).json["request_id"]
    told = assert_told(admin("POST", f"tasks/{done}/cancel"), 409, "task_final", "task")
    assert told["message"] == f'the task "{done}" has ended already: it is "succeeded"'
    now_ms = int(time.time() * 1000)
    given_up = task("req_given_up", workspace_id=workspace, key_id=key["id"], created_ms=now_ms)

    async def keep() -> None:
        async with open_books(read_settings({"data": house.data}, house.environment)) as store:
            await commit(store, given_up, finish(given_up.id, "cancelled", at_ms=now_ms))

    asyncio.run(keep())
    assert admin.made("POST", f"tasks/{given_up.id}/cancel")["state"] == "cancelled"
    assert [admin.made("GET", f"audit?target={one}")["data"] for one in (done, given_up.id)] == [[], []]


@pytest.mark.parametrize(
    ("path", "place"),
    [
        ("usage?workspace=paged", "before"),
        ("tasks?workspace=paged", "before"),
        ("audit?", "before"),
        ("workspaces/paged/wallet/transfers?", "after"),
    ],
)
def test_pages_of_one_are_the_list(admin: Admin, path: str, place: str) -> None:
    """Each row once and in its order, however the pages fall; the last page names no next one."""
    if admin("GET", "workspaces/paged").status == 404:
        admin.made("POST", "workspaces", {"name": "paged"})
        admin.made("POST", "workspaces/paged/wallet/topup", {"usd": "5"})
        key = admin.made("POST", "keys", {"workspace": "paged"})["key"]
        for _ in range(3):
            assert call(f"{admin.url}/v1/images/generations", PICTURE, key=key).status == 200
        told = ["delivered"] * 3
        wait_for(lambda: [row["delivery"] for row in admin.made("GET", "usage?workspace=paged")["data"]] == told)
    whole = admin.made("GET", f"{path}&limit=1000")
    assert whole["next"] is None
    assert len(whole["data"]) >= 3
    rows: list[object] = []
    page = admin.made("GET", f"{path}&limit=1")
    while True:
        rows += page["data"]
        if page["next"] is None:
            break
        page = admin.made("GET", f"{path}&limit=1&{place}={page['next']}")
    assert rows == whole["data"]


def test_who_may_look_changes_nothing(house: House, url: str) -> None:
    viewer = Admin(url, admin_key(house, "--role", "viewer"))
    assert viewer("GET", "workspaces").status == 200
    assert_told(viewer("POST", "workspaces", {"name": "not-me"}), 403, "key_not_allowed")


@pytest.mark.parametrize("authorization", ["", "Bearer", "Bearer sk-iw-admin-no", "Basic YTpi", f"Bearer {'x' * 300}"])
def test_strangers_are_told_nothing(url: str, house: House, authorization: str) -> None:
    answer = Admin(url, "")("GET", "workspaces", None, authorization=authorization)
    assert_told(answer, 401, "invalid_api_key")


def test_a_callers_key_is_no_operators(url: str, house: House) -> None:
    assert_told(Admin(url, house.fund("1"))("GET", "workspaces"), 401, "invalid_api_key")


@pytest.mark.parametrize(
    ("models", "rows", "begin"),
    [
        ("gemini-2.5-flash-image", [{"per": "input_image", "amount": "1"}], None),
        ("gemini-2.5-flash-image", [{"per": "image", "amount": "1", "shown_only": True}], None),
        ("gemini-2.5-flash-image", [{"per": "image", "amount": "1", "effective": "2099-01-01"}], None),
        ("gemini-2.5-flash-image", [{"per": "image", "amount": "1", "effective": "2099-01-02"}], "2099-01-01"),
        ("qwen-image-2.0", [{"per": "token", "tokens": "output_image", "amount": "30"}], None),
        ("g*", [{"per": "token", "tokens": "input_text", "amount": "30"}], None),
    ],
)
def test_a_rule_that_would_give_images_away_is_refused(
    admin: Admin, models: str, rows: list[dict[str, object]], begin: str | None
) -> None:
    """Rows stand in place of all of a model's own: from the first day on they say what its images cost."""
    asked = {"models": models, "workspace": "priced", "prices": rows, "from": begin}
    assert_told(admin("POST", "prices/rules", asked), 400, "invalid_value", "prices")


@pytest.mark.parametrize(
    ("models", "rows"),
    [
        ("gemini-2.5-flash-image", [{"per": "image", "amount": "0"}]),
        ("gpt-image-2", [{"per": "token", "tokens": "output_image", "amount": "30"}]),
    ],
)
def test_a_rule_that_says_what_images_cost_is_made(admin: Admin, models: str, rows: list[dict[str, object]]) -> None:
    asked = {"models": models, "workspace": "priced", "prices": rows, "from": "2099-01-01"}
    admin.made("POST", "prices/rules", asked)


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "code", "param"),
    [
        ("GET", "nothing", None, 404, "not_found", None),
        ("PUT", "workspaces", None, 405, "method_not_allowed", None),
        ("POST", "workspaces", b"{", 400, "malformed_json", None),
        ("POST", "workspaces", {}, 400, "missing_required_parameter", "name"),
        ("POST", "workspaces", {"name": "a", "colour": 1}, 400, "unknown_parameter", "colour"),
        ("POST", "workspaces", {"name": 7}, 400, "invalid_type", "name"),
        ("POST", "workspaces", {"name": "studio"}, 409, "name_taken", None),
        ("GET", "workspaces/nobody", None, 404, "not_found", "workspace"),
        ("POST", "workspaces/studio/wallet/topup", {"usd": "1", "id": "invoice-7"}, 409, "duplicate", "id"),
        ("POST", "workspaces/studio/wallet/grant", {"usd": "1.50", "id": "invoice-7"}, 409, "duplicate", "id"),
        ("POST", "workspaces/studio/wallet/topup", {"usd": "-1"}, 400, "invalid_value", "usd"),
        ("POST", "workspaces/studio/wallet/topup", {"usd": "0"}, 400, "invalid_value", "usd"),
        ("POST", "workspaces/studio/wallet/topup", {"usd": 1.5}, 400, "invalid_type", "usd"),
        ("POST", "workspaces/studio/wallet/topup", {"usd": "٣"}, 400, "invalid_value", "usd"),
        ("POST", "workspaces/studio/wallet/adjust", {"usd": "-1"}, 400, "missing_required_parameter", "reason"),
        (
            "POST",
            "workspaces/studio/wallet/adjust",
            {"usd": "-999", "reason": "a slip"},
            402,
            "insufficient_balance",
            None,
        ),
        ("POST", "workspaces/studio/wallet/topup", b'{"usd":"1","usd":"2"}', 400, "duplicate_key", "usd"),
        ("POST", "workspaces/studio/wallet/topup", {"usd": "1", "reason": "\x1b[2J"}, 400, "invalid_value", "reason"),
        ("POST", "prices/rules", {"models": "nobody-*", "multiplier": "x"}, 400, "invalid_value", "multiplier"),
        ("POST", "prices/rules", {"models": "gpt-*", "multiplier": "1e999999999"}, 400, "invalid_value", "multiplier"),
        ("POST", "prices/rules", {"models": "gpt-*", "multiplier": "1e-999999999"}, 400, "invalid_value", "multiplier"),
        ("POST", "prices/rules", {"models": "gpt-*", "from": "0001-01-01T00+14:00"}, 400, "invalid_value", "from"),
        ("POST", "prices/rules", {"models": "gpt-*", "from": "9999-12-31T23-14:00"}, 400, "invalid_value", "from"),
        ("POST", "prices/rules", {"models": "*" * 3000}, 400, "invalid_value", "models"),
        ("POST", "prices/rules", {"models": "gpt-*", "source": "a\nb"}, 400, "invalid_value", "source"),
        ("POST", "keys", {"budgets": {"week": "1"}, "networks": ["no"]}, 400, "invalid_value", None),
        ("POST", "keys", {"budgets": {"day": "x"}}, 400, "invalid_value", "budgets.day"),
        ("POST", "keys", {"expires": "9999-12-31T23:59:59-14:00"}, 400, "invalid_value", "expires"),
        ("POST", "keys", b"[" * 100_000, 400, "too_deep", None),
        ("POST", "webhooks", {"workspace": "studio", "url": HOOK, "events": []}, 400, "invalid_value", "events"),
        ("PATCH", "workspaces/studio", {"keep_images_s": 10**12}, 400, "invalid_value", "keep_images_s"),
        ("GET", "prices/models/zzzzzz", None, 404, "model_not_found", "model"),
        ("GET", "keys/key_nobody", None, 404, "not_found", "key"),
        ("GET", "tasks/req_nobody", None, 404, "task_not_found", "task"),
        ("GET", "usage?limit=0", None, 400, "invalid_type", "limit"),
        ("GET", "usage?before=x", None, 400, "invalid_value", "before"),
        ("GET", f"usage?before={'9' * 30}-1", None, 400, "invalid_value", "before"),
        ("GET", f"usage?before=1-{'9' * 5000}", None, 400, "invalid_value", "before"),
        ("GET", "usage?before=%D9%A1-%D9%A1", None, 400, "invalid_value", "before"),
        ("GET", "tasks?workspace=studio&before=x", None, 400, "invalid_value", "before"),
        ("GET", f"tasks?workspace=studio&before={'9' * 30}-req", None, 400, "invalid_value", "before"),
        ("GET", "tasks?workspace=studio&state=done", None, 400, "invalid_type", "state"),
        ("GET", "tasks/%00", None, 404, "not_found", None),
        ("GET", "usage?model=%00", None, 400, "invalid_value", "model"),
        ("GET", "usage?outcome=success", None, 400, "invalid_type", "outcome"),
        ("GET", "usage/export?outcome=success", None, 400, "invalid_type", "outcome"),
        ("GET", "usage/sums?by=colour", None, 400, "invalid_value", "by"),
        ("GET", "usage/statement?workspace=studio&month=2026-13", None, 400, "invalid_value", "month"),
    ],
)
def test_bad_input_is_named(
    admin: Admin, method: str, path: str, body: object, status: int, code: str, param: str | None
) -> None:
    assert_told(admin(method, path, body), status, code, param)


def test_a_body_that_is_too_large_or_of_another_kind_is_refused(admin: Admin) -> None:
    assert admin("POST", "workspaces", b" " * 2_000_000).status == 413
    for other in ({"content-type": "text/plain"}, {"content-encoding": "gzip"}):
        assert_told(admin("POST", "workspaces", b"{}", **other), 415, "unsupported_content_type")


def test_budgets_change_whole_or_not_at_all(admin: Admin) -> None:
    """A reset that cannot be leaves the limits that came with it unset, and both are told of at once."""
    key = admin.made("POST", "keys", {"workspace": "studio", "budgets": {"day": "1"}})["id"]
    refused = admin("PUT", f"keys/{key}/budgets", {"limits": {"day": "9", "month": "x"}, "reset": ["year"]})
    told = assert_told(refused, 400, "invalid_value")
    assert [problem["param"] for problem in told["details"]] == ["budgets.month", "reset"]
    assert_told(admin("PUT", f"keys/{key}/budgets", {"limits": {"day": "9"}, "reset": ["year"]}), 400, "invalid_value")
    assert admin.made("GET", f"keys/{key}")["budgets"]["day"]["limit_usd"] == "1.000000"
    changed = admin.made("PUT", f"keys/{key}/budgets", {"limits": {"day": "2", "total": "5"}, "reset": ["day"]})
    assert {period: one["limit_usd"] for period, one in changed["budgets"].items()} == {
        "day": "2.000000",
        "total": "5.000000",
    }


def test_an_overlap_may_be_for_ever(admin: Admin) -> None:
    key = admin.made("POST", "keys", {"workspace": "studio"})["id"]
    assert admin.made("POST", f"keys/{key}/rotate", {"overlap": "999999w"})["old_until"].startswith("9999-12-31")


def test_a_name_may_hold_what_divides_paths(admin: Admin) -> None:
    """A segment is told apart before it is decoded: what is called `a/b` can be named, changed and dropped."""
    admin.made("POST", "workspaces", {"name": "a/b?c"})
    assert admin.made("GET", "workspaces/a%2Fb%3Fc")["name"] == "a/b?c"
    admin.made("PUT", "upstreams", {"provider": "openai", "id": "eu/1", "key": "sk-test-1", "enabled": False})
    assert admin("DELETE", "upstreams/eu%2F1").status == 204
    assert_told(admin("DELETE", "upstreams/eu/1"), 404, "not_found")


def test_the_document_has_every_endpoint(admin: Admin, tmp_path: Path) -> None:
    document = call(f"{admin.url}/admin/v1/openapi.json").json
    assert document["openapi"] == "3.1.0"
    for path in ("/admin/v1/openapi.json", "/openapi.json"):
        refused = call(f"{admin.url}{path}", {})
        assert_told(refused, 405, "method_not_allowed")
        assert refused.headers["allow"] == "GET, HEAD"
    assert len({operation["operationId"] for path in document["paths"].values() for operation in path.values()}) >= 32
    assert document["paths"]["/admin/v1/keys"]["post"]["responses"]["201"]
