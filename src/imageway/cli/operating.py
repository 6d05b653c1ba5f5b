"""What operators' functions need to be commands: an office on the books, and refusals in words for whoever typed."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import msgspec
from msgspec import Struct

from imageway.cli.books import CLOCK, RANDOM, Books
from imageway.cli.printing import Stop
from imageway.core.errors import GatewayError
from imageway.core.ops import Store
from imageway.server.administration.office import Office
from imageway.server.configuration import ConfigurationError, Settings
from imageway.server.vault import RingVault

T = TypeVar("T")


def said(error: GatewayError) -> str:
    """All that is wrong, in one line, and what makes a workspace that is missing."""
    if error.details:
        return "; ".join(problem.message for problem in error.details)
    if error.param != "workspace":
        return error.message
    name = error.message.partition('"')[2].rpartition('"')[0]
    return f"{error.message}; make it with: imageway workspaces create {name}"


def operate(books: Books, work: Callable[[Office], Awaitable[T]], words: Callable[[GatewayError], str] = said) -> T:
    """The audit log knows it as `cli`."""

    async def opened(store: Store) -> T:
        return await work(Office(store, CLOCK, RANDOM, "cli"))

    try:
        return books.do(opened)
    except GatewayError as error:
        raise Stop(words(error)) from None
    except ConfigurationError as error:
        raise Stop(str(error)) from None


def vault_of(settings: Settings, store: Store) -> RingVault:
    return RingVault(store, settings.data, os.environ, RANDOM)


def plain(shown: Struct) -> dict[str, Any]:
    """As JSON has it."""
    built: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(shown))
    return built
