"""Commands on keys, workspaces and members: what they print, and what they say to somebody who mistyped."""

from __future__ import annotations

import re
from typing import Any

import pytest

from tests.unit.cli.conftest import Shell


def made(shell: Shell, *options: str) -> dict[str, Any]:
    found: dict[str, Any] = shell("keys", "create", *options, "--json").json
    return found


def test_a_key_is_made_with_all_its_limits(shell: Shell) -> None:
    limits = (
        "--operations",
        "edit",
        "generate",
        "--dialects",
        "omixa",
        "--network",
        "203.0.113.9",
        "--max-price",
        "0.25",
    )
    key = made(shell, *limits, "--expires", "90d", "--budget", "day=5", "total=9.5")
    shown = shell("keys", "show", key["id"], "--json").json
    assert (shown["operations"], shown["dialects"]) == (["edit", "generate"], ["omixa"])
    assert (shown["networks"], shown["max_price_usd"]) == (["203.0.113.9/32"], "0.250000")
    assert {period: budget["limit_usd"] for period, budget in shown["budgets"].items()} == {
        "day": "5.000000",
        "total": "9.500000",
    }
    assert shown["budgets"]["total"]["resets"] is None
    assert shown["expires"] > shown["created"]
    table = shell("keys", "list").out
    assert "edit generate omixa 203.0.113.9/32 ≤$0.250000 day=$5.000000 total=$9.500000" in table
    assert "operations     edit generate" in shell("keys", "show", key["id"]).out


def test_a_signed_key_is_shown_with_its_secret_once(shell: Shell) -> None:
    key = made(shell, "--signed")
    assert re.fullmatch(r"iwsig_[0-9a-f]{64}", key["signing_secret"])
    assert "signing_secret" not in made(shell)
    told = shell("keys", "create", "--signed").out
    assert "signing secret: iwsig_" in told
    content = b"".join(path.read_bytes() for path in shell.data.rglob("*") if path.is_file())
    assert key["signing_secret"].removeprefix("iwsig_").encode() not in content


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--operations", "paint"), 'operations: "paint" is none of generate, edit'),
        (("--dialects", "soap"), '"soap" is none of openai_images'),
        (("--network", "office"), '--network: "office" names no network'),
        (("--max-price", "much"), '--max-price: "much" is not an amount of dollars'),
        (("--expires", "2020-01-01"), 'expires "2020-01-01" is over'),
        (("--expires", "soon"), "write one such as 2027-01-31, or a span such as 90d"),
        (("--budget", "day"), '"day" is no budget: write a period and dollars, such as day=5.00'),
        (("--budget", "week=5"), '"week" is none of day, month, total'),
        (("--budget", "day=-5"), "is not an amount of dollars"),
        (("--operations", "paint", "--network", "office"), "names no network"),
    ],
)
def test_a_limit_that_cannot_be_is_refused_in_a_sentence(shell: Shell, options: tuple[str, ...], said: str) -> None:
    ran = shell("keys", "create", *options)
    assert (ran.code, ran.out) == (1, "")
    assert said in ran.err
    assert shell("keys", "list", "--json").json == []


def test_what_is_left_out_of_an_update_stays(shell: Shell) -> None:
    key = made(shell, "--name", "till", "--operations", "edit", "--max-price", "0.25", "--models", "a*")
    changed = shell(
        "keys", "update", key["id"], "--name", "none", "--models", "all", "--max-price", "none", "--json"
    ).json
    assert (changed["name"], changed["models"], changed["max_price_usd"]) == ("none", [], None)
    assert changed["operations"] == ["edit"]
    later = shell("keys", "update", key["id"], "--expires", "1h", "--json").json
    assert later["expires"] is not None
    assert shell("keys", "update", key["id"], "--expires", "never", "--json").json["expires"] is None
    ran = shell("keys", "update", key["id"])
    assert (ran.code, ran.err) == (1, "imageway: nothing to change: see imageway keys update --help\n")
    assert 'there is no key "key_0"' in shell("keys", "update", "key_0", "--name", "x").err


def test_a_key_is_rotated_to_one_of_the_same_root(shell: Shell) -> None:
    old = made(shell, "--name", "till", "--budget", "month=7")
    new = shell("keys", "rotate", old["id"], "--overlap", "7d", "--json").json
    assert new["key"] != old["key"]
    again = shell("keys", "rotate", new["id"], "--json").json
    rows = {row["id"]: row for row in shell("keys", "list", "--json").json}
    assert {row["root"] for row in rows.values()} == {old["id"]}
    assert {row["name"] for row in rows.values()} == {"till"}
    assert all(row["budgets"]["month"]["limit_usd"] == "7.000000" for row in rows.values())
    assert rows[old["id"]]["expires"] == new["old_until"]
    assert rows[again["id"]]["expires"] is None
    assert "--overlap" not in shell("keys", "rotate", again["id"], "--overlap", "soon").out


