"""Faults on demand: by header, by a word in the prompt, or by chance per generation submit."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Mapping
from random import Random
from typing import Final

from imageway.sandbox.answers import Headers, bytes_answer, collect
from imageway.sandbox.orders import Twist
from imageway.sandbox.wire import SandboxAnswer

FAULTS: Final = {
    "rate_limit": "429 with the provider's hint when to come back",
    "rate_limit_bare": "429 without any hint",
    "error_500": "the provider's own 500",
    "reset_before": "the connection is reset before any header",
    "reset_after": "the connection is reset after the headers",
    "truncated": "half of the promised body, then the end",
    "html": "200 with a page of HTML",
    "empty": "200 without an image",
    "pending": "never finishes: a task stays running, a synchronous answer hangs for up to 600 s",
    "slow": "the body dribbles over about 5 s",
    "late": "success, 3 s late",
}
HEADER: Final = "x-sandbox-fault"
HANG_S: Final = 600.0
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
    return Twist(late_s=LATE_S if fault == "late" else 0, empty=fault == "empty")


async def wait_out(twist: Twist) -> None:
    """What lateness means to a synchronous answer: it comes late, or the connection ends after HANG_S."""
    await asyncio.sleep(min(twist.late_s, HANG_S))
    if twist.late_s > HANG_S:
        raise ConnectionResetError("the answer never came")


async def bend(answer: SandboxAnswer, fault: str | None) -> SandboxAnswer:
    """What the fault does to an answer on its way out; faults that act earlier leave it alone."""
    if fault == "html":
        return bytes_answer(200, _PAGE, (("content-type", "text/html; charset=utf-8"),))
    if fault not in ("reset_after", "truncated", "slow"):
        return answer
    content = await collect(answer)
    headers = (*_without_length(answer.headers), ("content-length", str(len(content))))
    chunks = {"reset_after": _cut(content, 0), "truncated": _cut(content, len(content) // 2), "slow": _dribble(content)}
    return SandboxAnswer(answer.status, headers, chunks[fault])


def _without_length(headers: Headers) -> Headers:
    return tuple((name, value) for name, value in headers if name != "content-length")


async def _cut(content: bytes, keep_bytes: int) -> AsyncIterator[bytes]:
    yield content[:keep_bytes]
    raise ConnectionResetError("cut on demand")


async def _dribble(content: bytes) -> AsyncIterator[bytes]:
    step = -(-len(content) // _DRIBBLES) or 1
    for start in range(0, len(content), step):
        await asyncio.sleep(DRIBBLE_S / _DRIBBLES)
        yield content[start : start + step]
