"""Commands on grants and adjustments, on which usage is listed, and on whether the books are right."""

from __future__ import annotations

import asyncio
import json
import sqlite3
import time
from contextlib import closing

import pytest

from imageway.core.ops import Committed, Op
from imageway.ledger.access import ListChanges
from imageway.ledger.ops import Capture, Hold, RecordUsage
from imageway.ledger.queries import FindWorkspace
from imageway.server.books import open_books
from imageway.server.configuration import read_settings
from tests.unit.cli.conftest import Shell

AT_MS = 1_772_366_400_000  # 2026-03-01T12:00:00Z


def book(shell: Shell, *rows: Op) -> None:
    async def commit() -> None:
        async with open_books(read_settings({"data": shell.data}, {})) as store:
            assert isinstance(await store.commit(*rows), Committed)

    asyncio.run(commit())


def id_of(shell: Shell, name: str) -> str:
    async def find() -> str:
        async with open_books(read_settings({"data": shell.data}, {})) as store:
            found = await store.read(FindWorkspace(name))
            assert found is not None
            return found.id

    return asyncio.run(find())


def request(number: int, **changes: object) -> RecordUsage:
    row: dict[str, object] = {
        "request_id": f"req_{number}",
        "workspace_id": "ws_1",
        "key_id": "key_1",
        "model": "draw-1",
        "outcome": "succeeded",
        "n": 1,
        "delivered": 1,
        "price_usd_micros": 0,
        "cost_usd_micros": 0,
        "lines": b"[]",
        "delivery": "stored",
        "owner": "proc_1",
        "upstream_id": "up_1",
        "at_ms": AT_MS + number,
    }
    return RecordUsage(**row | changes)  # type: ignore[arg-type]


def test_grants_and_adjustments_are_shown_beside_what_is_there(shell: Shell) -> None:
    shell("workspaces", "create", "shop")
    assert shell("wallet", "grant", "shop", "5", "--json").json["available_usd"] == "5.000000"
    assert shell("wallet", "adjust", "shop", "0.25", "--reason", "a gift").code == 0
    assert shell("wallet", "adjust", "shop", "-1.5", "--reason", "a mistake").out.splitlines() == [
        "workspace  available_usd  held_usd  spent_usd  granted_usd  adjusted_usd",
        "shop       3.750000       0.000000  0.000000   5.000000     -1.250000",
    ]


def test_what_is_moved_by_hand_stands_in_the_audit_log_with_its_reason(shell: Shell) -> None:
    shell("workspaces", "create", "shop")
    shell("wallet", "topup", "shop", "1")
    shell("wallet", "adjust", "shop", "-0.5", "--reason", "paid twice")

    async def changes() -> list[tuple[str, str]]:
        async with open_books(read_settings({"data": shell.data}, {})) as store:
            found = await store.read(ListChanges())
            return [(change.action, json.loads(change.after).get("reason", "")) for change in found]

    assert asyncio.run(changes())[:2] == [("wallet.adjust", "paid twice"), ("wallet.topup", "")]


@pytest.mark.parametrize(
    ("act", "reason"), [("topup", ()), ("grant", ()), ("adjust", ("--reason", "a slip"))], ids=lambda one: str(one)
)
def test_what_is_moved_under_an_id_is_moved_once(shell: Shell, act: str, reason: tuple[str, ...]) -> None:
    """A script may run again: the same under the same id is done already, and says so; anything else is refused."""
    shell("workspaces", "create", "shop")
    shell("workspaces", "create", "other")
    for count in range(3):
        ran = shell("wallet", act, "shop", "2.5", "--id", "inv-7", *reason, "--json")
        assert ran.json["available_usd"] == "2.500000"
        assert ("was done before" in ran.err) == (count > 0)
    for words in ((act, "shop", "2.4"), ("grant" if act == "topup" else "topup", "shop", "2.5")):
        ran = shell("wallet", *words, "--id", "inv-7", *(reason if act in words else ()))
        assert ran.code == 1
        assert 'something else was done under the id "inv-7"' in ran.err
    assert shell("wallet", act, "other", "2.5", "--id", "inv-7", *reason, "--json").json["available_usd"] == "2.500000"
    assert shell("wallet", "show", "shop", "--json").json["available_usd"] == "2.500000"
    assert '--id is "a b"' in shell("wallet", act, "shop", "1", "--id", "a b", *reason).err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("grant", "shop", "0"), "nothing to grant"),
        (("adjust", "shop", "-0", "--reason", "x"), "nothing to adjust"),
        (("adjust", "shop", "-1", "--reason", "x"), 'the workspace "shop" has $0.000000 available'),
        (("adjust", "shop", "1", "--reason", " "), "--reason needs a line"),
        (("adjust", "shop", "-+1", "--reason", "x"), "is not an amount"),
        (("grant", "nobody", "1"), 'there is no workspace "nobody"'),
    ],
)
def test_what_cannot_be_moved_is_refused_in_a_sentence(shell: Shell, words: tuple[str, ...], said: str) -> None:
    shell("workspaces", "create", "shop")
    ran = shell("wallet", *words)
    assert ran.code == 1
    assert said in ran.err
    assert shell("wallet", "show", "shop", "--json").json["available_usd"] == "0.000000"


