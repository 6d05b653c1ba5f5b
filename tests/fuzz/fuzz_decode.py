"""Coverage-guided fuzzing of everything that reads what strangers send, one target a process:

    python -m tests.fuzz.fuzz_decode TARGET [libFuzzer's options and corpus folders]

`decode`: a byte that picks a path, a byte for the headers, then a body as JSON. `forms`: a byte that picks a path, then
a form with the boundary `edge`. `events`: a stream of server-sent events. `headers`: the beginning of an image. In all,
whatever is cut into pieces is read as it is read whole."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Coroutine
from pathlib import Path
from typing import Any, TypeVar

import atheris

with atheris.instrument_imports(include=["imageway"]):
    from imageway.bodies import (
        Budget,
        LiftError,
        LiftLimits,
        Scope,
        Spool,
        boundary_of,
        lift_json,
        read_events,
        read_form,
    )
    from imageway.bodies.event_reader import EventLimits
    from imageway.bodies.formats import is_complete, sniff_format
    from imageway.bodies.headers import HeaderReader
    from imageway.core.blobs import Blob
    from imageway.core.steps import FormBody
    from imageway.dialects import DIALECTS

from tests.fuzz.checks import check, found, golden_forms, golden_requests, head_of

T = TypeVar("T")
LIMITS = LiftLimits(blob_bytes=64, text_bytes=4096, tree_bytes=16384, depth=16)  # small, so that all are reached
HEADERS = (
    {},
    {"imageway-strict": "1", "imageway-deadline": "9"},
    {"idempotency-key": "order 7", "x-dashscope-async": "enable"},
    {"x-dashscope-async": "enable", "x-dashscope-sse": "enable", "imageway-strict": "maybe"},
)
PATHS = [(each, url) for each in DIALECTS for url in dict.fromkeys(url for url, _ in golden_requests(each.name))]
FORMED = [(each, url) for each in DIALECTS for url in dict.fromkeys(url for url, _ in golden_forms(each.name))]
spool = Spool(Path(tempfile.mkdtemp()), Budget(1 << 30))


def finish(work: Coroutine[Any, Any, T]) -> T:
    """Runs what never waits: bodies this small stay in memory."""
    try:
        work.send(None)
    except StopIteration as done:
        result: T = done.value
        return result
    raise AssertionError("it waited for something")


async def pieces(data: bytes, size: int) -> AsyncIterator[bytes]:
    for start in range(0, len(data), size):
        yield data[start : start + size]


Outcome = tuple[str, Any]


def tried(work: Callable[[Scope], Coroutine[Any, Any, T]]) -> tuple[T | None, Outcome]:
    """The result, and what can be compared of it: the shape of what was read, or how it was refused."""
    scope = spool.scope()
    try:
        result = finish(work(scope))
    except LiftError as error:
        return None, (error.code, error.path)
    finally:
        scope.release()
    return result, ("", shape(result))


def shape(tree: Any) -> Any:
    """A tree whose blobs are compared by what they hold."""
    if isinstance(tree, dict):
        return {name: shape(value) for name, value in tree.items()}
    if isinstance(tree, list | tuple):
        return [shape(each) for each in tree]
    if isinstance(tree, Blob):
        return ("blob", tree.decoded_bytes, tree.head, tree.tail, tree.encoding, tree.declared_type, tree.facts)
    if isinstance(tree, FormBody):
        return shape(tree.parts)
    return [shape(getattr(tree, name)) for name in tree.__slots__] if hasattr(tree, "__slots__") else repr(tree)


def agreed(work: Callable[[int], Callable[[Scope], Coroutine[Any, Any, T]]], whole_bytes: int) -> T | None:
    result, outcome = tried(work(max(1, whole_bytes)))
    for size in (1, 7):
        assert tried(work(size))[1] == outcome, f"in pieces of {size}"
    return result


def decode(data: bytes) -> None:
    if len(data) < 2:
        return
    dialect, url = PATHS[data[0] % len(PATHS)]
    body = data[2:]
    tree = agreed(lambda size: lambda scope: lift_json(pieces(body, size), scope, LIMITS), len(body))
    inbound = found(dialect, head_of("POST", url, HEADERS[data[1] % len(HEADERS)], {}), tree)
    assert inbound is not None
    check(dialect, inbound)


def forms(data: bytes) -> None:
    dialect, url = FORMED[data[0] % len(FORMED)] if data else FORMED[0]
    body = data[1:]
    boundary_of(body[:100].decode("latin-1"))
    form = agreed(lambda size: lambda scope: read_form(pieces(body, size), "edge", scope), len(body))
    if form is not None:
        inbound = found(dialect, head_of("POST", url, {}, {}), form)
        assert inbound is not None
        check(dialect, inbound)


def events(data: bytes) -> None:
    limits = EventLimits(events=50, name_bytes=16, data=LIMITS)

    def reading(size: int) -> Callable[[Scope], Coroutine[Any, Any, list[Any]]]:
        async def read(scope: Scope) -> list[Any]:
            return [each async for each in read_events(pieces(data, size), scope, limits)]

        return read

    agreed(reading, len(data))


def headers(data: bytes) -> None:
    """Facts agree with the signature, and do not depend on how the file was cut."""
    facts = []
    for size in (max(1, len(data)), 1, 7):
        reader = HeaderReader()
        for start in range(0, len(data), size):
            reader.feed(data[start : start + size])
        facts.append(reader.facts)
    assert facts[0] == facts[1] == facts[2], facts
    if (found_facts := facts[0]) is not None:
        assert found_facts.width > 0
        assert found_facts.height > 0
        assert sniff_format(data[:4096]) == found_facts.format
    is_complete(facts[0], data[:4096], data[-4096:], len(data))


TARGETS = {each.__name__: each for each in (decode, forms, events, headers)}


def main() -> None:
    target = TARGETS[sys.argv.pop(1)]
    atheris.Setup(sys.argv, target)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
