"""The loaded catalog, and how the name that a caller wrote finds its model: by id, alias, rename, or nearness."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from fractions import Fraction
from types import MappingProxyType

from imageway.catalog.schema import Model, Provider
from imageway.core.requests import RequestWarning

CLOSEST = 3


@dataclass(frozen=True, slots=True)
class Found:
    """A model, and what to tell the caller when the name he used is not what serves him."""

    model: Model
    warning: RequestWarning | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Catalog:
    """Everything the gateway knows about models, validated and frozen. `usd_per_cny` is exact. Equals itself alone."""

    models: Mapping[str, Model]
    providers: Mapping[str, Provider]
    usd_per_cny: Fraction
    _names: Mapping[str, Found] = field(init=False, repr=False)
    _gone: Mapping[str, Model] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        names = {name: found for model in self.models.values() for name, found in _names_of(model)}
        object.__setattr__(self, "models", MappingProxyType(dict(self.models)))
        object.__setattr__(self, "providers", MappingProxyType(dict(self.providers)))
        object.__setattr__(self, "_names", MappingProxyType(names))
        gone = {old.id: model for model in self.models.values() for old in model.succeeds}
        object.__setattr__(self, "_gone", MappingProxyType(gone))

    def find(self, name: str) -> Found | None:
        """The model of this id, alias or former id; None when nobody bears the name."""
        return self._names.get(name)

    def successor_of(self, name: str) -> Model | None:
        """The model that its vendor put in the place of one that nobody sells any more."""
        return self._gone.get(name)

    def id_of(self, name: str | None) -> str | None:
        """The id of the model that a name means; a name that nobody bears is left as it is."""
        found = self.find(name) if name is not None else None
        return name if found is None else found.model.id

    def closest(self, name: str) -> tuple[str, ...]:
        """At most three known names that look like this one, the likeliest first."""
        spelled = {known.lower(): known for known in self._names}
        return tuple(spelled[near] for near in get_close_matches(name.lower()[:100], spelled, CLOSEST))


def _names_of(model: Model) -> Iterator[tuple[str, Found]]:
    yield model.id, Found(model, _renamed(model.id, model.rename_note) if model.rename_note else None)
    for alias in model.aliases:
        yield alias, Found(model)
    for rename in model.renames:
        yield rename.id, Found(model, _renamed(rename.id, rename.why))


def _renamed(name: str, why: str) -> RequestWarning:
    return RequestWarning("model_renamed", "model", f'"{name}": {why}')
