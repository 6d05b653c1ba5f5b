"""JSON text into a tree, strictly (RFC 8259), and the reasons why not. Blobs were cut out of the text before; `NaN`
stands where each was: no JSON has it, and the parser reports every one in the order written."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from json import JSONDecodeError, JSONDecoder
from typing import Final

from imageway.bodies.limits import LiftError, LiftLimits
from imageway.bodies.quick import LARGEST, SMALLEST, Unsure, read_quickly
from imageway.bodies.trail import path_at, path_of_repeated_key, spell
from imageway.core.blobs import Blob, Tree

PLACEHOLDER: Final = b"NaN"
_SURROGATE: Final = re.compile(r"\\u[dD][89a-fA-F]")
_LONE: Final = re.compile("[\ud800-\udfff]")
_LIFTED_KEY: Final = re.compile(r"NaN\s*:")
_CONTAINERS: Final = frozenset({dict, list})
_INTEGER_DIGITS: Final = 20
_QUOTED_CHARACTERS: Final = 40


@dataclass(frozen=True, slots=True)
class Cut:
    """A string that was taken out: where its placeholder stands in the text, and how many bytes went."""

    at: int
    bytes_removed: int
    blob: Blob


class _RepeatedKey(ValueError):
    pass


class _UnfitNumber(ValueError):
    pass


class _NotJson(ValueError):
    pass


def parse(content: bytes, cuts: Sequence[Cut], limits: LiftLimits) -> Tree:
    """The tree that the JSON in `content` describes, with the blobs in their places. Raises LiftError."""
    if not content or content.isspace():
        raise LiftError("body_empty", "", "The body is empty.")
    if cuts:
        return _read_strictly(content, cuts, limits)
    try:
        return read_quickly(content, depth=limits.depth)
    except Unsure:
        return _read_strictly(content, cuts, limits)


def _read_strictly(content: bytes, cuts: Sequence[Cut], limits: LiftLimits) -> Tree:
    text = decode_text(content, cuts)
    decoder = _decoder(_give([cut.blob for cut in cuts])) if cuts else _PLAIN
    tree: Tree
    try:
        tree = decoder.decode(text)
    except JSONDecodeError as error:
        raise _malformed(text, error, cuts) from None
    except RecursionError:
        raise _too_deep("", limits) from None
    except _RepeatedKey as error:
        raise LiftError("duplicate_key", path_of_repeated_key(text), f"The key {_quote(error)} occurs twice.") from None
    except _UnfitNumber as error:
        path = path_at(text, text.find(str(error)))
        raise LiftError("number_too_large", path, f"The number {_quote(error)} is too large.") from None
    except _NotJson as error:
        path = "" if cuts else path_at(text, text.find(str(error)))
        raise LiftError("malformed_json", path, f"The body is not JSON: it contains {_quote(error)}.") from None
    if text.count("[") + text.count("{") > limits.depth:
        _check_depth(tree, limits)
    if _SURROGATE.search(text):
        _check_text(tree)
    return tree


def decode_text(content: bytes, cuts: Sequence[Cut] = ()) -> str:
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        path = path_at(content.decode("utf-8", "replace"), len(content[: error.start].decode()))
        where = _offset(error.start, cuts)
        raise LiftError("invalid_utf8", path, f"The body is not UTF-8 at byte {where}.") from None


def _offset(at: int, cuts: Sequence[Cut]) -> int:
    """The place in the body as it came."""
    return at + sum(cut.bytes_removed for cut in cuts if cut.at < at)


def _malformed(text: str, error: JSONDecodeError, cuts: Sequence[Cut]) -> LiftError:
    where = _offset(len(text[: error.pos].encode()), cuts)
    if cuts and _LIFTED_KEY.match(text, error.pos):
        return LiftError("text_too_large", path_at(text, error.pos), f"The key at byte {where} is too long.")
    if error.pos >= len(text.rstrip()):
        message = f"The body is not JSON: it ends at byte {where}, in the middle of a value."
    else:
        fault = error.msg[:1].lower() + error.msg[1:].removesuffix(" at")
        message = f"The body is not JSON: {fault} at byte {where}."
    return LiftError("malformed_json", path_at(text, error.pos), message)


def _too_deep(path: str, limits: LiftLimits) -> LiftError:
    return LiftError("too_deep", path, f"The body nests deeper than {limits.depth} levels.")


def _check_depth(tree: Tree, limits: LiftLimits) -> None:
    """Level by level: to know where each node stands costs ten times as much, and is asked of a refused one alone."""
    level: list[Tree] = [tree]
    for _ in range(limits.depth + 1):
        level = [node for node in level if type(node) in _CONTAINERS]
        if not level:
            return
        level = [child for node in level for child in _children(node)]
    here = next(steps for steps, node in _nodes(tree) if len(steps) >= limits.depth and isinstance(node, list | dict))
    raise _too_deep(spell(here), limits)


def _check_text(tree: Tree) -> None:
    """An escape may spell half a surrogate pair, which is no Unicode text and could not be sent on."""
    for steps, node in _nodes(tree):
        texts = node.keys() if isinstance(node, dict) else [node] if isinstance(node, str) else []
        if any(map(_LONE.search, texts)):
            raise LiftError("malformed_json", spell(steps), "The body is not JSON: an escape spells a lone surrogate.")


def _children(node: Tree) -> Iterable[Tree]:
    if isinstance(node, dict):
        return node.values()
    return node if isinstance(node, list) else ()


def _nodes(tree: Tree) -> Iterator[tuple[tuple[str | int, ...], Tree]]:
    waiting: list[tuple[tuple[str | int, ...], Tree]] = [((), tree)]
    while waiting:
        steps, node = waiting.pop()
        yield steps, node
        if isinstance(node, dict):
            waiting += [((*steps, key), value) for key, value in node.items()]
        elif isinstance(node, list):
            waiting += [((*steps, index), value) for index, value in enumerate(node)]


def _quote(error: ValueError) -> str:
    text = str(error)
    return repr(text if len(text) <= _QUOTED_CHARACTERS else text[:_QUOTED_CHARACTERS] + "…")


def _object(pairs: list[tuple[str, Tree]]) -> dict[str, Tree]:
    members = dict(pairs)
    if len(members) < len(pairs):
        raise _RepeatedKey(Counter(key for key, _ in pairs).most_common(1)[0][0])
    return members


def _integer(literal: str) -> int:
    if len(literal) > _INTEGER_DIGITS or not SMALLEST <= (number := int(literal)) <= LARGEST:
        raise _UnfitNumber(literal)
    return number


def _number(literal: str) -> float:
    number = float(literal)
    if math.isinf(number):
        raise _UnfitNumber(literal)
    return number


def _refuse(name: str) -> Tree:
    raise _NotJson(name)


def _give(blobs: list[Blob]) -> Callable[[str], Tree]:
    """Answers each placeholder with the next blob. A `NaN` of the caller's own gets one too; then they do not last, and
    the body is refused."""
    left = iter(blobs)

    def give(name: str) -> Tree:
        blob = next(left, None) if name == "NaN" else None
        if blob is None:
            raise _NotJson(name)
        return blob

    return give


def _decoder(constant: Callable[[str], Tree]) -> JSONDecoder:
    return JSONDecoder(object_pairs_hook=_object, parse_int=_integer, parse_float=_number, parse_constant=constant)


_PLAIN: Final = _decoder(_refuse)
