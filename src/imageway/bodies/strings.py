"""One JSON string on its way in: text, or a blob as soon as that is certain. Sees only what is between the quotes."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Final

from imageway.bodies.base64_text import InvalidBase64, is_base64, is_data_url
from imageway.bodies.limits import LiftError, LiftLimits
from imageway.bodies.spool import Scope
from imageway.bodies.writer import BlobWriter

_CONTENT: Final = re.compile(rb'[^"\\]*+(?:\\(?:[^u]|u[0-9a-fA-F]{4})[^"\\]*+)*+', re.DOTALL)
_CUT_ESCAPE: Final = re.compile(rb"\\(?:u[0-9a-fA-F]{0,3})?")
_ESCAPED_ASCII: Final = re.compile(rb"\\u00(?!5[cC])([0-7][0-9a-fA-F])")
_ESCAPED_LINE_BREAKS: Final = re.compile(rb"\\(?:[nr]|u000[aAdD])")
_BEGINNING_BYTES: Final = 8 << 10
_STEP_BYTES: Final = 64 << 10  # of text with escapes: its length is not worked out for every few bytes more

Refuse = Callable[[str, str], LiftError]
"""(code, message) → the error with this string's path."""

_ENDS: Final = re.compile(rb"[\\=]")


class StringReader:
    """Push parser for one string: `take` from the chunk until `closed`; then either `writer` holds the blob, sealed, or
    `text` is the string as written, without quotes."""

    __slots__ = (
        "_ceiling",
        "_cut",
        "_limits",
        "_refuse",
        "_scope",
        "_stays_text",
        "closed",
        "size_bytes",
        "text",
        "writer",
    )

    def __init__(self, scope: Scope, limits: LiftLimits, refuse: Refuse, *, stays_text: bool = False) -> None:
        self._scope = scope
        self._limits = limits
        self._refuse = refuse
        self._stays_text = stays_text
        self._ceiling = limits.text_bytes
        self._cut = b""  # the first bytes of an escape whose others are in the next chunk
        self.text = bytearray()
        self.writer: BlobWriter | None = None
        self.closed = False
        self.size_bytes = 0

    def take(self, chunk: bytes, start: int) -> int:
        """Returns where it stopped: behind the closing quote, or at the end of the chunk. A chunk from the middle of a
        blob is not searched: what can be decoded holds no quote."""
        if not start and self.writer is not None and not self._cut and self.writer.write_plain(chunk):
            self.size_bytes += len(chunk)
            return len(chunk)
        quote = chunk.find(b'"', start)
        end = quote if quote >= 0 else len(chunk)
        if self._cut:
            return self._take_escaped(chunk, start)
        if self.writer is not None and not _ENDS.search(chunk, max(start, end - 3), end):
            if not self._passed_on(self.writer, chunk[start:end]):
                return self._take_escaped(chunk, start)
        elif chunk.find(b"\\", start, end) >= 0:
            return self._take_escaped(chunk, start)
        else:
            self._add(chunk[start:end])
        if quote < 0:
            return end
        self._close()
        return quote + 1

    def _passed_on(self, writer: BlobWriter, run: bytes) -> bool:
        """False: the run holds an escape. Decoding finds it, unless it is among the last three characters, or the last
        three before the padding, which may wait for others."""
        try:
            writer.write(run)
        except InvalidBase64:
            if b"\\" in run:
                return False
            self._stream(writer, run)
        self.size_bytes += len(run)
        self._assert_wrapped(writer)
        return True

    def _take_escaped(self, chunk: bytes, start: int) -> int:
        held = len(self._cut)
        run = chunk
        if held:
            run, start, self._cut = self._cut + chunk[start:], 0, b""
        match = _CONTENT.match(run, start)
        end = match.end() if match else start
        self._add(run[start:end])
        if run[end : end + 1] == b'"':
            self._close()
            return end + 1 + len(chunk) - len(run)
        if end < len(run) and not _CUT_ESCAPE.fullmatch(run, end):
            raise self._refuse("malformed_json", "The body is not JSON: a string holds a broken escape.")
        self._cut = run[end:]
        return len(chunk)

    def _add(self, run: bytes) -> None:
        self.size_bytes += len(run)
        if self.writer is not None:
            self._stream(self.writer, run)
            return
        self.text += run
        if len(self.text) > self._ceiling:
            self._commit()

    def _commit(self) -> None:
        """The string is longer than text may be: from now on it is a blob, or it is refused."""
        if b"\\" in self.text and self._may_be_text():
            return
        text = _unescape(bytes(self.text))
        writer = self._begin(text, whole=False)
        if writer is None:
            raise self._unfit(text)
        self.writer, self.text = writer, bytearray()

    def _may_be_text(self) -> bool:
        """Text with escapes is shorter than it is written. What of it has come may look like base64 all the same: only
        when it is too long for text whatever follows, is it looked at, or where chunks end would decide."""
        room = self._limits.text_bytes - _text_length(self.text)
        most = self._limits.tree_bytes
        if room < 0 or len(self.text) > most:
            return False
        self._ceiling = min(most, len(self.text) + max(room, _STEP_BYTES))
        return True

    def _begin(self, text: bytes, *, whole: bool) -> BlobWriter | None:
        writer = None if self._stays_text else self._scope.begin_base64(text, whole=whole)
        if writer is not None and writer.unwrapped:
            writer.abandon()  # line breaks that no escape wrote: as text, the parser will refuse them
            return None
        return writer

    def _unfit(self, text: bytes) -> LiftError:
        if not self._stays_text and (is_data_url(text) or is_base64(text[:_BEGINNING_BYTES])):
            return self._refuse("invalid_base64", "The string begins as base64 and goes on as something else.")
        limit = self._limits.text_bytes >> 10
        return self._refuse("text_too_large", f"The string is longer than the {limit} KiB allowed for text.")

    def _stream(self, writer: BlobWriter, run: bytes) -> None:
        try:
            writer.write(_unescape(run))
        except InvalidBase64 as error:
            raise self._refuse("invalid_base64", f"The string is not base64 to its end: {error}.") from None
        self._assert_wrapped(writer)

    def _assert_wrapped(self, writer: BlobWriter) -> None:
        if writer.unwrapped:
            raise self._refuse("invalid_base64", "The string holds a line break that is not escaped.")

    def _close(self) -> None:
        self.closed = True
        if self.writer is None:
            if len(self.text) > self._limits.blob_bytes:
                self._decide()
            return
        try:
            self.writer.seal()
        except InvalidBase64 as error:
            raise self._refuse("invalid_base64", f"The string is not base64 to its end: {error}.") from None

    def _decide(self) -> None:
        """The whole string is here, longer than a blob must be."""
        text = _unescape(bytes(self.text))
        if len(text) <= self._limits.blob_bytes:
            return
        self.writer = self._begin(text, whole=True)
        if self.writer is not None:
            self.text = bytearray()
        elif len(self.text) > self._limits.text_bytes < _text_length(self.text):
            raise self._unfit(text)


def _unescape(run: bytes) -> bytes:
    """Undoes the escapes that base64 may be written with and drops escaped line breaks. Whatever else was escaped keeps
    a backslash, which no base64 has. So does an escaped backslash, whatever follows it: the line breaks go last, as
    their going could make an escape of what stands around them."""
    if b"\\" not in run:
        return run
    run = run.replace(b"\\/", b"/")
    if b"\\" in run:
        run = _ESCAPED_ASCII.sub(_spell_out, run)
    return _ESCAPED_LINE_BREAKS.sub(b"", run) if b"\\" in run else run


def _spell_out(escape: re.Match[bytes]) -> bytes:
    character = int(escape[1], 16)
    return escape[0] if character in b"\r\n\\" else bytes((character,))


def _text_length(written: bytearray) -> int:
    """In bytes of UTF-8. Text that no JSON parser reads has none: parsing the body will say what is wrong with it."""
    try:
        return len(json.loads(b'"%b"' % bytes(written), strict=False).encode("utf-8", "replace"))
    except ValueError:
        return 0
