"""What passes between the router and a pretend provider: a request below its prefix, and the order it turned into."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from imageway.sandbox.streams import Stream
from imageway.sandbox.wire import SandboxAnswer


@dataclass(frozen=True, slots=True, kw_only=True)
class Incoming:
    """A whole request. `path` is what stands after the provider's prefix ("/images/generations")."""

    method: str
    path: str
    origin: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes = b""


@dataclass(frozen=True, slots=True)
class Twist:
    """How an order's outcome is bent: later by `late_s` (infinite: never); `empty`: a success without a picture;
    `item_failed`: the last picture fails alone. `pause_s` is what a stream lets pass for every picture of it."""

    late_s: float = 0
    empty: bool = False
    item_failed: bool = False
    pause_s: float = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """A generation submit as understood. `produce` makes the answer; when not `accepted` that is the provider's
    refusal. `is_task`: the answer is a receipt, and a late outcome is the task's, not the answer's. `streams`: it comes
    event by event, and the latency is spread over it."""

    model: str
    prompt: str
    produce: Callable[[Twist], Awaitable[SandboxAnswer | Stream]]
    accepted: bool = True
    is_task: bool = False
    streams: bool = False


class Refusal(Exception):
    """A request ends here, with this answer in the provider's own words."""

    def __init__(self, answer: SandboxAnswer) -> None:
        super().__init__(f"refused with {answer.status}")
        self.answer = answer


def refused(refusal: Refusal, *, model: object, prompt: object) -> Order:
    """The order of a submit that was turned away; what it named is kept for the log, as far as it is text."""

    async def produce(_: Twist) -> SandboxAnswer:
        return refusal.answer

    return Order(
        model=model if isinstance(model, str) else "",
        prompt=prompt if isinstance(prompt, str) else "",
        produce=produce,
        accepted=False,
    )


class Upstream(Protocol):
    """One pretend provider, below one prefix."""

    @property
    def prefix(self) -> str: ...

    async def read(self, incoming: Incoming) -> SandboxAnswer | Order:
        """An order for every generation submit, valid or not; the answer itself for everything else."""

    def rate_limited(self, *, hint: bool) -> SandboxAnswer:
        """Its 429; with `hint`, carrying what this provider tells about when to come back."""

    def broken(self) -> SandboxAnswer:
        """Its own 500."""
