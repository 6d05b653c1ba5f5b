"""Commands on webhooks: what they print with --json, what they tell people, and how they stop."""

from __future__ import annotations

import asyncio
import stat
import time
from base64 import b64decode
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar

import pytest

from imageway.core.ops import Committed, Op, Store
from imageway.server.books import open_books
from imageway.server.configuration import read_settings
from imageway.server.sealing import RING_FILE
from imageway.tasks.webhooks import (
    AddDelivery,
    ClaimDelivery,
    DisableEndpoint,
    EndDelivery,
    ListDeliveries,
    ListSecrets,
    NotifyEndpoints,
)
from tests.unit.cli.conftest import Shell

T = TypeVar("T")
HOOK = "https://caller.example/hook"


@pytest.fixture
def workspace_id(shell: Shell) -> str:
    return str(shell("workspaces", "create", "studio", "--json").json["id"])


def in_books(data: Path, work: Callable[[Store], Awaitable[T]]) -> T:
    async def opened() -> T:
        async with open_books(read_settings({"data": data}, {})) as store:
            return await work(store)

    return asyncio.run(opened())


def committed(shell: Shell, *ops: Op) -> None:
    async def commit(store: Store) -> None:
        for op in ops:
            assert isinstance(await store.commit(op), Committed), op

    in_books(shell.data, commit)


def delivery(shell: Shell, workspace_id: str, number: int, state: str = "pending") -> str:
    """One to an address that came with a request, and how it ended."""
    name = f"msg_{number}"
    ops: list[Op] = [AddDelivery(name, workspace_id, f"req_{number}", HOOK, "task.failed", number)]
    if state != "pending":
        ops += [ClaimDelivery(name, 0, 50, 60), EndDelivery(name, 1, state, 503, "it answered 503", 55)]
    committed(shell, *ops)
    return name


# Endpoints


def test_an_endpoint_is_added_with_a_secret_that_is_shown_once(shell: Shell, workspace_id: str) -> None:
    added = shell("webhooks", "add", "studio", HOOK, "--event", "task.failed", "task.unknown", "--json").json
    assert set(added) == {"id", "workspace", "url", "events", "secret"}
    assert (added["workspace"], added["url"]) == ("studio", HOOK)
    assert added["events"] == ["task.failed", "task.unknown"]
    assert added["secret"].startswith("whsec_")
    listed = shell("webhooks", "list", "--json")
    (row,) = listed.json
    assert row == {
        "id": added["id"],
        "workspace": "studio",
        "url": HOOK,
        "events": ["task.failed", "task.unknown"],
        "secret": f"whsec_…{added['secret'].rstrip('=')[-4:]}",
        "created": row["created"],
        "disabled": None,
    }
    assert added["secret"] not in listed.out


def test_no_secret_lies_in_a_file_in_clear(shell: Shell, workspace_id: str) -> None:
    """It is sealed with a key in a file that its owner alone may read; it opens with that."""
    added = shell("webhooks", "add", "studio", HOOK, "--json").json
    rotated = shell("webhooks", "rotate", added["id"], "--json").json
    (own,) = shell("webhooks", "secret", "studio", "--json").json
    assert stat.S_IMODE((shell.data / RING_FILE).stat().st_mode) == 0o600
    content = b"".join(path.read_bytes() for path in shell.data.rglob("*") if path.is_file())
    assert added["id"].encode() in content
    for secret in (added["secret"], rotated["secret"], own["secret"]):
        plain = secret.removeprefix("whsec_")
        for form in (plain.rstrip("=").encode(), b64decode(plain), b64decode(plain).hex().encode()):
            assert form not in content
    assert shell("webhooks", "secret", "studio", "--json").json == [own]


