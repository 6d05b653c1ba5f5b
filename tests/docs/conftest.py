"""A gateway and a sandbox of their own for the samples of the documents."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.processes import PROVIDER_VARIABLES, House, Process, clean_environment, command, start


@pytest.fixture(scope="session")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """A data directory with a funded key, and nothing in its environment that a person may have set."""
    made = House(tmp_path_factory.mktemp("docs") / "data", clean_environment(), ("--sandbox",))
    made.fund("50")
    yield made
    made.close()


@pytest.fixture(scope="session")
def gateway(house: House) -> Process:
    return house.serve()


@pytest.fixture(scope="session")
def admin_key(house: House) -> str:
    return str(command("admin-keys", "create", data=house.data)["key"])


@pytest.fixture(scope="session")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    process = start(["sandbox", "--port", "0"], tmp_path_factory.mktemp("sandbox") / "log", clean_environment())
    yield process
    process.kill()


@pytest.fixture
def own_place(tmp_path: Path, house: House, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Commands of this process look at the gateway's data, find no credentials, and write where the test is."""
    for name in list(os.environ):
        if name.startswith("IMAGEWAY") or name.removesuffix("_API_KEY").removesuffix("_BASE_URL") in PROVIDER_VARIABLES:
            monkeypatch.delenv(name)
    monkeypatch.setenv("IMAGEWAY_DATA", str(house.data))
    monkeypatch.chdir(tmp_path)
    return tmp_path
