"""One HTTP request and answer as a pretend provider sees them, in process and over a socket alike."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class SandboxRequest:
    """`path` is whole ("/openai/v1/images/generations"); `origin` is how the caller reached us ("http://127.0.0.1:8500"),
    so that answers by URL can point back. Header names are lower case; query values are the last of each name."""

    method: str
    path: str
    origin: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: AsyncIterator[bytes]


@dataclass(frozen=True, slots=True)
class SandboxAnswer:
    """`chunks` may raise ConnectionResetError in the middle: the host then cuts the connection."""

    status: int
    headers: tuple[tuple[str, str], ...]
    chunks: AsyncIterator[bytes]


class Sandbox(Protocol):
    async def handle(self, request: SandboxRequest) -> SandboxAnswer:
        """Raises ConnectionResetError when the host is to cut the connection before any header."""