def test_an_endpoint_without_events_wants_them_all(shell: Shell, workspace_id: str) -> None:
    shell("webhooks", "add", "studio", HOOK)
    assert "  all  " in shell("webhooks", "list").out


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("http://127.0.0.1/hook", "cannot be reached at a public address"),
        ("http://169.254.169.254/", "cannot be reached at a public address"),
        ("http://localhost/", "cannot be reached at a public address"),
        ("https://me:secret@caller.example/", "no user and no password"),
        ("https://caller.example:8080/", "port 8080 is not allowed"),
        ("ftp://caller.example/", "http:// or https://"),
        ("https://caller.example/" + "x" * 2048, "the limit is 2048"),
    ],
)
def test_a_url_that_would_never_be_called_is_refused(shell: Shell, workspace_id: str, url: str, why: str) -> None:
    ran = shell("webhooks", "add", "studio", url)
    assert ran.code == 1
    assert why in ran.err
    assert "secret" not in ran.err
    assert shell("webhooks", "list", "--json").json == []


def test_an_operator_may_name_hosts_of_his_own(shell: Shell, workspace_id: str, tmp_path: Path) -> None:
    (tmp_path / "own.toml").write_text('webhook_allow = ["127.0.0.1:9000"]\n')
    added = shell("webhooks", "add", "studio", "http://127.0.0.1:9000/", "--config", str(tmp_path / "own.toml"))
    assert added.code == 0, added.err


def test_an_event_that_nobody_announces_is_refused(shell: Shell, workspace_id: str) -> None:
    ran = shell("webhooks", "add", "studio", HOOK, "--event", "task.exploded")
    assert (ran.code, ran.out) == (1, "")
    assert '"task.exploded" is none of task.cancelled, task.failed, task.succeeded, task.unknown' in ran.err


def test_there_are_only_so_many_and_none_twice(shell: Shell, workspace_id: str, tmp_path: Path) -> None:
    (tmp_path / "imageway.toml").write_text("[limits]\nwebhook_endpoints = 2\n")
    assert shell("webhooks", "add", "studio", HOOK).code == 0
    again = shell("webhooks", "add", "studio", HOOK)
    assert f'tells "{HOOK}" already' in again.err
    assert shell("webhooks", "add", "studio", f"{HOOK}/2").code == 0
    third = shell("webhooks", "add", "studio", f"{HOOK}/3")
    assert "has 2 endpoints already" in third.err
    assert "webhook_endpoints" in third.err


def test_an_endpoint_is_removed(shell: Shell, workspace_id: str) -> None:
    added = shell("webhooks", "add", "studio", HOOK, "--json").json
    assert shell("webhooks", "remove", added["id"], "--json").json == {"id": added["id"], "removed": True}
    assert shell("webhooks", "list", "--json").json == []
    again = shell("webhooks", "remove", added["id"])
    assert (again.code, again.err) == (1, f'imageway: there is no endpoint "{added["id"]}"\n')


def test_a_disabled_endpoint_is_shown_and_enabled(shell: Shell, workspace_id: str) -> None:
    added = shell("webhooks", "add", "studio", HOOK, "--json").json
    committed(shell, DisableEndpoint(added["id"], 1_760_000_000_000))
    assert shell("webhooks", "list", "--json").json[0]["disabled"] == "2025-10-09T08:53:20+00:00"
    assert shell("webhooks", "enable", added["id"], "--json").json == {"id": added["id"], "enabled": True}
    assert shell("webhooks", "list", "--json").json[0]["disabled"] is None
    assert "no disabled endpoint" in shell("webhooks", "enable", added["id"]).err


def test_endpoints_are_listed_by_workspace(shell: Shell, workspace_id: str) -> None:
    shell("workspaces", "create", "agency")
    shell("webhooks", "add", "studio", HOOK)
    shell("webhooks", "add", "agency", HOOK)
    assert [row["workspace"] for row in shell("webhooks", "list", "--json").json] == ["studio", "agency"]
    assert [row["workspace"] for row in shell("webhooks", "list", "--workspace", "agency", "--json").json] == ["agency"]
    assert 'there is no workspace "nobody"' in shell("webhooks", "list", "--workspace", "nobody").err


# Secrets


