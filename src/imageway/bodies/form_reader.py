"""Multipart forms off the wire (RFC 7578), chunk by chunk: files become binary blobs while they arrive, all else is
text. Nothing but the search for the boundary runs over a file."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Final

from imageway.bodies.form_fields import FieldReader
from imageway.bodies.form_heads import PartHead, is_boundary, read_head
from imageway.bodies.limits import LiftError, LiftLimits
from imageway.bodies.spool import Scope
from imageway.bodies.trail import spell
from imageway.bodies.writer import BlobWriter
from imageway.core.blobs import Encoding
from imageway.core.steps import FormBody, FormFile

_LINE: Final = b"\r\n"
_BLANK_LINE: Final = b"\r\n\r\n"
_STEP_BYTES: Final = 256 << 10
_UNKNOWN_TYPE: Final = "application/octet-stream"


@dataclass(frozen=True, slots=True, kw_only=True)
class FormLimits:
    """`parts`: how many. `head_bytes`: the headers of one part. `fields`: what holds for text parts as for strings in
    JSON; `tree_bytes` is for all of them together. Files are limited by the body's size alone."""

    parts: int = 128
    head_bytes: int = 8 << 10
    fields: LiftLimits = field(default_factory=LiftLimits)


_LIMITS: Final = FormLimits()


@dataclass(frozen=True, slots=True)
class _Arrived:
    """A part whose blob is whole but perhaps not stored yet."""

    place: int
    name: str
    writer: BlobWriter
    filename: str


