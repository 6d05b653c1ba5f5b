"""Copies of frozen values with other fields, whether they are structs (what passes with every request) or dataclasses
(what is made once)."""

from __future__ import annotations

import dataclasses
from typing import TypeVar

import msgspec

V = TypeVar("V")


def replace(value: V, **changes: object) -> V:
    """Fails as both do: for a name that is no field."""
    if isinstance(value, msgspec.Struct):
        return msgspec.structs.replace(value, **changes)
    return dataclasses.replace(value, **changes)  # type: ignore[type-var]
