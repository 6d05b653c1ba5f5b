"""The models a caller may use, as cards: generated from the same rows that validation reads."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Final

from msgspec.structs import replace

from imageway.catalog.operations import INSTRUCTIONS
from imageway.catalog.parameters import typed
from imageway.catalog.schema import Geometry, Model, Parameter, Price
from imageway.core.blobs import Tree
from imageway.core.errors import GatewayError
from imageway.core.intents import ModelCard, ModelList
from imageway.core.requests import MAX_IMAGES, Caller
from imageway.engine.ports import Tools
from imageway.engine.preparation import allowed, find_model, sellers_of
from imageway.routing import candidates

LIMITS: Final = ("multiple", "min_edge", "max_edge", "max_ratio", "min_pixels", "max_pixels")


@dataclass(frozen=True, slots=True)
class ModelShelf:
    """What is sold here."""

    tools: Tools

    def all(self, caller: Caller) -> ModelList:
        """Every model that some upstream of this gateway serves and this key may use, in the catalog's order, each by
        its id; then by the names that the caller's workspace has set. One of these hides the model that it was."""
        models, aliases = self.tools.catalog.models, caller.settings.aliases
        named = [(model.id, model) for model in models.values() if model.id not in aliases]
        found = ((name, self.tools.catalog.find(target)) for name, target in aliases.items())
        named += [(name, one.model) for name, one in found if one]
        usable = ((name, model) for name, model in named if self._usable(caller, name, model))
        return ModelList(tuple(_named(name, self._priced(model, caller)) for name, model in usable))

    def one(self, name: str, caller: Caller) -> ModelCard:
        """By id, alias or former name, of those that `all` lists. Raises GatewayError 404 or 403."""
        model, _ = find_model(self.tools, name, caller)
        if model.lifecycle.state != "retired" and not candidates(model, self.tools.upstreams):
            raise GatewayError("model_not_found", f'no upstream is configured that serves "{name}"', param="model")
        sellers_of(self.tools, model)
        return _named(name if name in caller.settings.aliases else model.id, self._priced(model, caller))

    def family_of(self, name: str) -> str | None:
        """Of the model that bears this name, whoever sells it; None: no model does."""
        found = self.tools.catalog.find(name)
        return found.model.family if found else None

    def _priced(self, model: Model, caller: Caller) -> Model:
        """With the prices that this caller pays."""
        return self.tools.terms.sold(model, caller.workspace_id, self.tools.clock.now_ms())[0]

    def _usable(self, caller: Caller, name: str, model: Model) -> bool:
        return allowed(caller, name, model) and _performs(caller, model) and self._sold(model)

    def _sold(self, model: Model) -> bool:
        try:
            return bool(sellers_of(self.tools, model))
        except GatewayError:
            return False


def _performs(caller: Caller, model: Model) -> bool:
    """Something that the key is for."""
    asked = caller.scope.operations
    told = INSTRUCTIONS if "edit" in model.operations else ()
    return not asked or not {*model.operations, *told}.isdisjoint(asked)


def _named(name: str, model: Model) -> ModelCard:
    """Under another name than its own: with that in its capabilities."""
    own = card(model)
    if name == model.id:
        return own
    return replace(own, id=name, capabilities={**own.capabilities, "alias_of": model.id})


def card(model: Model) -> ModelCard:
    provider = model.offerings[0].provider if model.offerings else model.family
    return ModelCard(
        id=model.id,
        created_s=_epoch(model.created),
        owned_by=provider,
        title=model.title,
        capabilities=_capabilities(model),
        prices=tuple(_price(price) for price in model.prices),
        minimum_hold_usd=model.minimum_hold,
    )


def _epoch(day: str) -> int:
    return int(datetime.combine(date.fromisoformat(day), datetime.min.time(), UTC).timestamp())


def _capabilities(model: Model) -> dict[str, Tree]:
    geometry = model.geometry
    capabilities: dict[str, Tree] = {
        "family": model.family,
        "state": model.lifecycle.state,
        "aliases": list(model.aliases),
        "operations": list(model.operations),
        "default_response_format": model.form,
        "n": {"minimum": 1, "maximum": MAX_IMAGES},
        "prompt_max_chars": model.prompt_max_chars,
        "input_images": {
            "minimum": model.inputs.minimum,
            "maximum": model.inputs.maximum,
            "formats": list(model.inputs.formats) if model.inputs.maximum else [],
            "mask": model.inputs.mask,
        },
        "size": _size(geometry),
        "parameters": {name: _parameter(parameter) for name, parameter in model.parameters.items()},
    }
    if model.group_max_images is not None:
        capabilities["group_max_images"] = model.group_max_images
    if model.context_window is not None:
        capabilities["context_window"] = model.context_window
    if model.max_output is not None:
        capabilities["max_output"] = model.max_output
    return capabilities


def _size(geometry: Geometry) -> dict[str, Tree]:
    """Where any pixels within limits can be had, the limits too: `max_ratio` is long by short, the rest in pixels."""
    shown: dict[str, Tree] = {
        "default": geometry.default,
        "sizes": list(geometry.sizes),
        "words": list(geometry.words),
        "ratios": list(geometry.ratios),
        "tiers": list(geometry.tiers),
    }
    if geometry.kind == "free":
        limits = {name: getattr(geometry, name) for name in LIMITS}
        shown |= {name: limit for name, limit in limits.items() if limit is not None}
    return shown


def _parameter(parameter: Parameter) -> dict[str, Tree]:
    shown: dict[str, Tree] = {"type": parameter.type}
    if words := dict.fromkeys((*parameter.values, *parameter.omit, *parameter.tiers)):
        shown["values"] = list(words)
    for name, bound in (("minimum", parameter.minimum), ("maximum", parameter.maximum)):
        if bound is not None:
            shown[name] = int(bound) if parameter.type == "integer" else bound
    if parameter.default is not None:
        shown["default"] = typed(parameter, parameter.default)
    return shown


def _price(price: Price) -> dict[str, Tree]:
    """Only the conditions that there are; `amount` stays decimal text."""
    shown: dict[str, Tree] = {"per": price.per, "amount": price.amount, "currency": price.currency}
    if price.tokens:
        shown["tokens"] = price.tokens
    for name, values in (("tiers", price.tiers), ("qualities", price.qualities), ("sizes", price.sizes)):
        if values:
            shown[name] = list(values)
    if price.max_pixels is not None:
        shown["max_pixels"] = price.max_pixels
    if price.assumed:
        shown["assumed"] = True
    if price.shown_only:
        shown["shown_only"] = True
    return shown
