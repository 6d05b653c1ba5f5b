"""Real processes: what signs is sealed at rest, the same in every replica, rotated under a running gateway, and what an
earlier Imageway gave to receivers and clients stays theirs."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import hmac
import json
import sqlite3
import subprocess
import sys
import time
from base64 import b64decode, b64encode
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from standardwebhooks.webhooks import Webhook

from imageway.server.auth import digest_of
from imageway.storage.postgres.store import _numbered
from tests.integration.processes import Answer, House, Process, call, clean_environment, command, wait_for
from tests.integration.test_webhooks import Receiver, house_in, postgres_database, receiver
from tests.store.releases import inserted, leave_postgres, leave_sqlite

__all__ = ["receiver"]
BODY = json.dumps({"model": "gpt-image-1", "prompt": "a boat", "size": "1024x1024", "quality": "low"}).encode()
PATH = "/v1/images/generations"
RELEASE = "0005"
FILE_KEY = bytes(range(32))
OLD_KEY = "sk-iw-test-of-an-earlier-imageway"
ENGINES = ("sqlite", "postgres")


def database_of(engine: str) -> dict[str, str]:
    return postgres_database() if engine == "postgres" else {}


@pytest.fixture(params=ENGINES)
def house(request: pytest.FixtureRequest, tmp_path: Path, receiver: Receiver) -> Iterator[House]:
    yield from house_in(tmp_path, receiver, **database_of(request.param))


def run(house: House, *arguments: str) -> Any:
    return command(*arguments, data=house.data, environment=house.environment)


def signed(secret: str, *, method: str = "POST", path: str = PATH, body: bytes = BODY) -> dict[str, str]:
    timestamp = f"{time.time():.6f}"
    message = f"{timestamp}.{method}.{path}.".encode() + body
    signature = hmac.new(secret.encode(), message, hashlib.sha256).hexdigest()
    return {"X-Imageway-Timestamp": timestamp, "X-Imageway-Signature": f"sha256={signature}"}


def ask(gateway: Process, key: str, secret: str) -> Answer:
    return call(f"{gateway.url}{PATH}", BODY, key=key, headers=signed(secret))


def forms(secret: str) -> set[bytes]:
    """Every way in which a secret might lie somewhere in clear."""
    plain = secret.partition("_")[2]
    raw = b64decode(plain) if secret.startswith("whsec_") else bytes.fromhex(plain)
    return {plain.rstrip("=").encode(), raw, raw.hex().encode(), b64encode(raw).rstrip(b"=")}


async def rows_of(url: str) -> bytes:
    """Every row of every table, as text that shows all octets."""
    connection = await asyncpg.connect(url)
    names = await connection.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
    found = [row for (name,) in names for row in await connection.fetch(f'SELECT * FROM "{name}"')]  # noqa: S608
    await connection.close()
    values = [value for row in found for value in row.values()]
    return b"\n".join(value if isinstance(value, bytes) else str(value).encode() for value in values)


def test_no_secret_lies_in_clear_in_database_files_or_log(house: House, receiver: Receiver) -> None:
    """While a gateway runs that has used each: for an endpoint, both of a rotation, an address that came along, and a
    signed key."""
    made = run(house, "keys", "create", "--workspace", "w", "--signed")
    endpoint = run(house, "webhooks", "add", "w", receiver.url("/endpoint"))
    gateway = house.serve()
    rotated = run(house, "webhooks", "rotate", endpoint["id"])
    body = json.dumps({**json.loads(BODY), "webhook": {"url": receiver.url("/along")}}).encode()
    headers = signed(made["signing_secret"], body=body)
    assert call(f"{gateway.url}{PATH}", body, key=made["key"], headers=headers).status == 200
    assert ask(gateway, made["key"], "iwsig_" + "0" * 64).status == 401
    wait_for(lambda: len(receiver.messages) == 2)
    (own,) = run(house, "webhooks", "secret", "w")
    for message in receiver.messages:
        secrets = [own["secret"]] if message.path == "/along" else [endpoint["secret"], rotated["secret"]]
        for secret in secrets:
            Webhook(secret).verify(message.body, dict(message.headers))
    content = b"".join(path.read_bytes() for path in house.data.parent.rglob("*") if path.is_file())
    if "IMAGEWAY_DATABASE" in house.environment:
        content += asyncio.run(rows_of(house.environment["IMAGEWAY_DATABASE"]))
    assert endpoint["id"].encode() in content, "this is where it would lie"
    assert b"process.started" in content, "the log is among it"
    for secret in (made["signing_secret"], endpoint["secret"], rotated["secret"], own["secret"]):
        assert not [form for form in forms(secret) if form in content]


def test_replicas_without_a_directory_in_common_sign_and_verify_alike(tmp_path: Path, receiver: Receiver) -> None:
    """On one database, with one ring of the environment; what one has made, the other uses at once."""
    ring = {"IMAGEWAY_SECRETS_KEYS": f"k1:{b64encode(bytes(32)).decode()}"}
    with contextlib.ExitStack() as stack:
        first = stack.enter_context(
            contextlib.contextmanager(house_in)(tmp_path, receiver, **postgres_database(), **ring)
        )
        second = House(tmp_path / "elsewhere", first.environment, first.arguments)
        stack.callback(second.close)
        gateways = [first.serve(), second.serve()]
        made = run(first, "keys", "create", "--workspace", "w", "--signed")
        endpoint = run(second, "webhooks", "add", "w", receiver.url())
        assert [ask(gateway, made["key"], made["signing_secret"]).status for gateway in gateways] == [200, 200]
        wait_for(lambda: len(receiver.messages) == 2)
        gateways[0].kill()
        assert ask(gateways[1], made["key"], made["signing_secret"]).status == 200
        wait_for(lambda: len(receiver.messages) == 3)
        for message in receiver.messages:
            Webhook(endpoint["secret"]).verify(message.body, dict(message.headers))
        assert not list(tmp_path.rglob("secrets.keys"))


def test_secrets_are_rotated_under_running_gateways(house: House, receiver: Receiver) -> None:
    """Neither a receiver nor a client notices; also not of what no process has opened before. Rotations that are
    killed leave nothing behind."""
    keys = [run(house, "keys", "create", "--workspace", "w", "--signed") for _ in range(2)]
    endpoint = run(house, "webhooks", "add", "w", receiver.url())
    gateways = [house.serve(), house.serve()]
    assert ask(gateways[0], keys[0]["key"], keys[0]["signing_secret"]).status == 200
    for _ in range(3):
        _rotate_and_kill(house)
    done = run(house, "secrets", "rotate")
    assert done["faulty"] == []
    counted = run(house, "secrets", "status")
    assert {(row["kind"], row["key"], row["state"]) for row in counted} == {
        (kind, done["key"], "current") for kind in ("signing", "webhook")
    }
    for gateway in gateways:
        for made in keys:
            assert ask(gateway, made["key"], made["signing_secret"]).status == 200
    wait_for(lambda: len(receiver.messages) == 5)
    gateways.append(house.serve())
    assert ask(gateways[-1], keys[1]["key"], keys[1]["signing_secret"]).status == 200
    wait_for(lambda: len(receiver.messages) == 6)
    for message in receiver.messages:
        Webhook(endpoint["secret"]).verify(message.body, dict(message.headers))


def _rotate_and_kill(house: House) -> None:
    """As soon as the ring has another key; one that ends what was cut short adds none, and may end."""
    ring = house.data / "secrets.keys"
    arguments, before = ("-m", "imageway.cli.main", "secrets", "rotate", "--data", str(house.data)), ring.read_text()
    child = subprocess.Popen([sys.executable, *arguments], env=house.environment, stdout=subprocess.DEVNULL)
    until_s = time.monotonic() + 30
    while ring.read_text() == before and child.poll() is None and time.monotonic() < until_s:
        time.sleep(0.0005)
    child.kill()
    child.wait(timeout=10)


# What an earlier Imageway left


def made_of_the_file(kind: str, holder_id: str) -> str:
    """As its documents had it."""
    mac = hmac.new(FILE_KEY, f"{kind} secret\n{holder_id}".encode(), hashlib.sha256)
    return f"whsec_{b64encode(mac.digest()).decode()}" if kind == "webhook" else f"iwsig_{mac.hexdigest()}"


def old_rows(hook_url: str) -> Iterator[tuple[str, tuple[object, ...]]]:
    """A workspace with ten dollars, a signed key, an endpoint in the middle of a rotation, and what signs for the
    addresses that come with requests."""
    until_ms = int(time.time() * 1000) + 3_600_000
    rows: tuple[tuple[str, dict[str, object]], ...] = (
        ("workspaces", {"id": "ws_1", "name": "w", "created_ms": 1}),
        (
            "wallets",
            {"workspace_id": "ws_1", "available": 10_000_000, "held": 0, "spent": 0, "topped_up": 10_000_000}
            | {"granted": 0, "adjusted": 0},
        ),
        (
            "transfers",
            {"kind": "topup", "workspace_id": "ws_1", "topup_id": "top_1", "account": "wallet", "at_ms": 1}
            | {"usd_micros": 10_000_000},
        ),
        (
            "keys",
            {"id": "key_old", "workspace_id": "ws_1", "name": "", "digest": digest_of(OLD_KEY), "hint": "eway"}
            | {"models": "[]", "created_ms": 1, "root_id": "key_old", "signed": 1},
        ),
        (
            "webhook_endpoints",
            {"id": "end_old", "workspace_id": "ws_1", "url": hook_url, "events": "[]", "created_ms": 1},
        ),
        *(
            (
                "webhook_secrets",
                {"id": name, "holder_id": holder, "created_ms": 1, "until_ms": until}
                | {"hint": made_of_the_file("webhook", name).rstrip("=")[-4:]},
            )
            for name, holder, until in (
                ("whs_new", "end_old", None),
                ("whs_old", "end_old", until_ms),
                ("whs_own", "ws_1", None),
            )
        ),
    )
    for table, row in rows:
        yield inserted(table, row)


def leave_behind(house: House, hook_url: str) -> None:
    """The tables and files of the release before."""
    house.data.mkdir(parents=True)
    (house.data / "webhook-signing.key").write_text(FILE_KEY.hex())
    if url := house.environment.get("IMAGEWAY_DATABASE"):
        asyncio.run(leave_postgres(url, RELEASE, old_rows(hook_url)))
    else:
        leave_sqlite(house.data / "imageway.db", RELEASE, old_rows(hook_url))


@pytest.fixture(params=ENGINES)
def old_house(request: pytest.FixtureRequest, tmp_path: Path, receiver: Receiver) -> Iterator[House]:
    """An installation that the release before has used."""
    settings = tmp_path / "imageway.toml"
    settings.write_text(f'webhook_allow = ["{receiver.authority}"]\n[limits]\nwebhook_poll_s = 0.1\n')
    environment = clean_environment(IMAGEWAY_CONFIG=str(settings), **database_of(request.param))
    made = House(tmp_path / "data", environment, ("--sandbox",))
    leave_behind(made, receiver.url("/old"))
    yield made
    made.close()


def told(receiver: Receiver, *holders: str, from_: int = 0) -> None:
    """The last message is signed with what receivers hold of these."""
    wait_for(lambda: len(receiver.messages) > from_)
    message = receiver.messages[-1]
    assert message.headers["webhook-signature"].count("v1,") == len(holders)
    for holder in holders:
        Webhook(made_of_the_file("webhook", holder)).verify(message.body, dict(message.headers))


def states(house: House) -> Mapping[tuple[str, str], int]:
    return {(row["kind"], row["state"]): row["secrets"] for row in run(house, "secrets", "status")}


def test_receivers_and_clients_of_the_release_before_keep_their_secrets(old_house: House, receiver: Receiver) -> None:
    """Sealed by the first start; the file is needed no more then, and a rotation moves them on with the others."""
    secret = made_of_the_file("request", "key_old")
    gateway = old_house.serve()
    assert ask(gateway, OLD_KEY, secret).status == 200
    told(receiver, "whs_new", "whs_old")
    assert states(old_house) == {("signing", "current"): 1, ("webhook", "current"): 3}
    assert run(old_house, "webhooks", "secret", "w") == [
        {"secret": made_of_the_file("webhook", "whs_own"), "until": None}
    ]
    gateway.stop()
    (old_house.data / "webhook-signing.key").unlink()
    gateway = old_house.serve()
    assert run(old_house, "secrets", "rotate")["resealed"] == 4
    assert ask(gateway, OLD_KEY, secret).status == 200
    told(receiver, "whs_new", "whs_old", from_=1)
    assert ask(gateway, OLD_KEY, made_of_the_file("request", "key_other")).status == 401
    assert [row["state"] for row in run(old_house, "doctor") if row["about"] == "secrets"] == ["ok"]


def test_what_an_older_replica_makes_meanwhile_is_used_at_once(old_house: House, receiver: Receiver) -> None:
    """It still makes secrets of the file, while this one runs already; the next start seals them."""
    gateway = old_house.serve()
    insert = (
        "INSERT INTO keys (id, workspace_id, name, digest, hint, models, created_ms, root_id, signed)"
        " VALUES ('key_late', 'ws_1', '', ?, '', '[]', 1, 'key_late', 1)"
    )
    if url := old_house.environment.get("IMAGEWAY_DATABASE"):
        asyncio.run(_execute(url, _numbered(insert), digest_of("sk-iw-late")))
    else:
        with contextlib.closing(sqlite3.connect(old_house.data / "imageway.db")) as connection, connection:
            connection.execute(insert, (digest_of("sk-iw-late"),))
    assert ask(gateway, "sk-iw-late", made_of_the_file("request", "key_late")).status == 200
    assert states(old_house)["signing", "unsealed"] == 1
    old_house.serve()
    assert states(old_house) == {("signing", "current"): 2, ("webhook", "current"): 3}


async def _execute(url: str, statement: str, *values: object) -> None:
    connection = await asyncpg.connect(url)
    await connection.execute(statement, *values)
    await connection.close()


def test_an_installation_is_moved_with_what_signs(old_house: House, receiver: Receiver, tmp_path: Path) -> None:
    """`db copy` to the other engine, sealed and not yet sealed alike; with its files it goes on as if nothing were."""
    run(old_house, "db", "upgrade")
    made = run(old_house, "keys", "create", "--workspace", "w", "--signed")
    there = postgres_database() if "IMAGEWAY_DATABASE" not in old_house.environment else {}
    other = House(tmp_path / "moved", {**old_house.environment, **there}, old_house.arguments)
    if not there:
        other.environment.pop("IMAGEWAY_DATABASE")
    other.data.mkdir()
    for name in ("webhook-signing.key", "secrets.keys"):
        (other.data / name).write_bytes((old_house.data / name).read_bytes())
    source, target = (
        place.environment.get("IMAGEWAY_DATABASE") or f"sqlite://{place.data}/imageway.db"
        for place in (old_house, other)
    )
    run(old_house, "db", "copy", source, target)
    gateway = other.serve()
    try:
        assert ask(gateway, made["key"], made["signing_secret"]).status == 200
        told(receiver, "whs_new", "whs_old")
        assert ask(gateway, OLD_KEY, made_of_the_file("request", "key_old")).status == 200
        assert states(other) == {("signing", "current"): 2, ("webhook", "current"): 3}
    finally:
        other.close()
