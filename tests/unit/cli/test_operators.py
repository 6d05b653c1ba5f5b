"""`imageway upstreams`, `secrets`, `admin-keys` and `db`: what they do to the books, and what never leaves them."""

from __future__ import annotations

import asyncio
import io
import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from imageway.ledger.access import FindAdminKey, ListChanges
from imageway.server.auth import digest_of
from imageway.server.books import open_books
from imageway.server.configuration import read_settings
from imageway.storage.migrations import HEAD
from tests.unit.cli.conftest import Shell

PLAIN = "sk-test-from-standard-input"


def add(shell: Shell, *more: str, credential: str = PLAIN) -> None:
    shell.monkeypatch.setattr("sys.stdin", io.StringIO(f"{credential}\n"))
    assert shell("upstreams", "add", *more).code == 0


def files(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())


# Upstreams and secrets


def test_a_credential_goes_in_and_is_to_be_read_nowhere(shell: Shell) -> None:
    add(shell, "openai", "--id", "own", "--weight", "2", "--value", "project=one")
    listed = shell("upstreams", "list", "--json")
    (row,) = listed.json
    assert {name: row[name] for name in ("id", "provider", "weight", "values", "enabled", "kept_in")} == {
        "id": "own",
        "provider": "openai",
        "weight": 2,
        "values": {"project": "one"},
        "enabled": True,
        "kept_in": "database",
    }
    told = "".join(
        ran.out + ran.err
        for ran in (listed, shell("upstreams", "list"), shell("secrets", "list"), shell("secrets", "rotate"))
    )
    assert PLAIN not in told
    assert b"own" in files(shell.data)
    assert PLAIN.encode() not in files(shell.data)


def test_a_credential_may_come_from_a_variable(shell: Shell) -> None:
    shell.monkeypatch.setenv("OWN_KEY", "sk-test-1")
    assert shell("upstreams", "add", "openai", "--key-env", "OWN_KEY").code == 0
    assert (
        shell("upstreams", "add", "openai", "--key-env", "NO_KEY").err == "imageway: the variable NO_KEY is not set\n"
    )


def test_a_credential_that_no_request_could_carry_is_refused(shell: Shell) -> None:
    """It is read whole, not up to the first line break."""
    shell.monkeypatch.setattr("sys.stdin", io.StringIO("sk-test-1\nsk-test-2\n"))
    assert "holds what no header can carry" in shell("upstreams", "add", "openai").err


def test_without_a_credential_nothing_is_added(shell: Shell) -> None:
    shell.monkeypatch.setattr("sys.stdin", io.StringIO("\n"))
    assert "no credential came" in shell("upstreams", "add", "openai").err
    assert "a new upstream needs its credential" in shell("upstreams", "add", "openai", "--keep-key").err
    assert shell("upstreams", "list", "--json").json == []


def test_a_provider_that_nobody_knows_is_told_before_a_credential_is_asked_for(shell: Shell) -> None:
    ran = shell("upstreams", "add", "nobody", "--key-env", "NO_KEY")
    assert (ran.code, ran.out) == (1, "")
    assert 'provider "nobody" is none of openai, ' in ran.err


def test_an_upstream_is_switched_changed_and_removed(shell: Shell) -> None:
    add(shell, "openai", "--id", "own")
    before = shell("secrets", "list", "--json").json
    assert shell("upstreams", "disable", "own", "--json").json["enabled"] is False
    assert shell("upstreams", "enable", "own").out == "own is enabled.\n"
    assert (
        shell("upstreams", "add", "openai", "--id", "own", "--keep-key", "--weight", "7", "--json").json["weight"] == 7
    )
    assert shell("secrets", "list", "--json").json == before
    assert shell("upstreams", "remove", "own", "--json").json == {"id": "own", "removed": True}
    assert shell("upstreams", "remove", "own").err == 'imageway: the database holds no upstream "own"\n'
    assert shell("secrets", "list", "--json").json == []


@pytest.mark.parametrize("value", ["project", "=one"])
def test_a_value_has_a_name(shell: Shell, value: str) -> None:
    assert "write NAME=VALUE" in shell("upstreams", "add", "openai", "--value", value).err


def test_a_rotation_changes_the_key_of_every_secret(shell: Shell) -> None:
    for name in ("one", "two"):
        add(shell, "openai", "--id", name)
    old = {row["key"] for row in shell("secrets", "list", "--json").json}
    done = shell("secrets", "rotate", "--json").json
    assert (done["resealed"], done["faulty"]) == (2, [])
    assert {row["key"] for row in shell("secrets", "list", "--json").json} == {done["key"]} != old


