"""The chunked transfer coding of RFC 9112 §7.1, read as it arrives. Extensions and trailers are passed over."""

from __future__ import annotations

import re
from typing import Final

from imageway.server.http.heads import Malformed

_VALUE: Final = rb"[\t -~\x80-\xff]*+"
_NAME: Final = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]++"
_QUOTED: Final = rb'"(?:[\t !#-\[\]-~\x80-\xff]|\\[\t -~\x80-\xff])*+"'
_EXTENSION: Final = rb";%s(?:=(?:%s|%s))?" % (_NAME, _NAME, _QUOTED)
_SIZE: Final = re.compile(rb"([0-9A-Fa-f]{1,12}+)(?:%s)*+\r\n" % _EXTENSION)
_PART_OF_SIZE: Final = re.compile(rb"(?:[0-9A-Fa-f]{1,12}+(?:;%s)?\r?)?" % _VALUE)
_TRAILERS: Final = re.compile(rb"(?:%s:%s\r\n)*+\r\n" % (_NAME, _VALUE))
_PART_OF_TRAILERS: Final = re.compile(rb"(?:%s:%s\r\n)*+(?:%s(?::%s)?)?\r?" % (_NAME, _VALUE, _NAME, _VALUE))
_FRAMING: Final = re.compile(rb"(?:\A|\n)(?:content-length|transfer-encoding):", re.IGNORECASE)
_OVERHEAD_BYTES: Final = 16 * 1024  # of extensions in all, and of trailers


class ChunkedReader:
    """Push parser of one body. `feed` returns what is content; once the body has ended, `rest` stood behind it."""

    __slots__ = ("_began", "_kept", "_left", "_overhead_bytes", "_trailing", "rest")

    def __init__(self) -> None:
        self.rest: bytes | None = None
        self._kept = b""  # the start of a size or of trailers whose end is still to come
        self._left = 0  # bytes of the chunk at hand
        self._began = False  # a chunk stood before: its line ends first
        self._trailing = False
        self._overhead_bytes = 0

    def feed(self, data: bytes) -> list[bytes]:
        """Raises Malformed."""
        if self._kept:
            data, self._kept = self._kept + data, b""
        pieces: list[bytes] = []
        at = 0
        while at < len(data) and self.rest is None:
            if self._left:
                piece = data[at : at + self._left]
                pieces.append(piece)
                self._left -= len(piece)
                at += len(piece)
            else:
                at = self._read_trailers(data, at) if self._trailing else self._read_size(data, at)
        return pieces

    def _read_size(self, data: bytes, at: int) -> int:
        start = at
        if self._began:
            if not b"\r\n".startswith(data[at : at + 2]):
                raise Malformed
            start += 2
        match = _SIZE.match(data, start)
        if match is None:
            return self._keep(data, at, _PART_OF_SIZE.fullmatch(data, start) is not None)
        self._overhead_bytes += match.end() - match.end(1) - 2
        if self._overhead_bytes > _OVERHEAD_BYTES:
            raise Malformed
        self._left = int(match[1], 16)
        self._began, self._trailing = True, self._left == 0
        return match.end()

    def _read_trailers(self, data: bytes, at: int) -> int:
        match = _TRAILERS.match(data, at)
        if match is None:
            return self._keep(data, at, _PART_OF_TRAILERS.fullmatch(data, at) is not None)
        if _FRAMING.search(match[0]):  # RFC 9110 §6.5.1: would speak of a length that was told before
            raise Malformed
        self.rest = data[match.end() :]
        return match.end()

    def _keep(self, data: bytes, at: int, could_go_on: bool) -> int:
        self._kept = data[at:]
        if not could_go_on or len(self._kept) > _OVERHEAD_BYTES:
            raise Malformed
        return len(data)
