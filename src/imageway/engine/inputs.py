"""Input images: what is wrong with one, how a linked one is fetched, opened from our own store, and looked at; masks
turned into the form that their model reads."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from functools import partial

from imageway.bodies import BlobTooLarge, Scope, SpoolFull, is_complete, read_decoded
from imageway.catalog import too_large
from imageway.catalog.checking import arrival_problems, shape_findings
from imageway.catalog.schema import Inputs, Offering
from imageway.core.blobs import Blob
from imageway.core.errors import GatewayError, InvalidRequest, Problem
from imageway.core.failures import FetchRefused, TransportFailed
from imageway.core.requests import ImageData, ImageInput, ImageLink, ImageRequest, MaskForm
from imageway.engine.ports import Tools, one_chunk
from imageway.media.conversion import CannotConvert
from imageway.media.masks import turn_mask
from imageway.media.uploads import SCHEME, stored_name
from imageway.telemetry import events, logger


def problem_with(image: ImageData, limits: Inputs) -> Problem | None:
    """The first thing wrong with an image that lies here; its pixels are never decoded for this."""
    blob, param = image.blob, image.param
    facts = blob.facts
    if facts is None:
        return Problem(param, "invalid_image", f"{param} is not an image that can be read", limits.formats)
    if facts.format not in limits.formats:
        accepted = ", ".join(limits.formats)
        message = f'{param} is "{facts.format}"; this model takes {accepted}'
        return Problem(param, "unsupported_image_format", message, limits.formats)
    if facts.width * facts.height > limits.max_pixels or not facts.width or not facts.height:
        message = f"{param} has {facts.width}x{facts.height} pixels; at most {limits.max_pixels:,} in all are taken"
        return Problem(param, "image_too_large", message)
    if blob.decoded_bytes > limits.max_bytes:
        message = f"{param} has {blob.decoded_bytes:,} bytes; at most {limits.max_bytes:,} are taken"
        return Problem(param, "image_too_large", message)
    if not is_complete(facts, blob.head, blob.tail, blob.decoded_bytes):
        return Problem(param, "invalid_image", f"{param} is a {facts.format} that was cut: its end is missing")
    return None


async def hold_all(
    tools: Tools, images: tuple[ImageInput, ...], limits: Inputs, scope: Scope, workspace_id: str
) -> dict[int, ImageData]:
    """What came of each image, by its identity, that could not stay as it is: fetched where it was linked, side by
    side, and turned where it is a mask of another form. Fetched ones obey `limits`; uploads are those of this
    workspace. Raises InvalidRequest with every problem, GatewayError when there is no room."""
    links = list({id(image): image for image in images if isinstance(image, ImageLink)}.values())
    fetched = await asyncio.gather(*(_hold(tools, link, scope, workspace_id) for link in links))
    checked = [
        got if isinstance(got, Problem) else problem_with(got, limits) or _misshapen(got, limits) or got
        for got in fetched
    ]
    problems = [one for one in checked if isinstance(one, Problem)]
    if problems:
        raise InvalidRequest(*problems)
    held = {id(link): got for link, got in zip(links, checked, strict=True) if isinstance(got, ImageData)}
    return held | await _turned(tools, {id(image): held.get(id(image), image) for image in images}, scope)


async def _turned(tools: Tools, images: dict[int, ImageInput], scope: Scope) -> dict[int, ImageData]:
    """Of these images, the masks that their model could not read as they are. Raises InvalidRequest, GatewayError."""
    return {
        place: await _turn(tools, image, image.marks or MaskForm.ALPHA, image.wanted, scope)
        for place, image in images.items()
        if isinstance(image, ImageData) and image.wanted and image.wanted is not image.marks
    }


async def _turn(tools: Tools, mask: ImageData, marks: MaskForm, wanted: MaskForm, scope: Scope) -> ImageData:
    try:
        async with tools.converting:  # both forms lie in memory meanwhile
            content = await read_decoded(mask.blob, limit_bytes=tools.settings.convert_bytes)
            made = await tools.workers.run(partial(turn_mask, content, marks, wanted))
            blob = await scope.keep(one_chunk(made), declared_type="image/png")
    except (CannotConvert, BlobTooLarge) as error:
        message = f"{mask.param} cannot be used as a mask: {error}"
        raise InvalidRequest(Problem(mask.param, "invalid_mask", message)) from error
    except SpoolFull as error:
        raise GatewayError("overloaded", "there is no room for the mask just now", retry_after_s=1) from error
    return ImageData(blob, mask.param, wanted)


def check_weight(request: ImageRequest, offerings: Iterable[Offering]) -> None:
    """Once everything linked is here: somebody must take it. Raises InvalidRequest."""
    problems = [tuple(too_large(offering, request)) for offering in offerings]
    if problems and all(problems):
        raise InvalidRequest(*problems[0])


def check_mask(request: ImageRequest, limits: Inputs) -> None:
    """Once everything linked is here. Raises InvalidRequest."""
    if problems := tuple(arrival_problems(limits, request)):
        raise InvalidRequest(*problems)


def _misshapen(image: ImageData, limits: Inputs) -> Problem | None:
    return next((finding for finding in shape_findings(limits, image) if isinstance(finding, Problem)), None)


async def _hold(tools: Tools, link: ImageLink, scope: Scope, workspace_id: str) -> ImageData | Problem:
    if link.url.startswith(SCHEME):
        blob = await _from_store(tools, stored_name(workspace_id, link.url.removeprefix(SCHEME)), scope)
        why = "this workspace has no such upload, or has it no longer"
        return _fetched(link, blob) if blob else _not_fetched(link, why)
    own = tools.signer.name_in(link.url, tools.clock.now_ms())
    if own is not None:
        blob = await _from_store(tools, own, scope)
        return _fetched(link, blob) if blob else _not_fetched(link, "the image is no longer stored")
    if tools.signer.has_expired(link.url, tools.clock.now_ms()):
        return _not_fetched(link, "this link to a stored image has expired")
    settings = tools.settings
    most = min(settings.fetched_image_bytes, link.max_bytes or settings.fetched_image_bytes)
    try:
        reply = await tools.transport.fetch(link.url, scope, deadline_s=settings.fetch_deadline_s, max_bytes=most)
    except FetchRefused as refused:
        return _not_fetched(link, refused.message)
    except TransportFailed:
        return _not_fetched(link, f"the address did not answer with a complete image of at most {most:,} bytes")
    return _fetched(link, reply.blob)


def _fetched(link: ImageLink, blob: Blob) -> ImageData | Problem:
    if link.max_bytes is not None and blob.decoded_bytes > link.max_bytes:
        return _not_fetched(link, f"it has {blob.decoded_bytes:,} bytes; at most {link.max_bytes:,} are taken")
    return ImageData(blob, link.param, link.marks, link.wanted)


def _not_fetched(link: ImageLink, why: str) -> Problem:
    return Problem(link.param, "invalid_image_url", f"{link.param} could not be fetched: {why}")


async def _from_store(tools: Tools, name: str, scope: Scope) -> Blob | None:
    """None when it has expired, or cannot be read or held just now."""
    try:
        stored = await tools.objects.find(name)
        if stored is None or stored.expires_ms <= tools.clock.now_ms():
            return None
        content = tools.objects.open(name, 0, stored.size_bytes)
        return await scope.keep(content, declared_type=stored.media_type)
    except (OSError, EOFError, SpoolFull) as error:
        logger().warning(events.MEDIA_FAILED, detail=str(error))
        return None
