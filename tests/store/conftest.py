"""One database for each test on each executor. PostgreSQL is a real server out of a wheel, one a session."""

from __future__ import annotations

import itertools
import os
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import asyncpg
import pytest

from imageway.core.ops import Store
from tests.store.places import Place
from tests.store.server import postgres_server

NUMBERS = itertools.count(1)
IN_MEMORY = Path("/dev/shm")  # noqa: S108  # a folder of random name in it


@pytest.fixture
def postgres_url() -> Callable[[str], str]:
    """Gives the URL of a database on the session's server by the database's name."""
    return postgres_server()


@pytest.fixture
async def postgres_place(postgres_url: Callable[[str], str]) -> AsyncIterator[Place]:
    name = f"test_{next(NUMBERS)}"
    connection = await asyncpg.connect(postgres_url("postgres"))
    try:
        await connection.execute(f"CREATE DATABASE {name}")
        yield Place("postgres", postgres_url(name))
        await connection.execute(f"DROP DATABASE {name} WITH (FORCE)")
    finally:
        await connection.close()


@pytest.fixture
def sqlite_place(tmp_path: Path) -> Place:
    return Place("sqlite", f"sqlite://{tmp_path}/data/imageway.db")


@pytest.fixture
def quick_place(tmp_path: Path) -> Iterator[Place]:
    """SQLite on a disk that lies in memory, where the machine has one: for what is about turns and time, since a real
    disk may stall for seconds."""
    parent = IN_MEMORY if os.access(IN_MEMORY, os.W_OK | os.X_OK) else tmp_path
    with tempfile.TemporaryDirectory(dir=parent) as folder:
        yield Place("sqlite", f"sqlite://{folder}/data/imageway.db")


@pytest.fixture(params=["memory", "sqlite", "postgres"])
def place(request: pytest.FixtureRequest) -> Place:
    if request.param == "memory":
        return Place("memory", "memory://")
    found: Place = request.getfixturevalue(f"{request.param}_place")
    return found


@pytest.fixture(params=["sqlite", "postgres"])
def durable_place(request: pytest.FixtureRequest) -> Place:
    found: Place = request.getfixturevalue(f"{request.param}_place")
    return found


@pytest.fixture
async def store(place: Place) -> AsyncIterator[Store]:
    opened = await place.open()
    yield opened
    await opened.close()
