"""Width, height and transparency out of an image's header, while the bytes go by. Reads what it needs and skips the
rest unseen: the frame of a JPEG may stand behind 100 KB of metadata. Hostile input costs a bounded amount of work and
no error.

Each format is a generator that asks for its bytes: `yield n` is answered with the next n bytes, `yield -n` skips n."""

from __future__ import annotations

import struct
from collections.abc import Callable, Generator
from typing import Final

from imageway.bodies.formats import BRANDS_BYTES, box_size, sniff_format
from imageway.core.blobs import ImageFacts

GIVE_UP_BYTES: Final = 1 << 20
_JPEG_SEGMENTS: Final = 1024  # real files have some dozens; bounds the work on hostile ones
_BOXES: Final = 256
_PNG_CHUNKS: Final = 1024
_FRAMES: Final = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_STANDALONE: Final = frozenset(range(0xD0, 0xD8)) | {0x01}
_SIGNATURE_BYTES: Final = 16
_PNG_BEGINNING: Final = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR"
_SIZE_AND_KIND: Final = struct.Struct(">IIBB").unpack_from
_WITH_ALPHA: Final = (4, 6)  # colour types of PNG

Pixels = tuple[int, int]
Parser = Generator[int, bytes, Pixels | None]


class HeaderReader:
    """Push parser: `feed` decoded bytes until `done`. `facts` is None as long as, or because, nothing was found;
    they are there before it is known whether a PNG is transparent."""

    __slots__ = ("_buffer", "_parser", "_seen", "_want", "done", "facts")

    def __init__(self) -> None:
        self.facts: ImageFacts | None = None
        self.done = False
        self._buffer = bytearray()
        self._seen = 0
        self._parser: Generator[int, bytes, None] | None = None
        self._want = _SIGNATURE_BYTES

    def feed(self, piece: bytes) -> ImageFacts | None:
        if self.done:
            return self.facts
        if not self._seen and (told := _told_at_once(piece)):
            self.facts = told
            self.done = True
            return told
        fresh = piece if self._seen + len(piece) <= GIVE_UP_BYTES else piece[: GIVE_UP_BYTES - self._seen]
        self._seen += len(piece)
        held = self._buffer
        if held:
            held += fresh
        try:
            taken = self._advance(held or fresh)
        except (StopIteration, struct.error, IndexError):  # all that can be known, or a header that contradicts itself
            self._end()
        else:
            if held:
                del held[:taken]
            else:
                held += fresh[taken:]
            if self._seen >= GIVE_UP_BYTES:
                self._end()
        return self.facts

    def _note(self, facts: ImageFacts) -> None:
        self.facts = facts

    def _advance(self, source: bytes | bytearray) -> int:
        """Gives the parser what it asks for, as long as it is there; returns how much that was."""
        if self._parser is None:
            self._parser = _read(self._note)
            next(self._parser)
        at = 0
        while True:
            want = self._want
            if want < 0:
                step = min(-want, len(source) - at)
                at += step
                self._want = want + step
                if self._want:
                    return at
                self._want = self._parser.send(b"")
            elif len(source) - at >= want:
                answer = bytes(source[at : at + want])
                at += want
                self._want = self._parser.send(answer)
            else:
                return at

    def _end(self) -> None:
        self.done = True
        self._buffer = bytearray()
        if self._parser is not None:
            self._parser.close()


def facts_of(content: bytes) -> ImageFacts | None:
    """What the header of a whole image says."""
    return _told_at_once(content) or HeaderReader().feed(content)


def _told_at_once(piece: bytes) -> ImageFacts | None:
    """Of a PNG whose pixels follow its header, as they do in most; None for every other beginning."""
    if len(piece) < 41 or not piece.startswith(_PNG_BEGINNING):
        return None
    width, height, _, colour = _SIZE_AND_KIND(piece, 16)
    if not width or not height:
        return None
    alpha = colour in _WITH_ALPHA
    return ImageFacts("png", width, height, alpha) if alpha or piece[37:41] == b"IDAT" else None


def _read(note: Callable[[ImageFacts], None]) -> Generator[int, bytes, None]:
    signature = yield _SIGNATURE_BYTES
    name = sniff_format(signature)
    brands = b""
    if name is None and signature[4:8] == b"ftyp":
        size = min(int.from_bytes(signature[:4], "big"), BRANDS_BYTES)
        brands = yield max(size - _SIGNATURE_BYTES, 0)
        name = sniff_format(signature + brands)
    if name is None:
        return
    pixels = yield from _PARSERS[name](signature + brands)
    if pixels is None or min(pixels) <= 0:
        return
    note(ImageFacts(name, *pixels))
    if name == "png":
        note(ImageFacts(name, *pixels, (yield from _png_alpha())))


def _png(signature: bytes) -> Parser:
    if signature[12:16] != b"IHDR":
        return None
    width, height = struct.unpack(">II", (yield 8))
    return width, height


def _png_alpha() -> Generator[int, bytes, bool | None]:
    """PNG third edition, 11.2.1 and 11.3.1: colour types 4 and 6 have alpha, others a tRNS chunk before the pixels."""
    rest_of_header = yield 9
    if rest_of_header[1] in _WITH_ALPHA:
        return True
    for _ in range(_PNG_CHUNKS):
        chunk = yield 8
        if chunk[4:] in (b"tRNS", b"IDAT", b"IEND"):
            return chunk[4:] == b"tRNS"
        yield -int.from_bytes(chunk[:4], "big") - 4
    return None


