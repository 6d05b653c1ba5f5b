"""What an endpoint of the admin API is: a path, what it takes and answers as typed structs, and the function that does
it. Bodies are read, checked and documented from those types alone."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final, Literal

from msgspec import Struct

from imageway.bodies import Payload
from imageway.catalog import Catalog
from imageway.engine.service import Engine
from imageway.ledger.sealed import Vault
from imageway.server.administration.office import Office
from imageway.server.configuration import Settings
from imageway.server.upstreams import Installation

PREFIX: Final = "/admin/v1/"
Method = Literal["GET", "POST", "PUT", "PATCH", "DELETE"]


class Nothing(Struct, frozen=True, forbid_unknown_fields=True):
    """No fields at all."""


class Page(Struct, frozen=True, kw_only=True):
    """One page of a list. `next` goes into the query as `before` or `after` for what follows; null: the end."""

    data: tuple[Any, ...]
    next: str | None = None


class Visit(Struct, frozen=True, kw_only=True):
    """One request, read: `params` are the path's segments by name, `query` and `body` the structs that the endpoint
    names."""

    office: Office
    engine: Engine
    installation: Installation
    vault: Vault
    params: Mapping[str, str]
    query: Any
    body: Any

    @property
    def catalog(self) -> Catalog:
        return self.engine.tools.catalog

    @property
    def settings(self) -> Settings:
        return self.installation.settings


class Download(Struct, frozen=True, kw_only=True):
    """An answer that is no JSON, sent as it is made."""

    payload: Payload
    filename: str


Answer = Struct | Download | None
Work = Callable[[Visit], Awaitable[Answer]]


class Endpoint(Struct, frozen=True, kw_only=True):
    """`name` is unique; `summary` is one line. `answer` None: 204, no body. Who may only look is let in to those that
    do not change anything (GET)."""

    method: Method
    path: str
    name: str
    summary: str
    work: Work
    query: type[Struct] = Nothing
    body: type[Struct] | None = None
    answer: type[Struct] | None = None
    status: int = 200
    content_types: tuple[str, ...] = ("application/json",)

    @property
    def changes(self) -> bool:
        return self.method != "GET"
