"""Operators change upstreams while a gateway serves: it follows within a second or so, and no credential is ever to be
read in its files, its logs or its answers."""

from __future__ import annotations

import contextlib
import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.acceptance.test_admin import Admin, admin_key
from tests.acceptance.test_command_line import run
from tests.integration.processes import (
    House,
    Process,
    assert_told,
    call,
    clean_environment,
    command,
    start,
    wait_for,
)

PLAIN = "sk-test-kept-in-the-database"
ASKED = {"model": "gpt-image-2", "prompt": "a boat", "size": "1024x1024", "quality": "low"}
SOON_S = 10  # a loaded machine; half a second is what it takes elsewhere


@pytest.fixture
def sandbox(tmp_path: Path) -> Iterator[Process]:
    process = start(["sandbox", "--port", "0"], tmp_path / "sandbox.log", clean_environment())
    yield process
    process.kill()


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    found = House(tmp_path / "data", clean_environment(OWN_KEY=PLAIN))
    found.fund("5")
    yield found
    found.close()


def test_a_gateway_follows_its_operators(house: House, sandbox: Process) -> None:
    gateway = house.serve()

    def status() -> int:
        return call(f"{gateway.url}/v1/images/generations", ASKED, key=house.key).status

    def until(wanted: int) -> float:
        began_s = time.monotonic()
        wait_for(lambda: status() == wanted, seconds=SOON_S)
        return time.monotonic() - began_s

    def told(*arguments: str) -> dict[str, object]:
        found: dict[str, object] = command("upstreams", *arguments, data=house.data, environment=house.environment)
        return found

    assert status() == 503
    base_url = ("--base-url", f"{sandbox.url}/openai/v1")
    shown = told("add", "openai", "--id", "own", "--key-env", "OWN_KEY", *base_url)
    until(200)
    assert house.usage()[0]["upstream"] == "own"
    done = command("secrets", "rotate", data=house.data, environment=house.environment)
    assert (done["resealed"], status()) == (1, 200)
    told("disable", "own")
    until(503)
    told("enable", "own")
    until(200)
    told("remove", "own")
    until(503)
    assert gateway.stop() == 0
    assert "own" in gateway.log.read_text()
    files = [path for path in house.data.rglob("*") if path.is_file()]
    seen = [*(path.read_bytes() for path in (*files, gateway.log)), repr(shown).encode()]
    assert not any(PLAIN.encode() in content for content in seen)
    assert not house.differences()


@contextlib.contextmanager
def standing_still(process: Process) -> Iterator[None]:
    """It takes connections and requests, and answers none, until the end."""
    process.child.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        process.child.send_signal(signal.SIGCONT)


def test_an_upstream_is_not_removed_from_under_what_runs_there(house: House, sandbox: Process, tmp_path: Path) -> None:
    """Who removes one is told how many tasks are under way there, on the command line and by the admin API; told to do
    it all the same, it is done, and what this gateway had sent still ends as it would. The provider stands still
    meanwhile."""
    gateway = house.serve()
    admin = Admin(gateway.url, admin_key(house))
    upstream = {"provider": "openai", "id": "own", "key": PLAIN, "base_url": f"{sandbox.url}/openai/v1"}
    admin.made("PUT", "upstreams", upstream)
    wait_for(lambda: "own" in gateway.log.read_text())
    data = ("--data", str(house.data))
    with ThreadPoolExecutor(2) as callers:
        with standing_still(sandbox):
            answers = [callers.submit(call, f"{gateway.url}/v1/images/generations", ASKED, key=house.key) for _ in "ab"]
            wait_for(lambda: len(admin.made("GET", "tasks?workspace=w&state=running")["data"]) == 2)
            refused = run("upstreams", "remove", "own", *data, folder=tmp_path)
            assert (refused.code, refused.out) == (1, "")
            assert all(word in refused.err for word in ('"own"', "2 tasks", "--force"))
            error = assert_told(admin("DELETE", "upstreams/own"), 409, "upstream_in_use", "upstream")
            assert "2 tasks" in error["message"]
            moved = {**upstream, "base_url": "http://127.0.0.1:9/v1"}
            error = assert_told(admin("PUT", "upstreams", moved), 409, "upstream_in_use", "upstream")
            assert "2 tasks" in error["message"]
            add = ("upstreams", "add", "openai", "--id", "own", "--keep-key", *data)
            refused = run(*add, "--base-url", "http://127.0.0.1:9/v1", folder=tmp_path)
            assert (refused.code, refused.out) == (1, "")
            assert all(word in refused.err for word in ('"own"', "2 tasks", "--force"))
            assert admin("PUT", "upstreams", {**upstream, "weight": 2}).status == 200
            assert admin("PUT", "upstreams?force=true", moved).status == 200
            assert run(*add, "--base-url", "http://127.0.0.1:9/v2", "--force", folder=tmp_path).code == 0
            assert admin("DELETE", "upstreams/own?force=true").status == 204
        assert [one.result().status for one in answers] == [200, 200]
    assert admin("DELETE", "upstreams/own").status == 404
    assert not house.differences()
