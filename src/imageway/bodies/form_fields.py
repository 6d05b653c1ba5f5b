"""A form's text field on its way in: text, or a blob, by the rule that JSON strings go by. Base64 with plain line
breaks, which JSON cannot hold, is a blob here as well."""

from __future__ import annotations

from typing import Final

from imageway.bodies.base64_text import InvalidBase64, is_base64, is_data_url
from imageway.bodies.limits import LiftError, LiftLimits
from imageway.bodies.spool import Scope
from imageway.bodies.trail import spell
from imageway.bodies.writer import BlobWriter

_BEGINNING_BYTES: Final = 8 << 10


class FieldReader:
    """Push parser for one field: `write` what comes, then `close`; then either `writer` holds the blob, sealed, or
    `text` is all there is. Both raise LiftError."""

    __slots__ = ("_limits", "_name", "_scope", "text", "writer")

    def __init__(self, name: str, scope: Scope, limits: LiftLimits) -> None:
        self._name = name
        self._scope = scope
        self._limits = limits
        self.text = bytearray()
        self.writer: BlobWriter | None = None

    def write(self, run: bytes) -> None:
        if self.writer is not None:
            self._stream(self.writer, run)
            return
        self.text += run
        if len(self.text) > self._limits.text_bytes:
            self._begin(whole=False)
            if self.writer is None:
                raise self._unfit()

    def close(self) -> None:
        if self.writer is not None:
            self._seal(self.writer)
        elif len(self.text) > self._limits.blob_bytes:
            self._begin(whole=True)

    def _begin(self, *, whole: bool) -> None:
        """Makes a blob of the text if it can be one."""
        if self._name in self._limits.text_keys:
            return
        writer = self._scope.begin_base64(bytes(self.text), whole=whole)
        if writer is not None:
            self.writer, self.text = writer, bytearray()

    def _stream(self, writer: BlobWriter, run: bytes) -> None:
        try:
            writer.write(run)
        except InvalidBase64 as error:
            raise self._broken(error) from None

    def _seal(self, writer: BlobWriter) -> None:
        try:
            writer.seal()
        except InvalidBase64 as error:
            raise self._broken(error) from None

    def _broken(self, error: InvalidBase64) -> LiftError:
        return self._refuse("invalid_base64", f"The part is not base64 to its end: {error}.")

    def _unfit(self) -> LiftError:
        text = bytes(self.text[:_BEGINNING_BYTES])
        if self._name not in self._limits.text_keys and (is_data_url(text) or is_base64(text)):
            return self._refuse("invalid_base64", "The part begins as base64 and goes on as something else.")
        limit = self._limits.text_bytes >> 10
        return self._refuse("text_too_large", f"The part is longer than the {limit} KiB allowed for text.")

    def _refuse(self, code: str, message: str) -> LiftError:
        return LiftError(code, spell([self._name]), message)
