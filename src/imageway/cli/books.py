"""Commands on workspaces, wallets, keys, usage and models. They work while a gateway runs and count from its next
request on: both look at the same tables."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

from imageway.cli.printing import Stop, print_json, print_table
from imageway.core.money import format_usd
from imageway.core.ops import Store
from imageway.ledger.queries import FindWorkspace, ListUsage, ShowWallet, Wallet, Workspace
from imageway.ledger.verifying import Reader
from imageway.server.configuration import ConfigurationError, Settings, read_settings
from imageway.server.machine import SystemClock, SystemRandom

T = TypeVar("T")
CLOCK, RANDOM = SystemClock(), SystemRandom()
MOST_ROWS = 1_000_000


@dataclass(frozen=True, slots=True)
class Books:
    """Which books a command opens."""

    data: Path | None
    config: Path | None

    def settings(self) -> Settings:
        try:
            return read_settings({"data": self.data, "config": self.config})
        except ConfigurationError as error:
            raise Stop(str(error)) from None

    @contextlib.asynccontextmanager
    async def open(self) -> AsyncIterator[Store]:
        from imageway.server.books import open_books

        async with open_books(self.settings()) as store:
            yield store

    def do(self, work: Callable[[Store], Awaitable[T]]) -> T:
        async def opened() -> T:
            async with self.open() as store:
                return await work(store)

        try:
            return asyncio.run(opened())
        except BrokenPipeError:
            raise
        except OSError as error:
            raise Stop(f"the data directory cannot be used: {error}") from None


async def workspace_named(store: Reader, name: str) -> Workspace:
    found = await store.read(FindWorkspace(name))
    if found is None:
        raise Stop(f'there is no workspace "{name}"; make it with: imageway workspaces create {name}')
    return found


def wallet_of(books: Books, workspace: str) -> str:
    """What is available, in dollars."""

    async def read(store: Store) -> str:
        wallet = await store.read(ShowWallet((await workspace_named(store, workspace)).id))
        return format_usd(wallet.available if wallet else 0)

    return books.do(read)


def usage_prices(books: Books, workspace: str) -> dict[str, str]:
    """Request id → dollars paid."""

    async def read(store: Store) -> dict[str, str]:
        owner = await workspace_named(store, workspace)
        return {row.request_id: format_usd(row.price_usd_micros) for row in await store.read(ListUsage(owner.id))}

    return books.do(read)


def show_wallet(books: Books, workspace: str, *, as_json: bool) -> None:
    async def read(store: Store) -> Wallet:
        wallet = await store.read(ShowWallet((await workspace_named(store, workspace)).id))
        if wallet is None:
            raise Stop(f'the workspace "{workspace}" has no wallet')
        return wallet

    wallet = books.do(read)
    shown: dict[str, object] = {
        "workspace": wallet.workspace,
        "available_usd": format_usd(wallet.available),
        "held_usd": format_usd(wallet.held),
        "spent_usd": format_usd(wallet.spent),
    }
    if as_json:
        print_json(shown)
        return
    if wallet.granted or wallet.adjusted:
        shown |= {"granted_usd": format_usd(wallet.granted), "adjusted_usd": format_usd(wallet.adjusted)}
    show_rows([shown], tuple(shown), as_json=False)


def show_rows(rows: list[dict[str, object]], columns: tuple[str, ...], *, as_json: bool) -> None:
    if as_json:
        print_json(rows)
    else:
        print_table(columns, [[_cell(row[column]) for column in columns] for row in rows])


def _cell(value: object) -> str:
    if isinstance(value, list):
        return " ".join(str(one) for one in value) or "all"
    return "" if value is None else str(value)


def day(epoch_ms: int | None) -> str | None:
    return datetime.fromtimestamp(epoch_ms / 1000, UTC).isoformat(timespec="seconds") if epoch_ms else None
