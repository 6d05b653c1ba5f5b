"""Durable changes and questions as values. `Store.commit(*ops)` does all of them or none; what an op decides on is a
guard in its own statement. Ops and queries live in their rooms; storage maps each onto each engine."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from msgspec import Struct

T = TypeVar("T")


class Op(Struct, frozen=True):
    """Base of every durable change. Subclasses are frozen structs of plain values: nine of them are made for every
    request, in a quarter of the time that dataclasses take."""


class Query(Generic[T]):
    """Base of every durable question; T is the shape of its answer. Subclasses are frozen dataclasses."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Committed:
    """All ops are durable."""


@dataclass(frozen=True, slots=True)
class Refused:
    """Nothing was changed, because this op's guard did not hold. `why` is one of the op's documented words."""

    op: Op
    why: str


class Store(Protocol):
    async def commit(self, *ops: Op) -> Committed | Refused:
        """All of `ops` durably, in order, or none. Returns after the bytes are safe."""

    async def read(self, query: Query[T]) -> T: ...

    async def close(self) -> None: ...
