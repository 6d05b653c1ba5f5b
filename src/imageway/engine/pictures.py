"""Proved images on their way to whoever asked: in the format that was asked for, and in the media store where they must
outlive the spool."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from itertools import count
from typing import Final

from msgspec.structs import replace

from imageway.bodies import BlobTooLarge, Scope, SpoolFull, decoded, read_decoded
from imageway.core.requests import RequestWarning
from imageway.engine.facts import TaskFacts
from imageway.engine.images import Proved, Ready
from imageway.engine.patience import patiently
from imageway.engine.ports import Tools, one_chunk
from imageway.media.conversion import CannotConvert, convert
from imageway.media.proofs import MEDIA_TYPES

NO_COMPRESSION: Final = 100  # percent: as it came is the best there is


async def ready_all(
    tools: Tools, facts: TaskFacts, scope: Scope, images: Sequence[Proved]
) -> tuple[tuple[Ready, ...], tuple[RequestWarning, ...]]:
    """Every picture in the format that was asked for, and what became of that."""
    pictures = [image.ready or await make_ready(tools, facts, scope, image) for image in images]
    warnings = {picture.warning.code: picture.warning for picture in pictures if picture.warning}
    return tuple(pictures), tuple(warnings.values())


async def make_ready(tools: Tools, facts: TaskFacts, scope: Scope, image: Proved) -> Ready:
    """The image in the format and quality that were asked for; only what does not fit already is converted, into
    `scope`."""
    picture, request = _as_it_came(facts, image), facts.request
    wanted = request.output_format
    fits = image.compressed or request.output_compression in (None, NO_COMPRESSION)
    if wanted is None or (image.facts.format == wanted and fits):
        return picture
    return await _converted(tools, facts, scope, picture, image.facts.format)


async def store_all(
    tools: Tools, task_id: str, pictures: Sequence[Ready], expires_ms: int, *, first: int = 0
) -> tuple[str, ...]:
    """Puts every picture that is not there yet into the media store, numbered from `first` on; returns all their names
    in order. Raises OSError when it takes one of them not even at a later try."""
    names = [picture.name for picture in pictures]
    taken = {name.partition(".")[0] for name in names}
    free = (f"{task_id}-{number}" for number in count(first) if f"{task_id}-{number}" not in taken)
    for index, picture in enumerate(pictures):
        if not picture.name:
            names[index] = (await put_picture(tools, next(free), picture, expires_ms)).name
    return tuple(names)


async def put_picture(tools: Tools, name: str, picture: Ready, expires_ms: int) -> Ready:
    """Puts one into the media store, its type added to its name. Raises OSError."""
    whole = f"{name}.{picture.media_type.removeprefix('image/')}"
    await patiently(tools, partial(_put, tools, whole, picture, expires_ms))
    return replace(picture, name=whole, expires_ms=expires_ms)


async def _put(tools: Tools, name: str, picture: Ready, expires_ms: int) -> None:
    await tools.objects.put(name, decoded(picture.blob), media_type=picture.media_type, expires_ms=expires_ms)


def _as_it_came(facts: TaskFacts, image: Proved) -> Ready:
    revised = (image.revised_prompt or facts.request.prompt) if facts.model.revised_prompt else None
    width, height = image.facts.width, image.facts.height
    return Ready(image.blob, MEDIA_TYPES[image.facts.format], width, height, revised, image.signature)


async def _converted(tools: Tools, facts: TaskFacts, scope: Scope, picture: Ready, came_as: str) -> Ready:
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
        return replace(picture, warning=RequestWarning("format_not_converted", param, message))
    what = (
        f"converted from {came_as} to {wanted}"
        if came_as != wanted
        else f"compressed to {request.output_compression} %"
    )
    message = f"{what} here; provenance metadata of the original bytes is lost"
    told = RequestWarning("transcoded", request.param("output_compression") if came_as == wanted else param, message)
    return replace(picture, blob=blob, media_type=MEDIA_TYPES[wanted], warning=told)