def test_a_rotated_secret_signs_for_a_day_beside_the_new_one(shell: Shell, workspace_id: str) -> None:
    added = shell("webhooks", "add", "studio", HOOK, "--json").json
    rotated = shell("webhooks", "rotate", added["id"], "--json").json
    assert set(rotated) == {"id", "secret", "old_until"}
    assert rotated["secret"] != added["secret"]
    new, old = in_books(shell.data, lambda store: store.read(ListSecrets(added["id"])))
    assert (new.until_ms, old.hint) == (None, added["secret"].rstrip("=")[-4:])
    assert old.until_ms is not None
    assert 86_000 < old.until_ms / 1000 - time.time() <= 86_400


def test_one_that_leaked_signs_nothing_from_now_on(shell: Shell, workspace_id: str) -> None:
    shell("webhooks", "secret", "studio")
    new = shell("webhooks", "rotate", "studio", "--now", "--json").json["secret"]
    assert shell("webhooks", "secret", "studio", "--json").json == [{"secret": new, "until": None}]


def test_the_secret_of_a_workspace_is_made_when_somebody_asks_and_stays(shell: Shell, workspace_id: str) -> None:
    (first,) = shell("webhooks", "secret", "studio", "--json").json
    assert first["secret"].startswith("whsec_")
    assert first["until"] is None
    assert shell("webhooks", "secret", workspace_id, "--json").json == [first]
    new = shell("webhooks", "rotate", "studio", "--json").json
    both = shell("webhooks", "secret", "studio", "--json").json
    assert both == [{"secret": new["secret"], "until": None}, {**first, "until": new["old_until"]}]


def test_what_has_no_secret_has_none_to_rotate(shell: Shell, workspace_id: str) -> None:
    assert "has no secret yet" in shell("webhooks", "rotate", "studio").err
    ran = shell("webhooks", "rotate", "end_nope")
    assert (ran.code, ran.err) == (1, 'imageway: there is no endpoint "end_nope"\n')


def test_a_ring_that_was_lost_is_told_and_a_rotation_mends_it(shell: Shell, workspace_id: str) -> None:
    """Of a data directory that was copied without it."""
    shell("webhooks", "secret", "studio")
    (shell.data / RING_FILE).unlink()
    ran = shell("webhooks", "secret", "studio")
    assert (ran.code, ran.out) == (1, "")
    assert "cannot be read" in ran.err
    new = shell("webhooks", "rotate", "studio", "--json").json["secret"]
    assert shell("webhooks", "secret", "studio", "--json").json == [{"secret": new, "until": None}]
    (shell.data / RING_FILE).write_text("nonsense")
    assert "write ID:KEY" in shell("webhooks", "secret", "studio").err


def test_to_name_no_event_is_a_mistake(shell: Shell, workspace_id: str) -> None:
    for written, code, told in (
        (("--event",), 2, "requires at least 1 element"),
        (("--event", ""), 1, 'the event "" is none of task.cancelled, '),
        (("--empty-event",), 2, "Unknown option"),
    ):
        ran = shell("webhooks", "add", "studio", HOOK, *written)
        assert (ran.code, ran.out) == (code, "")
        assert told in ran.err
    assert shell("webhooks", "list", "--json").json == []


# Deliveries


def test_deliveries_are_listed_newest_first_and_the_dead_alone(shell: Shell, workspace_id: str) -> None:
    delivery(shell, workspace_id, 1)
    delivery(shell, workspace_id, 2, "dead")
    delivery(shell, workspace_id, 3, "delivered")
    rows = shell("webhooks", "deliveries", "--json").json
    assert [row["id"] for row in rows] == ["msg_3", "msg_2", "msg_1"]
    assert [row["state"] for row in rows] == ["delivered", "dead", "pending"]
    (dead,) = shell("webhooks", "deliveries", "--dead", "--workspace", "studio", "--json").json
    assert dead == {
        "id": "msg_2",
        "task": "req_2",
        "endpoint": None,
        "url": HOOK,
        "event": "task.failed",
        "state": "dead",
        "tries": 1,
        "status": 503,
        "detail": "it answered 503",
        "created": dead["created"],
        "changed": dead["changed"],
        "next": None,
    }


