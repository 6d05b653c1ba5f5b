"""A service account's key file as an upstream's key, over real sockets: a token for its requests, and none where the
file is somebody else's."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.processes import House, Process, call, clean_environment, start

ASKED = {"model": "gemini-3.1-flash-image", "prompt": "a red fox"}


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    process = start(["sandbox", "--port", "0"], tmp_path_factory.mktemp("sandbox") / "sandbox.log", clean_environment())
    yield process
    process.kill()


def house_with(folder: Path, sandbox: Process, key: str) -> House:
    settings = folder / "imageway.toml"
    settings.write_text(
        f"[[upstreams]]\nprovider = 'vertex'\nkey = {json.dumps(key)}\nbase_url = '{sandbox.url}/vertex'\n"
        "values = {project = 'p-1', location = 'us-central1'}\n"
    )
    house = House(folder / "data", clean_environment(), ("--config", str(settings)))
    house.fund("10")
    return house


def test_its_token_opens_the_projects_models(tmp_path: Path, sandbox: Process) -> None:
    key = call(f"{sandbox.url}/vertex/service-account.json").content.decode()
    house = house_with(tmp_path, sandbox, key)
    try:
        gateway = house.serve()
        for _ in range(2):
            answer = call(f"{gateway.url}/v1/images/generations", ASKED, key=house.key)
            assert answer.status == 200, answer.content[:500]
        seen = [(entry["method"], entry["path"]) for entry in call(f"{sandbox.url}/sandbox/log").json]
        place = "/vertex/v1beta1/projects/p-1/locations/us-central1/publishers/google/models"
        assert seen.count(("POST", f"{place}/gemini-3.1-flash-image:generateContent")) == 2
        assert "BEGIN PRIVATE KEY" not in gateway.log.read_text()
    finally:
        house.close()


def test_a_file_that_its_vendor_does_not_know_serves_nothing(tmp_path: Path, sandbox: Process) -> None:
    file = call(f"{sandbox.url}/vertex/service-account.json").json
    house = house_with(tmp_path, sandbox, json.dumps(file | {"client_email": "nobody@example.com"}))
    try:
        gateway = house.serve()
        answer = call(f"{gateway.url}/v1/images/generations", ASKED, key=house.key)
        assert (answer.status, answer.json["error"]["code"]) == (503, "no_healthy_route")
        assert b"nobody@example.com" not in answer.content
    finally:
        house.close()
