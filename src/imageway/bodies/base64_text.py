"""Base64 as it arrives: both alphabets, any padding, in pieces cut anywhere. Knows nothing of where it is kept.

Accepted is what RFC 4648 sections 4 and 5 allow, padding that is missing or too long, and line breaks. What is kept is
canonical: one alphabet, no line breaks, padded to a multiple of four."""

from __future__ import annotations

import binascii
import re
from collections.abc import Callable
from typing import Final

import pybase64

from imageway.core.blobs import Encoding

_LINE_BREAKS: Final = b"\r\n"
_URL_SAFE: Final = b"-_"
_ALPHABET: Final = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/-_"
_TO_STANDARD: Final = bytes.maketrans(b"-_", b"+/")
_TOKEN: Final = rb"[A-Za-z0-9!#$&^_.+/-]{0,127}"
_DATA_URL: Final = re.compile(rb"data:(" + _TOKEN + rb")(?:;(?!base64,)[^,;\"]{0,127}){0,4};base64,", re.IGNORECASE)


class InvalidBase64(ValueError):
    """The text is not base64: a foreign character, both alphabets mixed, or a length no bytes encode to."""


def split_data_url(text: bytes) -> tuple[str | None, int]:
    """The media type that a data URL names (lower case), and where its base64 starts; (None, 0) for other text."""
    match = _DATA_URL.match(text)
    if match is None:
        return None, 0
    return match[1].decode("ascii").lower() or None, match.end()


def is_data_url(text: bytes) -> bool:
    return _DATA_URL.match(text) is not None


def is_base64(text: bytes) -> bool:
    """Whether it is, or begins, a text that could be read to its end."""
    try:
        Base64Reader(lambda _: None).feed(text)
    except InvalidBase64:
        return False
    return True


def to_standard(text: bytes) -> bytes:
    """base64url in the standard alphabet."""
    return text.translate(_TO_STANDARD)


def encoded_length(decoded_bytes: int) -> int:
    """How long the padded base64 of so many bytes is."""
    return (decoded_bytes + 2) // 3 * 4


class Base64Reader:
    """Push parser: `feed` returns the canonical text to keep (the very object it was given, when nothing had to be
    mended) and hands the decoded bytes to `sink`; `finish` returns the padding that was missing. Both raise
    InvalidBase64; a foreign character may be noticed one piece late."""

    __slots__ = ("_padded", "_rest", "_sink", "_standard", "_url", "unwrapped")

    def __init__(self, sink: Callable[[bytes], None]) -> None:
        self._sink = sink
        self._rest = b""  # up to three characters of a group not yet whole
        self._padded = False
        self._standard = False
        self._url = False
        self.unwrapped = False  # whether line breaks were taken out

    @property
    def encoding(self) -> Encoding:
        """Text that fits both alphabets counts as standard."""
        return Encoding.BASE64URL if self._url else Encoding.BASE64

    def feed(self, run: bytes) -> bytes:
        """Changes nothing when it raises. Padding inside of a run is found by decoding it, which every byte needs
        anyway; only where groups may end between two runs is it looked for."""
        if not (self._padded or b"=" in run[:3] or b"=" in run[-5:]):
            try:
                return self._take(run)
            except binascii.Error:
                pass  # something is to be mended, or refused
        padding = run.find(b"=")
        ends = self._padded or padding >= 0
        text = self._mended(self._cut(run, padding) if ends else run)
        self._padded = ends
        return text

    def feed_plain(self, run: bytes) -> bool:
        """`feed` for a run that is kept as it is. False, and nothing has changed: something in it is to be mended or
        refused, or is not of this text at all. Decoding finds that, except among the last characters, which may wait
        for others, and where padding ends the group that waited for the first ones."""
        if self._padded or (run[:3] + run[-4:]).translate(None, _ALPHABET):
            return False
        standard = self._standard
        try:
            self._take(run)
        except binascii.Error:
            self._standard = standard
            return False
        return True

    def _mended(self, run: bytes) -> bytes:
        try:
            return self._take(run)
        except binascii.Error as error:
            unbroken = run.translate(None, _LINE_BREAKS)
            if len(unbroken) == len(run):
                raise InvalidBase64(str(error)) from None
        try:
            text = self._take(unbroken)
        except binascii.Error as error:
            raise InvalidBase64(str(error)) from None
        self.unwrapped = True
        return text

    def finish(self) -> bytes:
        rest = self._rest
        if not rest:
            return b""
        padding = b"=" * (-len(rest) % 4)
        try:
            self._sink(self._decode(rest + padding, rest))
        except binascii.Error as error:
            raise InvalidBase64(str(error)) from None
        self._rest = b""
        return padding

    def _cut(self, run: bytes, padding: int) -> bytes:
        """What stands before the padding; behind it nothing may follow."""
        text, after = (b"", run) if self._padded else (run[:padding], run[padding:])
        if after.strip(b"=\r\n"):
            raise InvalidBase64("there is text behind the padding")
        return text

    def _take(self, run: bytes) -> bytes:
        """Decodes every whole group, keeps the rest for later. Changes nothing when it raises."""
        start = -len(self._rest) % 4
        end = max(start, start + (len(run) - start) // 4 * 4)
        first = self._rest + run[:start]
        rest = run[end:]
        if len(first) % 4:
            first, rest = b"", first
        if b"\n" in rest or b"\r" in rest:
            raise binascii.Error("a line break")
        opening = self._decode(first, first) if first else b""
        whole = run if end - start == len(run) else memoryview(run)[start:end]
        body = self._decode(whole, run) if whole else b""
        self._rest = rest
        if opening:
            self._sink(opening)
        if body:
            self._sink(body)
        return run

    def _decode(self, text: bytes | memoryview, source: bytes) -> bytes:
        """`source` is the bytes object that `text` is a part of; looked at for characters of one alphabet alone."""
        if not self._standard and (b"+" in source or b"/" in source):
            if self._url:
                raise binascii.Error("both base64 alphabets at once")
            self._standard = True
        if self._url:
            return pybase64.b64decode(text, altchars=_URL_SAFE, validate=True)
        try:
            return pybase64.b64decode(text, validate=True)
        except binascii.Error:
            if self._standard:
                raise
        content = pybase64.b64decode(text, altchars=_URL_SAFE, validate=True)
        self._url = True
        return content