def test_a_rotation_that_leaves_one_behind_says_so(shell: Shell) -> None:
    add(shell, "openai", "--id", "own")
    (shell.data / "secrets.keys").unlink()
    ran = shell("secrets", "rotate")
    assert ran.code == 1
    assert 'the secret of upstream "own" is sealed with the key' in ran.out


def test_doctor_names_an_upstream_whose_credential_does_not_open(shell: Shell) -> None:
    add(shell, "openai", "--id", "own", "--base-url", "http://127.0.0.1:9/v1")
    (shell.data / "secrets.keys").unlink()
    ran = shell("doctor", "--json")
    assert ran.code == 1
    (found,) = [row for row in json.loads(ran.out) if row["about"].startswith("upstream")]
    assert (found["about"], found["state"]) == ("upstream own", "error")
    assert "secrets.keys" in found["says"]
    assert not (shell.data / "secrets.keys").exists(), "a new ring would open nothing"


def keep_some(shell: Shell) -> None:
    """A secret of each kind."""
    add(shell, "openai", "--id", "own", "--base-url", "http://127.0.0.1:9/v1")
    shell("keys", "create", "--workspace", "w", "--signed")
    shell("webhooks", "add", "w", "https://shop.example/hook")


def test_secrets_are_counted_by_kind_and_key(shell: Shell) -> None:
    keep_some(shell)
    counted = shell("secrets", "status", "--json").json
    (key,) = {row["key"] for row in counted}
    assert counted == [
        {"kind": kind, "key": key, "secrets": 1, "state": "current"} for kind in ("signing", "upstream", "webhook")
    ]
    done = shell("secrets", "rotate", "--json").json
    assert (done["resealed"], done["faulty"]) == (3, [])
    assert {row["key"] for row in shell("secrets", "status", "--json").json} == {done["key"]} != {key}
    assert "webhook" in shell("secrets", "status").out


def test_doctor_opens_every_secret_and_says_how_to_mend_what_does_not(shell: Shell) -> None:
    keep_some(shell)
    (found,) = [row for row in json.loads(shell("doctor", "--json").out) if row["about"].startswith("secrets")]
    assert (found["about"], found["state"], found["says"]) == ("secrets", "ok", "3 are sealed, and open")
    (shell.data / "secrets.keys").unlink()
    ran = shell("doctor", "--json")
    assert ran.code == 1
    found_now = {row["about"]: row for row in json.loads(ran.out) if row["about"].startswith("secrets")}
    commands = {
        "signing": "imageway keys rotate",
        "upstream": "imageway upstreams add",
        "webhook": "imageway webhooks rotate",
    }
    assert set(found_now) == {f"secrets of {kind}" for kind in commands}
    for kind, command in commands.items():
        row = found_now[f"secrets of {kind}"]
        assert row["state"] == "error"
        assert row["says"].startswith("1 do not open: the keys that seal secrets cannot be read")
        assert "restore the ring" in row["advice"]
        assert command in row["advice"]
    assert {row["state"] for row in shell("secrets", "status", "--json").json} == {"missing"}


def test_doctor_tells_of_what_is_not_sealed_yet(shell: Shell) -> None:
    keep_some(shell)
    (shell.data / "webhook-signing.key").write_text("44" * 32)
    with closing(sqlite3.connect(shell.data / "imageway.db")) as connection, connection:
        connection.execute("DELETE FROM secrets WHERE kind = 'signing'")
    (found,) = [row for row in json.loads(shell("doctor", "--json").out) if row["about"].startswith("secrets")]
    assert (found["state"], found["advice"]) == ("warning", "imageway secrets rotate")
    assert shell("secrets", "rotate", "--json").json["resealed"] == 3
    (found,) = [row for row in json.loads(shell("doctor", "--json").out) if row["about"].startswith("secrets")]
    assert found["state"] == "ok"


# Doctor on what several processes share


@pytest.mark.parametrize(
    ("database", "media", "state"),
    [
        ("", "", "ok"),
        ("memory://", "", "ok"),
        ("sqlite://{home}/shared.db", "", "warning"),
        ("sqlite://{home}/shared.db", "file://{home}/shared", "ok"),
        ("sqlite://{home}/data/imageway.db", "", "ok"),
        ("", "file://{home}/shared", "ok"),
    ],
)
def test_doctor_warns_of_a_database_that_may_be_shared_beside_images_that_are_not(
    shell: Shell, database: str, media: str, state: str
) -> None:
    """What one process stores, the others know of and do not find: repeated requests, tasks, links are 410 or 404."""
    home = shell.data.parent
    for name, url in (("IMAGEWAY_DATABASE", database), ("IMAGEWAY_MEDIA", media)):
        if url:
            shell.monkeypatch.setenv(name, url.format(home=home))
    (found,) = [row for row in json.loads(shell("doctor", "--json").out) if row["about"] == "media store"]
    assert found["state"] == state
    if state == "warning":
        assert f"file://{shell.data / 'images'}" in found["says"]
        assert "no other process" in found["says"]
        assert "media" in found["advice"]
        assert "media-signing.key" in found["advice"]
    else:
        assert found["advice"] == ""