def test_the_doctor_tells_of_the_dead(shell: Shell, workspace_id: str) -> None:
    delivery(shell, workspace_id, 1)
    assert "webhooks" not in {finding["about"] for finding in shell("doctor", "--json").json}
    delivery(shell, workspace_id, 2, "dead")
    (found,) = [finding for finding in shell("doctor", "--json").json if finding["about"] == "webhooks"]
    assert (found["state"], found["advice"]) == ("warning", "imageway webhooks deliveries --dead")
    assert found["says"].startswith("1 message(s)")


def test_a_list_that_was_cut_says_so(shell: Shell, workspace_id: str) -> None:
    for number in (1, 2, 3):
        delivery(shell, workspace_id, number)
    assert "there are more" not in shell("webhooks", "deliveries", "--limit", "3").out
    ran = shell("webhooks", "deliveries", "--limit", "2", "--json")
    assert len(ran.json) == 2
    assert "there are more" in ran.err
    assert "a number from 1" in shell("webhooks", "deliveries", "--limit", "0").err


def test_one_delivery_is_replayed_under_its_own_id(shell: Shell, workspace_id: str) -> None:
    name = delivery(shell, workspace_id, 1, "dead")
    assert shell("webhooks", "replay", name, "--json").json == {"replayed": [name]}
    (row,) = shell("webhooks", "deliveries", "--json").json
    assert (row["id"], row["state"], row["tries"]) == (name, "pending", 0)
    again = shell("webhooks", "replay", name)
    assert "is being delivered already" in again.err


def test_all_the_dead_are_replayed_however_many_there_are(
    shell: Shell, workspace_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("imageway.server.webhook_endpoints.PAGE", 2)
    for number in range(5):
        delivery(shell, workspace_id, number, "dead" if number != 3 else "delivered")
    shell("workspaces", "create", "agency")
    assert shell("webhooks", "replay", "--all-dead", "--workspace", "agency", "--json").json == {"replayed": []}
    replayed = shell("webhooks", "replay", "--all-dead", "--json").json["replayed"]
    assert sorted(replayed) == ["msg_0", "msg_1", "msg_2", "msg_4"]
    left = in_books(shell.data, lambda store: store.read(ListDeliveries(state="dead")))
    assert left == ()


@pytest.mark.parametrize("gone", ["removed", "disabled"])
def test_nothing_is_replayed_to_nobody(shell: Shell, workspace_id: str, gone: str) -> None:
    added = shell("webhooks", "add", "studio", HOOK, "--json").json
    name = f"msg_1_{added['id'].removeprefix('end_')}"
    committed(
        shell,
        NotifyEndpoints("req_1", workspace_id, "task.failed", 5),
        ClaimDelivery(name, 0, 50, 60),
        EndDelivery(name, 1, "dead", 410, "it answered 410", 55),
    )
    if gone == "removed":
        shell("webhooks", "remove", added["id"])
    else:
        committed(shell, DisableEndpoint(added["id"], 60))
    ran = shell("webhooks", "replay", name)
    assert ran.code == 1
    assert ran.err.startswith(f"imageway: its endpoint {'was removed' if gone == 'removed' else 'is disabled'}")


@pytest.mark.parametrize("arguments", [(), ("msg_1", "--all-dead"), ("msg_1", "--workspace", "studio")])
def test_what_to_replay_is_said_exactly(shell: Shell, workspace_id: str, arguments: tuple[str, ...]) -> None:
    assert shell("webhooks", "replay", *arguments).code == 1


def test_a_delivery_that_never_was_cannot_be_replayed(shell: Shell, workspace_id: str) -> None:
    assert shell("webhooks", "replay", "msg_9").err == 'imageway: there is no delivery "msg_9"\n'
