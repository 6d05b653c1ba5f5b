"""One candidate spoken with until its adapter says what it all means: submits once, reads until they are answered,
streams event by event."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Coroutine, Mapping
from contextlib import aclosing
from typing import Final

from msgspec import Struct

from imageway.core.failures import FetchRefused, TransportFailed
from imageway.core.ops import Refused
from imageway.core.steps import NO_VALUES, Adapter, Call, Done, Failed, FailureKind, More, Reply, Send, Step
from imageway.engine.harvest import Attempt, Harvest
from imageway.engine.memos import pack_memo
from imageway.engine.patience import surely
from imageway.tasks.ops import KeepMemo

_NO_STREAM: Final = Failed(FailureKind.SPOILED, "stream", "a stream came where one answer was asked for")


class Exchanges(Struct, eq=False):
    """Of one attempt. `harvest` takes what comes before the last word. `submitted`: something may have left this house;
    `polling`: a memo is durable, another process could go on."""

    attempt: Attempt
    adapter: Adapter
    call: Call
    harvest: Harvest
    memo: Mapping[str, str] = NO_VALUES
    submitted: bool = False
    polling: bool = False

    def begin(self) -> Coroutine[None, None, Done | Failed]:
        """Everything from the first request to the last word."""
        return self.go_on(self.adapter.encode(self.call))

    async def go_on(self, send: Send) -> Done | Failed:
        self.memo = NO_VALUES
        while True:
            if send.memo != self.memo and not await self._keep_memo(send):
                return Failed(FailureKind.UNKNOWN, "taken_over", "another process finished this task")
            self.memo = send.memo
            follow = self.call.request.stream and send.effect == "submit"
            step = await (self._followed(send) if follow else self._answered(send))
            if isinstance(step, Send):
                send = step
            elif isinstance(step, More):
                return _NO_STREAM
            else:
                return step

    async def cancel(self) -> bool:
        """Asks the provider to give up what it has not begun, where it can be asked; whether it agreed. What that means
        the next read tells."""
        ask = self.adapter.cancel
        send = ask(self.call, self.memo) if ask and self.polling else None
        if send is None:
            return False
        try:
            reply = await self._sent(send, self.attempt.left_s)
        except (FetchRefused, TransportFailed):
            return False
        return reply.status < 400

    async def _answered(self, send: Send) -> Step:
        """One submit, or one read repeated until it is answered or the deadline has passed."""
        attempt, settings = self.attempt, self.attempt.tools.settings
        pause_s = self._pause_before(send)
        backoff_s = settings.read_retry_s
        while True:
            if pause_s:
                await attempt.pause(pause_s)
                if late_s := attempt.tools.polls.delay_s(attempt.tools.clock.monotonic_s(), settings.polls_per_s):
                    await attempt.pause(late_s)
            left_s = attempt.left_s
            if left_s <= 0:
                return _too_late(send)
            try:
                reply = await self._sent(send, left_s)
            except FetchRefused as refused:
                return _no_such_address(refused)
            except TransportFailed as failed:
                # An answer that broke a limit would break it again.
                if send.effect == "submit" or failed.kind is FailureKind.SPOILED:
                    return _lost(failed)
            else:
                if send.effect == "submit" or reply.status < 400:
                    return self.adapter.decode(self.call, self.memo, reply)
            pause_s, backoff_s = backoff_s, min(backoff_s * 2, settings.read_retry_longest_s)

    def _pause_before(self, send: Send) -> float:
        """A poll comes neither too soon nor too late, whatever the adapter says."""
        settings = self.attempt.tools.settings
        if send.effect == "submit" or not send.after_s:
            return send.after_s
        return min(max(send.after_s, settings.poll_least_s), settings.poll_longest_s)

    async def _sent(self, send: Send, left_s: float) -> Reply:
        self.submitted = self.submitted or send.effect == "submit"
        attempt = self.attempt
        reply = await attempt.tools.transport.send(
            attempt.upstream,
            send.request,
            attempt.scope,
            deadline_s=left_s,
            max_bytes=attempt.option.max_answer_bytes,
        )
        if send.effect == "submit":
            attempt.tools.faults.reach("after_submit")
        return reply

    async def _followed(self, send: Send) -> Step:
        """Event after event into the harvest, up to the one that ends it."""
        left_s = self.attempt.left_s
        if left_s <= 0:
            return _too_late(send)
        self.submitted = True
        fetching: list[asyncio.Task[None]] = []
        try:
            step = await self._read(self._stream(send, left_s), fetching)
            await asyncio.gather(*fetching)
        finally:
            for task in fetching:
                task.cancel()
        return step

    async def _read(self, stream: AsyncGenerator[Reply, None], fetching: list[asyncio.Task[None]]) -> Step:
        """`fetching` takes what is still under way when the stream has ended."""
        try:
            async with aclosing(stream) as replies:
                async for reply in replies:
                    if not self.harvest.flowing:
                        self.attempt.tools.faults.reach("after_submit")
                    step = self.adapter.decode(self.call, self.memo, reply)
                    if not isinstance(step, More):
                        return step
                    fetching += await self.harvest.add(step)
        except FetchRefused as refused:
            return _no_such_address(refused)
        except TransportFailed as failed:
            return _lost(failed)
        return Failed(FailureKind.UNKNOWN, "stream_cut", "the stream ended without a last word")

    def _stream(self, send: Send, left_s: float) -> AsyncGenerator[Reply, None]:
        attempt = self.attempt
        return attempt.tools.transport.stream(
            attempt.upstream,
            send.request,
            attempt.scope,
            deadline_s=left_s,
            max_bytes=attempt.option.max_answer_bytes,
        )

    async def _keep_memo(self, send: Send) -> bool:
        tools = self.attempt.tools
        keep = KeepMemo(self.attempt.id, pack_memo(send), tools.clock.now_ms())
        kept = await surely(tools, lambda: tools.store.commit(keep))
        self.polling = True
        tools.faults.reach("after_memo")
        return not isinstance(kept, Refused)


def _too_late(send: Send) -> Failed:
    if send.effect == "submit":
        return Failed(FailureKind.NEVER_SENT, "deadline", "the deadline had passed before anything could be sent")
    return Failed(FailureKind.UNKNOWN, "deadline", "no final answer before the deadline")


def _no_such_address(refused: FetchRefused) -> Failed:
    return Failed(FailureKind.SPOILED, refused.code, f"the address to ask next: {refused.message}")


def _lost(failed: TransportFailed) -> Failed:
    return Failed(failed.kind, "transport", failed.detail, failed.retry_after_s)
