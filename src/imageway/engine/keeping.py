"""A request as whoever runs it later needs it: everything the caller wrote, in the task's row; the bytes he sent, in
the object store, under the task's own names until it is final."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final, cast

import msgspec
from msgspec.structs import replace

from imageway.bodies import Scope, SpoolFull, decoded
from imageway.core.blobs import Blob, Embed, Tree
from imageway.core.errors import GatewayError
from imageway.core.requests import ImageData, ImageInput, ImageLink, ImageRequest, Turn
from imageway.engine.memos import KeptAsk, KeptBlob, KeptInput, KeptPlace, KeptTask, KeptTurn, Step, request_of
from imageway.engine.patience import patiently
from imageway.engine.ports import Tools
from imageway.telemetry import events, logger

GRACE_MS: Final = 3_600_000  # inputs nobody removed go this long after their task's deadline
_BINARY: Final = "application/octet-stream"
_PLAIN: Final = re.compile(r"[a-z]+/[a-z0-9.+-]{1,60}")


_encoder: Final = msgspec.json.Encoder()


@dataclass(slots=True)
class _Shelf:
    """Gives every blob of one task its name, once."""

    task_id: str
    blobs: dict[int, tuple[KeptBlob, Blob]] = field(default_factory=dict)
    inputs: dict[int, tuple[int, KeptInput]] = field(default_factory=dict)

    def blob(self, blob: Blob) -> KeptBlob:
        name = f"input-{self.task_id}-{len(self.blobs)}"
        return self.blobs.setdefault(id(blob), (KeptBlob(name), blob))[0]

    def input(self, image: ImageInput) -> int:
        if id(image) not in self.inputs:
            about: dict[str, Any] = {"param": image.param, "marks": image.marks, "wanted": image.wanted}
            if isinstance(image, ImageLink):
                about |= {"url": image.url, "max_bytes": image.max_bytes}
            else:
                about["stored"] = self.blob(image.blob)
            self.inputs[id(image)] = len(self.inputs), KeptInput(**about)
        return self.inputs[id(image)][0]

    def turn(self, turn: Turn) -> KeptTurn:
        signatures = {
            at: signed if isinstance(signed, str) else self.blob(signed) for at, signed in turn.signatures.items()
        }
        return KeptTurn(turn.role, tuple(p if isinstance(p, str) else self.input(p) for p in turn.parts), signatures)

    def tree(self, tree: Tree, path: tuple[Step, ...], places: list[KeptPlace]) -> Tree:
        """The tree without its blobs, which go into `places`."""
        if isinstance(tree, dict):
            return {name: self.tree(value, (*path, name), places) for name, value in tree.items()}
        if isinstance(tree, list):
            return [self.tree(value, (*path, index), places) for index, value in enumerate(tree)]
        if isinstance(tree, Embed):
            places.append(KeptPlace(path, KeptBlob(self.blob(tree.blob).name, tree.prefix)))
        elif isinstance(tree, Blob):
            places.append(KeptPlace(path, self.blob(tree)))
        else:
            return tree
        return None


async def put_ask(tools: Tools, request: ImageRequest, task_id: str, *, strict: bool, expires_ms: int) -> KeptAsk:
    """The request as it is kept, its bytes durable. Raises OSError, with nothing left behind."""
    shelf, places = _Shelf(task_id), list[KeptPlace]()
    extras = _encoder.encode(shelf.tree(dict(request.extras), (), places)).decode()
    ask = KeptAsk(
        turns=tuple(shelf.turn(turn) for turn in request.turns),
        images=tuple(shelf.input(image) for image in request.images),
        mask=shelf.input(request.mask) if request.mask else None,
        inputs=tuple(kept for _, kept in shelf.inputs.values()),
        extras=extras,
        places=tuple(places),
        written=dict(request.written),
        strict=strict,
    )
    puts = [_put(tools, kept.name, blob, expires_ms) for kept, blob in shelf.blobs.values()]
    failed = [error for error in await asyncio.gather(*puts, return_exceptions=True) if error is not None]
    if failed:
        await drop_ask(tools, ask)
        raise failed[0]
    return ask


async def _put(tools: Tools, name: str, blob: Blob, expires_ms: int) -> None:
    async def put() -> None:
        media_type = blob.declared_type if blob.declared_type and _PLAIN.fullmatch(blob.declared_type) else _BINARY
        await tools.objects.put(name, decoded(blob), media_type=media_type, expires_ms=expires_ms)

    await patiently(tools, put)


async def drop_ask(tools: Tools, ask: KeptAsk) -> None:
    """Nobody needs its bytes any more. What cannot be removed just now goes when it expires."""
    for name in dict.fromkeys(ask.names):
        try:
            await tools.objects.delete(name)
        except OSError as error:
            logger().warning(events.MEDIA_FAILED, detail=str(error))


async def take_ask(tools: Tools, kept: KeptTask, ask: KeptAsk, scope: Scope) -> ImageRequest:
    """The request as it was, its bytes in `scope`. Raises GatewayError when they cannot be had."""
    names = dict.fromkeys(ask.names)
    blobs = dict(zip(names, await asyncio.gather(*(_take(tools, name, scope) for name in names)), strict=True))
    inputs = [_input(one, blobs) for one in ask.inputs]
    extras = msgspec.json.decode(ask.extras)
    for place in ask.places:
        blob = blobs[place.blob.name]
        _plant(extras, place.path, blob if place.blob.prefix is None else Embed(blob, place.blob.prefix))
    return replace(
        request_of(kept),
        turns=tuple(_turn(turn, inputs, blobs) for turn in ask.turns),
        images=tuple(inputs[number] for number in ask.images),
        mask=None if ask.mask is None else inputs[ask.mask],
        extras=cast("Mapping[str, Tree]", extras),
        written=ask.written,
    )


async def _take(tools: Tools, name: str, scope: Scope) -> Blob:
    try:
        return await patiently(tools, partial(_read, tools, name, scope))
    except SpoolFull as error:
        raise GatewayError("overloaded", "there is no room for the request's images", retry_after_s=1) from error
    except (OSError, EOFError) as error:
        logger().error(events.MEDIA_FAILED, detail=f"an input: {error}")
        raise GatewayError("internal_error", "the request's images were lost; nothing was charged") from error


async def _read(tools: Tools, name: str, scope: Scope) -> Blob:
    found = await tools.objects.find(name)
    if found is None:
        raise FileNotFoundError(name)
    declared = None if found.media_type == _BINARY else found.media_type
    return await scope.keep(tools.objects.open(name, 0, found.size_bytes), declared_type=declared)


def _input(kept: KeptInput, blobs: Mapping[str, Blob]) -> ImageInput:
    if kept.stored is None:
        return ImageLink(kept.url, kept.param, kept.marks, kept.wanted, kept.max_bytes)
    return ImageData(blobs[kept.stored.name], kept.param, kept.marks, kept.wanted)


def _turn(kept: KeptTurn, inputs: list[ImageInput], blobs: Mapping[str, Blob]) -> Turn:
    parts = tuple(part if isinstance(part, str) else inputs[part] for part in kept.parts)
    signed = {at: blobs[one.name] if isinstance(one, KeptBlob) else one for at, one in kept.signatures.items()}
    return Turn(kept.role, parts, signed)


def _plant(tree: Any, path: tuple[Step, ...], value: Tree) -> None:
    for step in path[:-1]:
        tree = tree[step]
    tree[path[-1]] = value
