"""What one attempt brings: images, looked at as they come, and all that is said about them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Collection

from msgspec import Struct
from msgspec.structs import replace

from imageway.bodies import Scope
from imageway.catalog import Bill, told_apart
from imageway.core.blobs import Blob
from imageway.core.failures import FetchRefused, TransportFailed
from imageway.core.steps import Done, Failed, FailureKind, More, Produced, Settled, Usage
from imageway.core.upstreams import Upstream
from imageway.engine.arrivals import Arrivals
from imageway.engine.images import Proved
from imageway.engine.ports import Tools
from imageway.engine.preparation import Option
from imageway.media.proofs import prove


class Attempt(Struct, frozen=True):
    """One candidate tried for one part, to bring `count` images before `until_s`, monotonic."""

    id: str
    option: Option
    count: int
    until_s: float
    tools: Tools
    scope: Scope

    @property
    def upstream(self) -> Upstream:
        return self.option.candidate.upstream

    @property
    def left_s(self) -> float:
        return self.until_s - self.tools.clock.monotonic_s()

    def pause(self, seconds: float) -> Awaitable[None]:
        """Never beyond the deadline."""
        return self.tools.clock.sleep(max(0.0, min(seconds, self.left_s)))


class _Slot(Struct, eq=False):
    """Room for one image. `place`: which of the answer's it is, with those that failed; `certain`: nothing better will
    come in its place; `told`: whoever follows knows of it."""

    place: int
    certain: bool
    image: Proved | Failed | None = None
    told: bool = False


class Harvest(Struct, eq=False):
    """Of one attempt. `produced` counts what the provider says it made, provable or not; `flowing`: a stream has begun
    to come; `skipped`: how many places went to failures. `arrivals` None: nobody follows this task."""

    attempt: Attempt
    arrivals: Arrivals | None = None
    missing: tuple[Failed, ...] = ()
    texts: tuple[str, ...] = ()
    usage: Usage | None = None
    settled: Settled | None = None
    produced: int = 0
    flowing: bool = False
    skipped: int = 0
    _slots: list[_Slot] = []
    _previews: int = 0

    @property
    def images(self) -> tuple[Proved, ...]:
        """All that are there by now, in the provider's order."""
        return tuple([slot.image for slot in self._slots if isinstance(slot.image, Proved)])

    @property
    def spoiled(self) -> tuple[Failed, ...]:
        """What came and is no image, each with the place that it would have had."""
        return tuple([replace(slot.image, place=slot.place) for slot in self._slots if isinstance(slot.image, Failed)])

    @property
    def reported(self) -> Usage | None:
        """The tokens as answer, bill and usage record have them: read once, text told from images."""
        fitted = self.attempt.option.fitted
        model = self.attempt.tools.catalog.models.get(fitted.request.model)
        if self.usage is None or model is None or not model.output_text_tokens:
            return self.usage  # as nearly always: nothing is hidden in it
        first = next(iter(self.images), None)
        made = Bill(
            fitted.request,
            fitted.size,
            self.produced,
            self.usage,
            quality=self.settled.quality if self.settled else None,
            pixels=(first.facts.width, first.facts.height) if first else None,
        )
        return told_apart(model, made)

    async def add(self, more: More) -> list[asyncio.Task[None]]:
        """One event of a stream; what is still being fetched of it, because slow links hold up nothing else."""
        self.flowing = True
        self._note(more)
        for preview in more.partials:
            if self.arrivals and not isinstance(preview.image, str):
                self.arrivals.preview(preview.image, self._previews)
                self._previews += 1
        fetching = []
        for produced in more.images:
            filling = self._fill(self._next_slot(), produced)
            if isinstance(produced.image, str):
                fetching.append(asyncio.create_task(filling))
            else:
                await filling
        return fetching

    async def finish(self, done: Done) -> None:
        """The last word of a stream, or the whole answer."""
        self._note(done)
        images = done.images if self.flowing else done.images[: self.attempt.count]
        lost = {failed.place for failed in done.missing} if done.missing and not self.flowing else ()
        if len(images) == 1:
            self._next_slot(lost).image = await self._looked_at(images[0])
        else:
            slots = [self._next_slot(lost) for _ in images]
            looked_at = await asyncio.gather(*map(self._looked_at, images))
            for slot, image in zip(slots, looked_at, strict=True):
                slot.image = image
        await self.close()

    async def close(self) -> None:
        """Nothing more comes."""
        if self.arrivals:
            for slot in self._slots:
                await self._tell(slot)

    def _note(self, step: Done | More) -> None:
        self.produced += len(step.images)
        if self.flowing:
            self.produced = min(self.produced, self.attempt.count)
        self.missing += step.missing
        if self.flowing:
            self.skipped += len(step.missing)
        self.settled = step.settled or self.settled
        if step.text:
            self.texts += (step.text,)
        if step.usage:
            self.usage = self.usage + step.usage if self.usage else step.usage

    def _next_slot(self, lost: Collection[int | None] = ()) -> _Slot:
        """The last one may be filled again: of too many images, the last one stands. `lost`: places of an answer in one
        piece that stay empty."""
        self._previews = 0
        count = self.attempt.count
        del self._slots[count - 1 :]
        while len(self._slots) + self.skipped in lost:
            self.skipped += 1
        slot = _Slot(len(self._slots) + self.skipped, certain=len(self._slots) < count - 1)
        self._slots.append(slot)
        return slot

    async def _fill(self, slot: _Slot, produced: Produced) -> None:
        slot.image = await self._looked_at(produced)
        if slot.certain:
            await self._tell(slot)

    async def _tell(self, slot: _Slot) -> None:
        if self.arrivals and isinstance(slot.image, Proved) and not slot.told:
            slot.told = True
            slot.image = await self.arrivals.bring(slot.image, slot.place)

    async def _looked_at(self, produced: Produced) -> Proved | Failed:
        """Fetches what came as a link; what cannot be proved is a failure."""
        image = produced.image
        blob = await self._download(image) if isinstance(image, str) else image
        if isinstance(blob, Failed):
            return blob
        facts = prove(blob)
        if isinstance(facts, str):
            return Failed(FailureKind.SPOILED, "unprovable", facts)
        compressed = self.attempt.option.fitted.request.output_compression is not None
        return Proved(blob, facts, produced.revised_prompt, produced.signature, compressed=compressed)

    async def _download(self, url: str) -> Blob | Failed:
        """A result link is a read: repeated until the deadline, unless the answer itself is final."""
        attempt, settings = self.attempt, self.attempt.tools.settings
        backoff_s = settings.read_retry_s
        while (left_s := attempt.left_s) > 0:
            try:
                reply = await attempt.tools.transport.download(
                    attempt.upstream,
                    url,
                    attempt.scope,
                    deadline_s=left_s,
                    max_bytes=attempt.option.candidate.offering.max_answer_bytes,
                )
            except FetchRefused as refused:
                return Failed(FailureKind.SPOILED, refused.code, f"the result link: {refused.message}")
            except TransportFailed as failed:
                if failed.kind is FailureKind.SPOILED:
                    return Failed(failed.kind, "result_link", failed.detail)
            else:
                return reply.blob
            await attempt.pause(backoff_s)
            backoff_s = min(backoff_s * 2, settings.read_retry_longest_s)
        return Failed(FailureKind.UNKNOWN, "deadline", "the result link did not answer before the deadline")
