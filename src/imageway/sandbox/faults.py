"""Faults on demand: by header, by a word in the prompt, or by chance per generation submit. What each does to a whole
answer; what some do between two events is in streams."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Callable, Mapping
from random import Random
from typing import Final

from imageway.sandbox.answers import Headers, bytes_answer, collect, in_chunks
from imageway.sandbox.orders import Twist
from imageway.sandbox.streams import SILENCE_S, Stream, play
from imageway.sandbox.wire import SandboxAnswer

FAULTS: Final = {
    "rate_limit": "429 with the provider's hint when to come back",
    "rate_limit_bare": "429 without any hint",
    "error_500": "the provider's own 500",
    "reset_before": "the connection is reset before any header",
    "reset_after": "the connection is reset after the headers",
    "reset_mid": "a stream: the connection ends after the first event; any other body: half way",
    "truncated": "half of the promised body, then the end; half of a stream, as if that were all",
    "html": "200 with a page of HTML",
    "empty": "200 without an image",
    "item_failed": "the last picture fails alone, as the provider tells it; the others come",
    "error_event": "a stream: the provider's own error event after the first event; elsewhere its 500",
    "pending": "never finishes: a task stays running, a synchronous answer hangs for up to 600 s",
    "slow": "the body dribbles over about 5 s",
    "late": "success, 3 s late",
    "stall_mid": "silence for up to 600 s after the first event of a stream, or half of any other body",
}
HEADER: Final = "x-sandbox-fault"
HANG_S: Final = SILENCE_S
LATE_S: Final = 3.0
DRIBBLE_S: Final = 5.0
_DRIBBLES: Final = 25
_IN_PROMPT: Final = re.compile(r"sandbox-fault:([a-z0-9_]+)")
_PAGE: Final = (
    b"<!DOCTYPE html>\n<html><head><title>502 Bad Gateway</title></head>\n"
    b"<body><center><h1>502 Bad Gateway</h1></center><hr></body></html>\n"
)


class UnknownFault(ValueError):
    """Somebody asked for a fault that does not exist; the message names the ones that do."""


def check_fault(name: str) -> str:
    """The name itself. Raises UnknownFault."""
    if name not in FAULTS:
        raise UnknownFault(f'"{name}" is not a fault; accepted are {", ".join(FAULTS)}')
    return name


def check_rates(rates: Mapping[str, float]) -> Mapping[str, float]:
    for name, rate in rates.items():
        check_fault(name)
        if not 0 <= rate <= 1:
            raise ValueError(f"fault {name}: {rate} is not a probability; write a number from 0 to 1")
    if sum(rates.values()) > 1:
        raise ValueError(f"the fault rates add up to {sum(rates.values()):g}; together they may be at most 1")
    return dict(rates)


def fault_in(headers: Mapping[str, str], prompt: str = "") -> str | None:
    """The fault somebody asked for, if any. Raises UnknownFault."""
    if named := headers.get(HEADER, "").strip():
        return check_fault(named)
    found = _IN_PROMPT.search(prompt)
    return check_fault(found[1]) if found else None


def fault_by_chance(rates: Mapping[str, float], chance: Random) -> str | None:
    """At most one fault per draw, each with its own probability."""
    if not rates:
        return None
    drawn = chance.random()
    for name, rate in rates.items():
        if drawn < rate:
            return name
        drawn -= rate
    return None


def twist_of(fault: str | None) -> Twist:
    if fault == "pending":
        return Twist(late_s=float("inf"))
    return Twist(late_s=LATE_S if fault == "late" else 0, empty=fault == "empty", item_failed=fault == "item_failed")


async def wait_out(twist: Twist) -> None:
    """What lateness means to a synchronous answer: it comes late, or the connection ends after HANG_S."""
    await asyncio.sleep(min(twist.late_s, HANG_S))
    if twist.late_s > HANG_S:
        raise ConnectionResetError("the answer never came")


async def bend(
    answer: SandboxAnswer | Stream, fault: str | None, ended: Callable[[bool], None] | None = None
) -> SandboxAnswer:
    """What the fault does to an answer on its way out; faults that act earlier leave it alone. `ended` hears when a
    stream is over."""
    if fault == "html":
        return bytes_answer(200, _PAGE, (("content-type", "text/html; charset=utf-8"),))
    if isinstance(answer, Stream):
        return await _bend_stream(play(answer, fault, ended or (lambda _: None)), fault)
    if fault not in ("reset_after", "reset_mid", "stall_mid", "truncated", "slow"):
        return answer
    content = await collect(answer)
    headers = (*_without_length(answer.headers), ("content-length", str(len(content))))
    match fault:
        case "slow":
            chunks = _dribble(content)
        case "stall_mid":
            chunks = _cut(content, len(content) // 2, after_s=HANG_S)
        case _:
            chunks = _cut(content, 0 if fault == "reset_after" else len(content) // 2)
    return SandboxAnswer(answer.status, headers, chunks)


async def _bend_stream(played: SandboxAnswer, fault: str | None) -> SandboxAnswer:
    """A stream promises no length: half of one ends in order."""
    if fault not in ("reset_after", "truncated", "slow"):
        return played
    content = await collect(played)
    match fault:
        case "reset_after":
            chunks = _cut(content, 0)
        case "truncated":
            chunks = in_chunks([content[: len(content) // 2]])
        case _:
            chunks = _dribble(content)
    return SandboxAnswer(played.status, played.headers, chunks)


def _without_length(headers: Headers) -> Headers:
    return tuple((name, value) for name, value in headers if name != "content-length")


async def _cut(content: bytes, keep_bytes: int, after_s: float = 0) -> AsyncIterator[bytes]:
    yield content[:keep_bytes]
    await asyncio.sleep(after_s)
    raise ConnectionResetError("cut on demand")


async def _dribble(content: bytes) -> AsyncIterator[bytes]:
    step = -(-len(content) // _DRIBBLES) or 1
    for start in range(0, len(content), step):
        await asyncio.sleep(DRIBBLE_S / _DRIBBLES)
        yield content[start : start + step]