class FormReader:
    """Push parser for one form. `feed` chunks cut anywhere, `await drain()` after each, `await finish()`. Raises
    LiftError for the form's faults, SpoolFull and OSError for ours; ValueError for what cannot be a boundary.

    Codes: body_empty, malformed_form, too_many_parts, part_head_too_large, unsupported_encoding, text_too_large,
    tree_too_large, invalid_base64, invalid_utf8. The path is the part's name."""

    __slots__ = (
        "_at_content",
        "_count",
        "_delimiter",
        "_empty",
        "_ended",
        "_field",
        "_file",
        "_head",
        "_held",
        "_limits",
        "_part",
        "_scope",
        "_text_bytes",
        "_values",
        "_waiting",
    )

    def __init__(self, boundary: str, scope: Scope, limits: FormLimits = _LIMITS) -> None:
        if not is_boundary(boundary):
            raise ValueError(f"{boundary!r} cannot be a multipart boundary")
        self._delimiter = b"\r\n--" + boundary.encode("ascii")
        self._scope = scope
        self._limits = limits
        self._held = _LINE  # what may be the beginning of a delimiter; before the first one no line needs to end
        self._head: bytearray | None = None  # of the part that begins; while there is one, it is what is being read
        self._part: PartHead | None = None  # whose content is being read, by one of these two
        self._file: BlobWriter | None = None
        self._field: FieldReader | None = None
        self._at_content = False  # the part's content begins with the line break of its head
        self._empty = True
        self._ended = False
        self._count = 0
        self._text_bytes = 0
        self._values: dict[int, tuple[str, str | FormFile]] = {}
        self._waiting: list[_Arrived] = []

    def feed(self, chunk: bytes) -> None:
        self._empty = self._empty and not chunk
        try:
            while chunk and not self._ended:
                chunk = self._take_content(chunk) if self._head is None else self._take_head(self._head, chunk)
        except BaseException:
            self._abandon()
            raise

    async def drain(self) -> None:
        """Waits until little enough is unwritten. Blobs that are whole are stored."""
        while self._waiting:
            part = self._waiting[0]
            blob = await part.writer.finish()
            self._values[part.place] = part.name, FormFile(blob, part.filename, blob.declared_type or _UNKNOWN_TYPE)
            del self._waiting[0]
        writer = self._writer()
        if writer is not None:
            await writer.drain()

    async def finish(self) -> FormBody:
        if not self._ended:
            self._abandon()
            raise self._cut()
        await self.drain()
        return FormBody(tuple(self._values[place] for place in range(self._count)))

    def _take_content(self, chunk: bytes) -> bytes:
        """Returns what stands behind the delimiter, if there is one. What may be the beginning of one is held back."""
        if self._held:
            chunk, self._held = self._held + chunk, b""
        end = chunk.find(self._delimiter)
        if end >= 0:
            self._write(chunk[:end])
            self._end_part()
            self._head = bytearray()
            return chunk[end + len(self._delimiter) :]
        end = chunk.rfind(b"\r", max(0, len(chunk) - len(self._delimiter) + 1))
        if end < 0 or not self._delimiter.startswith(chunk[end:]):
            end = len(chunk)
        self._write(chunk[:end])
        self._held = chunk[end:]
        return b""

    def _take_head(self, head: bytearray, chunk: bytes) -> bytes:
        """Returns what stands behind the head, if that is whole."""
        known = len(head)
        room = self._limits.head_bytes + len(_BLANK_LINE)
        head += chunk[: room - known]
        if head.startswith(b"--"):
            self._ended = True  # what follows the last delimiter has no meaning
            return b""
        end = head.find(_BLANK_LINE, max(0, known - len(_BLANK_LINE) + 1))
        if end >= 0:
            self._begin_part(bytes(head[: end + len(_LINE)]))
            return chunk[end + len(_BLANK_LINE) - known :]
        if len(head) >= room:
            limit = self._limits.head_bytes
            raise LiftError("part_head_too_large", "", f"The head of part {self._count + 1} is over {limit} bytes.")
        return b""

    def _begin_part(self, head: bytes) -> None:
        rest_of_delimiter, _, headers = head.partition(_LINE)
        if rest_of_delimiter.strip(b" \t"):
            raise LiftError("malformed_form", "", f"Text follows the boundary before part {self._count + 1}.")
        if self._count == self._limits.parts:
            raise LiftError("too_many_parts", "", f"The form has more than {self._count} parts.")
        self._part = part = read_head(headers, self._count + 1)
        self._head = None
        self._held, self._at_content = _LINE, True  # a delimiter may come at once: it shares the line break
        if part.is_file:
            self._file = self._scope.writer(encoding=Encoding.BINARY, declared_type=part.media_type)
        else:
            self._field = FieldReader(part.name, self._scope, self._limits.fields)

    def _write(self, run: bytes) -> None:
        if not run:
            return
        if self._at_content:
            run, self._at_content = run[len(_LINE) :], False
        if self._file is not None:
            self._file.write(run)
        elif self._field is not None:
            self._field.write(run)

    def _end_part(self) -> None:
        part = self._part
        if part is None:  # what came before the first delimiter has no meaning
            return
        if self._field is not None:
            self._field.close()
        writer = self._writer()
        if writer is not None:
            writer.seal()
            self._waiting.append(_Arrived(self._count, part.name, writer, part.filename or ""))
        elif self._field is not None:
            self._values[self._count] = part.name, self._text(part.name, self._field.text)
        self._part = self._file = self._field = None
        self._count += 1

    def _text(self, name: str, content: bytearray) -> str:
        self._text_bytes += len(content)
        limit = self._limits.fields.tree_bytes
        if self._text_bytes > limit:
            raise LiftError("tree_too_large", "", f"The form is larger than {limit >> 10} KiB without its files.")
        try:
            return content.decode()
        except UnicodeDecodeError as error:
            message = f"The part is not UTF-8 at byte {error.start}."
            raise LiftError("invalid_utf8", spell([name]), message) from None

    def _cut(self) -> LiftError:
        if self._empty:
            return LiftError("body_empty", "", "The body is empty.")
        if self._part is not None:
            message = "The form ends in the middle of this part: no boundary follows it."
            return LiftError("malformed_form", spell([self._part.name]), message)
        if self._head is not None:
            return LiftError("malformed_form", "", f"The form ends in the head of part {self._count + 1}.")
        message = "The boundary that the Content-Type header names does not occur in the body."
        return LiftError("malformed_form", "", message)

    def _writer(self) -> BlobWriter | None:
        """Of the blob that is arriving."""
        return self._file if self._field is None else self._field.writer

    def _abandon(self) -> None:
        for part in self._waiting:
            part.writer.abandon()
        writer = self._writer()
        if writer is not None:
            writer.abandon()


async def read_form(
    chunks: AsyncIterator[bytes], boundary: str, scope: Scope, limits: FormLimits = _LIMITS
) -> FormBody:
    """The parts of one form in order; blobs live as long as the scope. A part is a FormFile if it has a file name or a
    type that is not text, and if it is long base64 (then it is named ""); what names no type is
    application/octet-stream. Raises as FormReader does."""
    reader = FormReader(boundary, scope, limits)
    async for chunk in chunks:
        for at in range(0, len(chunk), _STEP_BYTES):
            reader.feed(chunk[at : at + _STEP_BYTES])
            await reader.drain()
    return await reader.finish()
