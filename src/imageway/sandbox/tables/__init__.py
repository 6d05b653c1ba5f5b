"""The sandbox's own facts about the real services, one TOML a provider, each with its source: models, sizes, limits,
tokens. On purpose not the gateway's catalog."""

from __future__ import annotations

import tomllib
from importlib.resources import files
from typing import Any


def load_table(name: str) -> dict[str, Any]:
    """The whole table `name`.toml; readers pick it apart into their own types at once."""
    return tomllib.loads(files(__name__).joinpath(f"{name}.toml").read_text("utf-8"))
