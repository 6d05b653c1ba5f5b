"""Fields that another dialect knows are no inventions, whatever they are to this one: they are reported, never passed
on. Fields of its own that stand where they mean nothing are told their place. It knows names only; which dialect has
which is for whoever knows them all to say."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from types import MappingProxyType

from msgspec.structs import replace

from imageway.core.blobs import Tree
from imageway.core.intents import Estimate, Generate, Inbound, Intent
from imageway.core.requests import ImageRequest, RequestWarning
from imageway.core.wording import printable
from imageway.dialects.shared.findings import NOT_KNOWN, Findings


def aware(
    decode: Callable[[Inbound], Intent], *, own: Collection[str], foreign: Collection[str]
) -> Callable[[Inbound], Intent]:
    """`decode`, with what it took for inventions held against the names that others know. `own` are the names of its
    own fields, the objects among which are looked into."""

    def decoded(inbound: Inbound) -> Intent:
        intent = decode(inbound)
        if isinstance(intent, Generate):
            return _without(_told_places(intent), own, foreign)
        if isinstance(intent, Estimate):
            return replace(intent, generate=_without(_told_places(intent.generate), own, foreign))
        return intent

    return decoded


def _told_places(intent: Generate) -> Generate:
    if not intent.warnings:
        return intent
    warnings = tuple(_told_place(each, intent.request) for each in intent.warnings)
    return intent if warnings == intent.warnings else replace(intent, warnings=warnings)


def _told_place(warning: RequestWarning, request: ImageRequest) -> RequestWarning:
    if warning.param is None or not warning.message.endswith(NOT_KNOWN):
        return warning
    place = request.place_of(warning.param.rpartition(".")[2])
    return replace(warning, message=f"{warning.param} was not sent: its place is {place}") if place else warning


def _without(intent: Generate, own: Collection[str], foreign: Collection[str]) -> Generate:
    if not intent.request.extras:
        return intent
    findings = Findings()
    kept = _invented(intent.request.extras, "", (own, foreign), findings)
    if not findings.warnings:
        return intent
    request = replace(intent.request, extras=MappingProxyType(kept))
    return replace(intent, request=request, warnings=(*intent.warnings, *findings.warnings))


def _invented(
    extras: Mapping[str, Tree], prefix: str, names: tuple[Collection[str], Collection[str]], findings: Findings
) -> dict[str, Tree]:
    own, foreign = names
    kept: dict[str, Tree] = {}
    for name, value in extras.items():
        path = prefix + printable(name)
        if name in own and isinstance(value, dict):
            if inner := _invented(value, f"{path}.", names, findings):
                kept[name] = inner
        elif name in own or name not in foreign:
            kept[name] = value
        else:
            findings.ignored(path, "it is a field of another format")
    return kept
