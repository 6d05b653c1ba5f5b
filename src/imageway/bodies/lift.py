"""JSON off the wire, chunk by chunk: long base64 strings become blobs while they arrive, the rest becomes a tree at the
end. Nothing but the search for quotes runs over the whole body."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from functools import cache
from typing import Final

from imageway.bodies.grammar import PLACEHOLDER, Cut, decode_text, parse
from imageway.bodies.limits import LiftError, LiftLimits
from imageway.bodies.spool import Scope
from imageway.bodies.strings import StringReader
from imageway.bodies.trail import path_at
from imageway.bodies.writer import BlobWriter
from imageway.core.blobs import Tree

_LIMITS: Final = LiftLimits()
_KEY_BYTES: Final = 256  # of what stands before a string: its key, a colon, and white space within reason
_STEP_BYTES: Final = 1 << 20  # of a chunk that somebody made very large: memory stays bounded all the same


@cache
def _short_strings(limit_bytes: int) -> re.Pattern[bytes]:
    """Passes over whole strings in one go; stops before one that may be longer than the limit and one that is cut."""
    half = limit_bytes // 2
    return re.compile(
        rb'(?:[^"]*+"[^"\\]{0,%d}+(?:\\.[^"\\]{0,62}+){0,%d}+")*+' % (half, half // 64),
        re.DOTALL,
    )


@cache
def _text_key(keys: frozenset[str]) -> re.Pattern[bytes]:
    """Finds, at the very end, the key of a member that holds text."""
    return re.compile(rb'(?<!\\)"(?:%s)"\s*+:\s*+\Z' % b"|".join(re.escape(key.encode()) for key in sorted(keys)))


class JsonLifter:
    """Push parser for one JSON body. `feed` chunks cut anywhere, `await drain()` after each, `await finish()`. Raises
    LiftError for the body's faults, SpoolFull and OSError for ours."""

    __slots__ = ("_cuts", "_limits", "_opening", "_scope", "_short_strings", "_string", "_text", "_waiting")

    def __init__(self, scope: Scope, limits: LiftLimits = _LIMITS) -> None:
        self._scope = scope
        self._limits = limits
        self._short_strings = _short_strings(limits.blob_bytes)
        self._opening: bytearray | None = bytearray()  # the body while it is too short to be worth scanning
        self._text = bytearray()  # what is left of the body when the blobs are cut out
        self._string: StringReader | None = None
        self._waiting: list[tuple[int, int, BlobWriter]] = []
        self._cuts: list[Cut] = []

    def feed(self, chunk: bytes) -> None:
        if self._opening is not None:
            if len(self._opening) + len(chunk) <= self._limits.blob_bytes:
                self._opening += chunk
                return
            chunk, self._opening = bytes(self._opening) + chunk if self._opening else chunk, None
        try:
            self._scan(chunk)
        except BaseException:
            self._abandon()
            raise

    async def drain(self) -> None:
        """Waits until little enough is unwritten. Blobs that are whole are stored."""
        while self._waiting:
            at, size, writer = self._waiting[0]
            self._cuts.append(Cut(at, size, await writer.finish()))
            del self._waiting[0]
        if self._string is not None and self._string.writer is not None:
            await self._string.writer.drain()

    async def finish(self) -> Tree:
        if self._opening is not None:
            return lift_small(bytes(self._opening), self._limits)
        if self._string is not None:
            error = self._refuse("malformed_json", "The body is not JSON: it ends in the middle of a string.")
            self._abandon()
            raise error
        await self.drain()
        return parse(bytes(self._text), self._cuts, self._limits)

    def _scan(self, chunk: bytes) -> None:
        at = 0
        while at < len(chunk):
            if self._string is None:
                at = self._pass(chunk, at)
            else:
                at = self._string.take(chunk, at)
                if self._string.closed:
                    self._end(self._string)
                    self._string = None

    def _pass(self, chunk: bytes, at: int) -> int:
        """Takes everything up to the next string that needs to be looked at, and opens it."""
        match = self._short_strings.match(chunk, at)
        quote = chunk.find(b'"', match.end() if match else at)
        if quote < 0:
            self._keep(chunk[at:])
            return len(chunk)
        self._keep(chunk[at:quote])
        is_text = _text_key(self._limits.text_keys).search(self._text, max(0, len(self._text) - _KEY_BYTES))
        self._string = StringReader(self._scope, self._limits, self._refuse, stays_text=is_text is not None)
        return quote + 1

    def _end(self, string: StringReader) -> None:
        if string.writer is None:
            self._keep(b'"')
            self._keep(string.text)
            self._keep(b'"')
        else:
            removed = string.size_bytes + 2 - len(PLACEHOLDER)
            self._waiting.append((len(self._text), removed, string.writer))
            self._keep(PLACEHOLDER)

    def _keep(self, part: bytes | bytearray) -> None:
        self._text += part
        if len(self._text) > self._limits.tree_bytes:
            limit = self._limits.tree_bytes >> 10
            raise self._refuse("tree_too_large", f"The body is larger than {limit} KiB without its images.")

    def _refuse(self, code: str, message: str) -> LiftError:
        """The error with the path of what is being read."""
        text = decode_text(bytes(self._text))
        return LiftError(code, path_at(text, len(text)), message)

    def _abandon(self) -> None:
        for _, _, writer in self._waiting:
            writer.abandon()
        if self._string is not None and self._string.writer is not None:
            self._string.writer.abandon()


async def lift_json(chunks: AsyncIterator[bytes], scope: Scope, limits: LiftLimits = _LIMITS) -> Tree:
    """The tree of one JSON body; its blobs live as long as the scope. Raises as JsonLifter does."""
    lifter: JsonLifter | None = None
    opening = b""
    async for chunk in chunks:
        if lifter is None:
            opening = opening + chunk if opening else chunk
            if len(opening) <= limits.blob_bytes:
                continue
            lifter, chunk = JsonLifter(scope, limits), opening
        for at in range(0, len(chunk), _STEP_BYTES):
            lifter.feed(chunk[at : at + _STEP_BYTES])
            await lifter.drain()
    return lift_small(opening, limits) if lifter is None else await lifter.finish()


def lift_small(content: bytes, limits: LiftLimits = _LIMITS) -> Tree:
    """The tree of a whole JSON body of at most `limits.blob_bytes`, too short to hold a blob. Raises LiftError."""
    if len(content) > limits.blob_bytes:
        raise ValueError(f"{len(content)} bytes may hold a blob, and that needs a scope")
    return parse(content, (), limits)
