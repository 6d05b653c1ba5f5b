"""A finished task as the JSON that is kept with it, and as the view its owner sees."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

import msgspec

from imageway.core.intents import Generated, Missing, Picture, TaskView
from imageway.core.requests import Operation, RequestWarning
from imageway.core.steps import Settled, Usage
from imageway.engine.facts import TaskFacts
from imageway.engine.memos import unpack_task
from imageway.media.links import LinkSigner
from imageway.tasks.queries import Task


class KeptPicture(msgspec.Struct, frozen=True, omit_defaults=True):
    """`name` in the media store; empty when the bytes were delivered and kept nowhere. `deleted`: its owner removed it
    before its time."""

    media_type: str
    width: int
    height: int
    name: str = ""
    revised_prompt: str | None = None
    deleted: bool = False
    deleted_ms: int = 0


class KeptResult(msgspec.Struct, frozen=True, omit_defaults=True):
    """`error` is (code, message) as the caller was told. `expires_ms` is when stored pictures go. `missing`: the images
    of a success that did not come. `text`, `seeds`, `usage`, `settled`: what else the answer says to who asks later."""

    pictures: tuple[KeptPicture, ...] = ()
    price_usd_micros: int = 0
    error: tuple[str, str] | None = None
    warnings: tuple[RequestWarning, ...] = ()
    expires_ms: int = 0
    missing: tuple[Missing, ...] = ()
    text: str | None = None
    seeds: tuple[int, ...] = ()
    usage: Usage | None = None
    settled: Settled | None = None


REFUNDED: Final = KeptResult(
    error=("request_timeout", "the answer never reached its caller and is not kept; its price was refunded")
)
_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(KeptResult)


def pack_result(result: KeptResult) -> bytes:
    return _encoder.encode(result)


def unpack_result(content: bytes) -> KeptResult:
    return _decoder.decode(content) if content else KeptResult()


def view_of(task: Task, signer: LinkSigner, now_ms: int, pretend: Collection[str] = ()) -> TaskView:
    """Pictures that are still stored, with links that live as long as they do. `pretend`: the sandbox's upstreams."""
    kept = unpack_result(task.result)
    asked = unpack_task(task.request) if task.request else None
    pictures = tuple(
        Picture(
            media_type=picture.media_type,
            width=picture.width,
            height=picture.height,
            url=signer.sign(picture.name, kept.expires_ms),
            revised_prompt=picture.revised_prompt,
        )
        for picture in kept.pictures
        if picture.name and not picture.deleted and now_ms < kept.expires_ms
    )
    return TaskView(
        id=task.id,
        status=task.state,
        model=task.model,
        operation=str(asked.request.get("operation", Operation.GENERATE)) if asked else Operation.GENERATE,
        created_s=task.created_ms // 1000,
        finished_s=task.finished_ms // 1000 if task.finished_ms else None,
        created_ms=task.created_ms,
        started_ms=min((attempt.at_ms for attempt in task.attempts), default=None),
        finished_ms=task.finished_ms,
        requested=sum(asked.counts) if asked else 1,
        pictures=pictures,
        error=kept.error,
        price_usd_micros=kept.price_usd_micros,
        warnings=kept.warnings,
        missing=kept.missing,
        attempts=len(task.attempts),
        expires_ms=kept.expires_ms,
        text=kept.text,
        seeds=kept.seeds,
        sandbox=any(attempt.upstream_id in pretend for attempt in task.attempts),
    )


def generated_of(task: Task, family: str, pictures: tuple[Picture, ...], *, sandbox: bool) -> Generated:
    """The answer of a task that has succeeded, as if its caller had waited for it."""
    kept, asked = unpack_result(task.result), unpack_task(task.request).request
    first = pictures[0]
    return Generated(
        request_id=task.id,
        model=task.model,
        family=family,
        created_s=task.created_ms // 1000,
        pictures=pictures,
        prompt=str(asked["prompt"]) if "prompt" in asked else None,
        price_usd_micros=kept.price_usd_micros,
        size=f"{first.width}x{first.height}",
        usage=kept.usage,
        text=kept.text,
        seeds=kept.seeds,
        missing=kept.missing,
        settled=kept.settled,
        warnings=kept.warnings,
        sandbox=sandbox,
    )


def accepted(facts: TaskFacts) -> TaskView:
    """A task that waits."""
    return TaskView(
        id=facts.task_id,
        status="queued",
        model=facts.model.id,
        operation=facts.request.operation,
        created_s=facts.created_ms // 1000,
        created_ms=facts.created_ms,
        requested=facts.images,
        warnings=facts.warnings,
    )
