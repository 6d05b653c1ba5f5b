"""Proved images on their way to whoever asked: in the format that was asked for, and in the media store where they must
outlive the spool."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

from imageway.bodies import BlobTooLarge, Scope, SpoolFull, decoded, read_decoded
from imageway.core.blobs import Blob
from imageway.core.requests import RequestWarning
from imageway.engine.attempts import Proved
from imageway.engine.facts import TaskFacts
from imageway.engine.patience import patiently
from imageway.engine.ports import Tools, one_chunk
from imageway.media.conversion import CannotConvert, convert
from imageway.media.proofs import MEDIA_TYPES


@dataclass(frozen=True, slots=True)
class Ready:
    """A picture as it will be delivered."""

    blob: Blob
    media_type: str
    width: int
    height: int
    revised_prompt: str | None


async def ready_all(
    tools: Tools, facts: TaskFacts, scope: Scope, images: Sequence[Proved]
) -> tuple[tuple[Ready, ...], tuple[RequestWarning, ...]]:
    """Every picture in the format that was asked for; only what does not fit already is converted, into `scope`."""
    wanted = facts.request.output_format
    ready: list[Ready] = []
    warnings: dict[str, RequestWarning] = {}
    for image in images:
        picture = _as_it_came(facts, image)
        if wanted is not None and image.facts.format != wanted:
            picture, warning = await _converted(tools, facts, scope, picture, image.facts.format)
            warnings[warning.code] = warning
        ready.append(picture)
    return tuple(ready), tuple(warnings.values())


async def store_all(tools: Tools, task_id: str, pictures: Sequence[Ready], expires_ms: int) -> tuple[str, ...]:
    """Puts every picture into the media store; returns their names in order. Raises OSError when it takes one of them
    not even at a later try."""
    names = []
    for index, picture in enumerate(pictures):
        name = f"{task_id}-{index}.{picture.media_type.removeprefix('image/')}"
        await patiently(tools, partial(_put, tools, name, picture, expires_ms))
        names.append(name)
    return tuple(names)


async def _put(tools: Tools, name: str, picture: Ready, expires_ms: int) -> None:
    await tools.objects.put(name, decoded(picture.blob), media_type=picture.media_type, expires_ms=expires_ms)


def _as_it_came(facts: TaskFacts, image: Proved) -> Ready:
    revised = (image.revised_prompt or facts.request.prompt) if facts.model.revised_prompt else None
    return Ready(image.blob, MEDIA_TYPES[image.facts.format], image.facts.width, image.facts.height, revised)


async def _converted(
    tools: Tools, facts: TaskFacts, scope: Scope, picture: Ready, came_as: str
) -> tuple[Ready, RequestWarning]:
    """What cannot be converted is delivered as it came, and said to be: it was paid for."""
    request = facts.request
    wanted, param = request.output_format or came_as, request.param("output_format")
    try:
        async with tools.converting:  # both forms lie in memory meanwhile
            content = await read_decoded(picture.blob, limit_bytes=tools.settings.convert_bytes)
            made = await tools.workers.run(partial(convert, content, wanted, request.output_compression))
            blob = await scope.keep(one_chunk(made), declared_type=MEDIA_TYPES[wanted])
    except (CannotConvert, BlobTooLarge, SpoolFull) as error:
        message = f'the image is a {came_as}, not the "{wanted}" asked for: {error}'
        return picture, RequestWarning("format_not_converted", param, message)
    message = f"converted from {came_as} to {wanted} here; provenance metadata of the original bytes is lost"
    return replace(picture, blob=blob, media_type=MEDIA_TYPES[wanted]), RequestWarning("transcoded", param, message)