def _jpeg(signature: bytes) -> Parser:
    """ITU-T T.81, annex B: markers until the first frame header."""
    rest = signature[2:]
    for _ in range(_JPEG_SEGMENTS):
        while len(rest) < 4:
            rest += yield 4 - len(rest)
        if rest[0] != 0xFF:
            return None
        marker = rest[1]
        if marker == 0xFF:
            rest = rest[1:]
            continue
        if marker in _STANDALONE:
            rest = rest[2:]
            continue
        if marker in (0xD9, 0xDA, 0x00):
            return None
        size = int.from_bytes(rest[2:4], "big")
        if size < 2:
            return None
        if marker in _FRAMES:
            frame = rest[4:]
            if len(frame) < 5:
                frame += yield 5 - len(frame)
            height, width = struct.unpack_from(">HH", frame, 1)
            return width, height
        rest = yield from _skip(rest, size + 2)
    return None


def _skip(held: bytes, size: int) -> Generator[int, bytes, bytes]:
    """Passes `size` bytes of which `held` was read already; returns what was held beyond them."""
    if size > len(held):
        yield len(held) - size
    return held[size:]


def _webp(signature: bytes) -> Parser:
    """RFC 9649: lossy (VP8 frame header), lossless (14 bits each, less one) or extended (24 bits each, less one)."""
    kind = signature[12:16]
    body = yield 14
    if kind == b"VP8 " and body[7:10] == b"\x9d\x01\x2a":
        width, height = struct.unpack_from("<HH", body, 10)
        return width & 0x3FFF, height & 0x3FFF
    if kind == b"VP8L" and body[4] == 0x2F:
        bits = int.from_bytes(body[5:9], "little")
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    if kind == b"VP8X":
        return int.from_bytes(body[8:11], "little") + 1, int.from_bytes(body[11:14], "little") + 1
    return None


def _gif(signature: bytes) -> Parser:
    width, height = struct.unpack_from("<HH", signature, 6)
    return width, height
    yield 0  # a generator like its neighbours


def _bmp(signature: bytes) -> Parser:
    header = signature[14:16] + (yield 10)
    if header[:4] == b"\x0c\0\0\0":
        width, height = struct.unpack_from("<HH", header, 4)
        return width, height
    width, height = struct.unpack_from("<ii", header, 4)
    return width, abs(height)


def _tiff(signature: bytes) -> Parser:
    """TIFF 6.0: ImageWidth (256) and ImageLength (257) of the first directory, SHORT or LONG."""
    order = "<" if signature[:1] == b"I" else ">"
    (start,) = struct.unpack_from(order + "I", signature, 4)
    if not _SIGNATURE_BYTES <= start < GIVE_UP_BYTES:
        held = signature[8:] if start == 8 else None
    else:
        held = b""
        if start > _SIGNATURE_BYTES:
            yield _SIGNATURE_BYTES - start
    if held is None:
        return None
    if len(held) < 2:
        held += yield 2 - len(held)
    (count,) = struct.unpack_from(order + "H", held)
    entries = held[2:]
    if count * 12 > len(entries):
        entries += yield count * 12 - len(entries)
    found: dict[int, int] = {}
    for at in range(0, count * 12, 12):
        tag, kind = struct.unpack_from(order + "HH", entries, at)
        if tag in (256, 257) and kind in (3, 4):
            (found[tag],) = struct.unpack_from(order + ("H" if kind == 3 else "I"), entries, at + 8)
    return (found[256], found[257]) if len(found) == 2 else None


def _iso(signature: bytes) -> Parser:
    """ISO 23008-12: the largest `ispe` in meta/iprp/ipco; smaller ones belong to tiles and thumbnails."""
    held = signature
    size = box_size(held)
    for _ in range(_BOXES):
        if not size:
            return None
        held = yield from _skip(held, size)
        while len(held) < 16:
            held += yield 16 - len(held)
        size = box_size(held)
        if held[4:8] == b"meta":
            if not size or not 16 <= size <= GIVE_UP_BYTES:
                return None
            body = held[12:] + (yield size - 16) if size > 16 else b""
            return _largest(body)
    return None


def _largest(meta: bytes) -> Pixels | None:
    sizes = [
        struct.unpack_from(">II", extent, 4)
        for properties in _boxes(meta, b"iprp")
        for container in _boxes(properties, b"ipco")
        for extent in _boxes(container, b"ispe")
        if len(extent) >= 12
    ]
    return max(sizes, key=lambda pixels: pixels[0] * pixels[1], default=None)


def _boxes(body: bytes, kind: bytes) -> list[bytes]:
    found = []
    at = 0
    for _ in range(_BOXES):
        if at + 8 > len(body):
            break
        size = box_size(body[at : at + 16].ljust(16, b"\0")) or len(body) - at
        if body[at + 4 : at + 8] == kind:
            found.append(body[at + 8 : at + size])
        at += size
    return found


_PARSERS: Final[dict[str, Callable[[bytes], Parser]]] = {
    "png": _png,
    "jpeg": _jpeg,
    "webp": _webp,
    "gif": _gif,
    "bmp": _bmp,
    "tiff": _tiff,
    "heic": _iso,
    "avif": _iso,
}
