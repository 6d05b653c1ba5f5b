"""Every command that ends: what it prints with --json, what it tells people, and how it stops."""

from __future__ import annotations

import asyncio
import json
import re
import sqlite3
from contextlib import closing
from functools import partial
from pathlib import Path

import pytest

from imageway.catalog import load
from imageway.core.intents import ModelList, ShowModels
from imageway.core.ops import Committed
from imageway.dialects import DIALECTS
from imageway.engine.models import card
from imageway.ledger.ops import RecordUsage
from imageway.ledger.queries import FindKey, FindWorkspace, ListKeys, ListWorkspaces
from imageway.server.auth import digest_of
from imageway.server.books import open_books
from imageway.server.configuration import read_settings
from tests.unit.cli.conftest import Shell

MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00")


# Workspaces and keys


def test_a_workspace_is_made_once_and_listed(shell: Shell) -> None:
    made = shell("workspaces", "create", "shop", "--json").json
    assert set(made) == {"id", "name"}
    assert made["name"] == "shop"
    again = shell("workspaces", "create", "shop")
    assert (again.code, again.err) == (1, 'imageway: there is a workspace "shop" already\n')
    (row,) = shell("workspaces", "list", "--json").json
    assert row == {"id": made["id"], "name": "shop", "created": row["created"]}
    assert MOMENT.fullmatch(row["created"])


@pytest.mark.parametrize("name", ["", "  ", " shop", "shop ", "shop\u3000", "a\nb", "\x1b[2J", "x" * 101])
def test_a_name_has_to_be_visible(shell: Shell, name: str) -> None:
    for command in (("workspaces", "create", name), ("keys", "create", "--workspace", name)):
        ran = shell(*command)
        assert ran.code == 1
        assert "write 1 to 100 visible characters, the first and the last no space" in ran.err
    assert shell("workspaces", "list", "--json").json == []


def test_a_key_is_shown_once_and_kept_as_a_digest(shell: Shell) -> None:
    made = shell("keys", "create", "--workspace", "shop", "--name", "till", "--json").json
    assert set(made) == {"key", "id", "workspace"}
    assert re.fullmatch(r"sk-iw-[a-z2-7]{52}", made["key"])
    listed = shell("keys", "list", "--json")
    (row,) = listed.json
    assert row == {
        "id": made["id"],
        "workspace": "shop",
        "name": "till",
        "key": f"sk-iw-…{made['key'][-4:]}",
        "models": [],
        "operations": [],
        "dialects": [],
        "networks": [],
        "max_price_usd": None,
        "signed": False,
        "root": made["id"],
        "budgets": {},
        "created": row["created"],
        "expires": None,
        "revoked": None,
    }
    assert made["key"] not in listed.out
    content = b"".join(path.read_bytes() for path in shell.data.iterdir() if path.is_file())
    assert made["id"].encode() in content
    assert made["key"].encode() not in content

    async def find() -> str | None:
        async with open_books(read_settings({"data": shell.data}, {})) as store:
            found = await store.read(FindKey(digest_of(made["key"])))
            return found.id if found else None

    assert asyncio.run(find()) == made["id"]


def test_a_missing_workspace_is_made_with_an_empty_wallet(shell: Shell) -> None:
    assert shell("keys", "create", "--json").json["workspace"] == "default"
    assert shell("wallet", "show", "default", "--json").json["available_usd"] == "0.000000"
    shell("keys", "create", "--json")
    assert [row["name"] for row in shell("workspaces", "list", "--json").json] == ["default"]