def test_budgets_are_set_dropped_and_begun_anew(shell: Shell) -> None:
    key = made(shell, "--budget", "day=1")
    shown = shell("keys", "budget", key["id"], "day=none", "month=3", "--json").json
    assert list(shown["budgets"]) == ["month"]
    assert shell("keys", "budget", key["id"], "day=none", "--json").json == shown  # there is none already
    assert shell("keys", "budget", key["id"], "--reset", "month", "--json").json == shown
    assert "there is no such budget" in shell("keys", "budget", key["id"], "--reset", "total").err
    assert '"week" is none of day, month, total' in shell("keys", "budget", key["id"], "--reset", "week").err


def test_a_workspace_is_set_and_what_was_set_taken_back(shell: Shell) -> None:
    shell("workspaces", "create", "shop")
    settings = ("alias.dall-e-3=gpt-image-2", "form=url", "watermark=false", "keep_images_s=60", "alert_below=9.5")
    shown = shell("workspaces", "set", "shop", *settings, "--json").json
    assert shown["aliases"] == {"dall-e-3": "gpt-image-2"}
    assert (shown["form"], shown["watermark"], shown["keep_images_s"]) == ("url", False, 60)
    assert shown["alert_below_usd"] == "9.500000"
    assert shell("workspaces", "show", "shop", "--json").json == shown
    assert "aliases          dall-e-3=gpt-image-2" in shell("workspaces", "show", "shop").out
    back = ("alias.dall-e-3=none", "form=none", "watermark=none", "keep_images_s=none", "alert_below=none")
    cleared = shell("workspaces", "set", "shop", *back, "--json").json
    assert cleared["aliases"] == {}
    assert {cleared[name] for name in ("form", "watermark", "keep_images_s", "alert_below_usd")} == {None}


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("alias.dall-e-3=gpt-image-9", 'there is no model "gpt-image-9"; did you mean gpt-image-'),
        ("form=paper", "there are alias.NAME, form=b64 or url"),
        ("watermark=perhaps", "watermark=true or false"),
        ("keep_images_s=long", "keep_images_s"),
        ("keep_images_s=0", "seconds from 1 to 316224000 are needed"),
        ("alert_below=ten", '"ten" is not an amount of dollars'),
        ("colour=red", "there are alias.NAME"),
        ("form", '"form" is no setting'),
    ],
)
def test_a_setting_that_cannot_be_is_refused_in_a_sentence(shell: Shell, setting: str, said: str) -> None:
    shell("workspaces", "create", "shop")
    before = shell("workspaces", "show", "shop", "--json").json
    ran = shell("workspaces", "set", "shop", setting)
    assert (ran.code, ran.out) == (1, "")
    assert said in ran.err
    assert shell("workspaces", "show", "shop", "--json").json == before


def test_members_come_and_go(shell: Shell) -> None:
    shell("workspaces", "create", "shop")
    added = shell("members", "add", "shop", "ada@shop.example", "--role", "owner", "--json").json
    shell("members", "add", "shop", "bob@shop.example")
    shell("members", "add", "shop", "ada@shop.example", "--role", "viewer")
    rows = shell("members", "list", "shop", "--json").json
    assert [(row["name"], row["role"]) for row in rows] == [
        ("ada@shop.example", "viewer"),
        ("bob@shop.example", "member"),
    ]
    assert rows[0]["since"] == added["since"]
    assert shell("members", "remove", "shop", "bob@shop.example", "--json").json["removed"]
    gone = shell("members", "remove", "shop", "bob@shop.example")
    assert (gone.code, gone.err) == (1, 'imageway: the workspace "shop" has no member "bob@shop.example"\n')
    assert (
        '"king" is none of admin, member, owner, viewer' in shell("members", "add", "shop", "x", "--role", "king").err
    )


@pytest.mark.parametrize("option", ["--models", "--operations", "--dialects", "--network", "--budget"])
def test_a_limit_without_a_value_is_no_key_without_that_limit(shell: Shell, option: str) -> None:
    """As a script writes it whose list has come out empty."""
    ran = shell("keys", "create", "--workspace", "shop", option, "--json")
    assert ran.code == 2
    assert option in ran.err
    assert shell("keys", "list", "--json").json == []
