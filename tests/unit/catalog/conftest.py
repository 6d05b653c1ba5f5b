"""The built-in catalog, once for the whole room."""

from __future__ import annotations

import pytest

from imageway.catalog import Catalog, load


@pytest.fixture(scope="session")
def catalog() -> Catalog:
    return load()