def test_usage_is_listed_by_what_it_is_of(shell: Shell) -> None:
    book(
        shell,
        request(1),
        request(2, key_id="key_2"),
        request(3, model="draw-2"),
        request(4, outcome="unknown", delivery="none"),
        request(5, at_ms=AT_MS + 86_400_000),
    )

    def found(*words: str) -> list[str]:
        return [row["request_id"] for row in shell("usage", "--json", *words).json]

    assert found("--key", "key_2") == ["req_2"]
    assert found("--model", "draw-2") == ["req_3"]
    assert found("--outcome", "unknown") == ["req_4"]
    assert found("--since", "2026-03-02") == ["req_5"]
    assert found("--until", "2026-03-01T13:00:00.002+01:00") == ["req_1"]
    assert found("--since", "2026-03-01", "--until", "2026-03-02", "--limit", "2") == ["req_4", "req_3"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--since", "yesterday"), '--since "yesterday" is not a time: write a date such as'),
        (("--until", "2026-13-01"), '--until "2026-13-01" is not a time'),
        (("--outcome", "done"), '--outcome "done": one of cancelled, failed, succeeded, unknown'),
    ],
)
def test_a_filter_that_means_nothing_is_refused(shell: Shell, words: tuple[str, ...], said: str) -> None:
    ran = shell("usage", *words)
    assert (ran.code, ran.out) == (1, "")
    assert said in ran.err


def test_usage_may_be_of_the_last_days(shell: Shell) -> None:
    shell("workspaces", "create", "shop")
    book(shell, request(1, workspace_id=id_of(shell, "shop"), at_ms=int(time.time() * 1000) - 5 * 86_400_000))
    assert len(shell("usage", "--since", "7d", "--json").json) == 1
    assert shell("usage", "--since", "3d", "--json").json == []
    assert shell("usage", "--until", "7d", "--json").json == []


def test_sound_books_are_right(shell: Shell) -> None:
    shell("workspaces", "create", "shop")
    shell("wallet", "topup", "shop", "1")
    workspace_id = id_of(shell, "shop")
    book(
        shell,
        Hold("req_1", workspace_id, 900, AT_MS),
        Capture("req_1", 700, AT_MS),
        request(1, workspace_id=workspace_id, price_usd_micros=700),
    )
    assert shell("ledger", "verify").out == "The books are right.\n"
    assert shell("ledger", "verify", "--json", "--workspace", "shop").json == []


def test_books_that_are_wrong_say_where_and_exit_with_one(shell: Shell) -> None:
    shell("workspaces", "create", "shop")
    shell("workspaces", "create", "other")
    shell("wallet", "topup", "shop", "1")
    book(shell, request(1))
    workspace_id = id_of(shell, "shop")
    with closing(sqlite3.connect(shell.data / "imageway.db")) as connection, connection:
        connection.execute("UPDATE wallets SET available = 999999, spent = 1 WHERE available > 0")
        connection.execute("UPDATE usage_sums SET requests = 2 WHERE span_ms = 3600000")
    ran = shell("ledger", "verify")
    hour = f"sum 3600000 {AT_MS} ws_1 key_1 draw-1 up_1 succeeded"
    assert ran.code == 1
    assert ran.err == "imageway: 3 figure(s) of the books differ\n"
    assert ran.out.splitlines() == [
        f"{hour}: requests: its usage rows come to 1, the sum says 2",
        f"wallet {workspace_id}: available: its transfers come to $1.000000, the wallet says $0.999999",
        f"wallet {workspace_id}: spent: its transfers come to $0.000000, the wallet says $0.000001",
    ]
    assert shell("ledger", "verify", "--workspace", "other").code == 0
    told = shell("ledger", "verify", "--workspace", "shop", "--json")
    assert told.code == 1
    assert json.loads(told.out)[1] == {"law": "wallet", "name": workspace_id, "what": "spent", "rows": 0, "made": 1}


def test_without_a_database_there_is_nothing_to_verify(shell: Shell) -> None:
    ran = shell("ledger", "verify")
    assert (ran.code, ran.out) == (1, "")
    assert "there is no database" in ran.err