# Operators' keys


def test_an_admin_key_is_shown_once_and_kept_as_a_digest(shell: Shell) -> None:
    made = shell("admin-keys", "create", "--name", "night", "--role", "viewer", "--json").json
    assert made["key"].startswith("sk-iw-admin-")
    listed = shell("admin-keys", "list", "--json")
    assert [(row["id"], row["name"], row["role"], row["revoked"]) for row in listed.json] == [
        (made["id"], "night", "viewer", None)
    ]
    assert made["key"] not in listed.out
    assert made["key"].encode() not in files(shell.data)

    async def find() -> tuple[str | None, list[str]]:
        async with open_books(read_settings({"data": shell.data}, {})) as store:
            found = await store.read(FindAdminKey(digest_of(made["key"])))
            return found and found.id, [row.action for row in await store.read(ListChanges())]

    assert asyncio.run(find()) == (made["id"], ["admin_key.create"])
    assert shell("admin-keys", "revoke", made["id"]).code == 0
    assert shell("admin-keys", "list", "--json").json[0]["revoked"] is not None
    assert "or it is revoked" in shell("admin-keys", "revoke", made["id"]).err


def test_a_role_that_there_is_not_is_refused(shell: Shell) -> None:
    assert '"king" is none of admin, viewer' in shell("admin-keys", "create", "--role", "king").err


# The database


def test_tables_of_a_newer_imageway_are_not_to_be_upgraded(shell: Shell) -> None:
    shell("workspaces", "create", "w")
    with closing(sqlite3.connect(shell.data / "imageway.db")) as database:
        database.execute("UPDATE alembic_version SET version_num = '9999'")
        database.commit()
    assert shell("db", "status", "--json").json == {"version": "9999", "newest": HEAD, "current": False}
    said = shell("db", "status").out
    assert "a newer Imageway has used them" in said
    assert "imageway db upgrade" not in said


@pytest.mark.parametrize("command", ["status", "upgrade"])
def test_a_database_that_may_not_be_looked_at_is_one_sentence(shell: Shell, command: str) -> None:

    async def look(url: str) -> None:
        raise PermissionError(13, "Permission denied", url)

    for name in ("version_of", "upgrade"):
        shell.monkeypatch.setattr(f"imageway.cli.database.{name}", look)
    ran = shell("db", command)
    assert (ran.code, ran.out) == (1, "")
    assert ran.err.startswith("imageway: the database cannot be looked at: ")
    assert ran.err.count("\n") == 1


def test_an_upgrade_says_from_where_to_where(shell: Shell) -> None:
    status = shell("db", "status", "--json").json
    assert status == {"version": None, "newest": HEAD, "current": False}
    assert not shell.data.exists()
    assert shell("db", "upgrade").out == f"Upgraded the tables from nothing to {HEAD}.\n"
    assert shell("db", "upgrade", "--json").json == {"from": HEAD, "to": HEAD}
    assert shell("db", "status").out == f"The tables are of version {HEAD}, the newest.\n"


def test_a_copy_has_all_of_it(shell: Shell) -> None:
    made = shell("keys", "create", "--workspace", "studio", "--json").json
    shell("wallet", "topup", "studio", "5")
    source, target = shell.data / "imageway.db", shell.data / "moved.db"
    copied = shell("db", "copy", f"sqlite://{source}", f"sqlite://{target}", "--json").json["copied"]
    assert (copied["keys"], copied["transfers"], copied["tasks"]) == (1, 1, 0)
    shell.monkeypatch.setenv("IMAGEWAY_DATABASE", f"sqlite://{target}")
    assert [row["id"] for row in shell("keys", "list", "--json").json] == [made["id"]]
    assert shell("wallet", "show", "studio", "--json").json["available_usd"] == "5.000000"
    assert shell("ledger", "verify").code == 0
    again = shell("db", "copy", f"sqlite://{source}", f"sqlite://{target}")
    assert (again.code, "the target is not empty" in again.err) == (1, True)


def test_a_database_of_another_is_no_source(shell: Shell, tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "other.db")) as other:
        other.execute("CREATE TABLE pictures (id INTEGER)")
    ran = shell("db", "copy", f"sqlite://{tmp_path}/other.db", f"sqlite://{tmp_path}/b.db")
    assert "run `imageway db upgrade`" in ran.err
    assert not (tmp_path / "b.db").exists()