def test_lists_are_whole_however_many_pages_they_take(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two to a page here; keys made within one millisecond are told apart by their ids."""
    monkeypatch.setattr("imageway.server.administration.keys.ListKeys", partial(ListKeys, limit=2))
    monkeypatch.setattr("imageway.server.administration.workspaces.ListWorkspaces", partial(ListWorkspaces, limit=2))
    names = [f"w{number}" for number in range(5)]
    made = [shell("keys", "create", "--workspace", name, "--json").json["id"] for name in names]
    assert [row["name"] for row in shell("workspaces", "list", "--json").json] == names
    assert [row["id"] for row in shell("keys", "list", "--json").json] == made
    assert [row["id"] for row in shell("keys", "list", "--workspace", "w3", "--json").json] == made[3:4]
    found = {finding["about"]: finding["says"] for finding in shell("doctor", "--json").json}
    assert found["database"] == "5 workspace(s), 5 valid key(s)"


def test_a_key_may_be_for_some_models_only(shell: Shell) -> None:
    shell("keys", "create", "--models", "gemini-*", "qwen-image", "--json")
    shell("keys", "create", "--workspace", "other", "--json")
    assert [row["models"] for row in shell("keys", "list", "--json").json] == [["gemini-*", "qwen-image"], []]
    assert [row["models"] for row in shell("keys", "list", "--workspace", "other", "--json").json] == [[]]
    table = shell("keys", "list").out
    assert "gemini-* qwen-image" in table
    assert re.search(r"\ball\b", table)


@pytest.mark.parametrize("patterns", [("",), ("gemini-*", " ")])
def test_a_pattern_that_fits_nothing_is_refused(shell: Shell, patterns: tuple[str, ...]) -> None:
    ran = shell("keys", "create", "--models", *patterns)
    assert (ran.code, ran.out) == (1, "")
    assert 'write patterns such as "g*", or none at all' in ran.err
    assert shell("keys", "list", "--json").json == []


def test_a_key_is_revoked_once(shell: Shell) -> None:
    made = shell("keys", "create", "--json").json
    assert shell("keys", "revoke", made["id"], "--json").json == {"id": made["id"], "revoked": True}
    (row,) = shell("keys", "list", "--json").json
    assert MOMENT.fullmatch(row["revoked"])
    again = shell("keys", "revoke", made["id"])
    assert (again.code, again.err) == (1, f'imageway: the key "{made["id"]}" is revoked\n')
    assert (again.out, shell("keys", "revoke", "nothing").code) == ("", 1)


# Wallets


def test_a_wallet_is_six_decimals_of_dollars(shell: Shell) -> None:
    shell("workspaces", "create", "shop")
    topped = shell("wallet", "topup", "shop", "12.5", "--json").json
    assert topped == {
        "workspace": "shop",
        "available_usd": "12.500000",
        "held_usd": "0.000000",
        "spent_usd": "0.000000",
    }
    shell("wallet", "topup", "shop", "0.000001")
    assert shell("wallet", "show", "shop", "--json").json == {**topped, "available_usd": "12.500001"}
    assert shell("wallet", "show", "shop").out.splitlines() == [
        "workspace  available_usd  held_usd  spent_usd",
        "shop       12.500001      0.000000  0.000000",
    ]


@pytest.mark.parametrize(
    ("amount", "said"),
    [
        ("0", "nothing to add"),
        ("1.1234567", "at most six decimals"),
        ("1e3", "is not an amount of dollars"),
        ("ten", '"ten" is not an amount of dollars'),
        ("1000000001", "at most $1000000000.000000"),
        ("999999999999", "more than can be added at once"),
        ("1000000000000000", "$1000000000000000 is more than can be added at once: at most $1000000000.000000"),
        ("9999999999999.1234567", "is not an amount"),
    ],
)
def test_an_amount_that_cannot_be_added_is_refused_in_a_sentence(shell: Shell, amount: str, said: str) -> None:
    shell("workspaces", "create", "shop")
    ran = shell("wallet", "topup", "shop", amount)
    assert ran.code == 1
    assert said in ran.err
    assert shell("wallet", "show", "shop", "--json").json["available_usd"] == "0.000000"


@pytest.mark.parametrize(
    "command", [("wallet", "show"), ("wallet", "topup"), ("usage", "--workspace"), ("keys", "list", "--workspace")]
)
def test_an_unknown_workspace_is_named_with_what_to_do(shell: Shell, command: tuple[str, ...]) -> None:
    ran = shell(*command, "nobody", *(("1",) if "topup" in command else ()))
    said = 'imageway: there is no workspace "nobody"; make it with: imageway workspaces create nobody\n'
    assert (ran.code, ran.out, ran.err) == (1, "", said)


# Usage, models, doctor


def test_usage_is_one_row_a_request_newest_first(shell: Shell) -> None:
    shell("workspaces", "create", "shop")
    shell("workspaces", "create", "other")

    async def record() -> None:
        async with open_books(read_settings({"data": shell.data}, {})) as store:
            owner = await store.read(FindWorkspace("shop"))
            assert owner is not None
            for number in (1, 2):
                row = RecordUsage(
                    request_id=f"req_{number}",
                    workspace_id=owner.id,
                    key_id="key_1",
                    model="qwen-image",
                    outcome="succeeded",
                    n=2,
                    delivered=1,
                    price_usd_micros=35_000,
                    cost_usd_micros=34_000,
                    lines=b"[]",
                    delivery="stored",
                    owner="proc_1",
                    upstream_id="dashscope",
                    at_ms=1_795_000_000_000 + number,
                )
                assert isinstance(await store.commit(row), Committed)

    asyncio.run(record())
    rows = shell("usage", "--json").json
    assert [row["request_id"] for row in rows] == ["req_2", "req_1"]
    assert rows[1] == {
        "request_id": "req_1",
        "workspace": "shop",
        "model": "qwen-image",
        "outcome": "succeeded",
        "n": 2,
        "delivered": 1,
        "price_usd": "0.035000",
        "cost_usd": "0.034000",
        "delivery": "stored",
        "upstream": "dashscope",
        "at": rows[1]["at"],
    }
    assert shell("usage", "--workspace", "shop", "--json").json == rows
    assert shell("usage", "--workspace", "other", "--json").json == []
    assert len(shell("usage").out.splitlines()) == 3
    for limit in ("2", "3"):
        assert len(shell("usage", "--limit", limit).out.splitlines()) == 3
    more = "… there are more; use --limit (this was 1)"
    short = shell("usage", "--limit", "1")
    assert [line.split()[0] for line in short.out.splitlines()] == ["request_id", "req_2", "…"]
    assert short.out.splitlines()[-1] == more
    short = shell("usage", "--limit", "1", "--json")
    assert (short.json, short.err) == (rows[:1], f"{more}\n")
    for limit in ("0", "-1", "9" * 30):
        assert "a number from 1 to 1000000" in shell("usage", "--limit", limit).err


def test_models_are_the_cards_of_the_endpoint(shell: Shell) -> None:
    """Nothing has to be configured for it, and nothing is written."""
    shown = shell("models", "--json").json
    cards = ModelList(tuple(card(model) for model in load().models.values()))
    assert shown == DIALECTS[0].encode(ShowModels(), cards).body
    table = shell("models").out.splitlines()
    assert len(table) == 1 + len(load().models)
    assert any(re.match(r"gpt-image-2 +GPT Image 2 +\$5\.00 per 1M input text tokens +live", line) for line in table)
    assert any(re.match(r"qwen-image-plus .*\$0\.03 per image +live", line) for line in table)
    assert not shell.data.exists()


def test_the_doctor_says_what_to_do(shell: Shell) -> None:
    first = shell("doctor", "--json").json
    assert all(set(finding) == {"about", "state", "says", "advice"} for finding in first)
    assert {finding["about"]: finding["advice"] for finding in first}["keys"] == "imageway keys create"
    shell("keys", "create", "--workspace", "shop")
    second = {finding["about"]: finding for finding in shell("doctor", "--json").json}
    assert second["wallets"]["advice"] == "imageway wallet topup WORKSPACE USD"
    assert second["database"]["says"] == "1 workspace(s), 1 valid key(s)"
    shell("wallet", "topup", "shop", "1")
    third = {finding["about"]: finding["state"] for finding in shell("doctor", "--json").json}
    assert "wallets" not in third
    assert third["clock"] == "ok"
    assert "imageway serve --sandbox" in shell("doctor").out


@pytest.mark.parametrize("command", [("doctor",), ("workspaces", "create", "w"), ("db", "upgrade")])
def test_the_data_directory_is_its_owners_alone(shell: Shell, command: tuple[str, ...]) -> None:
    """Other users of the machine do not read what callers sent and bought; one that is there keeps its mode."""
    shell(*command)
    assert shell.data.stat().st_mode & 0o777 == 0o700
    shell.data.chmod(0o750)
    shell(*command)
    assert shell.data.stat().st_mode & 0o777 == 0o750


def test_the_doctor_names_a_credential_that_no_request_could_carry(
    shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`serve` would not start with it; and nothing is asked for its sake."""
    monkeypatch.setenv("OPENAI_API_KEY", "sk-test-1\nsk-test-2")
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:9")
    ran = shell("doctor", "--json")
    (found,) = [row for row in json.loads(ran.out) if row["about"] == "upstream openai"]
    assert (ran.code, found["state"]) == (1, "error")
    assert "holds what no header can carry" in found["says"]
    assert "sk-test-1" not in ran.out


def test_a_demo_that_has_nowhere_to_write_says_so(shell: Shell) -> None:
    (shell.data.parent / "taken").write_text("")
    ran = shell.plain("demo", "--stop", "--output", str(shell.data.parent / "taken"))
    assert (ran.code, ran.out) == (1, "")
    assert '--output "' in ran.err


def test_the_doctor_looks_at_the_books(shell: Shell) -> None:
    """Sums that differ from their rows are an error, with the command that says where."""
    shell("workspaces", "create", "shop")
    shell("wallet", "topup", "shop", "5")

    def books() -> dict[str, str]:
        (found,) = [row for row in json.loads(shell("doctor", "--json").out) if row["about"] == "books"]
        return found

    assert (books()["state"], books()["advice"]) == ("ok", "")
    with closing(sqlite3.connect(shell.data / "imageway.db")) as database:
        database.execute("UPDATE wallets SET available = available + 1, topped_up = topped_up + 1")
        database.commit()
    assert books()["state"] == "error"
    assert books()["advice"] == "imageway ledger verify"
    assert shell("doctor").code == 1


def test_the_doctor_does_not_look_at_the_books_for_ever(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    shell("workspaces", "create", "shop")
    monkeypatch.setattr("imageway.cli.checkup.VERIFY_S", 0.0)
    (found,) = [row for row in json.loads(shell("doctor", "--json").out) if row["about"] == "books"]
    assert found["state"] == "ok"
    assert "not all of them" in found["says"]
    assert found["advice"] == "imageway ledger verify"


def test_the_doctor_ends_with_1_when_something_is_wrong(shell: Shell, tmp_path: Path) -> None:
    (tmp_path / "imageway.toml").write_text("[[upstreams]]\nprovider = 'nobody'\nkey = 'sk-test-1'")
    ran = shell("doctor", "--json")
    assert ran.code == 1
    assert '"error"' in ran.out
    assert "nobody" in ran.out
    assert "sk-test-1" not in ran.out


def test_an_upstream_that_cannot_be_reached_is_found(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-test-1")
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:1/v1")
    ran = shell("doctor")
    assert ran.code == 1
    assert re.search(r"upstream openai +error +127\.0\.0\.1:1 cannot be reached", ran.out)


# How commands stop


@pytest.mark.parametrize(
    ("text", "said"),
    [("port = 'x'", "imageway.toml"), ("prot = 1", "prot"), ("catalog = 'missing'", "missing: is not a directory")],
)
def test_a_mistake_in_the_configuration_is_named(shell: Shell, tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "imageway.toml").write_text(text)
    ran = shell("models")
    assert ran.code == 1
    assert ran.out == ""
    assert ran.err.startswith("imageway: ")
    assert said in ran.err


RATE = '[[rates]]\ncurrency = "CNY"\nusd = "0.14"\neffective = "{}"\nsource = "our bank"\nchecked = "2026-11-20"\n'


@pytest.mark.parametrize("command", [("serve", "--port", "0"), ("doctor",), ("prices", "show", "qwen-image-2.0")])
def test_rates_that_all_begin_later_stop_a_gateway_and_not_in_silence(
    shell: Shell, tmp_path: Path, command: tuple[str, ...]
) -> None:
    """What costs yuan would be sold by a rate that is not in force."""
    (tmp_path / "own").mkdir()
    (tmp_path / "imageway.toml").write_text("catalog = 'own'")
    (tmp_path / "own" / "rates.toml").write_text(RATE.format("9998-12-31") + RATE.format("9999-12-31"))
    ran = shell(*command)
    assert ran.code == 1
    assert "the earliest begins on 9998-12-31: add the one that counts until then" in ran.out + ran.err


def test_a_rate_that_begins_later_beside_one_in_force_stops_nobody(shell: Shell, tmp_path: Path) -> None:
    (tmp_path / "own").mkdir()
    (tmp_path / "imageway.toml").write_text("catalog = 'own'")
    (tmp_path / "own" / "rates.toml").write_text(RATE.format("9999-12-31") + RATE.format("2025-01-01"))
    assert shell("prices", "show", "qwen-image-2.0", "--json").code == 0
    found = {finding["about"]: finding["state"] for finding in shell("doctor", "--json").json}
    assert found["configuration"] == "ok"


@pytest.mark.parametrize(
    ("database", "said"),
    [
        ("foo://me:pass-word@host/x", "is no database"),
        ("sqlite:///dev/null/x.db", "imageway: "),
        ("postgresql://me:pass-word@127.0.0.1:1/x", "cannot be reached"),
    ],
)
def test_a_database_that_cannot_be_opened_is_one_sentence_without_its_password(
    shell: Shell, monkeypatch: pytest.MonkeyPatch, database: str, said: str
) -> None:
    monkeypatch.setenv("IMAGEWAY_DATABASE", database)
    ran = shell("usage")
    assert ran.code == 1
    assert said in ran.err
    assert "pass-word" not in ran.err


def test_a_data_directory_that_cannot_be_made_is_one_sentence(shell: Shell, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    ran = shell.plain("usage", "--data", str(tmp_path / "file" / "data"))
    assert ran.code == 1
    assert "imageway: the data directory cannot be used: " in ran.err


@pytest.mark.parametrize("arguments", [("serve", "--port", "0"), ("worker",)])
def test_a_gateway_without_a_place_for_its_data_says_so(shell: Shell, arguments: tuple[str, ...]) -> None:
    (shell.data.parent / "file").write_bytes(b"")
    ran = shell.plain(*arguments, "--data", str(shell.data.parent / "file" / "data"))
    assert (ran.code, ran.out) == (1, "")
    assert "imageway: the data directory cannot be used: " in ran.err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("serve", "--port", "70000"), 'port is "70000"; a number from 0 to 65535'),
        (("serve", "--drain", "inf"), 'drain is "inf"'),
        (("serve", "--host", "256.0.0.1", "--port", "0"), "cannot serve on 256.0.0.1:0"),
    ],
)
def test_a_gateway_that_cannot_start_says_why(shell: Shell, arguments: tuple[str, ...], said: str) -> None:
    ran = shell(*arguments)
    assert ran.code == 1
    assert said in ran.err


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ("melt=0.1", '"melt" is not a fault; accepted are rate_limit'),
        ("late=2", "the rate is a share from 0 to 1"),
        ("late=x", "write NAME=RATE"),
        ("late=nan", "the rate is a share from 0 to 1"),
    ],
)
def test_a_sandbox_that_cannot_start_says_why(shell: Shell, fault: str, said: str) -> None:
    ran = shell.plain("sandbox", "--port", "0", "--fault", fault)
    assert ran.code == 1
    assert said in ran.err


@pytest.mark.parametrize(
    "arguments", [("nonsense",), ("wallet", "show"), ("serve", "--nonsense"), ("serve", "--port", "x")]
)
def test_a_command_that_was_not_understood_ends_with_2(shell: Shell, arguments: tuple[str, ...]) -> None:
    ran = shell.plain(*arguments)
    assert (ran.code, ran.out) == (2, "")


@pytest.mark.parametrize("arguments", [("--help",), ("serve", "--help"), ("keys", "create", "--help")])
def test_help_is_there_for_every_command(shell: Shell, arguments: tuple[str, ...]) -> None:
    ran = shell.plain(*arguments)
    assert ran.code == 0
    assert "Usage" in ran.out


@pytest.mark.parametrize(("raised", "code"), [(BrokenPipeError(), 141), (KeyboardInterrupt(), 130)])
def test_a_reader_that_leaves_and_a_person_that_stops_it_see_no_trace(
    shell: Shell, monkeypatch: pytest.MonkeyPatch, raised: BaseException, code: int
) -> None:
    def end(*_: object, **__: object) -> None:
        raise raised

    monkeypatch.setattr("imageway.cli.catalogue.list_models", end)
    assert shell("models").code == code
